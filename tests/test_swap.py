"""A bad model never replaces a good one: swaps in a real running loop."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from edgevision.detections import Detections
from edgevision.errors import ModelFailed, ModelInvalid, UsageError
from edgevision.frame import Frame, SourceInfo
from edgevision.pipeline import Pipeline
from edgevision.stages import ContextManaged
from edgevision.swap import Gates, Swapper
from edgevision.swap_report import Verdict

QUICK = Gates(shadow_frames=15, watch_s=0.15, latency_runs=5, patience_s=5)


class Camera(ContextManaged):
    """200 frames a second until closed; pixels carry the frame's number."""

    def __init__(self):
        self.info = SourceInfo("camera", 64, 48, 30.0, True)
        self.trouble = None
        self._index = 0
        self._closed = threading.Event()

    def read(self):
        if self._closed.wait(0.005):
            return None
        pixels = np.full((48, 64, 3), self._index % 200, np.uint8)
        frame = Frame(pixels, self._index, time.monotonic_ns(), self.info)
        self._index += 1
        return frame

    def close(self):
        self._closed.set()


class Model:
    """Three boxes that move with the frame's number; ``loses`` of them are not found; may be slow or break."""

    classes = ("person",)
    min_score = 0.3

    def __init__(self, name, loses=0, slow_s=0.0, breaks_after=None, classes=("person",), floods=0):
        self.name, self.classes = name, classes
        self.calls = 0
        self._loses, self._slow_s, self._breaks_after, self._floods = loses, slow_s, breaks_after, floods

    def detect(self, pixels):
        self.calls += 1
        if self._slow_s:
            time.sleep(self._slow_s)
        if self._breaks_after is not None and self.calls > self._breaks_after:
            raise ModelFailed(f"{self.name} broke")
        x = float(pixels[0, 0, 0])
        rows = [[x + 30 * k, 10, x + 30 * k + 20, 30] for k in range(3 - self._loses)]
        rows += [[x + 300 + 9 * k, 50, x + 305 + 9 * k, 60] for k in range(self._floods)]
        n = len(rows)
        return Detections(np.array(rows, np.float32).reshape(-1, 4), np.full(n, 0.9, np.float32), np.zeros(n, np.int64))


@contextmanager
def running(first):
    """A loop in a thread; gives the pipeline and the list of (index, model, number of boxes, first x) it published."""
    seen = []
    camera = Camera()
    pipeline = Pipeline(camera, first)

    def loop():
        for result in pipeline.results():
            boxes = result.detections.boxes
            seen.append((result.frame.index, result.model, len(boxes), int(boxes[0, 0]) if len(boxes) else None))

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield pipeline, seen
    finally:
        pipeline.controls.quit()
        thread.join(5)
        camera.close()
        assert not thread.is_alive()
        assert [s[0] for s in seen] == sorted({s[0] for s in seen})
        assert all(x is None or x == index % 200 for index, _, _, x in seen), "a box of another frame"


def swapper(pipeline, *models, **options):
    table = {m.name: m for m in models}

    def load(name):
        if name not in table:
            raise ModelInvalid(f"{name}: not a model")
        return table[name]

    return Swapper(pipeline, load, **options)


