"""A foundation model that runs here, on torch: device, threads, and how its weights are had."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.base import Found, FoundationDetector, failed
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.errors import EdgeVisionError, MissingExtra, ModelInvalid, ModelNotFound, UsageError

if TYPE_CHECKING:
    import torch

RANDOM_SEED = 20
"""Random weights are the same ones each time: what is measured twice is measured on the same numbers."""


class TorchDetector(FoundationDetector):
    """Runs in torch's inference mode, on one device, with the threads that were asked for."""

    def __init__(
        self, order: FoundationOptions, weights_id: str, classes: tuple[str, ...], mode: str, network: Any
    ) -> None:
        super().__init__(order, weights_id, classes, mode)
        self.device = pick_device(order.device)
        self._threads = order.threads
        self._network = network.to(self.device).eval() if network is not None else None

    @property
    def network(self) -> Any:
        """The torch module."""
        return self._network

    def close(self) -> None:
        super().close()
        self._network = None

    def _guarded(self, pixels: NDArray[np.uint8]) -> Found:
        with inference(self._threads):
            return super()._guarded(pixels)

    def _in_inference(self, work: Callable[[], Any], pixels: NDArray[np.uint8]) -> Any:
        """``work`` under the same conditions as `detect`: for what a model gives besides boxes."""
        self._check(pixels)
        with inference(self._threads):
            try:
                return work()
            except EdgeVisionError:
                raise
            except Exception as exc:
                raise failed(self.name, pixels, exc) from exc


@contextmanager
def inference(threads: int | None) -> Iterator[None]:
    """Torch without gradients and with so many threads, which are the process's own: set for as long as it takes."""
    import torch

    before = torch.get_num_threads()
    if threads is not None and threads != before:
        torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        if threads is not None and threads != before:
            torch.set_num_threads(before)


def need(package: str, extra: str, purpose: str) -> None:
    """Raises `MissingExtra` where a package is not installed."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(package, extra, purpose)


def pick_device(asked: str) -> torch.device:
    """``auto`` takes CUDA, else Apple's MPS, else the CPU. Raises `UsageError` for one that is not there."""
    import torch

    mps = torch.backends.mps.is_available()
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise UsageError(f"device: expected auto, cpu, cuda, cuda:N or mps, got {asked!r}") from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": mps,
    }
    if not there.get(device.type, False):
        raise UsageError(f"device: torch {torch.__version__} has no {asked!r} on this machine; use auto or cpu")
    return device


def built_at_random(build: Callable[[], Any]) -> Any:
    """What ``build`` makes, with weights that are the same each time; torch's own random state stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        return build()


def weights_id(weights: str) -> str:
    """How a hub id, folder or file is named in results: a path by its last part."""
    path = Path(weights).expanduser()
    return path.resolve().name if path.exists() else weights


def load_pretrained(model_class: Any, weights: str, what: str, **options: Any) -> Any:
    """``model_class.from_pretrained``, held to its word: every weight of the network comes from the checkpoint.

    Raises `ModelNotFound` and `ModelInvalid`.
    """
    with translated(weights, what):
        network, report = model_class.from_pretrained(local(weights), output_loading_info=True, **options)
        _refuse_partial(report, weights, what)
        return network


def _refuse_partial(report: dict[str, Any], weights: str, what: str) -> None:
    """transformers fills what a checkpoint lacks with random numbers, and warns; for us that is no model."""
    missing = sorted(report.get("missing_keys") or ())
    wrong = sorted(str(key[0] if isinstance(key, tuple) else key) for key in report.get("mismatched_keys") or ())
    if missing or wrong:
        which = ", ".join((missing + wrong)[:3])
        raise ModelInvalid(
            f"{weights}: is not a checkpoint of {what}: {len(missing)} of its weights are missing and {len(wrong)} "
            f"have another shape ({which}, …)"
        )


def local(weights: str) -> str:
    """A folder or file as its path, a hub id as it is. Raises `ModelNotFound` for a path that leads nowhere."""
    path = Path(weights).expanduser()
    if path.exists():
        return str(path)
    if path.is_absolute() or weights.startswith((".", "~")) or weights.count("/") != 1:
        raise ModelNotFound(f"{weights}: no such folder; expected a hub id (OWNER/NAME), a folder, or random")
    return weights


@contextmanager
def translated(weights: str, what: str) -> Iterator[None]:
    """Whatever a library raises while it loads weights, in one sentence that says what to do."""
    library = logging.getLogger("transformers")
    level = library.level
    library.setLevel(logging.ERROR)  # its loading report repeats what we raise
    try:
        # A bar for a download is welcome; one for reading a file is noise.
        with _without_bars() if Path(weights).expanduser().exists() else nullcontext():
            yield
    except EdgeVisionError:
        raise
    except ImportError as exc:
        raise MissingExtra(exc.name or "transformers", "foundation", what) from exc
    except Exception as exc:
        reason = " ".join(str(exc).split())[:160] or type(exc).__name__
        if Path(weights).expanduser().exists():
            raise ModelInvalid(f"{weights}: cannot be loaded as {what}: {reason}") from exc
        raise ModelNotFound(
            f"{weights}: the weights of {what} cannot be had ({reason}); "
            "give --weights DIR with a downloaded checkpoint, or --weights random for latency only"
        ) from exc
    finally:
        library.setLevel(level)


@contextmanager
def _without_bars() -> Iterator[None]:
    from transformers.utils import logging as library

    shown = library.is_progress_bar_enabled()
    library.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            library.enable_progress_bar()
