"""Detecting on each Nth frame: which frames, what the results between say, and that nobody takes them for more."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from edgevision.bench.image_sets import FrameSet
from edgevision.bench.predict import at_cadence, find, scores_kept
from edgevision.bench.records import ContenderRecord
from edgevision.deployment.app import run
from edgevision.deployment.candidate import Candidate
from edgevision.deployment.gates import Gates
from edgevision.deployment.report import Verdict
from edgevision.deployment.swapper import Swapper
from edgevision.errors import ModelFailed, UsageError
from edgevision.evaluation.average_precision import LEAST_SCORE
from edgevision.interfaces import Controls
from edgevision.pipeline.detection_interval import Cadence, usable
from edgevision.pipeline.loop import Pipeline
from edgevision.pipeline.metrics import LoopMetrics
from edgevision.pipeline.tracking_stage import TrackingStage, tracker_for
from edgevision.sinks.json_lines import as_record
from edgevision.sinks.render import Renderer
from edgevision.tracking.bytetrack import ByteTracker
from edgevision.types import Detections, Frame, SourceInfo, StageTimes
from tests.support.command_line import run_blobs
from tests.support.display import RUNNING, result_of
from tests.support.models import CountingCamera, FakeClock, ListSource, numbered_pictures
from tests.support.video import film
from tests.support.waiting import wait_for

FILE = SourceInfo("file", 64, 48, 30.0, live=False)
CAMERA = SourceInfo("camera", 64, 48, 30.0, live=True)
STEP_PX = 2
PERIOD_NS = 33_333_333


def frame_of(index, source=FILE, at_ns=None):
    return Frame(np.full((48, 64, 3), index, np.uint8), index, index * PERIOD_NS if at_ns is None else at_ns, source)


def boxes_at(*lefts, score=0.9):
    rows = np.array([[x, 4, x + 20, 40] for x in lefts], np.float32).reshape(-1, 4)
    return Detections(rows, np.full(len(rows), score, np.float32), np.zeros(len(rows), np.int64))


class Walker:
    """Finds one box at ``STEP_PX`` times the number that the picture carries, and writes down which it looked at."""

    classes = ("person",)
    shown_score = min_score = 0.3

    def __init__(self, name="walker@1", lanes=1, classes=("person",)):
        self.name, self.lanes, self.classes, self.looked_at = name, lanes, classes, []

    def detect(self, pixels):
        number = int(pixels[0, 0, 0])
        self.looked_at.append(number)
        return boxes_at(STEP_PX * number)


def walk(count, every, **options):
    detector = Walker()
    source = ListSource(numbered_pictures(count))
    pipeline = Pipeline(source, detector, tracker=ByteTracker(30.0), detect_every=every, **options)
    return detector, pipeline, list(pipeline)


# Which frames


def due(cadence, frames, detector="a"):
    return [cadence.due(frame, detector) for frame in frames]


def test_each_nth_from_the_first():
    assert due(Cadence(3, FILE), map(frame_of, range(7))) == [True, False, False, True, False, False, True]
    assert due(Cadence(1, FILE), map(frame_of, range(4))) == [True] * 4


def test_what_prediction_cannot_reach_is_detected():
    live = [frame_of(k, CAMERA, round(at_s * 1e9)) for k, at_s in enumerate((10.0, 10.4, 11.0, 11.1, 11.7, 3.0))]
    assert due(Cadence(9, CAMERA), live) == [True, False, True, False, True, True]
    # Frames of a slow source are always near their neighbours, as a tracker sees it.
    slow = replace(FILE, fps=0.5)
    assert due(Cadence(3, slow), [frame_of(k, slow) for k in range(4)]) == [True, False, False, True]
    assert due(Cadence(9, slow), [frame_of(k, slow) for k in range(4)]) == [True, False, False, True]


def test_another_model_looks_at_once():
    cadence = Cadence(4, FILE)
    frames = [frame_of(k) for k in range(7)]
    assert due(cadence, frames[:2], "a") == [True, False]
    assert due(cadence, frames[2:], "b") == [True, False, False, False, True]


def test_frames_without_times_are_all_detected():
    folder = replace(FILE, fps=None)
    assert (usable(3, folder), usable(3, replace(CAMERA, fps=None)), usable(3, FILE)) == (1, 3, 3)
    source = ListSource(numbered_pictures(5))
    source.info = folder
    assert not any(r.predicted for r in run(source, Walker(), tracker=ByteTracker(), detect_every=3))


# What stands in the results


@pytest.mark.parametrize("streams", [1, 2, 4])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_every_frame_once_in_order_and_its_boxes_on_it(every, streams):
    detector = Walker(lanes=streams)
    source = ListSource(numbered_pictures(24))
    results = list(run(source, detector, tracker=ByteTracker(30.0), streams=streams, detect_every=every))
    assert [r.frame.index for r in results] == list(range(24))
    assert sorted(detector.looked_at) == list(range(0, 24, every))
    assert [r.predicted for r in results] == [k % every != 0 for k in range(24)]
    assert {r.detections.track_ids.tolist()[0] for r in results} == {1}
    for r in results[12:]:
        if r.detections.boxes[0, 2] < 64:  # at the edge a box is cut
            assert r.detections.boxes[0, 0] == pytest.approx(STEP_PX * r.frame.index, abs=0.8)


def test_what_was_not_done_took_no_time():
    _, pipeline, results = walk(9, 3)
    for r in results:
        assert r.model == "walker@1"
        assert (r.times.infer == r.times.preprocess == r.times.decode == 0) == r.predicted
        assert r.times.wait >= 0
        assert as_record(r, 0)["predicted"] is r.predicted
    assert (pipeline.summary().frames, pipeline.summary().predicted) == (9, 6)
    assert pipeline.status.detect_every == 3


def test_predicted_frames_do_not_make_inference_look_faster():
    clock = FakeClock()
    meter = LoopMetrics(clock)
    for index in range(40):
        clock.advance_ms(10)
        detected = replace(result_of(index), times=StageTimes(preprocess=1_000_000, infer=20_000_000, decode=500_000))
        between = replace(result_of(index), times=StageTimes(track=100_000), predicted=True)
        meter.record(between if index % 4 else detected)
    assert meter.infer_ms == 20
    assert meter.fps == pytest.approx(100)
    told = meter.summary()
    assert told.fps == pytest.approx(100)
    assert (told.frames, told.predicted, told.dropped) == (40, 30, 0)
    assert told.stages["infer"].p50 == pytest.approx(20, rel=0.01)
    assert told.stages["preprocess"].p50 == pytest.approx(1, rel=0.01)
    assert told.stages["track"].p95 == pytest.approx(0.1, rel=0.01)


def test_the_picture_says_so():
    result, status = result_of(3), replace(RUNNING, detect_every=2)
    detected, between = Renderer().draw(result, status), Renderer().draw(replace(result, predicted=True), status)
    differing = np.argwhere((detected != between).any(axis=2))
    assert 0 < len(differing) < 60
    assert differing[:, 1].max() < 20, "only the dot at the left of the status line becomes a ring"
    assert (Renderer().draw(result, status) != Renderer().draw(result, RUNNING)).any()


@pytest.mark.parametrize(("every", "tracker", "said"), [(0, ByteTracker(), "at least 1"), (2, None, "needs a tracker")])
def test_what_cannot_be_is_refused(every, tracker, said):
    with pytest.raises(UsageError, match=said):
        run(ListSource(numbered_pictures(2)), Walker(), tracker=tracker, detect_every=every)


# How it is predicted


def test_a_box_moves_as_far_as_its_track_and_keeps_its_size():
    tracker = ByteTracker(30.0)
    assert len(tracker.predict(5)) == 0
    for k in range(10):
        last = tracker.update(boxes_at(10 + 4 * k), 2 * k * PERIOD_NS)
    ahead = tracker.predict(19 * PERIOD_NS)
    assert ahead.boxes[0] == pytest.approx(last.boxes[0] + [2, 0, 2, 0], abs=0.3)
    assert (ahead.track_ids.tolist(), ahead.scores.tolist()) == (last.track_ids.tolist(), last.scores.tolist())
    assert tracker.predict(18 * PERIOD_NS) is tracker.predict(0) is last
    again = tracker.predict(19 * PERIOD_NS)
    assert (again.boxes == ahead.boxes).all(), "predicting changes nothing"


def test_what_nobody_follows_is_at_rest_and_what_was_lost_is_not_shown():
    tracker = ByteTracker(30.0)
    for k in range(6):
        tracker.update(boxes_at(10 + 4 * k), k * PERIOD_NS)
    doubtful = boxes_at(300, score=0.4)
    tracker.update(doubtful, 6 * PERIOD_NS)
    ahead = tracker.predict(7 * PERIOD_NS)
    assert ahead.boxes.tolist() == doubtful.boxes.tolist()
    assert ahead.track_ids.tolist() == [-1]


def test_identities_are_those_of_a_source_with_fewer_frames():
    asked, plain = ByteTracker(30.0), ByteTracker(30.0)
    for k in range(0, 30, 3):
        found = boxes_at(*(k * v for v in (1, 2, 3)))
        one, other = (t.update(found, k * PERIOD_NS) for t in (asked, plain))
        assert one.track_ids.tolist() == other.track_ids.tolist()
        asked.predict((k + 1) * PERIOD_NS)
    assert (asked.predict(30 * PERIOD_NS).boxes == plain.predict(30 * PERIOD_NS).boxes).all()


def test_boxes_end_where_the_frame_does():
    follower, walker = TrackingStage(ByteTracker(30.0), None, 2), Walker()
    for k in range(9):
        follower.detected(frame_of(k), walker, boxes_at(8 * k - 40))
    (near,) = follower.predicted(frame_of(9)).boxes
    assert near[[0, 2]] == pytest.approx([32, 52], abs=2)
    assert follower.predicted(frame_of(11)).boxes[0, 2] == 64
    assert len(follower.predicted(frame_of(20))) == 0


def test_doubtful_boxes_are_for_the_tracker_only():
    walker = Walker()
    with scores_kept(walker):
        follower = TrackingStage(tracker_for(walker, FILE), None, 2)
        assert walker.min_score == 0.1
        both = Detections(
            np.array([[0, 0, 20, 20], [30, 0, 50, 20]], np.float32), np.array([0.9, 0.2], np.float32), np.zeros(2, int)
        )
        assert len(follower.detected(frame_of(0), walker, both)) == len(follower.predicted(frame_of(1))) == 1
    assert walker.min_score == 0.3


# A live source: pause, gaps, another model


class Stepped:
    """A live loop whose frames come one by one, when asked for."""

    def __init__(self, detector, every, **options):
        self.clock, self._gate, self.controls = FakeClock(), threading.Semaphore(0), Controls()
        self.source = ListSource(numbered_pictures(60), live=True, gate=self._gate, clock=self.clock)
        self.got = []
        self.pipeline = Pipeline(
            self.source, detector, tracker=ByteTracker(30.0), detect_every=every, controls=self.controls,
            clock=self.clock, **options
        )  # fmt: skip
        self._thread = threading.Thread(target=lambda: [self.got.append(r) for r in self.pipeline])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.controls.quit()
        self._thread.join(5)
        self.source.close()
        assert not self._thread.is_alive()

    def give(self, after_ms=33.3):
        """A frame, that long after the one before, with nobody waiting for its result."""
        self.clock.advance_ms(after_ms)
        count = self.source.read_count
        self._gate.release()
        wait_for(lambda: self.source.read_count > count)

    def step(self, after_ms=33.3):
        """The result of another frame."""
        count = len(self.got)
        self.give(after_ms)
        wait_for(lambda: len(self.got) > count)
        return self.got[-1]


def test_a_camera_that_was_silent_is_looked_at_first():
    with Stepped(Walker(), 3) as loop:
        assert [loop.step().predicted for _ in range(4)] == [False, True, True, False]
        assert not loop.step(after_ms=5000).predicted
        assert loop.step().predicted


def test_after_a_pause_nothing_is_moved_on_from_before_it():
    with Stepped(Walker(), 6) as loop:
        assert not loop.step().predicted
        loop.controls.toggle_pause()
        wait_for(lambda: loop.pipeline.status.state == "paused")
        loop.give()
        loop.give()
        loop.controls.toggle_pause()
        loop.clock.advance_ms(1)
        time.sleep(0.15)
        before = len(loop.got)
        while len(loop.got) == before:
            loop.give()
            time.sleep(0.02)
        first = loop.got[before]
        assert not first.predicted
        assert first.frame.index > 2
        assert loop.pipeline.summary().dropped == 0


def test_an_exchanged_model_looks_at_the_next_frame():
    new = Walker("new@2", classes=("car",))
    with Stepped(Walker(), 4) as loop:
        assert [(r.model, r.predicted) for r in (loop.step(), loop.step())] == [("walker@1", False), ("walker@1", True)]
        loop.pipeline.exchange(new)
        assert [(r.model, r.classes, r.predicted) for r in (loop.step(), loop.step())] == [
            ("new@2", ("car",), False),
            ("new@2", ("car",), True),
        ]


class Liar(ByteTracker):
    """Predicts boxes that no model has found."""

    def predict(self, captured_ns):
        return boxes_at(*range(0, 40, 2))


def swap_while_running(new, tracker, **gates):
    """The report of a swap in a loop that detects on every third frame, and its results."""
    camera, got = CountingCamera(), []
    pipeline = Pipeline(camera, Walker("old@1"), tracker=tracker, detect_every=3)
    thread = threading.Thread(target=lambda: [got.append(r) for r in pipeline])
    thread.start()
    try:
        wait_for(lambda: any(r.predicted for r in got))
        swapper = Swapper(pipeline, lambda name: Candidate(lambda: new))
        quick = Gates(**{"shadow_frames": 10, "watch_s": 0.15, "latency_runs": 3, "patience_s": 5, **gates})
        report = swapper.swap(new.name, quick)
        count = len(got)
        wait_for(lambda: len(got) > count + 3)
        return report, got
    finally:
        pipeline.controls.quit()
        thread.join(5)
        camera.close()


def test_shadow_and_watch_look_at_detected_results_only():
    """The tracker's boxes are nonsense here: a swap that took them for the old model's would refuse the new one."""
    report, got = swap_while_running(Walker("new@2"), Liar(30.0))
    assert report.verdict is Verdict.ACCEPTED, report.sentence()
    (first,) = (r for r in got if r.frame.index == report.first_frame)
    assert (first.model, first.predicted) == ("new@2", False)
    assert any(r.predicted and r.model == "new@2" for r in got)
    assert [r.frame.index for r in got] == sorted({r.frame.index for r in got})


def test_a_model_that_breaks_on_its_detected_frames_is_taken_back():
    class Breaking(Walker):
        def detect(self, pixels):
            if len(self.looked_at) >= 18:
                raise ModelFailed("broke")
            return super().detect(pixels)

    report, got = swap_while_running(Breaking("new@2"), ByteTracker(30.0), watch_s=5)
    assert report.verdict is Verdict.ROLLED_BACK, report.sentence()
    assert got[-1].model == "old@1"
    assert [r.frame.index for r in got] == sorted({r.frame.index for r in got})


# Measured


def test_what_a_sequence_gives_is_what_the_loop_gives(tmp_path):
    """Found for the benchmark's accuracy: the same boxes as a file's loop publishes, whatever their score."""
    film(tmp_path / "clip.mp4", 12)

    class Unsure(Walker):
        def detect(self, pixels):
            self.looked_at.append(len(self.looked_at))
            found = boxes_at(3 * len(self.looked_at), score=0.9)
            return found if self.min_score > LEAST_SCORE else replace(found, scores=np.full(1, 0.05, np.float32))

    frame_set = FrameSet("clip", "clip.mp4", str(tmp_path / "clip.mp4"), 1, 12, fps=25.0)
    assert frame_set.in_sequence
    assert not replace(frame_set, step=2).in_sequence
    assert not FrameSet("files", "set").in_sequence
    detector = Unsure()
    found = find(detector, frame_set, 60.0, LEAST_SCORE, 3, FakeClock())
    assert (len(found), len(detector.looked_at)) == (12, 4)
    assert all(d.scores.tolist() == pytest.approx([0.05]) for d in found)
    assert detector.min_score == 0.3
    detector = Walker()
    steady = find(detector, frame_set, 60.0, None, 1, FakeClock())
    assert len(steady) == len(detector.looked_at) == 12


def test_a_contender_says_how_often_it_detects():
    plain = ContenderRecord(label="person@1, 1 thread", model="person@1", kind="compact")
    assert at_cadence(plain, 1) is plain
    sparing = at_cadence(plain, 2)
    assert (sparing.label, sparing.detect_every) == ("person@1, 1 thread, detect 1 of 2 frames", 2)


# The command line


def test_run_turns_the_tracker_on_and_says_which_frames_are_predicted(place):
    code, out, err = run_blobs(place, "--source", "clip.mp4", "--json", "-", "--detect-every", "2", "--frames", "20")
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [r["predicted"] for r in rows] == [False, True] * 10
    assert all((r["times_ms"]["infer"] == 0) == r["predicted"] for r in rows)
    assert all(d["track_id"] for r in rows[:2] for d in r["detections"])
    assert "detecting on 1 of 2 frames; on the others boxes are predicted" in err
    assert "20 frames (10 of them predicted)" in err


def test_run_refuses_what_cannot_be_and_says_where_nothing_comes_of_it(place):
    code, _, err = run_blobs(place, "--source", "clip.mp4", "--detect-every", "2", "--no-track")
    assert code == 2
    assert "--no-track leaves nothing that predicts boxes" in err
    code, out, err = run_blobs(place, "--source", "still", "--json", "-", "--detect-every", "2")
    assert code == 0
    assert '"predicted":true' not in out
    assert "--detect-every has no effect" in err
