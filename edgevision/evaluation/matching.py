"""Which detection is which label: the one matching behind average precision, agreement, and the hits on a sheet.

It is pycocotools' (``COCOeval.evaluateImg``), with one difference: a region to ignore takes one detection, as every
label does, by its IoU. COCO's crowds take any number, by the share of the detection that lies in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import FloatArray, IntArray, iou
from edgevision.types import Detections

SAME_OBJECT_IOU = 0.5
"""From here on two boxes are of the same object, where a figure does not say otherwise."""


def match(
    boxes: FloatArray,
    scores: FloatArray,
    labels: FloatArray,
    ignored: NDArray[np.bool_] | None = None,
    thresholds: Sequence[float] = (SAME_OBJECT_IOU,),
) -> IntArray:
    """The label (T, N) that each detection of one image and class takes at each IoU threshold; -1: none.

    ``boxes`` (N, 4) and ``scores`` (N,) of detections, ``labels`` (M, 4) and which are ``ignored`` (M,). Detections
    choose in the order of their scores, each the free label that it overlaps most: of those that count, and only where
    none of these fits, of the ignored ones.
    """
    taken = np.full((len(thresholds), len(boxes)), -1, np.int64)
    if not len(boxes) or not len(labels):
        return taken
    counts = np.ones(len(labels), bool) if ignored is None else ~ignored
    overlap = iou(boxes, labels)
    best_first = np.argsort(-scores, kind="stable")
    for t, threshold in enumerate(thresholds):
        least = min(threshold, 1 - 1e-10)
        free = np.ones(len(labels), bool)
        for n in best_first[overlap.max(1)[best_first] >= least]:
            for may in (counts, ~counts):
                row = np.where(free & may, overlap[n], -1)
                chosen = int(row.argmax())
                if row[chosen] >= least:
                    taken[t, n] = chosen
                    free[chosen] = False
                    break
    return taken


def hits(boxes: FloatArray, scores: FloatArray, labels: FloatArray) -> NDArray[np.bool_]:
    """Which detections (N,) of one image and class are of an object that is labelled."""
    return np.asarray(match(boxes, scores, labels)[0] >= 0)


def renumbered(found: Detections, numbers: IntArray) -> Detections:
    """With ``numbers[class]`` (classes,) in place of each class; those whose number is negative are left out."""
    ids = numbers[found.class_ids]
    kept = ids >= 0
    return Detections(found.boxes[kept], found.scores[kept], ids[kept])
