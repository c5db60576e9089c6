"""Arithmetic on boxes: (N, 4) arrays of x1, y1, x2, y2 in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


def area(boxes: FloatArray) -> FloatArray:
    """Areas (N,) in square pixels; a box turned inside out has none."""
    sides = np.maximum(boxes[:, 2:4] - boxes[:, 0:2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of every box of ``a`` (N, 4) with every box of ``b`` (M, 4): (N, M) in 0-1."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    sides = np.maximum(high - low, 0)
    inter = sides[..., 0] * sides[..., 1]
    union = area(a)[:, None] + area(b)[None] - inter
    return np.asarray(inter / np.maximum(union, 1e-9), np.float32)


def clip(boxes: FloatArray, width_px: int, height_px: int) -> FloatArray:
    """The boxes cut to a frame of ``width_px`` by ``height_px``."""
    limits = np.array([width_px, height_px, width_px, height_px], np.float32)
    return np.asarray(np.minimum(np.maximum(boxes, 0), limits), np.float32)


def from_centres(boxes: FloatArray) -> FloatArray:
    """(N, 4) of centre x, centre y, width, height to corners."""
    half = boxes[:, 2:4] * np.float32(0.5)
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
