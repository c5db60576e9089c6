"""Labels from a teacher: any detector, asked twice, and joined with what people labelled.

A teacher's doubtful boxes are neither objects nor background: they become regions that teach nothing (weight 0).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.datasets.annotations import ScoreThresholds
from edgevision.detectors.boxes import FloatArray, IntArray, iou
from edgevision.detectors.nms import nms
from edgevision.interfaces import Detector
from edgevision.types import Detections

FUSE_IOU = 0.6
SAME_OBJECT_IOU = 0.4


def ask_twice(teacher: Detector, pixels: NDArray[np.uint8]) -> Detections:
    """A teacher's detections in a picture (H, W, 3) BGR and in its mirror image, fused class by class.

    A box that both views agree on is their score-weighted mean and keeps the mean score; one that only one view has
    keeps half its score.
    """
    width = pixels.shape[1]
    straight = teacher.detect(pixels)
    mirrored = teacher.detect(np.ascontiguousarray(pixels[:, ::-1]))
    turned = mirrored.boxes.copy()
    turned[:, [0, 2]] = width - mirrored.boxes[:, [2, 0]]
    overlap = iou(straight.boxes, turned) * (straight.class_ids[:, None] == mirrored.class_ids[None])
    partner_of: dict[int, int] = {}
    taken: set[int] = set()
    for i in np.argsort(-straight.scores, kind="stable").tolist():
        if overlap.shape[1]:
            j = int(overlap[i].argmax())
            if overlap[i, j] > FUSE_IOU and j not in taken:
                partner_of[i] = j
                taken.add(j)
    boxes, scores = [], []
    for i, (box, score) in enumerate(zip(straight.boxes, straight.scores, strict=True)):
        if i not in partner_of:
            boxes.append(box)
            scores.append(score / 2)
            continue
        other = partner_of[i]
        share = score / (score + mirrored.scores[other])
        boxes.append(share * box + (1 - share) * turned[other])
        scores.append((score + mirrored.scores[other]) / 2)
    alone = [j for j in range(len(turned)) if j not in taken]
    all_boxes = np.array([*boxes, *turned[alone]], np.float32).reshape(-1, 4)
    all_scores = np.array([*scores, *(mirrored.scores[alone] / 2)], np.float32)
    all_classes = np.concatenate([straight.class_ids, mirrored.class_ids[alone]])
    kept = nms(all_boxes, all_scores, all_classes, FUSE_IOU)
    return Detections(all_boxes[kept], all_scores[kept], all_classes[kept])


def says_something_new(boxes: FloatArray, class_ids: IntArray, labelled: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which taught boxes (N, 4) overlap no person's label (M, 5+: class, xyxy px) of their class: (N,) bool."""
    if not len(labelled) or not len(boxes):
        return np.ones(len(boxes), bool)
    same = class_ids[:, None] == labelled[None, :, 0].astype(np.int64)
    return np.asarray((iou(boxes, labelled[:, 1:5]) * same).max(1) < SAME_OBJECT_IOU)


def join(labelled: NDArray[np.float32], taught: Detections, trust: ScoreThresholds) -> NDArray[np.float32]:
    """People's labels (M, 5: class, xyxy px) and a teacher's boxes as training labels (K, 6: with weight).

    A taught box that overlaps a person's label of its class says nothing new and goes.
    """
    keep = (taught.scores >= trust.doubt) & says_something_new(taught.boxes, taught.class_ids, labelled)
    weight = [trust.weight(float(s)) for s in taught.scores]
    added = np.column_stack([taught.class_ids, taught.boxes, weight])[keep]
    mine = np.column_stack([labelled, np.ones(len(labelled))])
    return np.concatenate([mine.reshape(-1, 6), added.reshape(-1, 6)]).astype(np.float32)
