"""What may be concluded from times that are correlated: where warm-up ends, and how sure a figure is.

Frames follow one another, so they are not independent: an interval over frames is far too narrow. Here the unit is the
block: some tenths of a second of one contender, with the others' blocks between it and the next. What varies over
seconds and minutes (clock, heat, neighbours) varies from block to block, and so it is in the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgevision.evaluation.bootstrap import block_length, draws

FloatArray = NDArray[np.float64]

REPLICATES = 1000
FEWEST_UNITS = 3
"""Of fewer blocks no interval is given."""
_T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""Student's t, 97.5 %, 1 to 15 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; ``low`` and ``high`` are NaN where there were too few blocks for one."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How many leading frames do not count, and whether the rest was steady."""

    frames: int
    settled: bool


def warm_up(durations_ns: Sequence[int] | FloatArray) -> WarmUp:
    """Where warm-up ends, found by the data: the marginal standard error rule (White 1997) on logarithms.

    Of all truncations of up to half the series, the one after which the mean is known best: cutting slow first frames
    lowers the variance, cutting more only lowers the number. Small groups' medians stand for frames, so that a single
    late frame is not taken for a phase. Not settled: the best cut is all but
    the last one that was allowed.
    """
    values = np.log(np.maximum(np.asarray(durations_ns, np.float64), 1.0))
    n = len(values)
    if n < 4:
        return WarmUp(min(1, max(0, n - 1)), n > 1)
    size = 5 if n >= 40 else 3 if n >= 18 else 1
    groups = np.median(values[: n // size * size].reshape(-1, size), axis=1)
    most = len(groups) // 2
    errors = np.array([groups[d:].var() / (len(groups) - d) for d in range(most + 1)])
    # The earliest cut that is all but as good as the best: noise alone must not cost frames.
    cut = int(np.flatnonzero(errors <= errors.min() * 1.1 + 1e-12)[0])
    return WarmUp(cut * size, cut <= 0.8 * most)


def multiplicities(units: int, seed: int = 0, replicates: int = REPLICATES) -> FloatArray:
    """How often each unit is drawn in each replicate of a circular moving-block bootstrap: (replicates, units).

    Runs of neighbouring units are drawn together, since neighbours resemble each other.
    """
    return draws(units, replicates, (seed, units), block_length(units)).astype(np.float64)


def student(units: int) -> float:
    """How many standard errors wide a 95 % interval is each way, of so many units drawn in runs."""
    degrees = max(1, units // block_length(units) - 1)
    return _T975[degrees - 1] if degrees <= len(_T975) else NormalDist().inv_cdf(0.975) + 2.5 / degrees


def interval(value: float, replicates: FloatArray, units: int) -> Estimate:
    """The interval of a positive figure, from its bootstrap replicates: symmetric on a log scale.

    Bootstrap percentiles are too narrow for a dozen units, so their spread is used with Student's factor.
    """
    if units < FEWEST_UNITS or not value > 0:
        return Estimate(value)
    known = replicates[np.isfinite(replicates) & (replicates > 0)]
    if len(known) < len(replicates) / 2:
        return Estimate(value)
    # The bootstrap's variance of a mean is short by (n - 1) / n.
    effective = max(2, units // block_length(units))
    spread = float(np.log(known).std()) * math.sqrt(effective / (effective - 1)) * student(units)
    return Estimate(value, value * math.exp(-spread), value * math.exp(spread))


@dataclass(frozen=True, slots=True, eq=False)
class Rate:
    """Frames and the time they took, block by block: (K,) each. fps is their sums' quotient, never a mean of rates."""

    frames: FloatArray
    spans_s: FloatArray
    rounds: tuple[int, ...] = ()
    """When each block was, so that contenders can be paired."""

    @property
    def fps(self) -> float:
        total = float(self.spans_s.sum())
        return float(self.frames.sum()) / total if total > 0 else math.nan

    def estimate(self, seed: int = 0) -> Estimate:
        units = len(self.frames)
        if units < FEWEST_UNITS:
            return Estimate(self.fps)
        return interval(self.fps, self.drawn(multiplicities(units, seed)), units)

    def drawn(self, counts: FloatArray) -> FloatArray:
        """fps of each replicate."""
        return np.asarray((counts @ self.frames) / np.maximum(counts @ self.spans_s, 1e-12), np.float64)


def ratio(above: Rate, below: Rate, paired: bool) -> Estimate:
    """``above`` ÷ ``below`` in fps. ``paired``: blocks of the same round were neighbours, so drift hits both alike."""
    value = above.fps / below.fps if below.fps > 0 else math.nan
    if paired and above.rounds and len(set(above.rounds)) == len(above.rounds) and above.rounds == below.rounds:
        counts = multiplicities(len(above.rounds))
        return interval(value, above.drawn(counts) / below.drawn(counts), len(above.rounds))
    units = min(len(above.frames), len(below.frames))
    if units < FEWEST_UNITS:
        return Estimate(value)
    one = above.drawn(multiplicities(len(above.frames), 1))
    other = below.drawn(multiplicities(len(below.frames), 2))
    first, second = interval(above.fps, one, len(above.frames)), interval(below.fps, other, len(below.frames))
    if not (first.has_interval and second.has_interval):
        return Estimate(value)
    # Independent: the log intervals' half widths add in squares, each with its own Student's factor.
    half = math.hypot(math.log(first.high / first.value), math.log(second.high / second.value))
    return Estimate(value, value * math.exp(-half), value * math.exp(half))


def percentiles(blocks: Sequence[FloatArray], percents: Sequence[float], seed: int = 0) -> list[Estimate]:
    """Percentiles of all blocks' values together, with intervals over blocks."""
    kept = [b for b in blocks if len(b)]
    if not kept:
        return [Estimate(math.nan) for _ in percents]
    values, place = np.unique(np.concatenate(kept), return_inverse=True)
    units = len(kept)
    counts = np.zeros((units, len(values)))
    owner = np.repeat(np.arange(units), [len(b) for b in kept])
    np.add.at(counts, (owner, place), 1.0)
    whole = counts.sum(0).cumsum()
    found = [float(values[np.searchsorted(whole, whole[-1] * p / 100 - 1e-9)]) for p in percents]
    if units < FEWEST_UNITS:
        return [Estimate(v) for v in found]
    drawn = (multiplicities(units, seed, 400) @ counts).cumsum(1)
    estimates = []
    for percent, value in zip(percents, found, strict=True):
        at = (drawn < drawn[:, -1:] * percent / 100 - 1e-9).sum(1)
        estimates.append(interval(value, values[np.minimum(at, len(values) - 1)], units))
    return estimates


def verdict(estimate: Estimate, line: float, above: str, below: str, unsure: str = "cannot tell") -> str:
    """``above`` or ``below`` a line, only where the whole interval is on that side."""
    if not estimate.has_interval:
        return unsure
    if estimate.low > line:
        return above
    return below if estimate.high < line else unsure
