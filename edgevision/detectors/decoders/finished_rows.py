"""Tables of finished boxes, a row each, as exporters write them that put suppression inside the graph.

| order | written by | columns |
|---|---|---|
| `YOLOV7` | YOLOv7, ``export.py --end2end --max-wh`` | image number, x1, y1, x2, y2, class, score |
| `FLAT` | super-gradients (YOLO-NAS, PP-YOLOE), ``FLAT_FORMAT`` | image number, x1, y1, x2, y2, score, class |
| `POST` | PINTO_model_zoo's models with "post" in their names | image number, class, score, x1, y1, x2, y2 |

Boxes are in input pixels; classes count from 0. Sources: ``ONNX_ORT`` of https://github.com/WongKinYiu/yolov7, the
export documentation of https://github.com/Deci-AI/super-gradients, the output name ``batchno_classid_score_x1y1x2y2``
of https://github.com/PINTO0309/PINTO_model_zoo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.decoders.base import LARGEST_FINISHED_SHARE, Candidates, Head, are_whole
from edgevision.detectors.onnx_session import TensorInfo

COLUMNS = 7


@dataclass(frozen=True, slots=True)
class Order:
    """Which column is what."""

    words: str
    box: int
    score: int
    label: int


YOLOV7 = Order("image, x1, y1, x2, y2, class, score", 1, 6, 5)
FLAT = Order("image, x1, y1, x2, y2, score, class", 1, 5, 6)
POST = Order("image, class, score, x1, y1, x2, y2", 3, 2, 1)


class FinishedRows:
    needs_nms = False

    def __init__(self, head: Head, family: str, order: Order) -> None:
        if not is_table(head.outputs):
            raise head.refuse(family, f"(boxes, 7) of {order.words}")
        self._order = order
        self._input_whwh = np.tile(np.array(head.input_wh, np.float32), 2)

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        order = self._order
        table = outputs[0].reshape(-1, COLUMNS)
        found = table[(table[:, order.score] > min_score) & (table[:, 0] <= 0)].astype(np.float32)
        scores, labels = found[:, order.score], found[:, order.label]
        if not are_whole(labels) or (len(scores) and scores.max() > 1.01):
            raise ValueError(f"its rows are no {order.words}: check --family")
        boxes = np.ascontiguousarray(found[:, order.box : order.box + 4])
        if len(boxes) and boxes.max() <= LARGEST_FINISHED_SHARE:
            boxes *= self._input_whwh
        return Candidates(boxes, np.ascontiguousarray(scores), labels.astype(np.int64), suppressed=True)


def is_table(outputs: tuple[TensorInfo, ...]) -> bool:
    """One output of rows of seven numbers, without a batch axis: the rows of all images are in one list."""
    return len(outputs) == 1 and len(outputs[0].shape) == 2 and outputs[0].shape[1] == COLUMNS


def order_named(outputs: tuple[TensorInfo, ...]) -> Order | None:
    """The order that the output's name tells; None where it tells none."""
    name = outputs[0].name.lower()
    if "flat_predictions" in name:
        return FLAT
    if "batchno" in name or "classid_score" in name:
        return POST
    return None
