"""A file, a step or a child that blocks for good blocks nobody else: not revert, not the next swap, not the end."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from edgevision.deployment.abandonable import Abandoned, abandonable
from edgevision.deployment.candidate import Candidate, CandidateFactory, PreloadCheck
from edgevision.deployment.report import Verdict
from edgevision.deployment.swapper import Swapper
from edgevision.errors import ModelError, ModelInvalid, ModelNotFound
from edgevision.pipeline.loop import Pipeline
from tests.support.models import CountingCamera
from tests.support.waiting import wait_for


class Model:
    """Finds nothing."""

    classes = ("person",)
    min_score = 0.3

    def __init__(self, name: str) -> None:
        self.name = name

    def detect(self, pixels: object) -> object:
        from edgevision.types import Detections

        return Detections.empty()


class Loop:
    """A pipeline that runs in a thread until the test ends."""

    def __init__(self) -> None:
        self._camera = CountingCamera()
        self.pipeline = Pipeline(self._camera, Model("old@1"))
        self._thread = threading.Thread(target=lambda: [None for _ in self.pipeline.results()], daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.pipeline.controls.quit()
        self._thread.join(5)
        self._camera.close()


@pytest.fixture
def loop():
    made = Loop()
    yield made.pipeline
    made.close()


def test_a_call_is_left_behind_when_it_is_stopped() -> None:
    stopped, never = threading.Event(), threading.Event()
    threading.Timer(0.1, stopped.set).start()
    with pytest.raises(Abandoned):
        abandonable(never.wait, stopped)
    never.set()
    assert abandonable(lambda: 7, threading.Event()) == 7
    with pytest.raises(TimeoutError, match="its own"):
        abandonable(lambda: (_ for _ in ()).throw(TimeoutError("its own")), threading.Event())


@pytest.mark.parametrize("step", ["manifest", "hash", "load", "golden"])
def test_revert_does_not_wait_for_a_blocked_step(step: str, loop: Pipeline) -> None:
    never = threading.Event()

    def blocked(*_: object) -> str:
        never.wait()
        return ""

    def find(name: str) -> Candidate:
        if name == "good@2":
            return Candidate(lambda: Model("good@2"))
        checks = (PreloadCheck(step, "", blocked),) if step in ("manifest", "hash") else ()
        load = (lambda: blocked() or Model(name)) if step == "load" else (lambda: Model(name))
        return Candidate(load, checks, blocked if step == "golden" else None)

    swapper = Swapper(loop, find)
    begun = swapper.start("stuck@2")
    wait_for(lambda: swapper.progress is not None and swapper.progress.doing == step)
    began = time.monotonic()
    report = swapper.revert()
    assert time.monotonic() - began < 2
    assert report.verdict is Verdict.REFUSED
    assert begun.result(1) is report
    assert [check.name for check in report.checks][-1] == "person"
    assert loop.detector.name == "old@1"
    assert swapper.start("good@2").result(30).new == "good@2", "the next swap is not held up"
    never.set()


@pytest.fixture(params=["pipe", "zero", "link to a pipe", "link to zero", "folder"])
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is no regular file, under a model's name."""
    path = tmp_path / "model.onnx"
    kind: str = request.param
    if kind == "folder":
        (path / "inner").mkdir(parents=True)
    else:
        target = Path("/dev/zero") if "zero" in kind else tmp_path / "pipe"
        if target.name == "pipe":
            os.mkfifo(target)
        path.symlink_to(target) if "link" in kind or target.name == "zero" else target.rename(path)
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_regular_file_is_refused_at_once(hostile: Path) -> None:
    began = time.monotonic()
    candidate = CandidateFactory().candidate(str(hostile))
    with pytest.raises(ModelError, match=r"regular file|no such file"):
        for step in candidate.before:
            step.look()
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("name", ["model.toml", "m.toml"])
def test_a_manifest_that_never_ends_is_refused_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x")
    (tmp_path / name).symlink_to("/dev/zero")
    look = CandidateFactory().candidate(str(tmp_path / "m.onnx")).before[0].look
    try:
        said = look()
    except ModelInvalid as exc:
        said = str(exc)
    assert "device" in said or "no manifest" in said


def test_this_process_reads_nothing_of_a_model_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(300 << 20)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail(f"{self} was read here"))
    manifest, hashed, probe = CandidateFactory().candidate(str(path)).before
    manifest.look()
    hashed.look()
    with pytest.raises(ModelInvalid):
        probe.look()


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"x")
    manifest, hashed, _ = CandidateFactory().candidate(str(path)).before
    manifest.look()
    path.unlink()
    with pytest.raises(ModelNotFound, match="no such file"):
        hashed.look()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no signals here")
def test_revert_does_not_wait_for_a_child_that_was_stopped(
    loop: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgevision import child_process

    made = child_process.start_child

    def stopped(*args: object, **kwargs: object) -> object:
        process = made(*args, **kwargs)  # type: ignore[arg-type]
        os.kill(process.pid, signal.SIGSTOP)
        return process

    monkeypatch.setattr(child_process, "start_child", stopped)
    (tmp_path / "m.onnx").write_bytes(b"x" * 100)
    swapper = Swapper(loop, CandidateFactory().candidate)
    swapper.start(str(tmp_path / "m.onnx"))
    wait_for(lambda: swapper.progress is not None and swapper.progress.doing == "hash")
    began = time.monotonic()
    assert swapper.revert().verdict is Verdict.REFUSED
    assert time.monotonic() - began < 2
