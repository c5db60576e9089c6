"""Ultralytics exports of oriented boxes (``task=obb``), used as detectors of upright ones.

As `ultralytics`, with the angle in radians after the scores of a raw box and after the class of a finished one; both
give centre x, y, width and height. Each box is read as the upright one that encloses it; which of them overlap is
decided by the turned ones. Source: https://docs.ultralytics.com/tasks/obb/.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.decoders.base import Guess, Recipe
from edgevision.detectors.decoders.ultralytics import LETTERBOXED, UltralyticsDecoder
from edgevision.detectors.onnx_session import TensorInfo


class UltralyticsObbDecoder(UltralyticsDecoder):
    family: ClassVar = "ultralytics-obb"

    def extra_fits(self, count: int) -> bool:
        return count == 1

    def boxes_of(self, centres: NDArray[np.float32], extra: NDArray[Any]) -> NDArray[np.float32]:
        return enclosing(centres, extra[:, 0])

    def finished_boxes(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return enclosing(rows[:, :4], rows[:, 6])

    def rotated_of(self, centres: NDArray[np.float32], extra: NDArray[Any]) -> NDArray[np.float32]:
        return np.concatenate([centres, extra[:, :1].astype(np.float32)], 1)

    def _expected(self) -> str:
        return f"(1, {4 + self._classes} + 1, cells) or (1, boxes, 7)"


def enclosing(centres: NDArray[np.float32], angles: NDArray[Any]) -> NDArray[np.float32]:
    """Corners (N, 4) of the upright boxes around turned ones: centre x, y, width, height (N, 4) and radians (N,)."""
    angles = angles.astype(np.float32)
    cosine, sine = np.abs(np.cos(angles)), np.abs(np.sin(angles))
    width, height = centres[:, 2], centres[:, 3]
    sides = np.stack([width * cosine + height * sine, width * sine + height * cosine], 1)
    return from_centres(np.concatenate([centres[:, :2], sides], 1))


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return LETTERBOXED


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    """Never: without metadata an angle looks like the score of one more class."""
    return None
