"""Ultralytics segmentation exports (``task=segment``), used as detectors of boxes.

As `ultralytics`, with M mask coefficients (32) after the scores of a raw box and after the class of a finished one, and
the mask prototypes (1, M, height, width) as a second output. Masks are not read. Source:
https://docs.ultralytics.com/tasks/segment/.
"""

from __future__ import annotations

from typing import ClassVar

from edgevision.detectors.decoders.base import Guess, Head, Recipe, cell_count
from edgevision.detectors.decoders.ultralytics import LETTERBOXED, UltralyticsDecoder
from edgevision.detectors.onnx_session import TensorInfo


class UltralyticsSegmentDecoder(UltralyticsDecoder):
    family: ClassVar = "ultralytics-segment"

    def __init__(self, head: Head) -> None:
        self._masks = _mask_count(head.outputs)
        self._head = head
        if all(len(o.shape) != 4 for o in head.outputs[1:]):
            raise head.refuse(self.family, self._expected())
        super().__init__(head)

    def extra_fits(self, count: int) -> bool:
        return count == self._masks if self._masks is not None else count > 0

    def _expected(self) -> str:
        masks, n = self._masks or "masks", self._head.classes
        return f"(1, {4 + n} + {masks}, cells) or (1, boxes, 6 + {masks}), and mask prototypes"


def _mask_count(outputs: tuple[TensorInfo, ...]) -> int | None:
    return next((o.shape[1] for o in outputs[1:] if len(o.shape) == 4), None)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return LETTERBOXED


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    shape = outputs[0].shape
    masks = _mask_count(outputs)
    if len(outputs) != 2 or len(shape) != 3 or masks is None or shape[1] is None:
        return None
    if shape[2] == 6 + masks:
        return Guess(f"finished boxes with {masks} mask coefficients, and mask prototypes", ())
    classes = shape[1] - 4 - masks
    if classes < 1 or shape[2] != cell_count(input_wh, (8, 16, 32)):
        return None
    return Guess(f"4 + {classes} + {masks} rows for every cell, and {masks} mask prototypes", (classes,))
