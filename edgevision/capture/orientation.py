"""Images turned as they come in, for a camera that hangs upside down, on its side, or behind a mirror."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import UsageError
from edgevision.interfaces import ContextManaged, Source
from edgevision.types import Detections, Frame, SourceInfo

ROTATIONS = (0, 90, 180, 270)

_TURNS: MappingProxyType[tuple[int, bool], Callable[[NDArray[np.uint8]], Any]] = MappingProxyType(
    {
        (90, False): lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
        (180, False): lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
        (270, False): lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
        (0, True): lambda pixels: cv2.flip(pixels, 1),
        (90, True): cv2.transpose,
        (180, True): lambda pixels: cv2.flip(pixels, 0),
        (270, True): lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    }
)
"""By (degrees clockwise, mirrored afterwards): one pass over the pixels, but for the last."""


def check_rotation(degrees: int) -> None:
    """Raises `UsageError` for a rotation other than 0, 90, 180 or 270 degrees."""
    if degrees not in ROTATIONS:
        raise UsageError(f"rotate: expected one of {', '.join(map(str, ROTATIONS))} degrees, got {degrees}")


class TurnedSource(ContextManaged):
    """A source whose images are rotated clockwise, then mirrored left to right.

    Turned once, before anything looks at them: size, boxes, recordings and labels are all those of the turned image.
    Raises `UsageError` for a rotation other than 0, 90, 180 or 270 degrees.
    """

    def __init__(self, source: Source, rotate: int = 0, flip: bool = False) -> None:
        check_rotation(rotate)
        self._source, self._rotate, self._flip = source, rotate, flip
        self._seen: tuple[SourceInfo, SourceInfo] | None = None
        """The source's own info, and the same as its images are turned."""

    @property
    def info(self) -> SourceInfo:
        return self._turned_info(self._source.info)

    @property
    def trouble(self) -> str | None:
        return self._source.trouble

    def read(self) -> Frame | None:
        """The next frame, turned; None at the end. Raises what the source raises."""
        frame = self._source.read()
        turn = _TURNS.get((self._rotate, self._flip))
        if frame is None or turn is None:
            return frame
        truth = None if frame.truth is None else self._turned_truth(frame.truth, frame.size_wh)
        pixels = np.ascontiguousarray(turn(frame.pixels), dtype=np.uint8)
        return replace(frame, pixels=pixels, source=self._turned_info(frame.source), truth=truth)

    def close(self) -> None:
        self._source.close()

    def _turned_info(self, info: SourceInfo) -> SourceInfo:
        if self._rotate % 180 == 0:
            return info
        if self._seen is None or self._seen[0] is not info:  # one object for all frames, as sources give it
            self._seen = (info, replace(info, width_px=info.height_px, height_px=info.width_px))
        return self._seen[1]

    def _turned_truth(self, truth: Detections, size_wh: tuple[int, int]) -> Detections:
        """Boxes (N, 4) xyxy of an image of ``size_wh``, in the turned image."""
        width_px, height_px = size_wh
        x1, y1, x2, y2 = truth.boxes.T
        if self._rotate == 90:
            x1, y1, x2, y2 = height_px - y2, x1, height_px - y1, x2
        elif self._rotate == 180:
            x1, y1, x2, y2 = width_px - x2, height_px - y2, width_px - x1, height_px - y1
        elif self._rotate == 270:
            x1, y1, x2, y2 = y1, width_px - x2, y2, width_px - x1
        if self._flip:
            turned_width_px = height_px if self._rotate % 180 else width_px
            x1, x2 = turned_width_px - x2, turned_width_px - x1
        return replace(truth, boxes=np.stack([x1, y1, x2, y2], axis=1).astype(np.float32))
