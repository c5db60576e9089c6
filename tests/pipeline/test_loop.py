"""The loop: every frame its own boxes, in order, bounded, and stopped cleanly."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgevision.deployment.app import run
from edgevision.errors import ModelFailed, SinkError, SourceBroken, SourceLost
from edgevision.interfaces import Controls
from edgevision.pipeline.loop import Pipeline
from tests.support.models import FakeClock, IndexDetector, ListSource, numbered_pictures


def x_of(result):
    return int(result.detections.boxes[0, 0])


def no_threads_left():
    deadline = time.monotonic() + 5
    while any(t.name.startswith(("capture", "lane-")) for t in threading.enumerate()):
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)
    return True


@pytest.fixture(autouse=True)
def _clean():
    yield
    assert no_threads_left()


class Uneven(IndexDetector):
    """Takes longer for some frames, so that lanes finish out of order."""

    def detect(self, pixels):
        time.sleep(0.004 if pixels[0, 0, 0] % 3 == 0 else 0)
        return super().detect(pixels)


@pytest.mark.parametrize("streams", [1, 2, 4])
def test_a_file_gives_every_frame_once_in_order_with_its_own_boxes(streams):
    results = list(run(ListSource(numbered_pictures(60)), Uneven(lanes=streams), streams=streams))
    assert [r.frame.index for r in results] == list(range(60))
    assert [x_of(r) for r in results] == list(range(60))
    assert all(r.model == "index@1" for r in results)


def test_a_slow_detector_on_a_live_source_skips_to_the_newest():
    """One frame waits, never more: while frame 0 is inferred, 1 to 9 arrive; 9 comes next."""
    gate, started, allowed = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)
    source = ListSource(numbered_pictures(10), live=True, gate=gate)
    results = run(source, IndexDetector(started=started, gate=allowed))
    got = []
    reader = threading.Thread(target=lambda: got.extend(results))
    reader.start()
    gate.release()
    assert started.acquire(timeout=5)
    for _ in range(9):
        gate.release()
    while source.read_count < 10:
        time.sleep(0.005)
    time.sleep(0.05)
    gate.release()  # lets the source end
    allowed.release(2)
    reader.join(5)
    assert [r.frame.index for r in got] == [0, 9]
    assert [x_of(r) for r in got] == [0, 9]


def test_a_slow_reader_of_results_makes_a_live_source_drop_and_stay_fresh():
    gate = threading.Semaphore(0)
    source = ListSource(numbered_pictures(200), live=True, gate=gate)
    pipeline = Pipeline(source, IndexDetector())
    ticking = threading.Event()

    def tick():
        while not ticking.is_set():
            gate.release()
            time.sleep(0.002)

    ticker = threading.Thread(target=tick)
    ticker.start()
    ages = []
    for result in pipeline.results():
        time.sleep(0.02)
        ages.append(result.age_ms(time.monotonic_ns()))
        if len(ages) == 15:
            break
    ticking.set()
    ticker.join()
    assert pipeline.summary().dropped > 20
    assert np.median(ages) < 200  # queued frames would be over 2 s old by now


def test_stage_times_and_age_add_up():
    results = list(run(ListSource(numbered_pictures(5)), Uneven()))
    slow = results[3]
    assert slow.times.infer >= 3_500_000
    assert slow.times.wait >= 0
    assert set(slow.times.as_ms()) == {"capture", "wait", "preprocess", "infer", "decode", "track", "render", "publish"}


def test_errors_come_after_every_result_before_them():
    source = ListSource(numbered_pictures(7), error=SourceBroken("cut at frame 7"))
    got = []
    with pytest.raises(SourceBroken, match="cut at frame 7"):
        got.extend(run(source, IndexDetector()))
    # extend gives up what it had on an error: iterate by hand to see them.
    source = ListSource(numbered_pictures(7), error=SourceBroken("cut at frame 7"))
    try:
        for result in run(source, IndexDetector()):
            got.append(result.frame.index)
    except SourceBroken:
        pass
    assert got[-7:] == list(range(7))


def test_a_failing_detector_ends_the_loop_with_its_error():
    class Failing(IndexDetector):
        def detect(self, pixels):
            if pixels[0, 0, 0] == 3:
                raise ModelFailed("broke on frame 3")
            return super().detect(pixels)

    got = []
    with pytest.raises(ModelFailed, match="broke on frame 3"):
        for result in run(ListSource(numbered_pictures(9)), Failing(lanes=2), streams=2):
            got.append(result.frame.index)
    assert got == [0, 1, 2]


def test_a_lost_live_source_raises_through():
    gate = threading.Semaphore(9)
    source = ListSource(numbered_pictures(1), live=True, gate=gate, error=SourceLost("unplugged"))
    with pytest.raises(SourceLost, match="unplugged"):
        list(run(source, IndexDetector()))


def test_leaving_early_stops_the_threads_and_leaves_the_source_open():
    source = ListSource(numbered_pictures(1000))
    for result in run(source, IndexDetector()):
        if result.frame.index == 3:
            break
    assert no_threads_left()
    assert not source.closed.is_set()


def test_a_reader_stuck_in_a_read_is_freed_by_closing_the_source():
    source = ListSource(numbered_pictures(5), live=True, gate=threading.Semaphore(1))
    for _ in run(source, IndexDetector()):
        break
    assert source.closed.is_set()


class Recorder:
    """A sink that writes down what it is told."""

    def __init__(self, wants_picture=False, fail_at=None):
        self.wants_picture = wants_picture
        self.published, self.notices, self.pictures = [], [], []
        self._fail_at = fail_at

    def publish(self, result, picture, status):
        if result.frame.index == self._fail_at:
            raise SinkError("no room")
        self.published.append(result.frame.index)
        self.pictures.append(picture)

    def notice(self, status):
        self.notices.append(status)

    def close(self):
        pass


class Painter:
    def __init__(self):
        self.drawn = 0

    def draw(self, result, status):
        self.drawn += 1
        return result.frame.pixels.copy()


def test_nobody_draws_what_nobody_sees():
    painter, blind, seeing = Painter(), Recorder(), Recorder(wants_picture=True)
    list(Pipeline(ListSource(numbered_pictures(5)), IndexDetector(), renderer=painter, sinks=[blind]).results())
    assert painter.drawn == 0
    list(Pipeline(ListSource(numbered_pictures(5)), IndexDetector(), renderer=painter, sinks=[blind, seeing]).results())
    assert painter.drawn == 5
    assert [int(p[0, 0, 0]) for p in seeing.pictures] == [0, 1, 2, 3, 4]


def test_a_snapshot_is_drawn_once_for_each_asking():
    controls, taken = Controls(), []
    controls.ask_snapshot()
    pipeline = Pipeline(
        ListSource(numbered_pictures(5)),
        IndexDetector(),
        renderer=Painter(),
        controls=controls,
        snapshot=lambda picture, result: taken.append(result.frame.index),
    )
    list(pipeline.results())
    assert taken == [0]


def test_a_sinks_error_ends_the_loop():
    with pytest.raises(SinkError, match="no room"):
        list(Pipeline(ListSource(numbered_pictures(9)), IndexDetector(), sinks=[Recorder(fail_at=2)]).results())


def test_quitting_ends_the_loop():
    controls = Controls()
    pipeline = Pipeline(ListSource(numbered_pictures(1000)), IndexDetector(), controls=controls)
    count = 0
    for _ in pipeline.results():
        count += 1
        if count == 4:
            controls.quit()
    assert count == 4


def test_silence_of_a_live_source_is_noticed_with_its_reason():
    clock, gate, sink = FakeClock(), threading.Semaphore(1), Recorder()
    source = ListSource(numbered_pictures(5), live=True, gate=gate, clock=clock)
    controls = Controls()
    pipeline = Pipeline(source, IndexDetector(), sinks=[sink], controls=controls, clock=clock)

    def later():
        while not sink.published:
            time.sleep(0.005)
        time.sleep(0.15)
        assert not sink.notices  # not lost yet: the clock stood still
        clock.advance_ms(1600)
        while not sink.notices:
            time.sleep(0.005)
        source.trouble = "unplugged; looking for it"
        while sink.notices[-1].detail != source.trouble:
            time.sleep(0.005)
        controls.quit()

    watcher = threading.Thread(target=later)
    watcher.start()
    list(pipeline.results())
    watcher.join(5)
    assert [n.state for n in sink.notices[:-1]] == ["lost"] * (len(sink.notices) - 1)
    assert sink.notices[-1].state == "ended"
    assert sink.notices[0].detail == "list gave no frame for 2 s"


def test_a_pause_stands_still_and_shows_nothing_stale_after():
    clock, gate, sink, controls = FakeClock(), threading.Semaphore(0), Recorder(), Controls()
    source = ListSource(numbered_pictures(9), live=True, gate=gate, clock=clock)
    pipeline = Pipeline(source, IndexDetector(), sinks=[sink], controls=controls, clock=clock)

    def script():
        gate.release()
        while not sink.published:
            time.sleep(0.005)
        controls.toggle_pause()
        while not sink.notices:
            time.sleep(0.005)
        for _ in range(4):  # frames 1 to 4 come during the pause
            gate.release()
        while source.read_count < 5:
            time.sleep(0.005)
        clock.advance_ms(10_000)
        controls.toggle_pause()
        time.sleep(0.2)
        gate.release()  # frame 5, after it
        while len(sink.published) < 2:
            time.sleep(0.005)
        controls.quit()

    director = threading.Thread(target=script)
    director.start()
    list(pipeline.results())
    director.join(5)
    assert sink.published == [0, 5]
    assert sink.notices[0].state == "paused"
    assert pipeline.summary().dropped == 0
