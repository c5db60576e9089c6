"""YOLO-NAS (and PP-YOLOE) as super-gradients exports them.

| export | outputs |
|---|---|
| ``FLAT_FORMAT``, which Frigate asks for | ``flat_predictions`` (K, 7), see `finished_rows` |
| ``BATCH_FORMAT`` (the default) | ``num_predictions`` (1, 1), ``pred_boxes`` (1, K, 4), ``pred_scores`` (1, K),
  ``pred_classes`` (1, K), see `detection_boxes` |
| without post-processing | boxes (1, A, 4) and probabilities (1, A, classes) of every cell of strides 8, 16, 32 |

Boxes are x1, y1, x2, y2 in input pixels, classes count from 0. Exported with preprocessing, the input is uint8 and the
graph divides by 255 itself. Source: "Export models" in the documentation of https://github.com/Deci-AI/super-gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.decoders.base import Candidates, Decoder, Guess, Head, Recipe, best_class, cell_count
from edgevision.detectors.decoders.detection_boxes import DetectionBoxesDecoder
from edgevision.detectors.decoders.finished_rows import FLAT, FinishedRows, is_table, order_named
from edgevision.detectors.decoders.ultralytics import LETTERBOXED
from edgevision.detectors.onnx_session import TensorInfo

STRIDES = (8, 16, 32)
THRESHOLDS = {"score": 0.4, "iou": 0.7}
"""The reference predicts at 0.25 and 0.7; Frigate's export holds back what is below 0.4."""


class YoloNasDecoder:
    def __init__(self, head: Head) -> None:
        self._inner: Decoder
        if is_table(head.outputs):
            self._inner = FinishedRows(head, "yolo-nas", FLAT)
        elif _dense(head.outputs) is not None:
            self._inner = _EveryCell(head)
        else:
            self._inner = DetectionBoxesDecoder(head)
        self.needs_nms = self._inner.needs_nms

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        return self._inner.decode(outputs, min_score)


class _EveryCell:
    """Boxes and probabilities before suppression."""

    needs_nms = True

    def __init__(self, head: Head) -> None:
        places = _dense(head.outputs)
        if places is None or head.outputs[places[1]].shape[2] != head.classes:
            raise head.refuse("yolo-nas", f"boxes (1, cells, 4) and probabilities (1, cells, {head.classes})")
        self._boxes, self._scores = places

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        rows, scores, class_ids = best_class(outputs[self._scores][0], min_score)
        return Candidates(outputs[self._boxes][0][rows].astype(np.float32), scores, class_ids)


def _dense(outputs: tuple[TensorInfo, ...]) -> tuple[int, int] | None:
    """Which of two outputs is boxes and which is scores."""
    if len(outputs) != 2 or any(len(o.shape) != 3 for o in outputs):
        return None
    widths = [o.shape[2] for o in outputs]
    if widths.count(4) != 1 or outputs[0].shape[1] != outputs[1].shape[1]:
        # With four classes both are alike: boxes come first.
        return (0, 1) if widths == [4, 4] else None
    return (0, 1) if widths[0] == 4 else (1, 0)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return LETTERBOXED


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    if is_table(outputs):
        named = order_named(outputs)
        if named is FLAT:
            return Guess(f"rows of {FLAT.words} (super-gradients' flat format)", ())
        return Guess(f"rows of {FLAT.words}", (), seldom=True) if named is None else None
    if any("pred_boxes" in o.name for o in outputs) and any("num_predictions" in o.name for o in outputs):
        return Guess("num_predictions, pred_boxes, pred_scores and pred_classes (super-gradients' batch format)", ())
    places = _dense(outputs)
    if places is None or any("logit" in o.name for o in outputs):
        return None
    rows, classes = outputs[places[1]].shape[1:]
    if rows != cell_count(input_wh, STRIDES) or classes is None:
        return None
    return Guess(f"a box and {classes} scores for every cell of strides 8, 16, 32", (classes,))
