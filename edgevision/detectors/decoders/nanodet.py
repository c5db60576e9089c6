"""NanoDet and PicoDet: for each stride a map of class scores and one of box distances.

Both predict, for each side, a distribution over bins 0 to n in units of the stride (generalised focal loss,
arXiv:2006.04388; PicoDet, arXiv:2111.00902); the distance is its mean. Scores have their sigmoid inside the graph.

NanoDet and PicoDet give all score maps (1, cells, classes), then all distance maps (1, cells, 4 * bins), finest stride
first; three strides are NanoDet's, four PicoDet's; distances are from a cell's centre. NanoDet-Plus gives one output
(1, cells of strides 8-64, classes + 4 * bins), and measures from the cell's corner (``get_single_level_center_priors``
in https://github.com/RangiLyu/nanodet).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe, best_class, cell_count, cells
from edgevision.detectors.onnx_session import TensorInfo

STRIDES = (8, 16, 32, 64)
BINS = 8
"""Of all published weights; a head of separate maps tells its own."""


class NanodetDecoder:
    needs_nms = True

    def __init__(self, head: Head) -> None:
        self._classes = head.classes
        self._plus = len(head.outputs) == 1
        if self._plus:
            self._levels = [cells(head.input_wh, STRIDES)]
            self._offset = np.float32(0)
            _check_plus(head, len(self._levels[0][0]))
            return
        self._offset = np.float32(0.5)
        levels = len(head.outputs) // 2
        if len(head.outputs) % 2 or not 1 <= levels <= len(STRIDES):
            raise head.refuse(
                "nanodet", f"score maps (cells, {head.classes}) and as many distance maps (cells, 4 * bins)"
            )
        self._levels = [cells(head.input_wh, (stride,)) for stride in STRIDES[:levels]]
        for k, (places, _) in enumerate(self._levels):
            scores, distances = head.outputs[k].shape[-2:], head.outputs[levels + k].shape[-2:]
            wanted = (len(places), head.classes)
            bins = distances[-1]
            agrees = all(got in (want, None) for got, want in zip(scores, wanted, strict=True))
            if not agrees or distances[0] not in (len(places), None) or (bins is not None and bins % 4):
                raise head.refuse(
                    "nanodet",
                    f"a score map {wanted} and a distance map ({wanted[0]}, 4 * bins) for stride {STRIDES[k]}",
                )

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        if self._plus:
            table = outputs[0].reshape(-1, outputs[0].shape[-1])
            outputs = [table[:, : self._classes], table[:, self._classes :]]
        levels = len(self._levels)
        boxes, scores, class_ids = [], [], []
        for k, (places, strides) in enumerate(self._levels):
            score_map = outputs[k].reshape(len(places), -1)
            rows, best, classes = best_class(score_map, min_score)
            if len(rows) == 0:
                continue
            distances = outputs[levels + k].reshape(len(places), -1)[rows].astype(np.float32)
            distances = _mean_of_bins(distances) * strides[rows]
            centres = (places[rows] + self._offset) * strides[rows]
            boxes.append(np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], 1))
            scores.append(best)
            class_ids.append(classes)
        if not boxes:
            return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        return Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(class_ids))


def _check_plus(head: Head, rows: int) -> None:
    shape = head.outputs[0].shape
    fits = len(shape) == 3 and shape[1] in (rows, None)
    if not fits or (shape[2] is not None and (shape[2] <= head.classes or (shape[2] - head.classes) % 4)):
        raise head.refuse("nanodet", f"(1, {rows}, {head.classes} + 4 * bins), or score and distance maps")


def _mean_of_bins(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (N, 4 * bins) to the mean bin of each side (N, 4)."""
    split = logits.reshape(len(logits), 4, -1)
    weights = np.exp(split - split.max(2, keepdims=True))
    bins = np.arange(split.shape[2], dtype=np.float32)
    return np.asarray((weights @ bins) / weights.sum(2), np.float32)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    """PicoDet was trained on RGB, NanoDet on BGR, both on ImageNet's mean and deviation."""
    if len(outputs) == 2 * 4:
        return {
            "resize": "stretch",
            "channel_order": "rgb",
            "mean": (123.675, 116.28, 103.53),
            "std": (58.395, 57.12, 57.375),
        }
    return {
        "resize": "stretch",
        "channel_order": "bgr",
        "mean": (103.53, 116.28, 123.675),
        "std": (57.375, 57.12, 58.395),
    }


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    if len(outputs) == 1:
        shape = outputs[0].shape
        if len(shape) != 3 or shape[1] != cell_count(input_wh, STRIDES) or shape[2] is None or shape[2] <= 4 * BINS:
            return None
        classes = shape[2] - 4 * BINS
        return Guess(
            f"one row a cell of strides 8 to 64 with {classes} + 4 * {BINS} columns (NanoDet-Plus)", (classes,)
        )
    levels = len(outputs) // 2
    if len(outputs) % 2 or levels not in (3, 4) or any(len(o.shape) not in (2, 3) for o in outputs):
        return None
    for k, stride in enumerate(STRIDES[:levels]):
        rows = cell_count(input_wh, (stride,))
        if outputs[k].shape[-2] != rows or outputs[levels + k].shape[-2] != rows:
            return None
    widths = {o.shape[-1] for o in outputs[:levels]}
    bins = {o.shape[-1] for o in outputs[levels:]}
    classes_or_none, bins_or_none = widths.pop(), bins.pop()
    if widths or bins or classes_or_none is None or bins_or_none is None or bins_or_none % 4 or bins_or_none < 8:
        return None
    kind = "PicoDet" if levels == 4 else "NanoDet"
    return Guess(f"{levels} score maps and {levels} distance maps ({kind})", (classes_or_none,))
