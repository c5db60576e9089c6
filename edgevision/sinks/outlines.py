"""Zones and lines as they are drawn on the picture, under the boxes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_INK = (255, 200, 64)
_EDGE = (32, 32, 32)


@dataclass(frozen=True, slots=True)
class Outline:
    """A zone (three points or more) or a line (two)."""

    name: str
    points: tuple[tuple[float, float], ...]
    """(x, y) in shares of the frame."""

    def draw(self, picture: NDArray[np.uint8], line_px: int) -> None:
        """Draw it, and its name at its upper left, on a (H, W, 3) BGR picture."""
        height, width = picture.shape[:2]
        points = np.rint(np.array(self.points) * (width - 1, height - 1)).astype(np.int32)
        for ink, thickness in ((_EDGE, line_px + 2), (_INK, line_px)):
            cv2.polylines(picture, [points], len(points) > 2, ink, thickness, cv2.LINE_AA)
        scale = max(0.4, (width + height) / 4000)
        x, y = points[points.sum(1).argmin()].tolist()
        at = (min(x + 6, width - 1), min(y + round(32 * scale), height - 1))
        for ink, thickness in ((_EDGE, 3), (_INK, 1)):
            cv2.putText(picture, self.name, at, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thickness, cv2.LINE_AA)
