"""Which open-vocabulary detectors can be loaded here without a download. Imports none of them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

OPEN_VOCABULARY = {
    "owlvit": "google/owlvit-base-patch32",
    "owlv2": "google/owlv2-base-patch16-ensemble",
    "grounding-dino": "IDEA-Research/grounding-dino-tiny",
}
"""Detectors of the `foundation` extra, fastest first (0.97, 10.4 and 14.1 s an image on two cores), and their weights
at the hub. YOLOE and YOLO-World are faster; they need ultralytics, which is AGPL-3.0: only who names them gets them."""


def installed() -> bool:
    """Whether the packages of the `foundation` extra are there."""
    return all(find_spec(package) is not None for package in ("torch", "transformers"))


def cached_weights(hub_id: str) -> Path | None:
    """The folder of weights that were downloaded before, in the hub's own cache; None where they were not."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("model.safetensors", "pytorch_model.bin"):
        weights, config = (try_to_load_from_cache(hub_id, file) for file in (name, "config.json"))
        if isinstance(weights, str) and isinstance(config, str):
            return Path(config).parent
    return None
