"""How right a contender is: AP against labels with its interval, or agreement with another where there are none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgevision.bench.image_sets import Truth
from edgevision.bench.records import AccuracyFigure, AgreementFigure
from edgevision.bench.statistics import multiplicities
from edgevision.evaluation.agreement import Agreement
from edgevision.evaluation.score import COCO_THRESHOLDS, Labelled, match, mean_average_precision
from edgevision.types import Detections

LEAST_SCORE = 0.01
"""AP looks at the whole curve, so doubtful boxes are asked for too."""
REPLICATES = 300
_RECALLS = np.linspace(0, 1, 101)

Weights = NDArray[np.float64]


def accuracy(
    contender: str, data: str, found: Sequence[Detections], classes: Sequence[str], truth: Truth
) -> AccuracyFigure | None:
    """AP50 with a 95 % interval over pictures, and AP50-95, of classes that both know by name; None where none is.

    ``found`` may be shorter than the set: a slow contender was given its first pictures only.
    """
    shared = [name for name in truth.classes if _plain(name) in {_plain(c) for c in classes}]
    if not shared or not found:
        return None
    ids = {_plain(name): k for k, name in enumerate(shared)}
    to_shared = np.array([ids.get(_plain(c), -1) for c in classes], np.int64)
    truth_to_shared = np.array([ids.get(_plain(c), -1) for c in truth.classes], np.int64)
    detected = [_renamed(d.boxes, d.class_ids, to_shared, d.scores) for d in found]
    there = [_renamed(t.boxes, t.class_ids, truth_to_shared) for t in truth.boxes[: len(found)]]
    if not sum(len(t.boxes) for t in there):
        return None
    once = np.ones((1, len(found)))
    ap50 = float(_weighted_ap(detected, there, len(shared), 0.5, once)[0])
    drawn = _weighted_ap(detected, there, len(shared), 0.5, multiplicities(len(found), 0, REPLICATES))
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(found) >= 10 and len(drawn) else (None, None)
    return AccuracyFigure(
        contender=contender,
        data=data,
        frames=len(found),
        labels=sum(len(t.boxes) for t in there),
        classes=tuple(shared),
        ap50=ap50,
        low=None if low is None else float(min(low, ap50)),
        high=None if high is None else float(max(high, ap50)),
        ap50_95=mean_average_precision(detected, there, len(shared), COCO_THRESHOLDS),
    )


def agreement(
    contender: str,
    reference: str,
    data: str,
    found: tuple[Sequence[Detections], Sequence[str]],
    other: tuple[Sequence[Detections], Sequence[str]],
    sure_score: float,
) -> AgreementFigure | None:
    """How much of what ``other`` (the reference) found surely ``found`` has too; None where no class is shared."""
    counted = Agreement(tuple(other[1]), tuple(found[1]))
    if not counted.shared:
        return None
    for mine, theirs in zip(found[0], other[0], strict=False):
        counted.add(theirs, mine, sure_score)
    return AgreementFigure(
        contender=contender,
        reference=reference,
        data=data,
        frames=counted.frames,
        reference_boxes=counted.old_boxes,
        boxes=counted.new_boxes,
        found_again=counted.found_again,
    )


def _plain(name: str) -> str:
    """``Hard hat`` and ``hard_hat`` mean the same."""
    return name.strip().lower().replace("_", " ").replace("-", " ")


def _renamed(
    boxes: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    mapping: NDArray[np.int64],
    scores: NDArray[np.float32] | None = None,
) -> Labelled:
    ids = mapping[class_ids] if len(class_ids) else class_ids
    kept = ids >= 0
    return Labelled(boxes[kept], ids[kept], None if scores is None else scores[kept])


def _weighted_ap(
    found: Sequence[Labelled], truth: Sequence[Labelled], classes: int, iou_threshold: float, weights: Weights
) -> Weights:
    """Mean AP over classes with labels, for pictures counted as often as ``weights`` (R, pictures) says: (R,).

    As `score.class_accuracy`, but a picture drawn twice by the bootstrap costs no second matching.
    """
    per_class = []
    for k in range(classes):
        hits, scores, owner = [], [], []
        count = np.zeros(len(truth))
        for i, (mine, there) in enumerate(zip(found, truth, strict=True)):
            chosen = mine.class_ids == k
            true = there.boxes[there.class_ids == k]
            count[i] = len(true)
            assert mine.scores is not None
            hits.append(match(mine.boxes[chosen], mine.scores[chosen], true, iou_threshold))
            scores.append(mine.scores[chosen])
            owner.append(np.full(int(chosen.sum()), i))
        if not count.sum():
            continue
        order = np.argsort(-np.concatenate(scores), kind="mergesort")
        hit, who = np.concatenate(hits)[order].astype(np.float64), np.concatenate(owner)[order]
        per_class.append(np.array([_one_ap(hit, row[who], float(row @ count)) for row in weights]))
    values = np.array(per_class)
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0.0).sum(0) / np.maximum(known.sum(0), 1), np.float64)


def _one_ap(hit: Weights, weight: Weights, labels: float) -> float:
    if labels == 0:
        return float("nan")
    right = np.cumsum(hit * weight)
    total = np.cumsum(weight)
    recall = right / labels
    precision = np.divide(right, total, out=np.zeros_like(right), where=total > 0)
    smooth = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.where(at < len(smooth), np.append(smooth, 0.0)[np.minimum(at, len(smooth))], 0.0).mean())
