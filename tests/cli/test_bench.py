"""``edgevision bench`` end to end: real processes, a real little model, a real clip; and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec

import cv2
import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from edgevision.bench import read_run, write_run
from edgevision.bench.clips import BUNDLED
from edgevision.bench.contender import ContenderSpec, precision_of
from edgevision.bench.image_sets import labelled_set
from edgevision.bench.records import BenchRun
from edgevision.bench.schedule import Task
from edgevision.bench.summary import figures
from edgevision.bench.tuning import _out_of_the_race, choose, parse_budget_ms, tune_settings, write_defaults
from edgevision.bench.tuning_candidates import candidates, models_finding, ways
from edgevision.bench.worker_process import Worker
from edgevision.cli import app
from edgevision.cli.bench_contenders import contenders_of
from edgevision.cli.bench_options import BenchOptions
from edgevision.cli.defaults import run_defaults
from edgevision.errors import EdgeVisionError, MissingExtra, ModelFailed, ModelNotFound, UsageError
from tests.support.bench import CLIP, loop_block, run_of
from tests.support.models import blob_frame_pixels, blob_model
from tests.support.video import film


@pytest.fixture
def own(tmp_path, monkeypatch):
    """An empty store of one's own, with the blob model in it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("EDGEVISION_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    blob_model(tmp_path / "data/edgevision/models/blobs")
    return tmp_path


@pytest.fixture
def clip(own):
    return film(own / "clip.mp4", 30)


@pytest.fixture
def labelled(own):
    """Pictures with red blocks on the detector's grid, and their labels."""
    folder = own / "set"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for k in range(12):
        places = [(int(p) % 8, int(p) // 8) for p in rng.choice(64, 3, replace=False)]
        boxes = [(x * 16, y * 16, x * 16 + 16, y * 16 + 16) for x, y in places]
        cv2.imwrite(str(folder / f"{k:02d}.png"), blob_frame_pixels(128, 128, boxes))
        rows = [f"0 {(x + 0.5) / 8} {(y + 0.5) / 8} 0.125 0.125" for x, y in places]
        (folder / f"{k:02d}.txt").write_text("\n".join(rows))
    (folder / "classes.txt").write_text("blob\n")
    return folder


def invoke(*words):
    """Output of a command that succeeds; our own errors are raised."""
    got = CliRunner().invoke(app, ["bench", *map(str, words)])
    if got.exception is not None and not isinstance(got.exception, SystemExit):
        raise got.exception
    return got


def test_a_run_from_the_command_line_to_the_page(own, clip, labelled):
    out = own / "out"
    got = invoke("--model", "blobs", "--source", clip, "--data", labelled, "--frames", 12, "--out", out)
    assert got.exit_code == 0, got.output
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.md", "run.json"]
    run = read_run(out / "run.json")
    (contender,) = run.contenders
    assert contender.label.startswith("blobs@1 float, ")
    assert contender.provider == "CPUExecutionProvider"
    assert len(contender.sha256) == 64
    assert len(contender.cold_start_ns) == 3
    assert all(0.05e9 < t < 120e9 for t in contender.cold_start_ns)
    assert 20 < contender.peak_rss_mib < 4000
    assert run.clips[0].sha256 is not None
    alone, loop = figures(run)
    assert (alone.kind, loop.kind, loop.clip) == ("alone", "loop", "clip.mp4")
    assert alone.frames >= 12
    assert loop.frames >= 12
    assert alone.fps.has_interval
    (accuracy,) = run.accuracy
    assert accuracy.ap50 == pytest.approx(1.0)
    assert (accuracy.frames, accuracy.labels, accuracy.classes) == (12, 36, ("blob",))
    page = (out / "report.html").read_text()
    assert contender.label in page
    # The terminal tells the same numbers, within 80 columns.
    assert contender.label in got.output
    assert "1.000" in got.output
    for line in got.output.splitlines():
        if "fps [95" in line or line.startswith(("inference alone", "loop, ")):
            assert len(line) <= 80, line
    # And two files go through compare and report.
    same = invoke("compare", out / "run.json", out / "run.json")
    assert "cannot tell" in same.output
    invoke("report", out / "run.json", out / "run.json", "--out", own / "two")
    assert "B: blobs@1" in (own / "two/report.html").read_text()


def test_two_models_and_no_labels_agree_or_not(own, clip):
    blob_model(own / "data/edgevision/models/green", name="green", channel=1)
    out = own / "out"
    words = ("--model", "blobs", "--model", "green", "--threads", "1", "--source", clip, "--frames", 6, "--out", out)
    assert invoke(*words).exit_code == 0
    run = read_run(out / "run.json")
    assert [c.label for c in run.contenders] == ["blobs@1 float, 1 thread", "green@1 float, 1 thread"]
    assert run.accuracy == ()
    assert run.agreement[0].frames == 30
    rounds = {label: [b.round for s in run.series if s.contender == label for b in s.blocks] for label in
              (c.label for c in run.contenders)}  # fmt: skip
    assert rounds["blobs@1 float, 1 thread"] == rounds["green@1 float, 1 thread"]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("--model", "nobody"), ModelNotFound, "no model named 'nobody'"),
        (("--threads", "two"), UsageError, "--threads: expected numbers from 1 to 256"),
        (("--baseline", "gpt9"), UsageError, "no foundation model named 'gpt9'"),
        (("--source", "nothing.mp4"), EdgeVisionError, "nothing at 'nothing.mp4'"),
        (("--data", "nowhere"), UsageError, "expected a folder of labelled images, found nothing"),
        (("--sustained", "soon"), UsageError, "expected a time such as 90s"),
        (("--out", "file"), UsageError, "expected a folder to write into, found a file"),
        (("--display", "browser", "--source", "clip.mp4"), UsageError, "need --glass"),
        (("--glass", "--source", "clip.mp4"), UsageError, "needs a camera that sees the screen, and clip.mp4 is"),
        (("compare", "file", "file"), UsageError, "expected a benchmark's JSON"),
        (("report", "none.json"), UsageError, "no such file"),
        (("tune", "--budget-ms", "quick"), UsageError, "expected a time such as 33ms"),
    ],
)
def test_refusals_come_before_anything_is_measured(own, clip, words, error, said):
    (own / "file").write_text("hello")
    began = time.monotonic()
    with pytest.raises(error, match=said):
        invoke(*words)
    assert time.monotonic() - began < 60


