"""YOLOX (arXiv:2107.08430): one output (1, A, 5 + classes), a row for each cell of strides 8, 16, 32.

| export | columns 0 to 3 |
|---|---|
| raw (the usual one) | x, y as offsets from the cell's corner and w, h as logarithms, both in strides |
| ``--decode_in_inference`` | centre x, y, width, height in input pixels |
| PINTO_model_zoo's "post" | another shape, (boxes, 7): see `finished_rows` |

Object and class scores have their sigmoid inside the graph. The last cells lie at the right edge, so their decoded
centres are in the input's far half, and no offset is so large: that tells the two apart in every frame. Written from
the paper, the reference's ``demo_postprocess`` and ``tools/export_onnx.py`` of https://github.com/Megvii-BaseDetection/YOLOX.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe, best_class, cell_count, cells
from edgevision.detectors.decoders.finished_rows import POST, FinishedRows, is_table, order_named
from edgevision.detectors.onnx_session import TensorInfo

STRIDES = (8, 16, 32)


class YoloxDecoder:
    def __init__(self, head: Head) -> None:
        self._finished = FinishedRows(head, "yolox", POST) if is_table(head.outputs) else None
        self.needs_nms = self._finished is None
        self._half_px = head.input_wh[0] / 2
        if self._finished is not None:
            return
        self._cells, self._strides = cells(head.input_wh, STRIDES)
        shape = head.outputs[0].shape
        rows, columns = len(self._cells), 5 + head.classes
        fits = len(shape) == 3 and shape[1] in (rows, None) and shape[2] in (columns, None)
        if not fits:
            raise head.refuse("yolox", f"(1, {rows}, {columns})")

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        if self._finished is not None:
            return self._finished.decode(outputs, min_score)
        table = outputs[0][0]
        decoded = table[:, 0].max() > self._half_px
        # Object score first: few cells pass, and the class scores of the others need no product.
        likely = np.flatnonzero(table[:, 4] > min_score)
        table = table[likely]
        rows, scores, class_ids = best_class(table[:, 5:] * table[:, 4:5], min_score)
        chosen, cell = table[rows, :4].astype(np.float32), likely[rows]
        if decoded:
            return Candidates(from_centres(chosen), scores, class_ids)
        strides = self._strides[cell]
        centres = (chosen[:, :2] + self._cells[cell]) * strides
        sides = np.exp(chosen[:, 2:4]) * strides
        return Candidates(from_centres(np.concatenate([centres, sides], 1)), scores, class_ids)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    """Of YOLOX 0.1.1 and later; earlier weights took RGB in 0-1 with ImageNet's mean and deviation."""
    if is_table(outputs):
        return {"resize": "stretch", "channel_order": "bgr"}
    return {"resize": "letterbox-top-left", "channel_order": "bgr"}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    shape = outputs[0].shape
    if is_table(outputs):
        return Guess(f"rows of {POST.words}", ()) if order_named(outputs) is POST else None
    if len(outputs) != 1 or len(shape) != 3 or shape[1] != cell_count(input_wh, STRIDES):
        return None
    if shape[2] is None or shape[2] < 6:
        return None
    return Guess(f"one row a cell of strides 8, 16, 32 with 5 + {shape[2] - 5} columns", (shape[2] - 5,))
