"""Detections and labels by hand, and at random, for what measures detectors."""

from __future__ import annotations

import numpy as np

from edgevision.datasets.annotations import Annotations
from edgevision.types import Detections


def detections(rows):
    """Rows of x1, y1, x2, y2, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def truth(rows, ignored=None):
    """Rows of x1, y1, x2, y2, class, and which are to be ignored."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    flags = np.zeros(len(table), bool) if ignored is None else np.array(ignored, bool)
    return Annotations(table[:, :4], table[:, 4].astype(np.int64), flags)


def random_set(seed, pictures=25):
    """Labels, and detections that are near them, beside them, or twice."""
    rng = np.random.default_rng(seed)
    there, found = [], []
    for _ in range(pictures):
        corner = rng.uniform(0, 200, (rng.integers(0, 6), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(8, 140, corner.shape)], 1)
        there.append(truth(np.column_stack([boxes, rng.integers(0, 2, len(boxes))])))
        near = np.repeat(boxes, 2, 0) + rng.normal(0, 6, (2 * len(boxes), 4))
        more = rng.uniform(0, 200, (3, 2))
        every = np.concatenate([near, np.concatenate([more, more + rng.uniform(8, 100, more.shape)], 1)])
        every[:, 2:] = np.maximum(every[:, 2:], every[:, :2] + 1)
        found.append(
            detections(np.column_stack([every, rng.random(len(every)).round(2), rng.integers(0, 2, len(every))]))
        )
    return found, there
