"""Percentiles, fps and drops of the loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgevision.pipeline.metrics import Histogram, LoopMetrics
from edgevision.types import Detections, Frame, Result, SourceInfo, StageTimes
from tests.support.models import FakeClock


def test_percentiles_are_within_half_a_percent():
    values = np.random.default_rng(0).lognormal(15, 1.5, 20_000).astype(int)
    histogram = Histogram()
    for value in values:
        histogram.add(int(value))
    for percent in (1, 50, 95, 99, 100):
        exact = np.percentile(values, percent, method="inverted_cdf") / 1e6
        assert histogram.percentile_ms(percent) == pytest.approx(exact, rel=0.006)


def test_histogram_edges():
    histogram = Histogram()
    assert math.isnan(histogram.percentile_ms(50))
    histogram.add(0)
    assert histogram.percentile_ms(50) == 0
    histogram.add(10**18)
    assert histogram.percentile_ms(100) > 2e7


def result_of(index, captured_ns):
    info = SourceInfo("test", 4, 4, 30.0, True)
    frame = Frame(np.zeros((4, 4, 3), np.uint8), index, captured_ns, info)
    return Result(frame, Detections.empty(), StageTimes(infer=5_000_000), "m@1", ("a",))


def test_fps_is_frames_over_time_not_a_mean_of_rates():
    """Two frames 10 ms apart, then one after 190 ms: 2 intervals in 200 ms are 10 fps; the mean of rates says 53."""
    clock = FakeClock()
    meter = LoopMetrics(clock)
    for index, step_ms in enumerate((0, 10, 190)):
        clock.advance_ms(step_ms)
        meter.record(result_of(index, clock() - 7_000_000))
    summary = meter.summary()
    assert summary.fps == pytest.approx(10)
    assert meter.fps == pytest.approx(10)
    assert summary.age.p50 == pytest.approx(7, rel=0.01)
    assert summary.dropped == 0


def test_gaps_are_drops_and_a_pause_is_neither_drop_nor_slow():
    clock = FakeClock()
    meter = LoopMetrics(clock)
    for index in (0, 1, 4):
        meter.record(result_of(index, clock()))
        clock.advance_ms(100)
    assert meter.dropped == 2
    clock.advance_ms(60_000)
    meter.skip_idle(60_000_000_000)
    meter.record(result_of(1804, clock()))
    assert meter.dropped == 2
    assert meter.summary().fps == pytest.approx(10)


def test_old_frames_leave_the_window():
    clock = FakeClock()
    meter = LoopMetrics(clock)
    for index in range(10):
        meter.record(result_of(index, clock()))
        clock.advance_ms(100)
    assert meter.fps == pytest.approx(10)
    clock.advance_ms(5000)
    assert meter.fps == 0
