"""Child processes that answer requests: replies, errors, limits, and what becomes of a child that goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edgevision import errors
from edgevision.child_process import BadReply, ChildEnded, ChildProcess, NoReply, pack_error, unpack_error
from edgevision.errors import EdgeVisionError, MissingExtra, ModelFailed, ModelNotFound, UsageError
from tests.support.waiting import wait_for


@pytest.fixture
def child():
    with ChildProcess("tests.support.child") as process:
        yield process


def test_requests_are_answered_and_prints_do_not_garble_replies(child):
    child.wait_ready(60)
    for value in ("ü", [1, {"a": None}], 0.1, "x" * 100_000):
        assert child.ask({"do": "echo", "value": value}) == value


def test_an_error_of_ours_is_raised_here_as_it_was_there(child):
    with pytest.raises(ModelNotFound, match=r"^no model of that name$"):
        child.ask({"do": "refuse"})
    with pytest.raises(MissingExtra, match=r"--engine ray needs the package ray"):
        child.ask({"do": "extra"})
    with pytest.raises(ModelFailed, match=r"^KeyError: 'unknown'$"):
        child.ask({"do": "unknown"})
    assert child.ask({"do": "echo", "value": 1}) == 1


def test_a_child_that_dies_is_told_each_time(child):
    for _ in range(2):
        with pytest.raises(ChildEnded, match="signal 9") as caught:
            child.ask({"do": "die"})
        assert caught.value.code == -9


def test_a_reply_that_is_none_is_refused(child):
    with pytest.raises(BadReply, match="expected a reply in JSON, got b'no JSON"):
        child.ask({"do": "garble"})


def test_a_reply_that_does_not_come_is_given_up(child):
    child.wait_ready(60)
    looks = []
    began = time.monotonic()
    with pytest.raises(NoReply):
        child.ask({"do": "sleep"}, within_s=0.3, look=lambda: looks.append(1))
    assert time.monotonic() - began < 5
    assert looks


def test_a_look_may_end_the_wait(child):
    child.wait_ready(60)

    def look():
        raise UsageError("too large")

    with pytest.raises(UsageError, match="too large"):
        child.ask({"do": "sleep"}, within_s=60, look=look)


def test_it_is_gone_once_closed():
    child = ChildProcess("tests.support.child")
    child.wait_ready(60)
    process = psutil.Process(child.pid)
    child.close()
    child.close()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


PARENT = """from edgevision.child_process import ChildProcess
import sys, time
child = ChildProcess("tests.support.child")
child.wait_ready(60)
print(child.pid, flush=True)
child.ask({"do": "sleep"})"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_it_ends_soon_after_a_parent_that_was_killed_while_it_worked():
    root = Path(__file__).resolve().parents[1]
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=root)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_how_it_runs_is_as_asked():
    with ChildProcess("tests.support.child", environment={"CHILD_KEY": "v"}, niceness=3, own_session=True) as child:
        assert child.ask({"do": "facts"}) == {"nice": os.nice(0) + 3, "session": True, "key": "v"}
    with ChildProcess("tests.support.child", most_reply_bytes=100) as child, pytest.raises(BadReply):
        child.ask({"do": "echo", "value": "x" * 200})


def test_a_json_py_where_the_user_stands_is_not_taken(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('taken')")
    root = str(Path(__file__).resolve().parents[1])
    monkeypatch.setattr(sys, "path", [root, *(p for p in sys.path if p not in ("", root))])
    monkeypatch.chdir(tmp_path)
    with ChildProcess("tests.support.child") as child:
        assert child.ask({"do": "echo", "value": 1}) == 1


@pytest.mark.parametrize(
    "kind", [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, EdgeVisionError)]
)
def test_each_error_comes_through(kind):
    error = kind.__new__(kind)
    error.args = ("expected x, got y",)
    again = unpack_error(pack_error(error))
    assert (type(again), str(again), again.exit_code) == (kind, "expected x, got y", kind.exit_code)


def test_an_error_of_an_unknown_name_is_one_of_ours():
    for name in ("Popen", "annotations", "os", "__name__"):
        assert type(unpack_error({"error": name, "message": "m"})) is EdgeVisionError
