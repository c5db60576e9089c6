"""A bad model never replaces a good one: swaps in a real running loop."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest

from edgevision.deployment.app import App
from edgevision.deployment.candidate import Candidate, PreloadCheck
from edgevision.deployment.gates import Gates
from edgevision.deployment.report import Verdict
from edgevision.deployment.swapper import Swapper
from edgevision.errors import ModelFailed, ModelInvalid, UsageError
from edgevision.pipeline.loop import Pipeline
from edgevision.types import Detections
from tests.support.models import CountingCamera
from tests.support.waiting import wait_for

QUICK = Gates(shadow_frames=15, watch_s=0.15, latency_runs=5, patience_s=5)


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
    camera = CountingCamera()
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


def swapper(pipeline, *models, told=None, **candidate):
    table = {m.name: m for m in models}

    def load(name):
        if name not in table:
            raise ModelInvalid(f"{name}: not a model")
        return table[name]

    return Swapper(pipeline, lambda name: Candidate(lambda: load(name), **candidate), told=told)


def test_a_good_model_is_accepted_and_serves():
    with running(Model("old@1")) as (pipeline, seen):
        report = swapper(pipeline, Model("new@2")).swap("new@2", QUICK)
        assert report.verdict is Verdict.ACCEPTED, report.sentence()
        assert [c.name for c in report.checks] == ["load", "warm-up", "latency", "shadow", "exchange", "watch"]
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
        (Model("bad@2", breaks_after=2), "warm-up"),
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


def test_a_failure_while_serving_rolls_back_and_no_frame_lacks_a_result():
    with running(Model("old@1")) as (pipeline, seen):
        bad = Model("bad@2", breaks_after=3 + 5 + 15 + 4)
        report = swapper(pipeline, bad).swap("bad@2", QUICK)
        assert report.verdict is Verdict.ROLLED_BACK
        assert report.failed.figure == "bad@2 broke"
        count = len(seen)
        wait_for(lambda: len(seen) > count + 5)
        assert pipeline.detector.name == "old@1"
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
        assert report.verdict is Verdict.ROLLED_BACK
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
    with pytest.raises(UsageError, match="force: expected one of golden, latency, shadow, accuracy, watch, got load"):
        Gates(force=frozenset({"load"}))


def test_other_classes_cannot_be_compared_and_are_not_held_against_it():
    with running(Model("old@1")) as (pipeline, seen):
        report = swapper(pipeline, Model("face@1", classes=("face",), loses=2)).swap("face@1", QUICK)
        assert report.verdict is Verdict.ACCEPTED, report.sentence()
        assert "no class in common" in next(c for c in report.checks if c.name == "shadow").figure
        wait_for(lambda: seen[-1][1] == "face@1")


def test_accuracy_on_a_labelled_set_is_a_gate():
    gates = Gates(shadow_frames=3, watch_s=0.05, latency_runs=3, min_ap=0.5, data="labelled")
    asked = []

    def measured(ap):
        def measure(detector, folder, rest):
            rest(0.001)
            asked.append((detector.name, folder))
            return ap, "on 9 pictures"

        return measure

    with running(Model("old@1")) as (pipeline, _):
        report = swapper(pipeline, Model("n@2"), measure_ap=measured(0.49)).swap("n@2", gates)
        assert (report.failed.name, report.failed.figure) == ("accuracy", "AP50 0.490 on 9 pictures")
        assert swapper(pipeline, Model("n@2"), measure_ap=measured(0.51)).swap("n@2", gates).failed is None
    assert asked == [("n@2", "labelled")] * 2
    for half in ({"min_ap": 0.5}, {"data": "labelled"}):
        with pytest.raises(UsageError, match="go together"):
            Gates(**half)


def test_the_report_lists_checks_before_and_after_loading_in_order():
    loaded = []

    def look(name, figure=None):
        def see():
            assert not loaded
            if figure is None:
                raise ModelInvalid("a byte is wrong")
            return figure

        return PreloadCheck(name, "right", see)

    def golden(detector):
        loaded.append(detector.name)
        return "3 of 3"

    with running(Model("old@1")) as (pipeline, _):
        new, before = Model("new@2"), (look("manifest", "fine"), look("hash", "ab12"))
        report = swapper(pipeline, new, before=before, golden=golden).swap("new@2", QUICK)
        assert report.verdict is Verdict.ACCEPTED, report.sentence()
        names = ["manifest", "hash", "load", "warm-up", "golden", "latency", "shadow", "exchange", "watch"]
        assert [c.name for c in report.checks] == names
        assert [c.figure for c in report.checks if c.name in ("hash", "golden")] == ["ab12", "3 of 3"]
        assert loaded == ["new@2"]
        loaded.clear()
        third = Model("third@3")
        report = swapper(pipeline, third, before=(look("hash"), look("probe", "fine"))).swap("third@3", QUICK)
        assert (report.verdict, report.failed.name, report.failed.figure) == (
            Verdict.REFUSED,
            "hash",
            "a byte is wrong",
        )
        assert third.calls == 0


def test_progress_tells_each_check_as_it_ends():
    heard = []
    with running(Model("old@1")) as (pipeline, _):
        report = swapper(pipeline, Model("new@2"), told=heard.append).swap("new@2", QUICK)
    assert heard[-1].report is report
    assert [p.doing for p in heard if p.report is None and len(p.checks) == 2] == ["warm-up", "latency"]
    assert all(a.checks == b.checks[: len(a.checks)] for a, b in pairwise(heard))


def test_a_model_of_the_same_name_is_refused_since_results_could_not_tell():
    with running(Model("old@1")) as (pipeline, _):
        report = swapper(pipeline, Model("old@1")).swap("old@1", QUICK)
        assert report.failed.figure == "old@1 serves already"


def test_a_foreign_error_is_a_verdict_and_the_old_model_goes_on():
    class Foreign(Model):
        def detect(self, pixels):
            if self.calls > 3:
                raise ZeroDivisionError("in somebody's library")
            return super().detect(pixels)

    with running(Model("old@1")) as (pipeline, seen):
        report = swapper(pipeline, Foreign("bad@2")).swap("bad@2", QUICK)
        assert (report.verdict, report.failed.name) == (Verdict.REFUSED, "latency")
        assert "ZeroDivisionError" in report.failed.figure
        count = len(seen)
        wait_for(lambda: len(seen) > count + 3)


def test_the_end_of_the_loop_ends_a_swap():
    with running(Model("old@1")) as (pipeline, _):
        done = swapper(pipeline, Model("new@2")).start("new@2", Gates(shadow_frames=100_000))
        time.sleep(0.1)
        pipeline.controls.quit()
        report = done.result(5)
    assert report.verdict is Verdict.REFUSED
    assert report.failed.name in ("frames", "person")


def test_who_waits_in_the_loops_own_thread_is_told():
    camera = CountingCamera()
    pipeline = Pipeline(camera, Model("old@1"))
    swaps = swapper(pipeline, Model("new@2"))
    app = App(pipeline, swaps)
    done = None
    for count, result in enumerate(app):
        if count == 3:
            with pytest.raises(UsageError, match="use start_swap"):
                app.swap("new@2", QUICK)
            with pytest.raises(UsageError, match="from another thread"):
                swaps.revert()
            done = app.start_swap("new@2", QUICK)
        if result.model == "new@2" and done.done():
            break
    camera.close()
    assert done.result().verdict is Verdict.ACCEPTED


def test_revert_and_history():
    with running(Model("old@1")) as (pipeline, seen):
        swaps = swapper(pipeline, Model("new@2"))
        with pytest.raises(UsageError, match="no previous model"):
            swaps.revert()
        swaps.swap("new@2", QUICK)
        back = swaps.revert()
        assert (back.old, back.new, back.verdict) == ("new@2", "old@1", Verdict.ROLLED_BACK_BY_USER)
        wait_for(lambda: seen[-1][1] == "old@1")
        assert swaps.revert().serves == "new@2"
        assert [(r.number, r.new) for r in swaps.history] == [(1, "new@2"), (2, "old@1"), (3, "new@2")]
        assert swaps.report(2) is back
    first_back = next(index for index, model, *_ in seen if index > swaps.history[0].first_frame and model == "old@1")
    assert back.first_frame == first_back


@pytest.mark.parametrize("in_watch", [False, True])
def test_a_person_may_stop_a_swap(in_watch):
    heard = []
    with running(Model("old@1")) as (pipeline, seen):
        swaps = swapper(pipeline, Model("new@2"), told=heard.append)
        swaps.start("new@2", Gates(shadow_frames=3 if in_watch else 100_000, latency_runs=3, watch_s=600))
        wait_for(lambda: heard and heard[-1].doing == ("watch" if in_watch else "shadow"))
        report = swaps.revert()
        assert report.verdict is (Verdict.ROLLED_BACK if in_watch else Verdict.REFUSED)
        assert report.failed.name == "person"
        count = len(seen)
        wait_for(lambda: len(seen) > count + 3 and seen[-1][1] == "old@1")


def test_two_at_once_are_not_possible():
    with running(Model("old@1")) as (pipeline, _):
        swaps = swapper(pipeline, Model("slow@2", slow_s=0.02))
        other = threading.Thread(target=lambda: swaps.swap("slow@2", QUICK))
        other.start()
        time.sleep(0.05)
        with pytest.raises(UsageError, match="another swap is running"):
            swaps.swap("slow@2", QUICK)
        other.join(20)


def test_reports_are_kept_but_not_for_ever():
    with running(Model("old@1")) as (pipeline, _):
        swaps = swapper(pipeline)
        for _ in range(210):
            swaps.swap("nonsense", QUICK)
        assert [r.number for r in swaps.history] == list(range(11, 211))


def test_many_swaps_lose_no_frame_and_mix_no_versions():
    """60 swaps, a third of them to bad models: every result is whole, and of the version it claims."""
    gates = Gates(budget_ms=5000, shadow_frames=4, watch_s=0.02, latency_runs=2, enough_boxes=3)
    with running(Model("a@1")) as (pipeline, seen):
        swaps = swapper(pipeline, Model("a@1"), Model("b@2"), Model("bad@3", loses=3))
        verdicts = [swaps.swap(name, gates).verdict for _ in range(20) for name in ("b@2", "bad@3", "a@1")]
    assert verdicts.count(Verdict.ACCEPTED) == 40
    assert verdicts.count(Verdict.REFUSED) == 20
    assert all(boxes == 3 and model != "bad@3" for _, model, boxes, _ in seen)