def test_an_error_is_one_line_and_a_number(own):
    done = subprocess.run(
        [sys.executable, "-m", "edgevision", "bench", "--model", "nobody"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("edgevision: no model named 'nobody'")


def test_help_says_what_there_is():
    got = CliRunner().invoke(app, ["bench", "--help"], env={"COLUMNS": "200"})
    for word in ("compare", "report", "tune", "--baseline", "--sustained", "--glass", "--data", "--out"):
        assert word in got.output


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_shows_what_was_measured_so_far(own, clip):
    out = own / "out"
    words = ["--model", "blobs", "--source", str(clip), "--seconds", "10", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgevision", "bench", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "COLUMNS": "80"}, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    while not (line := process.stderr.readline()).startswith("edgevision: 20 %"):
        assert line, "it ended by itself"
    process.send_signal(signal.SIGINT)
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "interrupted" in shown
    assert read_run(out / "run.json").interrupted
    assert "Traceback" not in said


@pytest.mark.extra
def test_a_foundation_model_is_measured_beside_a_compact_one(own, clip):
    pytest.importorskip("transformers")
    out = own / "out"
    words = ("--model", "blobs", "--baseline", "dinov2", "--threads", 1, "--source", clip, "--frames", 3, "--out", out)
    got = invoke(*words)
    assert got.exit_code == 0, got.output
    compact, foundation = read_run(out / "run.json").contenders
    assert (foundation.kind, foundation.random_weights) == ("foundation", True)
    assert foundation.shown == "dinov2, 1 thread (random weights)"
    assert foundation.peak_rss_mib > compact.peak_rss_mib
    assert "random weights" in foundation.mode
    assert "times" in got.output


def test_without_the_extra_it_is_named(own, clip):
    if find_spec("torch") is not None:
        pytest.skip("torch is installed here")
    with pytest.raises(MissingExtra, match=r"pip install 'edgevision\[foundation\]'"):
        invoke("--model", "blobs", "--baseline", "owlv2", "--source", clip)


# A contender elsewhere


def test_errors_of_a_worker_are_raised_as_if_they_were_here(own, clip):
    with pytest.raises(ModelNotFound, match="no model named 'nobody'"):
        Worker(ContenderSpec("nobody"), str(clip))


def test_a_worker_that_dies_is_told(own, clip):
    worker = Worker(ContenderSpec("blobs"), str(clip))
    psutil.Process(worker._child.pid).kill()
    with pytest.raises(ModelFailed, match=r"blobs: its process ended with exit code -9 .*short of memory"):
        worker.run_loop(str(clip), 0.1, 3, 0)
    worker.close()


def test_a_worker_answers_and_ends(own, clip):
    worker = Worker(ContenderSpec("blobs", threads=1), str(clip))
    block = worker.run_loop(str(clip), 5.0, 4, 2)
    assert (block.round, block.indices) == (2, (0, 1, 2, 3))
    assert worker.run_loop(str(clip), 5.0, 4, 3).indices == (4, 5, 6, 7)
    assert worker.peak_rss_mib() > 20
    worker.close()
    assert not psutil.pid_exists(worker._child.pid)


def test_precision_is_read_from_the_graph(own):
    assert precision_of((own / "data/edgevision/models/blobs/model.onnx").read_bytes()) == "float"
    assert precision_of(b"...QLinearConv...") == "int8"


# Tuning


def test_every_way_to_share_the_cores():
    assert ways(1) == [(1, 1)]
    assert ways(2) == [(1, 1), (2, 1), (1, 2)]
    assert (4, 1) in ways(4)


def test_a_float_twin_is_a_candidate(own):
    assert {w.model for w in candidates(["blobs"], 1)} == {"blobs"}
    blob_model(own / "data/edgevision/models/blobs-float", name="blobs-float")
    found = candidates(["blobs"], 2)
    assert {w.model for w in found} == {"blobs", "blobs-float"}
    assert len(found) == 6
    assert all(w.side_px is None for w in found)  # the graph fixes its size


def test_tuning_considers_every_model_that_finds_what_is_asked_for(own):
    blob_model(own / "data/edgevision/models/other", name="other")
    blob_model(own / "data/edgevision/models/other-float", name="other-float")
    assert models_finding(["blob"]) == ["blobs", "other"]  # float twins are candidates by themselves
    assert models_finding(["blob", "car"]) == []
    assert set(models_finding(["person"])) >= {"person", "person-tiny", "hardhat"}


def test_a_setting_well_over_the_budget_leaves_the_race():
    spec = ContenderSpec("blobs")
    slow, fast = (Task(None, name, "loop", "clip", CLIP) for name in ("slow", "fast"))
    for number in range(3):
        slow.blocks.append(loop_block(number, [100.0] * 20))
        fast.blocks.append(loop_block(number, [10.0] * 20))
    labels = {"slow": spec, "fast": spec}
    assert _out_of_the_race(labels, 33.0, [slow, fast]) == {"slow"}
    assert _out_of_the_race({"slow": replace(spec, detect_every=3), "fast": spec}, 33.0, [slow, fast]) == set()


def test_bench_measures_each_engine_that_is_named(own):
    options = BenchOptions(model=["blobs"], engine="onnxruntime, auto", baseline=["none"])
    specs, _ = contenders_of(options)
    assert [spec.engine for spec in specs] == ["onnxruntime", "auto"]
    with pytest.raises(UsageError, match="expected one of auto, onnxruntime"):
        contenders_of(BenchOptions(model=["blobs"], engine="onnx"))


@pytest.mark.parametrize(("text", "ms"), [("33ms", 33), ("0.05s", 50), ("30fps", 1000 / 30), ("25", 25)])
def test_budgets(text, ms):
    assert parse_budget_ms(text) == pytest.approx(ms)


def tuned(run: BenchRun, budget_ms=33.0):
    return choose(run, {c.label: ContenderSpec(c.label, threads=1) for c in run.contenders}, budget_ms)


def test_the_most_accurate_that_holds_is_chosen():
    run = run_of({"quick": 4.0, "good": 20.0, "best": 50.0}, accuracy={"quick": 0.4, "good": 0.6, "best": 0.8})
    found = tuned(run)
    assert [(t.contender, t.verdict) for t in found.tried] == [
        ("good", "holds"),
        ("quick", "holds"),
        ("best", "misses"),
    ]
    assert found.best.command == "edgevision run --model good --threads 1 --workers 1"
    assert tuned(run, 60.0).best.contender == "best"


def test_where_accuracy_is_the_same_the_faster_is_chosen():
    run = run_of({"slow": 20.0, "quick": 4.0}, accuracy={"slow": 0.6, "quick": 0.6})
    assert tuned(run).best.contender == "quick"


def test_of_settings_that_cannot_be_told_apart_the_smaller_is_chosen():
    run = run_of({"two": 9.99, "one": 10.0, "four": 9.98}, accuracy={"one": 0.6, "two": 0.6, "four": 0.6})
    threads = {"one": 1, "two": 2, "four": 4}
    found = choose(run, {label: ContenderSpec(label, threads=n) for label, n in threads.items()}, 33.0)
    assert found.best.contender == "one"


def test_without_labels_the_fastest_is_named_and_that_is_said():
    found = tuned(run_of({"slow": 20.0, "quick": 4.0}))
    assert found.best.contender == "quick"
    assert any("no labels" in note for note in found.notes)


def test_nothing_that_holds_is_no_choice():
    assert tuned(run_of({"slow": 200.0})).best is None


def test_accuracies_that_cannot_be_told_apart_are_said():
    found = tuned(run_of({"a": 20.0, "b": 4.0}, accuracy={"a": 0.61, "b": 0.60}))
    assert any("is within the interval of b" in note for note in found.notes)


def sparing(run: BenchRun, every: dict[str, int], budget_ms=33.0):
    return choose(
        run, {c.label: ContenderSpec("m", threads=1, detect_every=every[c.label]) for c in run.contenders}, budget_ms
    )


def uneven(run: BenchRun, label: str, every: int, detected_ms: float, between_ms: float) -> BenchRun:
    """The run, with a loop of that contender which detects on one of ``every`` frames."""
    periods = [between_ms if k % every else detected_ms for k in range(31)]
    blocks = tuple(loop_block(k, periods) for k in range(8))
    series = tuple(
        s.model_copy(update={"blocks": blocks}) if (s.contender, s.kind) == (label, "loop") else s for s in run.series
    )
    return run.model_copy(update={"series": series})


def test_each_frame_is_detected_where_that_holds():
    every = {"each": 1, "second": 2, "third": 3}
    run = run_of({"each": 20.0, "second": 11.0, "third": 7.0}, accuracy={"each": 0.60, "second": 0.61, "third": 0.5})
    found = sparing(run, every)
    # What prediction seems to gain on a clip is chance: it never counts as better than detecting.
    assert [t.label for t in found.tried] == ["each", "second", "third"]
    assert found.tried[1].ap50 == 0.61
    assert found.best.command == "edgevision run --model m --threads 1 --workers 1"
    assert any("is within the interval of m detecting on 1 of 2 frames" in note for note in found.notes)


def test_where_only_sparing_frames_holds_it_is_named_with_its_own_accuracy(own):
    every = {"each": 1, "second": 2}
    run = run_of({"each": 50.0, "second": 30.0}, accuracy={"each": 0.60, "second": 0.57})
    found = sparing(uneven(run, "second", 2, detected_ms=50.0, between_ms=10.0), every)
    assert [(t.label, t.verdict, t.ap50) for t in found.tried] == [
        ("second", "holds", 0.57),
        ("each", "misses", 0.60),
    ]
    # The mean of two frames in a row is held against the budget, and what a single one takes is told.
    assert found.best.p95_ms.value == pytest.approx(27.0, rel=0.01)
    assert found.best.frame_p95_ms.value == pytest.approx(45.0, rel=0.01)
    assert any("a frame takes 45" in note and "mean of N frames in a row" in note for note in found.notes)
    assert found.best.command == "edgevision run --model m --threads 1 --workers 1 --detect-every 2"
    path = write_defaults(found.best)
    assert "detect_every = 2" in path.read_text()
    assert run_defaults([]) == found.best.options


def test_without_known_accuracy_most_frames_are_detected():
    every = {"third": 3, "each": 1, "second": 2}
    found = sparing(run_of({"third": 4.0, "each": 10.0, "second": 6.0}), every)
    assert [t.label for t in found.tried] == ["each", "second", "third"]
    assert all(t.ap50 is None for t in found.tried)
    assert any("no labels" in note and "detect on most frames" in note for note in found.notes)


def test_figures_on_other_pictures_are_not_compared():
    """--data has no accuracy of predicted frames; the source may, but on pictures of its own."""
    every = {"each": 1, "second": 2}
    run = run_of({"each": 20.0, "second": 11.0}, accuracy={"each": 0.5, "second": 0.9})
    first, second = run.accuracy
    mixed = (first.model_copy(update={"data": "labelled"}), first, second)
    found = sparing(run.model_copy(update={"accuracy": mixed}), every)
    assert [(t.label, t.ap50) for t in found.tried] == [("each", 0.5), ("second", None)]
    assert any("not known from these labels" in note for note in found.notes)


def test_a_sequence_is_each_frame_with_its_own_truth():
    apart, truth_apart = labelled_set(str(BUNDLED))
    known = labelled_set(str(BUNDLED), sequence=True)
    assert known is not None
    frame_set, truth = known
    assert (apart.step, frame_set.step, frame_set.frames) == (3, 1, 300)
    assert frame_set.in_sequence
    assert [b.boxes.tolist() for b in truth.boxes[::3]] == [b.boxes.tolist() for b in truth_apart.boxes]
    scene, there = labelled_set("scene://?people=1&size=64x64&frames=20&live=0", sequence=True)
    assert (scene.step, scene.frames, len(there.boxes)) == (1, 20, 20)
    assert len(list(scene.pictures())) == 20


def test_tuning_on_labels_in_sequence_and_on_pictures(own, clip, labelled):
    found = tune_settings(["blobs"], 500.0, source="scene://?people=2&size=96x96&frames=24&live=0", seconds=0.3)
    assert {t.wanted.detect_every for t in found.tried} == {1, 2, 3}
    assert all(t.ap50 is None for t in found.tried)  # it knows no people
    pictures = tune_settings(["blobs"], 500.0, source=str(labelled), seconds=0.3)
    assert {t.wanted.detect_every for t in pictures.tried} == {1}
    assert any("images in a folder have no capture times" in note for note in pictures.notes)


def test_tuning_for_real(own, clip, labelled):
    found = tune_settings(["blobs"], 500.0, source=str(clip), data=labelled, seconds=0.4)
    assert found.best is not None
    assert found.best.ap50 == pytest.approx(1.0)
    # The folder's images are not consecutive: they cannot rate boxes that are predicted between detections.
    assert {t.wanted.detect_every for t in found.tried} == {1, 2, 3}
    assert all(t.ap50 == (1.0 if t.wanted.detect_every == 1 else None) for t in found.tried)
    assert any("its images are not consecutive frames" in note for note in found.notes)
    assert any("named only where nothing else holds" in note for note in found.notes)
    assert found.best.wanted.detect_every == 1
    assert all(len({t.label for t in found.tried if t.wanted.threads == n}) % 3 == 0 for n in (1, 2))
    write_defaults(found.best)
    assert run_defaults([]) == found.best.options
    assert run_defaults(["--model", "other"]) == {}
    # And run does it.
    done = subprocess.run(
        [sys.executable, "-m", "edgevision", "run", "--source", str(clip), "--display", "none", "--frames", "3"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "edgevision: --model blobs --threads" in done.stderr
    assert "edgevision: blobs@1 on" in done.stderr


@pytest.mark.parametrize("text", ["model = 3", "speed = 1", "threads = true", "model"])
def test_defaults_that_are_none_are_refused(own, text):
    (own / "data/edgevision/run.toml").write_text(text)
    with pytest.raises(UsageError, match=r"run.toml: .*correct or remove it"):
        run_defaults([])


def test_figures_of_the_file_are_those_of_the_run(own):
    run = run_of({"small": 5.0})
    write_run(run, own / "run.json", [f.as_json() for f in figures(run)])
    told = json.loads((own / "run.json").read_text())["figures"]
    assert [f["clip"] for f in told] == [CLIP.name, CLIP.name]
