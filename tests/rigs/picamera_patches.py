"""What the real Picamera2 class needs to run where there is no Raspberry Pi: imported before it is used.

libcamera's virtual pipeline has no sensor, no raw stream and no DMA heap of the kind that a Raspberry Pi has.
Nothing that edgevision uses of the class (configuring, requests, jobs, closing) is touched.
"""

from __future__ import annotations

import sys
import types
from typing import Any


class _AnyFormat:
    def __getattr__(self, name: str) -> str:
        return name


for _name in ("pykms", "kms"):  # drawing straight to a screen
    _module = types.ModuleType(_name)
    _module.__getattr__ = lambda name: _AnyFormat()  # type: ignore[method-assign]
    sys.modules[_name] = _module

import picamera2.picamera2 as implementation  # noqa: E402
from picamera2 import Picamera2  # noqa: E402
from picamera2.allocators.libcameraallocator import LibcameraAllocator  # noqa: E402

_open: list[Any] = []
_initialize = Picamera2._initialize_camera


def _remember(self: Any) -> Any:
    _open[:] = [self]
    return _initialize(self)


class _Allocator(LibcameraAllocator):
    """libcamera's own allocator, in place of the Raspberry Pi's DMA heaps."""

    def __init__(self) -> None:
        super().__init__(None)

    def allocate(self, libcamera_config: Any, use_case: Any) -> None:
        self.camera = _open[0].camera
        super().allocate(libcamera_config, use_case)


Picamera2._initialize_camera = _remember
Picamera2._get_raw_modes = lambda self: [{"format": "NV12", "size": (800, 600)}]
implementation.DmaAllocator = _Allocator
