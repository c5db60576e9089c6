"""Heads, grids and a comparison for tests of decoders."""

from __future__ import annotations

import math

import numpy as np

from edgevision.detectors.decoders import Head, make_decoder
from edgevision.detectors.onnx_session import TensorInfo

INPUT_WH = (96, 64)
CLASSES = 3
MIN_SCORE = 0.3


def head(*outputs, classes=CLASSES, input_wh=INPUT_WH):
    infos = tuple(TensorInfo(f"out{k}", o.shape, "float32") for k, o in enumerate(outputs))
    return Head(input_wh, classes, infos, "test.onnx")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def check(family, outputs, expected, classes=CLASSES, input_wh=INPUT_WH):
    """``expected``: rows of x1, y1, x2, y2, score, class, in any order."""
    got = make_decoder(family, head(*outputs, classes=classes, input_wh=input_wh)).decode(list(outputs), MIN_SCORE)
    rows = sorted(map(tuple, np.column_stack([got.scores, got.class_ids, got.boxes]).tolist()))
    wanted = sorted((s, c, *box) for *box, s, c in expected)
    assert len(rows) == len(wanted) > 0
    np.testing.assert_allclose(rows, wanted, atol=1e-3)
    assert got.boxes.dtype == np.float32
    assert got.class_ids.dtype == np.int64


def grid(strides, input_wh=INPUT_WH):
    """(column, row, stride) of every cell, finest first, row by row."""
    return [
        (x, y, s) for s in strides for y in range(math.ceil(input_wh[1] / s)) for x in range(math.ceil(input_wh[0] / s))
    ]
