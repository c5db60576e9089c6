"""Ultralytics pose exports (``task=pose``), used as detectors of boxes.

As `ultralytics`, with the key points (x, y and, for most, visibility of each) after the scores of a raw box and after
the class of a finished one. Key points are not read. Source: https://docs.ultralytics.com/tasks/pose/.
"""

from __future__ import annotations

from typing import ClassVar

from edgevision.detectors.decoders.base import Guess, Recipe
from edgevision.detectors.decoders.ultralytics import LETTERBOXED, UltralyticsDecoder
from edgevision.detectors.onnx_session import TensorInfo


class UltralyticsPoseDecoder(UltralyticsDecoder):
    family: ClassVar = "ultralytics-pose"

    def extra_fits(self, count: int) -> bool:
        return count > 0 and (count % 2 == 0 or count % 3 == 0)

    def _expected(self) -> str:
        return f"(1, {4 + self._classes} + key points, cells) or (1, boxes, 6 + key points)"


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return LETTERBOXED


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    """Never: without metadata the numbers of key points look like scores of classes."""
    return None
