"""Accuracy of detections against labels: COCO's matching and average precision.

Follows pycocotools: per class, detections of all images are taken best first; each may match one unmatched
label of its image with IoU at or over the threshold; precision is made monotone and read at 101 recalls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import FloatArray, IntArray, iou

COCO_THRESHOLDS = tuple(0.5 + 0.05 * k for k in range(10))
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class Labelled:
    """What stands in one image: ``boxes`` (N, 4) px, ``class_ids`` (N,), and for detections ``scores`` (N,)."""

    boxes: FloatArray
    class_ids: IntArray
    scores: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """One class at one threshold. ``precision`` and ``recall`` (K,) run over detections, best first."""

    class_id: int
    labels: int
    average_precision: float
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    scores: NDArray[np.float32]


def match(detected: FloatArray, scores: FloatArray, truth: FloatArray, iou_threshold: float) -> NDArray[np.bool_]:
    """Which of one image's detections (N, 4) of a class hit one of its labels (M, 4): (N,) bool."""
    hit = np.zeros(len(detected), bool)
    if len(detected) == 0 or len(truth) == 0:
        return hit
    overlap = iou(detected, truth)
    free = np.ones(len(truth), bool)
    for i in np.argsort(-scores, kind="stable"):
        row = np.where(free, overlap[i], -1)
        j = int(row.argmax())
        if row[j] >= min(iou_threshold, 1 - 1e-10):
            hit[i] = True
            free[j] = False
    return hit


def class_accuracy(
    detections: Sequence[Labelled], truth: Sequence[Labelled], class_id: int, iou_threshold: float = 0.5
) -> ClassAccuracy:
    """Precision, recall and AP of one class over images given in the same order in both lists."""
    if len(detections) != len(truth):
        raise ValueError(f"expected as many detection lists as label lists, got {len(detections)} and {len(truth)}")
    hits, scores, count = [], [], 0
    for found, there in zip(detections, truth, strict=True):
        mine = found.class_ids == class_id
        true = there.boxes[there.class_ids == class_id]
        count += len(true)
        if found.scores is None:
            raise ValueError("detections need scores")
        hits.append(match(found.boxes[mine], found.scores[mine], true, iou_threshold))
        scores.append(found.scores[mine])
    score = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    hit = np.concatenate(hits) if hits else np.zeros(0, bool)
    order = np.argsort(-score, kind="mergesort")
    right = np.cumsum(hit[order])
    recall = right / max(count, 1)
    precision = right / np.arange(1, len(order) + 1)
    smooth = np.maximum.accumulate(precision[::-1])[::-1] if len(precision) else precision
    at = np.searchsorted(recall, _RECALLS, side="left")
    read = np.where(at < len(smooth), smooth[np.minimum(at, max(len(smooth) - 1, 0))] if len(smooth) else 0.0, 0.0)
    ap = float(read.mean()) if count else float("nan")
    return ClassAccuracy(class_id, count, ap, precision, recall, score[order])


def mean_average_precision(
    detections: Sequence[Labelled],
    truth: Sequence[Labelled],
    classes: int,
    iou_thresholds: Sequence[float] = (0.5,),
) -> float:
    """AP averaged over thresholds and over the classes that have labels; NaN where none has."""
    values = [class_accuracy(detections, truth, c, t).average_precision for c in range(classes) for t in iou_thresholds]
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")
