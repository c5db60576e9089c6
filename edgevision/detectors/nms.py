"""Non-maximum suppression."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np

from edgevision.detectors.boxes import FloatArray, IntArray


def nms(
    boxes: FloatArray,
    scores: FloatArray,
    class_ids: IntArray,
    iou_threshold: float,
    limit: int = 300,
) -> IntArray:
    """Indices of the boxes kept by greedy non-maximum suppression within each class, best first.

    ``boxes`` (N, 4), ``scores`` (N,), ``class_ids`` (N,). A box goes when a better one of its class overlaps it by
    more than ``iou_threshold``. At most ``limit`` are kept. Ties keep their order. OpenCV's implementation, which takes
    a fifth of the time of one in numpy on the fifty candidates of a usual frame.
    """
    if len(scores) == 0:
        return np.zeros(0, np.int64)
    low = boxes.min()
    corners = boxes.astype(np.float64) - low
    # Classes are moved apart so that one pass serves them all.
    corners += (class_ids * (float(boxes.max() - low) + 1.0))[:, None]
    corners[:, 2:] = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    # Places in the order in lieu of scores: OpenCV drops a score of 0, and what order equal ones have is its own.
    places = np.empty(len(scores), np.float32)
    places[np.argsort(-scores, kind="stable")] = np.arange(len(scores), 0, -1)
    kept = cv2.dnn.NMSBoxes(cast(Any, corners), cast(Any, places), 0.0, iou_threshold)
    return np.asarray(kept, np.int64).reshape(-1)[:limit]
