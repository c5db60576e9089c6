"""DETR heads: for each query class logits and one box: RT-DETR, D-FINE, DEIM, RF-DETR, DETR itself.

``logits`` (1, Q, C) and ``boxes`` (1, Q, 4) as centre x, centre y, width, height in shares of the input. Scores are
sigmoids, one object a query and class (RT-DETR, arXiv:2304.08069; D-FINE, arXiv:2410.13842; RF-DETR, whose outputs are
``dets`` and ``labels`` and whose last or first class may be one that no object has). DETR itself (arXiv:2005.12872) has
softmax scores with "no object" as an extra last class. One-to-one: no suppression.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe, best_class
from edgevision.detectors.onnx_session import TensorInfo


class DetrDecoder:
    needs_nms = False

    def __init__(self, head: Head) -> None:
        places = _places(head.outputs)
        expected = f"boxes (1, Q, 4) and logits (1, Q, {head.classes} or {head.classes + 1})"
        if places is None:
            raise head.refuse("detr", expected)
        self._boxes, self._logits = places
        columns = head.outputs[self._logits].shape[2]
        if columns not in (head.classes, head.classes + 1):
            raise head.refuse("detr", expected)
        self._classes = head.classes
        self._softmax = columns == head.classes + 1 and not _is_rf_detr(head.outputs)
        self._input_whwh = np.tile(np.array(head.input_wh, np.float32), 2)

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        logits = outputs[self._logits][0].astype(np.float32)
        if self._softmax:
            scores = np.exp(logits - logits.max(1, keepdims=True))
            scores /= scores.sum(1, keepdims=True)
            rows, best, class_ids = best_class(scores[:, : self._classes], min_score)
        else:
            scores = 1 / (1 + np.exp(-logits[:, : self._classes]))
            # As the references do: every class of a query over the threshold counts, not only its best.
            rows, class_ids = np.nonzero(scores > min_score)
            best = scores[rows, class_ids]
        boxes = outputs[self._boxes][0][rows].astype(np.float32) * self._input_whwh
        return Candidates(from_centres(boxes), best.astype(np.float32), class_ids.astype(np.int64))


def _is_rf_detr(outputs: tuple[TensorInfo, ...]) -> bool:
    return {o.name for o in outputs} >= {"dets", "labels"}


def _places(outputs: tuple[TensorInfo, ...]) -> tuple[int, int] | None:
    """Which output is boxes and which is logits: by name, else by shape."""
    if len(outputs) < 2:
        return None
    fits = [k for k, o in enumerate(outputs) if len(o.shape) == 3]
    boxes = [k for k in fits if outputs[k].shape[2] == 4 and ("box" in outputs[k].name or outputs[k].name == "dets")]
    boxes = boxes or [k for k in fits if outputs[k].shape[2] == 4]
    if len(boxes) != 1:
        return None
    others = [k for k in fits if k != boxes[0] and outputs[k].shape[1] == outputs[boxes[0]].shape[1]]
    named = [k for k in others if "logit" in outputs[k].name or outputs[k].name == "labels"]
    others = named or others
    return (boxes[0], others[0]) if len(others) == 1 and outputs[others[0]].shape[2] is not None else None


_IMAGENET = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    """RT-DETR and D-FINE take 0-1; RF-DETR, and DETR with its extra class, ImageNet's mean and deviation."""
    scaling: Recipe = _IMAGENET if _is_rf_detr(outputs) else {"std": (255.0, 255.0, 255.0)}
    return {"resize": "stretch", "channel_order": "rgb", **scaling}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    places = _places(outputs)
    if places is None:
        return None
    queries, columns = outputs[places[1]].shape[1:3]
    named = "logit" in outputs[places[1]].name or _is_rf_detr(outputs)
    if not named or columns is None:
        return None
    counts = (columns, columns - 1) if columns > 1 else (1,)
    return Guess(f"boxes and {columns} logits for {queries or 'any number of'} queries", counts)
