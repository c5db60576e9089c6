"""The mailbox between threads, and the honesty of figures."""

from __future__ import annotations

import math
import threading
import weakref

import numpy as np
import pytest

from edgevision.concurrency import BoundedQueue, Closed
from edgevision.errors import SourceLost
from edgevision.pipeline.metrics import Histogram, LoopMetrics
from edgevision.types import Detections, Frame, Result, SourceInfo, StageTimes
from tests.support.models import FakeClock


def test_newest_wins_and_the_replaced_are_counted():
    dropped = []
    slot = BoundedQueue(newest_wins=True, on_drop=dropped.append)
    for k in range(5):
        assert slot.put(k)
    assert slot.take(0) == 4
    assert dropped == [0, 1, 2, 3]
    assert slot.statistics.dropped == 4


def test_a_file_slot_blocks_its_writer_and_loses_nothing():
    slot = BoundedQueue(capacity=2)
    writer = threading.Thread(target=lambda: ([slot.put(k) for k in range(100)], slot.close()))
    writer.start()
    got = []
    with pytest.raises(Closed):
        while True:
            got.append(slot.take(5))
    writer.join(5)
    assert got == list(range(100))
    assert slot.statistics.dropped == 0


def test_the_writers_error_comes_after_its_items():
    slot = BoundedQueue(capacity=2)
    slot.put(1)
    slot.close(ValueError("broken"))
    assert slot.take(0) == 1
    with pytest.raises(ValueError, match="broken"):
        slot.take(0)


def test_an_error_that_was_handed_over_is_not_kept():
    """Its traceback holds the reader; a reader that holds the queue would wait for the garbage collector."""
    slot = BoundedQueue()
    error = SourceLost("broken")
    slot.close(error)
    held = weakref.ref(error)
    with pytest.raises(SourceLost, match="broken") as caught:
        slot.take()
    assert caught.value is error
    del error, caught
    assert held() is None
    for _ in range(2):
        with pytest.raises(SourceLost, match="broken"):
            slot.take()


def test_closing_frees_a_blocked_writer():
    slot = BoundedQueue(capacity=1)
    slot.put(1)
    answers = []
    writer = threading.Thread(target=lambda: answers.append(slot.put(2)))
    writer.start()
    slot.close()
    writer.join(5)
    assert answers == [False]


def test_take_times_out():
    with pytest.raises(TimeoutError):
        BoundedQueue().take(0)


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
