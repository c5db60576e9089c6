"""Labels from a teacher: any detector, asked twice, and joined with what people labelled.

A teacher's doubtful boxes are neither objects nor background: they become regions that teach nothing (weight 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevision.boxes import iou, nms
from edgevision.detections import Detections
from edgevision.stages import Detector

FUSE_IOU = 0.6
SAME_OBJECT_IOU = 0.4


@dataclass(frozen=True, slots=True)
class Trust:
    """How a teacher's scores are read."""

    sure: float = 0.45
    """From here on a box is an object."""
    doubt: float = 0.25
    """From here to ``sure`` it is left out of the lesson."""
    full: float = 0.65
    """From here on it teaches as much as a person's label; under it, in proportion."""


def ask_twice(teacher: Detector, pixels: NDArray[np.uint8], class_id: int = 0) -> Detections:
    """Detections of one class of the teacher in a picture (H, W, 3) BGR and in its mirror image, fused.

    A box that both views agree on is their score-weighted mean and keeps the mean score; one that only one view has
    keeps half its score.
    """
    width = pixels.shape[1]
    straight = _of_class(teacher.detect(pixels), class_id)
    mirrored = _of_class(teacher.detect(np.ascontiguousarray(pixels[:, ::-1])), class_id)
    turned = mirrored.boxes.copy()
    turned[:, [0, 2]] = width - mirrored.boxes[:, [2, 0]]
    overlap = iou(straight.boxes, turned)
    partner_of: dict[int, int] = {}
    for i in np.argsort(-straight.scores, kind="stable"):
        if overlap.shape[1]:
            j = int(overlap[i].argmax())
            if overlap[i, j] > FUSE_IOU and j not in partner_of.values():
                partner_of[int(i)] = j
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
    alone = [j for j in range(len(turned)) if j not in partner_of.values()]
    all_boxes = np.array([*boxes, *turned[alone]], np.float32).reshape(-1, 4)
    all_scores = np.array([*scores, *(mirrored.scores[alone] / 2)], np.float32)
    kept = nms(all_boxes, all_scores, np.zeros(len(all_boxes), np.int64), FUSE_IOU)
    return Detections(all_boxes[kept], all_scores[kept], np.zeros(len(kept), np.int64))


def join(labelled: NDArray[np.float32], taught: Detections, trust: Trust) -> NDArray[np.float32]:
    """People's labels (M, 5: class, xyxy px) and a teacher's boxes as training labels (K, 6: with weight).

    A taught box that overlaps a person's label says nothing new and goes.
    """
    boxes, scores = taught.boxes, taught.scores
    keep = scores >= trust.doubt
    if len(labelled) and len(boxes):
        keep &= iou(boxes, labelled[:, 1:5]).max(1) < SAME_OBJECT_IOU
    weight = np.where(scores >= trust.sure, np.minimum(scores / trust.full, 1), 0)
    added = np.column_stack([taught.class_ids, boxes, weight])[keep]
    mine = np.column_stack([labelled, np.ones(len(labelled))])
    return np.concatenate([mine.reshape(-1, 6), added.reshape(-1, 6)]).astype(np.float32)


def read_yolo(path: Path, width_px: int, height_px: int) -> NDArray[np.float32]:
    """A YOLO text file (class, centre x, y, width, height as shares) as (M, 5): class, xyxy px. No file: none."""
    lines = path.read_text().splitlines() if path.exists() else []
    values = [[float(v) for v in line.split()[:5]] for line in lines if line.strip()]
    rows = np.array(values, np.float32).reshape(-1, 5)
    size = np.array([width_px, height_px], np.float32)
    centre, half = rows[:, 1:3] * size, rows[:, 3:5] * size / 2
    return np.concatenate([rows[:, :1], centre - half, centre + half], 1)


def _of_class(found: Detections, class_id: int) -> Detections:
    return found.select(found.class_ids == class_id)
