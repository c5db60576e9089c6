"""One picture from a source, and what is known of the source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.detections import Detections


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source says of itself once it is open: read back from the device, not what was asked."""

    name: str
    """As shown to people and written to JSON: never a password in an address."""
    width_px: int
    height_px: int
    fps: float | None
    """Nominal frames per second, or None where the source does not know."""
    live: bool
    """True where frames happen whether or not they are read (they may be dropped); False for files (never dropped)."""
    frame_count: int | None = None
    """Frames in all, where known beforehand (files)."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One captured picture. Construction makes ``pixels`` read-only: draw on a copy."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) BGR."""
    index: int
    """Counts captured frames from 0; a gap between two results is a number of dropped frames."""
    captured_ns: int
    """time.monotonic_ns() of exposure, or as near to it as the source allows."""
    source: SourceInfo
    truth: Detections | None = None
    """True boxes, where the source knows them (the built-in scene)."""

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if len(shape) != 3 or shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels: expected uint8 (H, W, 3), got {self.pixels.dtype} {shape}")
        self.pixels.flags.writeable = False

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels, of this frame: a stream may change size on the way."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def moment_ns(self) -> int:
        """When it happened, on its source's own clock: a file is read faster than it was filmed."""
        info = self.source
        return self.captured_ns if info.live or not info.fps else round(self.index * 1e9 / info.fps)
