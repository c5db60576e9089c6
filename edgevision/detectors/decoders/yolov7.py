"""YOLOv7, in the three forms that its ``export.py`` writes (https://github.com/WongKinYiu/yolov7).

With ``--end2end --max-wh`` suppression is inside: rows (K, 7), see `finished_rows`. With ``--grid`` the table of
`ultralytics` in v5's layout. With ``--end2end`` alone the four outputs of TensorRT's suppression, which onnxruntime
cannot run.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from edgevision.detectors.decoders.base import Candidates, Decoder, Guess, Head, Recipe
from edgevision.detectors.decoders.finished_rows import YOLOV7, FinishedRows, is_table, order_named
from edgevision.detectors.decoders.ultralytics import LETTERBOXED, UltralyticsDecoder
from edgevision.detectors.onnx_session import TensorInfo


class Yolov7Decoder:
    def __init__(self, head: Head) -> None:
        finished = is_table(head.outputs)
        self._inner: Decoder = FinishedRows(head, "yolov7", YOLOV7) if finished else UltralyticsDecoder(head)
        self.needs_nms = self._inner.needs_nms

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        return self._inner.decode(outputs, min_score)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return LETTERBOXED


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    if not is_table(outputs) or order_named(outputs) is not None:
        return None
    return Guess(f"rows of {YOLOV7.words} (YOLOv7 with suppression inside)", ())
