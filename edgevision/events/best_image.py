"""The best view of each object: sharp, large, sure and not cut off by the frame's edge."""

from __future__ import annotations

from math import sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.types import BestImage, Frame

MARGIN = 0.15
"""Of the box's longer side, kept around it."""
_BETTER = 1.15
"""A new view must be clearly better: cutting one out costs more than comparing."""
_MOST_SIDE_PX = 640
_SHARP = 150.0
"""Variance of the Laplacian from which on a view counts as sharp."""
_EDGE_PX = 2


class BestImages:
    """The best view of each object that is followed now."""

    def __init__(self) -> None:
        self._best: dict[int, tuple[float, BestImage]] = {}

    def offer(self, track_id: int, frame: Frame, box: tuple[float, float, float, float], score: float) -> None:
        """Look at one more view of an object: its box x1, y1, x2, y2 px in a frame."""
        width, height = frame.size_wh
        x1, y1, x2, y2 = box
        size = sqrt(max(0.0, (x2 - x1) * (y2 - y1)) / (width * height))
        cut = x1 <= _EDGE_PX or y1 <= _EDGE_PX or x2 >= width - _EDGE_PX or y2 >= height - _EDGE_PX
        most = score * size * (0.6 if cut else 1.0)
        before = self._best.get(track_id)
        # Sharpness, the costly part, can only lower the worth.
        if size == 0 or (before is not None and most < _BETTER * before[0]):
            return
        pixels = _cut_out(frame.pixels, box)
        worth = most * (0.5 + 0.5 * min(1.0, _sharpness(pixels) / _SHARP))
        if before is None or worth >= _BETTER * before[0]:
            self._best[track_id] = worth, BestImage(frame.index, frame.captured_ns, box, score, pixels)

    def of(self, track_id: int) -> BestImage | None:
        found = self._best.get(track_id)
        return None if found is None else found[1]

    def forget(self, track_id: int) -> None:
        self._best.pop(track_id, None)


def _cut_out(pixels: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """A copy of the box with its margin, at most 640 px long."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = box
    room = MARGIN * max(x2 - x1, y2 - y1)
    left, top = max(0, int(x1 - room)), max(0, int(y1 - room))
    right, bottom = min(width, max(left + 1, round(x2 + room))), min(height, max(top + 1, round(y2 + room)))
    part = pixels[top:bottom, left:right]
    scale = _MOST_SIDE_PX / max(part.shape[:2])
    if scale >= 1:
        return part.copy()
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)


def _sharpness(pixels: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000) of at most 96 px."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    scale = 96 / max(grey.shape)
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
