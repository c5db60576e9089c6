"""Foundation models as detectors: one file a model, and one table of them.

Nothing heavy is imported, and nothing is downloaded, until a model is loaded by its name. A model whose weights are
not named is fetched by its library's own loader; ``weights="random"`` builds the same network from its configuration
instead: its latency is true, its answers are not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edgevision.errors import UsageError

if TYPE_CHECKING:
    from edgevision.detectors.foundation.api_settings import ApiSettings
    from edgevision.detectors.foundation.base import FoundationDetector
    from edgevision.detectors.foundation.prompts import Prompts

PREFIX = "foundation:"
RANDOM = "random"
"""As ``weights``: the network from its configuration, with weights of no meaning."""

_HERE = "edgevision.detectors.foundation"
_TABLE: dict[str, tuple[str, str]] = {
    "owlvit": ("boxes", f"{_HERE}.owl:OwlVit"),
    "owlv2": ("boxes", f"{_HERE}.owl:OwlV2"),
    "grounding-dino": ("boxes", f"{_HERE}.grounding_dino:GroundingDino"),
    "yolo-world": ("boxes", f"{_HERE}.yolo_world:YoloWorld"),
    "yoloe": ("boxes", f"{_HERE}.yolo_world:Yoloe"),
    "sam": ("segments", f"{_HERE}.sam:Sam"),
    "sam2": ("segments", f"{_HERE}.sam:Sam2"),
    "mobilesam": ("segments", f"{_HERE}.mobile_sam:MobileSam"),
    "clip": ("presence", f"{_HERE}.clip:Clip"),
    "dinov2": ("features", f"{_HERE}.dino:DinoV2"),
    "dinov3": ("features", f"{_HERE}.dino:DinoV3"),
    "smolvlm": ("language", f"{_HERE}.smolvlm:SmolVlm"),
    "florence2": ("language", f"{_HERE}.florence2:Florence2"),
    "qwen-vl": ("language", f"{_HERE}.qwen_vl:QwenVl"),
    "api": ("api", f"{_HERE}.api:ApiDetector"),
}


def foundation_names() -> tuple[str, ...]:
    """Every name that `load_foundation` takes."""
    return tuple(_TABLE)


def foundation_kind(name: str) -> str:
    """What a model gives.

    ``boxes`` of prompted classes; ``segments``: boxes of every thing, of no class; ``presence`` of classes in the
    frame; ``features`` and no boxes; ``language``: boxes or presence, asked for in words; ``api``: the same from
    elsewhere.
    """
    return _entry(name)[0]


def is_foundation(model: str) -> bool:
    """Whether a model's name means a foundation model: ``foundation:NAME``."""
    return model.startswith(PREFIX)


def load_foundation(
    name: str,
    *,
    prompts: Prompts | None = None,
    weights: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    min_score: float | None = None,
    allow_upload: bool = False,
    ask: str = "boxes",
    api: ApiSettings | None = None,
) -> FoundationDetector:
    """Load a foundation model by name, ``owlv2`` or ``foundation:owlv2[@weights]``, ready to run.

    ``prompts`` say what to look for; by default people. ``weights``: None for the library's default, a hub id, a
    folder or file, or ``"random"``. ``device``: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``. ``threads`` are
    torch's. ``ask``: what a language model is asked for, ``boxes`` or ``presence``. ``allow_upload`` and ``api`` are
    for ``api`` only, which sends every frame to another machine.

    Raises `UsageError`, `MissingExtra`, `ModelNotFound` where the weights cannot be had, `ModelInvalid` where they do
    not fit the network.
    """
    from edgevision.detectors.foundation.load_options import FoundationOptions

    bare = name.removeprefix(PREFIX)
    bare, _, named_weights = bare.partition("@")
    if named_weights and weights is not None and weights != named_weights:
        raise UsageError(f"{name}: names its weights, and {weights!r} are given too; give one of the two")
    _, target = _entry(bare)
    order = FoundationOptions(
        name=bare,
        prompts=prompts,
        weights=weights or named_weights or None,
        device=device,
        threads=threads,
        min_score=min_score,
        allow_upload=allow_upload,
        ask=ask,
        api=api,
    )
    module, _, attribute = target.partition(":")
    maker: type[FoundationDetector] = getattr(importlib.import_module(module), attribute)
    return maker.load(order)


def _entry(name: str) -> tuple[str, str]:
    bare = name.removeprefix(PREFIX).partition("@")[0]
    try:
        return _TABLE[bare]
    except KeyError:
        raise UsageError(f"no foundation model named {bare!r}; known are {', '.join(_TABLE)}") from None
