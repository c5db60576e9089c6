"""Which device a compact model runs on: the names people use, and onnxruntime's execution providers behind them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgevision.errors import UsageError


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of device."""

    provider: str
    """onnxruntime's name of what runs there."""
    install: str
    """What to do where that is not part of this build of onnxruntime."""
    libraries: str = ""
    """What to do where it is, and cannot be used all the same."""


DEVICES: Mapping[str, Device] = MappingProxyType(
    {
        "cpu": Device("CPUExecutionProvider", "pip install --force-reinstall onnxruntime"),
        "cuda": Device(
            "CUDAExecutionProvider",
            "pip uninstall -y onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]' (never both: they share "
            "their files)",
            "needs an NVIDIA driver, CUDA and cuDNN: pip install 'onnxruntime-gpu[cuda,cudnn]', and look at nvidia-smi",
        ),
        "mps": Device("CoreMLExecutionProvider", "only macOS has it: pip install --force-reinstall onnxruntime"),
    }
)
AUTO = "auto"
"""The processor: what is this small, and int8, is as fast there and leaves the GPU alone."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One device of a kind."""

    kind: str = "cpu"
    number: int = 0

    @property
    def device(self) -> Device:
        return DEVICES[self.kind]

    @property
    def providers(self) -> list[str | tuple[str, dict[str, int]]]:
        """As onnxruntime takes them; what a GPU cannot do, the processor does."""
        cpu = DEVICES["cpu"].provider
        if self.kind == "cpu":
            return [cpu]
        options = {"device_id": self.number} if self.kind == "cuda" else {}
        return [(self.device.provider, options), cpu]


def placement(text: str) -> Placement:
    """``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. Raises `UsageError`."""
    if text == AUTO:
        return Placement()
    found = re.fullmatch(rf"({'|'.join(DEVICES)})(?::(\d+))?", text)
    if found is None or (found[2] is not None and found[1] != "cuda"):
        raise UsageError(f"--device: expected {AUTO}, {', '.join(DEVICES)} or cuda:1, got {text!r}")
    return Placement(found[1], int(found[2] or 0))


def on_accelerator(text: str) -> bool:
    """Whether a device is something else than the processor. Raises `UsageError`."""
    return placement(text).kind != "cpu"
