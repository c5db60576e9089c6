"""The tracker by itself: identities, time, faults, cost. Against the library: test_track_parity.py."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from edgevision.errors import UsageError
from edgevision.interfaces import Tracker
from edgevision.tracking.bytetrack import ByteTracker
from edgevision.types import Detections
from tests.support.walk import FRAME_NS, judge, walk

PERSON, CAR = 0, 2
A, B = (100, 100, 160, 240), (500, 120, 560, 260)


def seen(*found) -> Detections:
    """Detections from (box, score) or (box, score, class)."""
    rows = [(*f, PERSON)[:3] for f in found]
    return Detections(
        np.array([r[0] for r in rows], np.float32).reshape(-1, 4),
        np.array([r[1] for r in rows], np.float32),
        np.array([r[2] for r in rows], np.int64),
    )


def follow(frames, tracker=None, at=None):
    """The track ids of each frame, frames 1/30 s apart or at the given frame numbers."""
    tracker = tracker or ByteTracker(30.0)
    at = range(len(frames)) if at is None else at
    return [tracker.update(seen(*f), round(k * FRAME_NS)).track_ids.tolist() for k, f in zip(at, frames, strict=True)]


CASES = {
    # name: (frames of (box, score[, class]), ids expected)
    "first frame counts at once, in the order given": ([[(A, 0.9), (B, 0.8)]], [[1, 2]]),
    "order of detections does not matter later": ([[(A, 0.9), (B, 0.8)], [(B, 0.9), (A, 0.8)]], [[1, 2], [2, 1]]),
    "a newcomer counts from its second frame": (
        [[(A, 0.9)], [(A, 0.9), (B, 0.9)], [(A, 0.9), (B, 0.9)]],
        [[1], [1, -1], [1, 2]],
    ),
    "a false box spends no identity": (
        [[(A, 0.9)], [(A, 0.9), ((800, 10, 900, 200), 0.9)], [(A, 0.9), (B, 0.9)], [(A, 0.9), (B, 0.9)]],
        [[1], [1, -1], [1, -1], [1, 2]],
    ),
    "below new_score nothing starts": ([[]] + [[(A, 0.59)]] * 3, [[], [-1], [-1], [-1]]),
    "a doubtful box continues a track": ([[(A, 0.9)], [(A, 0.2)], [(A, 0.11)], [(A, 0.9)]], [[1], [1], [1], [1]]),
    "a doubtful box starts none, and confirms none": (
        [[], [(A, 0.9)], [(A, 0.4)], [(A, 0.9)], [(A, 0.9)]],
        [[], [-1], [-1], [-1], [1]],
    ),
    "a doubtful box revives no lost track": ([[(A, 0.9)], [], [(A, 0.4)], [(A, 0.9)]], [[1], [], [-1], [1]]),
    "at or under low_score is not looked at": ([[(A, 0.9)], [(A, 0.1)]], [[1], [-1]]),
    "two cross: each keeps its own": (
        [
            [((100 + 12 * k, 100, 160 + 12 * k, 240), 0.9), ((400 - 12 * k, 110, 470 - 12 * k, 290), 0.8)]
            for k in range(25)
        ],
        [[1, 2]] * 25,
    ),
    "classes are kept apart, on the same spot": (
        [[(A, 0.9, PERSON), (A, 0.8, CAR)]] * 3,
        [[1, 2]] * 3,
    ),
    "a track never changes class": (
        [[(A, 0.9, PERSON)], [(A, 0.9, CAR)], [(A, 0.9, CAR)], [(A, 0.9, PERSON)]],
        [[1], [-1], [2], [1]],
    ),
    "boxes without area, inside out or no number": (
        [[(A, 0.9), ((5, 5, 5, 90), 0.9), ((9, 9, 3, 3), 0.9), ((np.nan, 1, 2, 3), 0.9), ((0, 0, np.inf, 9), 0.9)]] * 2,
        [[1, -1, -1, -1, -1]] * 2,
    ),
    "a score that is no number": ([[(A, 0.9), (B, np.nan)]] * 3, [[1, -1]] * 3),
    "empty frames": ([[], [], [(A, 0.9)], [(A, 0.9)], []], [[], [], [-1], [1], []]),
}


@pytest.mark.parametrize("name", CASES)
def test_cases(name):
    frames, expected = CASES[name]
    with np.errstate(all="raise"):
        assert follow(frames) == expected


def test_fulfils_the_contract():
    tracker: Tracker = ByteTracker()
    given_ = seen((A, 0.9), (B, 0.05), (B, 0.8))
    out = tracker.update(given_, 0)
    assert out.boxes is given_.boxes
    assert out.scores is given_.scores
    assert out.class_ids is given_.class_ids
    assert out.track_ids.tolist() == [1, -1, 2]
    assert given_.track_ids is None
    tracker.reset()
    assert tracker.update(given_, 0).track_ids.tolist() == [1, -1, 2]


@pytest.mark.parametrize(("min_hits", "expected"), [(1, [1, 1, 1, 1]), (2, [-1, 1, 1, 1]), (3, [-1, -1, 1, 1])])
def test_min_hits(min_hits, expected):
    frames = [[]] + [[(A, 0.9)]] * 4
    assert [i[0] for i in follow(frames, ByteTracker(min_hits=min_hits))[1:]] == expected


@pytest.mark.parametrize(("gap", "same"), [(2, True), (15, True), (30, True), (31, False), (300, False)])
@pytest.mark.parametrize("calls", ["empty frames come", "the source drops them"])
def test_kept_for_one_second_whether_frames_come_or_not(gap, same, calls):
    at = [0, 1, *(range(2, 1 + gap) if calls == "empty frames come" else ()), 1 + gap, 2 + gap]
    frames = [[(A, 0.9)] if k in (0, 1, 1 + gap, 2 + gap) else [] for k in at]
    assert follow(frames, at=at)[-1] == [1 if same else 2]


@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0])
def test_buffer_is_time_not_frames(fps):
    for gap_ms, expected in ((500, 1), (500 + 1000 / fps, -1)):
        tracker = ByteTracker(fps, buffer_s=0.5)
        at_ms = (0, 100, 100 + gap_ms)
        ids = [tracker.update(seen((A, 0.9)), round(t * 1e6)).track_ids.tolist() for t in at_ms]
        assert ids == [[1], [1], [expected]]


def test_the_last_frame_of_the_buffer_counts_though_times_jitter():
    for jitter_ns in (-3_000_000, 0, 1, 3_000_000):
        tracker = ByteTracker(30.0)
        tracker.update(seen((A, 0.9)), 0)
        for k in range(1, 30):
            tracker.update(seen(), round(k * FRAME_NS))
        assert tracker.update(seen((A, 0.9)), round(30 * FRAME_NS) + jitter_ns).track_ids.tolist() == [1]


def test_neighbouring_frames_of_a_slow_source_are_linked():
    tracker = ByteTracker(0.2)
    assert [tracker.update(seen((A, 0.9)), k * 5_000_000_000).track_ids.tolist() for k in range(3)] == [[1]] * 3


def test_velocity_is_carried_over_dropped_frames():
    # Two walk towards each other, and pass while five frames are dropped: 1 px a frame would not tell them apart,
    # one step of prediction instead of six would swap them.
    at = [*range(16), 22, 23]
    frames = [[((100 + 9 * k, 100, 160 + 9 * k, 240), 0.9), ((420 - 9 * k, 100, 480 - 9 * k, 240), 0.8)] for k in at]
    assert follow(frames, at=at)[-1] == [1, 2]
    assert follow(frames)[-1] == [2, 1], "the case is too easy: one step a call would do"


def test_time_going_back():
    tracker = ByteTracker()
    times_s = [10.0, 10.03, 9.9, 10.0, 10.0, 10.03]
    assert [tracker.update(seen((A, 0.9)), round(t * 1e9)).track_ids.tolist() for t in times_s] == [[1]] * 6
    # Further back than anything is remembered: another recording.
    assert [tracker.update(seen((A, 0.9)), round(t * 1e9)).track_ids.tolist() for t in (0.0, 0.03)] == [[-1], [2]]


def test_reset_for_a_model_with_other_classes():
    tracker = ByteTracker()
    follow([[(A, 0.9, 7)]] * 3, tracker)
    tracker.reset()
    assert follow([[(A, 0.9, 1)]] * 2, tracker) == [[1]] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"frame_rate_fps": 0.0},
        {"frame_rate_fps": float("nan")},
        {"high_score": 0.7},
        {"low_score": 0.55},
        {"new_score": 1.1},
        {"match_cost_limit": 0.0},
        {"buffer_s": -1.0},
        {"min_hits": 0},
    ],
)
def test_settings_that_cannot_be_meant(wrong):
    with pytest.raises(UsageError, match="expected"):
        ByteTracker(**wrong)


def test_random_faulty_input_never_breaks_it():
    rng = np.random.default_rng(5)
    tracker = ByteTracker()
    now = 0
    for _ in range(400):
        n = int(rng.integers(0, 12))
        boxes = rng.uniform(-50, 700, (n, 4)).astype(np.float32)
        boxes[:, 2:] = np.where(rng.random((n, 1)) < 0.7, boxes[:, :2] + rng.uniform(0, 300, (n, 2)), boxes[:, 2:])
        boxes[rng.random((n, 4)) < 0.02] = rng.choice([np.nan, np.inf, -np.inf, 3e38, 0])
        scores = rng.uniform(0, 1, n).astype(np.float32)
        now += int(
            rng.choice(
                [-(10**9), -(10**12), 0, 1, 10**6, 33_000_000, 10**9, 10**12, 10**17],
                p=[0.1] * 3 + [0.5 / 4] * 4 + [0.1] * 2,
            )
        )
        with np.errstate(all="raise", under="ignore"):
            out = tracker.update(Detections(boxes, scores, rng.integers(0, 3, n)), now)
        ids = out.track_ids[out.track_ids != -1]
        assert (ids > 0).all()
        assert len(set(ids.tolist())) == len(ids)
        assert np.isfinite(tracker._tracks.motion).all()


def test_time_awareness_helps_where_frames_are_dropped():
    """Against the same tracker told that every frame comes one period after the last (as a count of calls would)."""

    class Counting(ByteTracker):
        calls = 0

        def update(self, detections, captured_ns):
            self.calls += 1
            return super().update(detections, round(self.calls * FRAME_NS))

    figures = {}
    for drop in ("none", "every third missing", "half, at random"):
        aware, counting = [], []
        for seed in range(4):
            moments = walk(seed, frames=120, speed=1.5)
            kept = np.ones(len(moments), bool)
            if drop == "every third missing":
                kept[2::3] = False
            elif drop == "half, at random":
                kept = np.random.default_rng(seed).random(len(moments)) < 0.5
            aware.append(judge(ByteTracker(), moments, kept))
            counting.append(judge(Counting(), moments, kept))
        figures[drop] = [
            (float(np.mean([r.idf1 for r in runs])), sum(r.switches for r in runs)) for runs in (aware, counting)
        ]
    assert figures["none"][0] == figures["none"][1], figures
    for drop in ("every third missing", "half, at random"):
        (idf1, switches), (idf1_counting, switches_counting) = figures[drop]
        assert idf1 > idf1_counting, figures
        assert switches < switches_counting, figures


def test_three_hundred_detections():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 1500, (300, 2))
    boxes = np.hstack([corner, corner + rng.uniform(20, 200, (300, 2))]).astype(np.float32)
    found = Detections(boxes, rng.uniform(0.65, 1, 300).astype(np.float32), np.zeros(300, np.int64))
    tracker = ByteTracker()
    started = time.thread_time()
    ids = [tracker.update(found, round(k * FRAME_NS)).track_ids for k in range(10)]
    assert time.thread_time() - started < 5
    assert sorted(ids[0].tolist()) == list(range(1, 301))
    assert all((i == ids[0]).all() for i in ids)


def test_memory_is_bounded():
    rng = np.random.default_rng(1)
    tracker = ByteTracker()
    most = 0

    def run(updates: range) -> int:
        """Four objects are seen twice and never come back: the worst for what a tracker remembers."""
        nonlocal most
        for index in updates:
            if index % 2 == 0:
                corner = rng.uniform(0, 1e5, (4, 2))
                boxes = np.hstack([corner, corner + 50]).astype(np.float32)
                found = Detections(boxes, np.full(4, 0.9, np.float32), np.zeros(4, np.int64))
            tracker.update(found, round(index * FRAME_NS))
            most = max(most, len(tracker._tracks))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = run(range(400))
        late = run(range(400, 1200))
    finally:
        tracemalloc.stop()
    assert tracker._next_id == 1 + 4 * 600
    # Every second frame four new ones, each kept for 30 frames.
    assert most <= 4 * (30 / 2 + 2)
    assert late - early < 20_000
