"""Yolo-FastestV2: two outputs (1, rows, columns, 15 + classes) on grids of strides 16 and 32, three anchors a cell.

Channels: x, y, width, height of each anchor; three object scores; class probabilities, common to the three. Sigmoid and
softmax are inside the graph. Centre = (2 * xy - 0.5 + cell) * stride, sides = (2 * wh)^2 * anchor, score = object *
class. Anchors are those of the published COCO weights at 352 px, and not in the file: a model that was trained with
others finds boxes of wrong sizes. As in ``handel_preds`` and ``export_onnx`` of
https://github.com/dog-qiuqiu/Yolo-FastestV2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe, best_class, cells
from edgevision.detectors.onnx_session import TensorInfo

STRIDES = (16, 32)
ANCHORS = (
    ((12.64, 19.39), (37.88, 51.48), (55.71, 138.31)),
    ((126.91, 78.23), (131.57, 214.55), (279.92, 258.87)),
)
"""Width and height in px, of each stride."""
THRESHOLDS = {"score": 0.3, "iou": 0.4}
"""Of the reference's test."""
_BEFORE_CLASSES = 3 * 4 + 3


class YoloFastestV2Decoder:
    needs_nms = True

    def __init__(self, head: Head) -> None:
        self._levels = _levels(head.outputs, head.input_wh)
        channels = _BEFORE_CLASSES + head.classes
        if self._levels is None or any(o.shape[3] not in (channels, None) for o in head.outputs):
            raise head.refuse("yolo-fastestv2", f"(1, rows, columns, {channels}) at strides 16 and 32")
        self._cells = [cells(head.input_wh, (stride,))[0] for stride in STRIDES]

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        assert self._levels is not None
        boxes, scores, class_ids = [], [], []
        for place, grid, stride, anchors in zip(self._levels, self._cells, STRIDES, ANCHORS, strict=True):
            table = outputs[place].reshape(len(grid), -1)
            for k, anchor in enumerate(anchors):
                likely = np.flatnonzero(table[:, 12 + k] > min_score)
                few = table[likely].astype(np.float32)
                rows, best, classes = best_class(few[:, _BEFORE_CLASSES:] * few[:, 12 + k : 13 + k], min_score)
                raw = few[rows, 4 * k : 4 * k + 4]
                centres = (2 * raw[:, :2] - 0.5 + grid[likely[rows]]) * stride
                boxes.append(np.concatenate([centres, (2 * raw[:, 2:]) ** 2 * np.array(anchor, np.float32)], 1))
                scores.append(best)
                class_ids.append(classes)
        return Candidates(from_centres(np.concatenate(boxes)), np.concatenate(scores), np.concatenate(class_ids))


def _levels(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> tuple[int, int] | None:
    """Where in the outputs the two strides are."""
    if len(outputs) != 2 or any(len(o.shape) != 4 for o in outputs):
        return None
    grids = [o.shape[1:3] for o in outputs]
    wanted = [tuple(-(-side // stride) for side in reversed(input_wh)) for stride in STRIDES]
    if grids == wanted:
        return 0, 1
    return (1, 0) if grids == wanted[::-1] else None


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return {"resize": "stretch", "channel_order": "bgr", "std": (255.0, 255.0, 255.0)}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    channels = {o.shape[-1] for o in outputs}
    if _levels(outputs, input_wh) is None or len(channels) != 1:
        return None
    (count,) = channels
    if count is None or count <= _BEFORE_CLASSES:
        return None
    classes = count - _BEFORE_CLASSES
    return Guess(f"maps of 3 × 4 + 3 + {classes} channels at strides 16 and 32", (classes,))
