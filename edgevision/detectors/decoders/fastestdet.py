"""FastestDet: one output (1, 5 + classes, rows, columns) on a grid of stride 16.

Channels: object score; x and y as offsets from the cell, through tanh; width and height as shares of the input, through
sigmoid; class probabilities. Score = object^0.6 * class^0.4. Object and class have their sigmoid and softmax inside the
graph, x, y, w and h have not. As in ``handle_preds`` of https://github.com/dog-qiuqiu/FastestDet.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe, best_class, cells
from edgevision.detectors.onnx_session import TensorInfo

STRIDE = 16
THRESHOLDS = {"score": 0.65, "iou": 0.5}
"""Of the reference's demo: the powers lift every score, and lower ones are mostly clutter."""
_OBJECT_POWER, _CLASS_POWER = np.float32(0.6), np.float32(0.4)


class FastestdetDecoder:
    needs_nms = True

    def __init__(self, head: Head) -> None:
        self._cells, _ = cells(head.input_wh, (STRIDE,))
        columns, rows = (-(-side // STRIDE) for side in head.input_wh)
        shape = head.outputs[0].shape
        wanted = (1, 5 + head.classes, rows, columns)
        if len(shape) != 4 or any(g not in (w, None) for g, w in zip(shape, wanted, strict=True)):
            raise head.refuse("fastestdet", f"(1, {wanted[1]}, {rows}, {columns})")
        self._grid = np.array([columns, rows], np.float32)
        self._input_wh = np.array(head.input_wh, np.float32)

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        table = outputs[0][0].reshape(outputs[0].shape[1], -1)
        # A class score is at most 1, so the object score alone rules most cells out.
        likely = np.flatnonzero(table[0] > min_score ** (1 / _OBJECT_POWER))
        few = table[:, likely].T.astype(np.float32)
        joined = few[:, :1] ** _OBJECT_POWER * few[:, 5:] ** _CLASS_POWER
        rows, scores, class_ids = best_class(joined, min_score)
        chosen = few[rows]
        centres = (np.tanh(chosen[:, 1:3]) + self._cells[likely[rows]]) / self._grid
        sides = 1 / (1 + np.exp(-chosen[:, 3:5]))
        boxes = np.concatenate([centres, sides], 1) * np.tile(self._input_wh, 2)
        return Candidates(from_centres(boxes.astype(np.float32)), scores, class_ids)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return {"resize": "stretch", "channel_order": "bgr", "std": (255.0, 255.0, 255.0)}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    grid = tuple(-(-side // STRIDE) for side in reversed(input_wh))
    if len(outputs) != 1 or len(outputs[0].shape) != 4 or outputs[0].shape[2:] != grid:
        return None
    channels = outputs[0].shape[1]
    if channels is None or channels < 6:
        return None
    return Guess(f"one map of 5 + {channels - 5} channels at stride 16", (channels - 5,))
