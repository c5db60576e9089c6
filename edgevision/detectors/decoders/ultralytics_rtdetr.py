"""RT-DETR as Ultralytics exports it: one output, boxes as centre x, y, width, height in shares of the input.

| written by | shape | columns |
|---|---|---|
| Ultralytics since 8.4 | (1, K, 6) | box; score; class |
| earlier | (1, Q, 4 + classes) | box; probabilities |

With two classes the shapes are alike; class numbers are whole and probabilities are not. One box an object: no
suppression. Source: the export of ``RTDETRDecoder``, https://docs.ultralytics.com/models/rtdetr/.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe, are_whole, best_class
from edgevision.detectors.onnx_session import TensorInfo


class UltralyticsRtdetrDecoder:
    needs_nms = False

    def __init__(self, head: Head) -> None:
        self._classes = head.classes
        shape = head.outputs[0].shape
        if len(shape) != 3 or shape[2] not in (6, 4 + head.classes, None):
            raise head.refuse("ultralytics-rtdetr", f"(1, boxes, 6) or (1, queries, {4 + head.classes})")
        self._input_whwh = np.tile(np.array(head.input_wh, np.float32), 2)

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        table = outputs[0][0]
        if table.shape[1] == 6 and (self._classes != 2 or are_whole(table[:, 5])):
            rows = np.flatnonzero(table[:, 4] > min_score)
            scores, class_ids = table[rows, 4].astype(np.float32), table[rows, 5].astype(np.int64)
        else:
            rows, scores, class_ids = best_class(table[:, 4 : 4 + self._classes], min_score)
        boxes = from_centres(table[rows, :4].astype(np.float32) * self._input_whwh)
        return Candidates(boxes, scores, class_ids, suppressed=True)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return {"resize": "stretch", "channel_order": "rgb", "std": (255.0, 255.0, 255.0)}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    """Never: its finished boxes have the shape of any other's; the metadata says which they are."""
    return None
