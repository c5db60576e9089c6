"""Several detectors' boxes of one picture as one set: weighted boxes fusion (Solovyev et al., arXiv:1910.13302)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import FloatArray, iou
from edgevision.types import Detections

SAME_OBJECT_IOU = 0.55
"""The paper's threshold."""


@dataclass(slots=True)
class Cluster:
    """Boxes that are taken for one object."""

    class_id: int
    boxes: list[FloatArray] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    """Score times the weight of who saw it."""
    seen_by: set[int] = field(default_factory=set)
    """Numbers of the detectors that saw it."""
    box: FloatArray = field(default_factory=lambda: np.zeros(4, np.float32))
    score: float = 0.0

    def add(self, box: FloatArray, confidence: float, detector: int) -> None:
        self.boxes.append(box)
        self.confidences.append(confidence)
        self.seen_by.add(detector)
        weights = np.array(self.confidences)
        self.box = np.asarray((np.array(self.boxes) * weights[:, None]).sum(0) / weights.sum(), np.float32)


def fuse(
    found: Sequence[Detections], weights: Sequence[float] | None = None, iou_threshold: float = SAME_OBJECT_IOU
) -> list[Cluster]:
    """One cluster an object, best first; ``found`` has one entry a detector, classes already in common numbers.

    A cluster's box is the mean of its boxes weighted by their scores; its score is their mean, times the share of the
    detectors' weights that stands behind it (equations 1 to 4 of the paper, its second form of the last one).
    """
    trust = np.ones(len(found)) if weights is None else np.asarray(weights, float)
    entries = [
        (float(score) * trust[t], t, int(class_id), box)
        for t, seen in enumerate(found)
        for box, score, class_id in zip(seen.boxes, seen.scores, seen.class_ids, strict=True)
        if box[2] > box[0] and box[3] > box[1] and score > 0
    ]
    entries.sort(key=lambda e: -e[0])
    clusters: list[Cluster] = []
    for confidence, detector, class_id, box in entries:
        cluster = _matching(clusters, class_id, box, iou_threshold)
        if cluster is None:
            cluster = Cluster(class_id)
            clusters.append(cluster)
        cluster.add(box, confidence, detector)
    for cluster in clusters:
        behind = min(len(trust), len(cluster.boxes))
        cluster.score = float(np.mean(cluster.confidences) * behind / trust.sum())
    return sorted(clusters, key=lambda c: -c.score)


def _matching(clusters: list[Cluster], class_id: int, box: NDArray[np.float32], threshold: float) -> Cluster | None:
    mine = [c for c in clusters if c.class_id == class_id]
    if not mine:
        return None
    overlap = iou(box[None], np.array([c.box for c in mine], np.float32))[0]
    best = int(overlap.argmax())
    return mine[best] if overlap[best] > threshold else None
