"""How sure a figure is: 95 % intervals from drawing the units it was measured on anew (Efron 1979)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def draws(units: int, count: int = 400, seed: int | Sequence[int] = 0, block: int = 1) -> NDArray[np.int64]:
    """How often each unit is in each draw: (count, units), each row's sum is ``units``.

    ``block`` is how many neighbours are drawn together, around the end to the beginning (circular block bootstrap,
    Politis and Romano 1992). 1 for photos, which know nothing of each other; more for consecutive frames of a video,
    which resemble each other: drawn one by one they would give too narrow an interval.
    """
    if units == 0:
        return np.zeros((count, 0), np.int64)
    rng = np.random.default_rng(seed)
    starts = rng.integers(units, size=(count, math.ceil(units / block)))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(count, -1)[:, :units] % units
    times = np.zeros((count, units), np.int64)
    np.add.at(times, (np.repeat(np.arange(count), units), drawn.ravel()), 1)
    return times


def block_length(units: int) -> int:
    """How many neighbours to draw together: the square root of their number, so that slow drift is seen."""
    return max(1, min(round(math.sqrt(units)), units // 3))
