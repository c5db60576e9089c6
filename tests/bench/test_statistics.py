"""Warm-up, intervals, verdicts: on series whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgevision.bench.formatting import digits
from edgevision.bench.statistics import (
    Estimate,
    Rate,
    interval,
    multiplicities,
    percentiles,
    ratio,
    verdict,
    warm_up,
)
from edgevision.evaluation.bootstrap import block_length


def correlated(rng, blocks, frames, *, within=0.8, between=0.4, level=0.05, period_s=0.005):
    """Frame times of a loop on a machine that drifts: AR(1) inside a block, and AR(1) from block to block."""
    levels = np.zeros(blocks)
    levels[0] = rng.normal() * level
    for k in range(1, blocks):
        levels[k] = between * levels[k - 1] + math.sqrt(1 - between**2) * level * rng.normal()
    found = []
    for k in range(blocks):
        noise = rng.normal(size=frames)
        for i in range(1, frames):
            noise[i] = within * noise[i - 1] + math.sqrt(1 - within**2) * noise[i]
        found.append(period_s * np.exp(levels[k] + 0.1 * noise))
    return found


def rate_of(blocks):
    return Rate(
        np.array([len(b) for b in blocks], float), np.array([b.sum() for b in blocks]), tuple(range(len(blocks)))
    )


# Warm-up


def test_slow_first_frames_are_cut():
    rng = np.random.default_rng(1)
    times = np.concatenate([np.full(15, 9e6), np.full(10, 6e6), np.full(200, 4e6)]) * rng.uniform(0.97, 1.03, 225)
    found = warm_up(times)
    assert 25 <= found.frames <= 30
    assert found.settled


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_series_is_kept(seed):
    times = 4e6 * np.random.default_rng(seed).lognormal(0, 0.1, 200)
    found = warm_up(times)
    assert found.settled
    assert found.frames <= 100


def test_a_constant_series_is_kept_whole():
    assert warm_up([5_000_000] * 100).frames == 0


def test_single_late_frames_are_no_warm_up():
    times = np.full(200, 4e6)
    times[[30, 90, 91, 170]] = 60e6
    assert warm_up(times).frames == 0


def test_what_never_settles_is_said():
    assert not warm_up(np.geomspace(40e6, 1e6, 120)).settled


@pytest.mark.parametrize(("times", "frames"), [([], 0), ([9], 0), ([14_000_000, 12_000_000], 1), ([9, 9, 9], 1)])
def test_few_frames(times, frames):
    assert warm_up(times).frames == frames


# Intervals


def test_bootstrap_draws_neighbours_together_and_as_many_as_there_are():
    counts = multiplicities(16)
    assert (counts.sum(1) == 16).all()
    assert abs(counts.mean() - 1) < 1e-9
    # Neighbours (as on a circle) are drawn together far more often than chance has it.
    near = np.mean([np.corrcoef(counts[:, k], counts[:, (k + 1) % 16])[0, 1] for k in range(16)])
    far = np.mean([np.corrcoef(counts[:, k], counts[:, (k + 8) % 16])[0, 1] for k in range(16)])
    assert near > 0.4 > far
    assert (multiplicities(16) == counts).all()


def test_runs_of_neighbours_leave_enough_of_them():
    for units in range(3, 64):
        assert units // block_length(units) >= 3


@pytest.mark.parametrize(("blocks", "between"), [(16, 0.0), (16, 0.5), (8, 0.4), (4, 0.0)])
def test_two_equal_runs_differ_by_less_than_their_interval_in_19_of_20(blocks, between):
    """And each interval holds the truth about as often: frames and blocks are correlated, as on a real machine."""
    rng = np.random.default_rng(blocks + round(100 * between))
    same = held = 0
    trials = 120
    truth = 1 / (0.005 * math.exp(0.05**2 / 2 + 0.1**2 / 2))
    for _ in range(trials):
        one, other = (rate_of(correlated(rng, blocks, 25, between=between)) for _ in range(2))
        between_runs = ratio(one, other, paired=False)
        same += between_runs.low <= 1 <= between_runs.high
        mine = one.estimate()
        held += mine.low <= truth <= mine.high
    assert same / trials >= 0.95
    assert held / trials >= 0.90


def test_an_interval_over_frames_would_claim_far_too_much():
    """Why blocks: the same data, taken frame by frame, misses the truth more often than not."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(40):
        frames = np.concatenate(correlated(rng, 16, 25))
        error = 1.96 * frames.std() / math.sqrt(len(frames))
        held += abs(frames.mean() - 0.005 * math.exp(0.05**2 / 2 + 0.1**2 / 2)) < error
    assert held < 30


def test_a_real_difference_is_found():
    rng = np.random.default_rng(5)
    fast, slow = rate_of(correlated(rng, 16, 25, period_s=0.004)), rate_of(correlated(rng, 16, 25, period_s=0.005))
    found = ratio(fast, slow, paired=False)
    assert found.low > 1.1
    assert found.low < 1.25 < found.high


def test_drift_that_hits_both_alike_cancels_in_a_paired_ratio():
    rng = np.random.default_rng(6)
    drift = np.exp(np.linspace(0, 0.6, 16))
    fast = rate_of([b * d for b, d in zip(correlated(rng, 16, 25, level=0.01), drift, strict=True)])
    slow = rate_of([2 * b * d for b, d in zip(correlated(rng, 16, 25, level=0.01), drift, strict=True)])
    paired, apart = ratio(fast, slow, paired=True), ratio(fast, slow, paired=False)
    assert paired.low < 2 < paired.high
    assert math.log(paired.high / paired.low) < math.log(apart.high / apart.low) / 3


def test_too_few_blocks_have_no_interval():
    rate = rate_of(correlated(np.random.default_rng(0), 2, 10))
    assert not rate.estimate().has_interval
    assert rate.fps > 0
    assert not ratio(rate, rate, paired=True).has_interval


def test_fps_is_the_quotient_of_sums():
    rate = Rate(np.array([10.0, 90.0, 20.0]), np.array([1.0, 1.0, 1.0]))
    assert rate.fps == pytest.approx(40.0)  # not the mean of 10, 90 and 20 weighted otherwise


def test_percentiles_are_those_of_all_frames():
    rng = np.random.default_rng(2)
    blocks = [rng.lognormal(1, 0.3, rng.integers(5, 40)) for _ in range(9)]
    everything = np.concatenate(blocks)
    for percent, found in zip((50, 95, 100), percentiles(blocks, (50, 95, 100)), strict=True):
        assert found.value == np.percentile(everything, percent, method="inverted_cdf")
        assert found.low <= found.value <= found.high


def test_percentiles_of_nothing():
    assert math.isnan(percentiles([], (50,))[0].value)


def test_replicates_that_are_not_numbers_give_no_interval():
    assert not interval(3.0, np.full(100, np.nan), 8).has_interval


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (Estimate(40, 35, 45), "above"),
        (Estimate(20, 18, 22), "below"),
        (Estimate(31, 28, 34), "cannot tell"),
        (Estimate(90), "cannot tell"),
    ],
)
def test_a_verdict_only_where_the_interval_allows_one(estimate, said):
    assert verdict(estimate, 30.0, "above", "below") == said


@pytest.mark.parametrize(
    ("value", "text"),
    [(231.4, "231"), (4.567, "4.57"), (0.0961, "0.0961"), (14067.2, "14\u202f067"), (0.0, "0"), (math.nan, "–")],
)
def test_numbers_have_three_figures(value, text):
    assert digits(value) == text
