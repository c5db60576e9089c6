"""onnxruntime alone on a ready tensor, one thread: the limit of a loop with one network thread."""

from __future__ import annotations

import sys

import numpy as np
from clock import fps_of
from plain import SIDE_PX, load


def results(model: str):
    session = load(model, 1)
    tensor = np.random.default_rng(0).random((1, 3, SIDE_PX, SIDE_PX), np.float32)
    while True:
        yield session.run(None, {session.get_inputs()[0].name: tensor})


if __name__ == "__main__":
    runs = results(sys.argv[2])
    for _ in range(20):
        next(runs)
    print(fps_of(runs, int(sys.argv[3])))
