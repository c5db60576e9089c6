"""YuNet, a face detector: for each of strides 8, 16, 32 a class, an object, a box and a landmark map.

Outputs ``cls_S`` (1, cells, 1), ``obj_S`` (1, cells, 1), ``bbox_S`` (1, cells, 4) and ``kps_S`` (1, cells, 10), in any
order; class and object score have their sigmoid inside the graph. Score = sqrt(cls * obj); centre = (cell + xy) *
stride, sides = exp(wh) * stride. As in OpenCV's ``face_detect.cpp`` (FaceDetectorYNImpl::postProcess) and "YuNet: A
Tiny Millisecond-level Face Detector", doi:10.1007/s11633-023-1423-y. The landmarks are not used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe, cells
from edgevision.detectors.onnx_session import TensorInfo

STRIDES = (8, 16, 32)
THRESHOLDS = {"score": 0.6, "iou": 0.3}
"""OpenCV's sample takes 0.9 and 0.3, libfacedetection's own test 0.02 and 0.45."""


class YunetDecoder:
    needs_nms = True

    def __init__(self, head: Head) -> None:
        self._places = _places(head.outputs)
        if self._places is None or head.classes != 1:
            raise head.refuse("yunet", "cls_S, obj_S and bbox_S for S of 8, 16, 32, and one class")
        self._levels = [cells(head.input_wh, (stride,)) for stride in STRIDES]
        for (_, _, box), (grid, _) in zip(self._places, self._levels, strict=True):
            if head.outputs[box].shape[-2] not in (len(grid), None):
                raise head.refuse("yunet", f"{len(grid)} rows in {head.outputs[box].name}")

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        assert self._places is not None
        boxes, scores = [], []
        for (cls, obj, box), (grid, strides) in zip(self._places, self._levels, strict=True):
            product = outputs[cls].reshape(-1).astype(np.float32) * outputs[obj].reshape(-1).astype(np.float32)
            # Under the root only for those that pass: a product of probabilities may come out a hair below 0.
            rows = np.flatnonzero(product > min_score**2)
            raw = outputs[box].reshape(-1, 4)[rows].astype(np.float32)
            centres = (grid[rows] + raw[:, :2]) * strides[rows]
            boxes.append(np.concatenate([centres, np.exp(raw[:, 2:]) * strides[rows]], 1))
            scores.append(np.sqrt(np.minimum(product[rows], 1)))
        joined = np.concatenate(scores)
        return Candidates(from_centres(np.concatenate(boxes)), joined, np.zeros(len(joined), np.int64))


def _places(outputs: tuple[TensorInfo, ...]) -> list[tuple[int, int, int]] | None:
    """Where in the outputs each stride's class, object and box map stand, by name; None where one is missing."""
    names = {o.name: k for k, o in enumerate(outputs)}
    try:
        found = [(names[f"cls_{s}"], names[f"obj_{s}"], names[f"bbox_{s}"]) for s in STRIDES]
    except KeyError:
        return None
    widths = [tuple(outputs[k].shape[-1] for k in level) for level in found]
    return found if all(w == (1, 1, 4) for w in widths) else None


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return {"resize": "letterbox-top-left", "channel_order": "bgr", "pad_value": 0}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    if _places(outputs) is None:
        return None
    return Guess("outputs cls_S, obj_S and bbox_S for strides 8, 16, 32", (1,), ("face",))
