"""Arithmetic on turned boxes: (N, 5) arrays of centre x, y, width, height in pixels and the angle in radians."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import FloatArray, IntArray

MOST_ROTATED = 1000
"""The table of all overlaps is quadratic."""


def rotated_nms(
    boxes: FloatArray, scores: FloatArray, class_ids: IntArray, iou_threshold: float, limit: int = 300
) -> IntArray:
    """Indices of the turned boxes that are kept, best first, at most ``limit``.

    ``boxes`` (N, 5) are centre x, y, width, height and radians. A box goes when a better one of its class, kept or
    not, overlaps it by ``iou_threshold`` or more, as Ultralytics does it. Of more than `MOST_ROTATED` the worst are
    left out.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_ROTATED]
    if len(order) == 0:
        return order
    overlaps = probabilistic_iou(boxes[order], boxes[order])
    alike = class_ids[order][:, None] == class_ids[order][None]
    beaten = np.triu((overlaps >= iou_threshold) & alike, 1).any(0)
    return np.asarray(order[~beaten][:limit], np.int64)


def probabilistic_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Overlap (N, M) in 0-1 of turned boxes, (N, 5) and (M, 5), each seen as a normal distribution.

    1 - Hellinger distance, "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union", arXiv:2106.06072.
    """
    tiny = 1e-7
    (xx_a, yy_a, xy_a), (xx_b, yy_b, xy_b) = _covariance(a), _covariance(b)
    dx, dy = (a[:, None, k].astype(np.float64) - b[None, :, k] for k in (0, 1))
    xx, yy, xy = (m[:, None] + n[None] for m, n in ((xx_a, xx_b), (yy_a, yy_b), (xy_a, xy_b)))
    determinant = xx * yy - xy**2
    between = (xx * dy**2 + yy * dx**2 - 2 * xy * dx * dy) / (4 * (determinant + tiny))
    own = np.sqrt(np.maximum(xx_a * yy_a - xy_a**2, 0)[:, None] * np.maximum(xx_b * yy_b - xy_b**2, 0)[None])
    shape = 0.5 * np.log(np.maximum(determinant, 0) / (4 * own + tiny) + tiny)
    distance = np.clip(between + shape, tiny, 100)
    return np.asarray(1 - np.sqrt(1 - np.exp(-distance) + tiny), np.float32)


def _covariance(boxes: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Variances along x and y and their covariance, of a box seen as a normal distribution: (N,) each."""
    along, across = (boxes[:, k].astype(np.float64) ** 2 / 12 for k in (2, 3))
    cosine, sine = np.cos(boxes[:, 4].astype(np.float64)), np.sin(boxes[:, 4].astype(np.float64))
    xx = along * cosine**2 + across * sine**2
    yy = along * sine**2 + across * cosine**2
    return xx, yy, (along - across) * cosine * sine
