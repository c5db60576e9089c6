"""Dense heads of boxes and scores: SSD, UltraFace, YOLOv4's ONNX export.

Boxes (1, A, 4) or (1, A, 1, 4) as corners, and scores (1, A, C) that are probabilities. Where C is one more than the
classes, column 0 is the background (SSD, arXiv:1512.02325; UltraFace,
https://github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB, whose ``boxes`` are shares of the input).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.decoders.base import LARGEST_SHARE, Candidates, Guess, Head, Recipe, best_class, cell_count
from edgevision.detectors.onnx_session import TensorInfo

THRESHOLDS = {"score": 0.5, "iou": 0.4}
"""Softmax scores of a dense head: half is where the class is likelier than background."""


class SsdDecoder:
    needs_nms = True

    def __init__(self, head: Head) -> None:
        places = _places(head.outputs)
        expected = f"boxes (1, A, 4) and scores (1, A, {head.classes} or {head.classes + 1})"
        if places is None:
            raise head.refuse("ssd", expected)
        self._boxes, self._scores = places
        columns = head.outputs[self._scores].shape[2]
        if columns not in (head.classes, head.classes + 1):
            raise head.refuse("ssd", expected)
        self._background = columns == head.classes + 1
        self._input_whwh = np.tile(np.array(head.input_wh, np.float32), 2)

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        every = outputs[self._boxes].reshape(-1, 4)
        scores = outputs[self._scores][0]
        rows, best, class_ids = best_class(scores[:, 1:] if self._background else scores, min_score)
        boxes = every[rows].astype(np.float32)
        if len(rows) and every.max() <= LARGEST_SHARE:
            boxes *= self._input_whwh
        return Candidates(boxes, best, class_ids)


def _places(outputs: tuple[TensorInfo, ...]) -> tuple[int, int] | None:
    """Which output is boxes and which is scores, by shape and, where both have 4 columns, by name."""
    if len(outputs) != 2:
        return None
    found = []
    for boxes, scores in ((0, 1), (1, 0)):
        box, score = outputs[boxes].shape, outputs[scores].shape
        dense = len(score) == 3 and len(box) in (3, 4) and box[-1] == 4 and (len(box) == 3 or box[2] == 1)
        if dense and score[2] is not None and (box[1] == score[1] or None in (box[1], score[1])):
            found.append((boxes, scores))
    if len(found) == 2:
        found = [f for f in found if "box" in outputs[f[0]].name.lower() or "score" in outputs[f[1]].name.lower()]
    return found[0] if len(found) == 1 else None


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return {"resize": "stretch", "channel_order": "rgb", "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    places = _places(outputs)
    names = " ".join(o.name.lower() for o in outputs)
    if places is None or "logit" in names or ("dets" in names and "labels" in names):
        return None
    rows, columns = outputs[places[1]].shape[1:3]
    assert columns is not None
    # Queries of a transformer are some hundreds; the densest grid of anchors has thousands.
    if rows is not None and rows < 1000 and "score" not in names and "conf" not in names:
        return None
    if columns == 2 and "score" in names:
        # Two columns are background and one class; of these nearly all are face detectors, yet a name is no proof.
        return Guess("boxes and two score columns, the first of them background", (1, 2), ("face",))
    counts = (columns - 1, columns) if columns > 1 else (1,)
    # As many rows as there are cells is YOLO-NAS; an SSD has several anchors a cell.
    seldom = rows == cell_count(input_wh, (8, 16, 32))
    because = f"boxes and {columns} score columns for {rows or 'any number of'} anchors"
    return Guess(because, counts, seldom=seldom)