def wait_for(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_good_model_is_accepted_and_serves():
    with running(Model("old@1")) as (pipeline, seen):
        report = swapper(pipeline, Model("new@2")).swap("new@2", QUICK)
        assert report.verdict is Verdict.ACCEPTED, report.sentence()
        assert [c.name for c in report.checks] == ["load", "latency", "shadow", "watch"]
        assert report.first_frame is not None
        wait_for(lambda: seen and seen[-1][1] == "new@2")
    first_new = next(index for index, model, *_ in seen if model == "new@2")
    assert first_new == report.first_frame
    assert all(model == ("old@1" if index < first_new else "new@2") for index, model, *_ in seen)


@pytest.mark.parametrize(
    ("bad", "gate"),
    [
        (Model("bad@2", loses=2), "shadow"),
        (Model("bad@2", floods=40), "shadow"),
        (Model("bad@2", slow_s=0.06), "latency"),
        (Model("bad@2", breaks_after=2), "load"),
        (Model("bad@2", breaks_after=12), "shadow"),
    ],
    ids=["loses boxes", "floods", "too slow", "breaks at once", "breaks in the shadow"],
)
def test_a_bad_model_never_serves(bad, gate):
    with running(Model("old@1")) as (pipeline, seen):
        report = swapper(pipeline, bad).swap("bad@2", QUICK)
        assert report.verdict is Verdict.REFUSED
        assert report.failed.name == gate
        assert f"refused by {gate}" in report.sentence()
        assert report.first_frame is None
        count = len(seen)
        wait_for(lambda: len(seen) > count + 5)
    assert {model for _, model, *_ in seen} == {"old@1"}


def test_what_cannot_be_loaded_is_a_verdict_not_a_crash():
    with running(Model("old@1")) as (pipeline, _):
        report = swapper(pipeline).swap("nonsense", QUICK)
        assert report.verdict is Verdict.REFUSED
        assert report.failed.figure == "nonsense: not a model"


def test_breaking_while_it_serves_goes_back_and_no_frame_is_without_a_result():
    with running(Model("old@1")) as (pipeline, seen):
        bad = Model("bad@2", breaks_after=3 + 5 + 15 + 4)
        report = swapper(pipeline, bad).swap("bad@2", QUICK)
        assert report.verdict is Verdict.REVERTED
        assert report.failed.figure == "bad@2 broke"
        count = len(seen)
        wait_for(lambda: len(seen) > count + 5)
        assert pipeline.detector.name == "old@1"
        assert pipeline.summary().dropped <= 5
    assert seen[-1][1] == "old@1"
    assert 1 <= sum(model == "bad@2" for _, model, *_ in seen) <= 4
    assert all(boxes == 3 for _, _, boxes, _ in seen)


def test_collapsing_while_it_serves_goes_back():
    class Collapsing(Model):
        def detect(self, pixels):
            self._loses = 3 if self.calls > 3 + 5 + 15 else 0
            return super().detect(pixels)

    with running(Model("old@1")) as (pipeline, seen):
        report = swapper(pipeline, Collapsing("bad@2")).swap("bad@2", QUICK)
        assert report.verdict is Verdict.REVERTED
        assert report.failed.name == "watch"
        count = len(seen)
        wait_for(lambda: len(seen) > count + 5)
    assert seen[-1][1] == "old@1"


def test_a_dry_run_checks_and_leaves_things_as_they_are():
    with running(Model("old@1")) as (pipeline, seen):
        report = swapper(pipeline, Model("new@2")).swap("new@2", Gates(shadow_frames=5, latency_runs=3, dry_run=True))
        assert report.verdict is Verdict.PASSED
    assert {model for _, model, *_ in seen} == {"old@1"}


def test_a_forced_gate_is_reported_and_passed():
    gates = Gates(shadow_frames=10, watch_s=0.1, latency_runs=3, force=frozenset({"shadow", "watch"}))
    with running(Model("old@1")) as (pipeline, _):
        report = swapper(pipeline, Model("bad@2", loses=2)).swap("bad@2", gates)
        assert report.verdict is Verdict.ACCEPTED
        assert [c.name for c in report.checks if c.forced] == ["shadow", "watch"]
    with pytest.raises(UsageError, match="force: expected one of latency, shadow, accuracy, watch, got load"):
        Gates(force=frozenset({"load"}))


def test_other_classes_cannot_be_compared_and_are_not_held_against_it():
    with running(Model("old@1")) as (pipeline, seen):
        report = swapper(pipeline, Model("face@1", classes=("face",), loses=2)).swap("face@1", QUICK)
        assert report.verdict is Verdict.ACCEPTED, report.sentence()
        assert "no class in common" in next(c for c in report.checks if c.name == "shadow").figure
        wait_for(lambda: seen[-1][1] == "face@1")


def test_accuracy_on_a_labelled_set_is_a_gate():
    with running(Model("old@1")) as (pipeline, _):
        gates = Gates(shadow_frames=3, watch_s=0.05, latency_runs=3, min_ap=0.5)
        assert swapper(pipeline, Model("n@2"), measure_ap=lambda d: 0.49).swap("n@2", gates).failed.name == "accuracy"
        assert swapper(pipeline, Model("n@2"), measure_ap=lambda d: 0.51).swap("n@2", gates).failed is None


def test_revert_and_history():
    with running(Model("old@1")) as (pipeline, seen):
        swaps = swapper(pipeline, Model("new@2"))
        with pytest.raises(UsageError, match="no model to go back to"):
            swaps.revert()
        swaps.swap("new@2", QUICK)
        assert swaps.revert() == "old@1"
        wait_for(lambda: seen[-1][1] == "old@1")
        assert swaps.revert() == "new@2"
        assert [r.new for r in swaps.history] == ["new@2"]


def test_two_at_once_are_not_possible():
    with running(Model("old@1")) as (pipeline, _):
        swaps = swapper(pipeline, Model("slow@2", slow_s=0.02))
        other = threading.Thread(target=lambda: swaps.swap("slow@2", QUICK))
        other.start()
        time.sleep(0.05)
        with pytest.raises(UsageError, match="another swap is under way"):
            swaps.swap("slow@2", QUICK)
        other.join(20)


def test_many_swaps_lose_no_frame_and_mix_no_versions():
    """60 swaps, a third of them to bad models: every result is whole, and of the version it claims."""
    gates = Gates(shadow_frames=4, watch_s=0.02, latency_runs=2, enough_boxes=3)
    with running(Model("a@1")) as (pipeline, seen):
        swaps = swapper(pipeline, Model("a@1"), Model("b@2"), Model("bad@3", loses=3))
        verdicts = [swaps.swap(name, gates).verdict for _ in range(20) for name in ("b@2", "bad@3", "a@1")]
        assert pipeline.summary().dropped <= len(seen) // 10
    assert verdicts.count(Verdict.ACCEPTED) == 40
    assert verdicts.count(Verdict.REFUSED) == 20
    assert all(boxes == 3 and model != "bad@3" for _, model, boxes, _ in seen)
