"""``edgevision swap`` as its users meet it: real apps, real processes, real files in a runtime folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest

from edgevision.capture import open_source
from edgevision.errors import EdgeVisionError
from edgevision.web import control_endpoint
from edgevision.web.control_client import App
from edgevision.web.discovery import RuntimeFile, running_apps, runtime_folders
from tests.support.models import blob_model
from tests.support.page import running_page
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and modes of POSIX")

QUICK = ("--shadow", "5", "--watch-seconds", "0.3", "--budget-ms", "2000")
HANG_S = 60


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with detectors of red blocks: two versions, one that sees green instead, one that is damaged."""
    folder = tmp_path_factory.mktemp("apps")
    blob_model(folder / "models" / "blobs")
    blob_model(folder / "models" / "better", name="better", version="2", nhwc_uint8=True)
    bad = blob_model(folder / "models" / "damaged", name="damaged")
    data = bytearray((bad / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 255
    (bad / "model.onnx").write_bytes(data)
    return folder


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A runtime folder of the test's own."""
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return folder / "edgevision"


def environment(runtime):
    dropped = {"DISPLAY", "WAYLAND_DISPLAY", "EDGEVISION_MODELS"}
    kept = {k: v for k, v in os.environ.items() if k not in dropped}
    # Reads of other runtime folders stay inside the test's too.
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1", "TMPDIR": str(runtime.parent.parent)}


class RunningApp:
    def __init__(self, place, runtime, *arguments):
        self.runtime, self.place = runtime, place
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgevision", "run", "--source", "scene://?size=320x240", *arguments],
            cwd=place,
            env=environment(runtime),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def file(self):
        return self.runtime / f"app-{self.process.pid}.json"

    def ready(self):
        deadline = time.monotonic() + HANG_S
        while not self.file.exists():
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return json.loads(self.file.read_text())

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=HANG_S)
        assert "Traceback" not in err, err
        return err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=HANG_S)


def swap(place, runtime, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "edgevision", "swap", *arguments],
        cwd=place,
        env=environment(runtime),
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_swapped_refused_reverted_and_told_in_one_running_app(place, runtime):
    results = place / "results.jsonl"
    with RunningApp(place, runtime, "--model", "blobs", "--display", "none", "--json", str(results)) as app:
        told = app.ready()
        assert stat.S_IMODE(app.file.stat().st_mode) == 0o600
        assert told["pid"] == app.process.pid
        assert told["model"] == "blobs@1"
        assert told["url"].startswith("http://127.0.0.1:")
        assert len(told["token"]) > 16

        code, out, _ = swap(place, runtime, "better", *QUICK, "--json")
        report = json.loads(out)
        assert (code, report["verdict"], report["new"]) == (0, "accepted", "better@2"), out
        assert [c["name"] for c in report["checks"]] == [
            *("manifest", "hash", "probe", "load", "warm-up", "golden", "latency", "shadow", "exchange", "watch")
        ]
        assert json.loads(app.file.read_text())["model"] == "better@2"

        code, out, _ = swap(place, runtime, "damaged", *QUICK)
        assert code == 4
        assert re.search(r"hash +failed +.*its SHA-256 is", out), out
        assert "refused by hash: better@2 serves" in out

        code, out, _ = swap(place, runtime, "blobs", *QUICK, "--dry-run")
        assert code == 0
        assert "passed: better@2 serves" in out

        code, out, _ = swap(place, runtime, "--revert")
        assert code == 0
        assert re.search(r"rolled back: blobs@1 serves since frame \d+", out), out
        code, out, _ = swap(place, runtime, "--history", "--json")
        assert [r["verdict"] for r in json.loads(out)] == ["accepted", "refused", "passed", "went back"]
        err = app.end()
        assert "swap: better@2 in place of blobs@1: accepted" in err
        assert not app.file.exists()

    lines = [json.loads(line) for line in results.read_text().splitlines()]
    models = [line["model"] for line in lines]
    first = next(k for k, line in enumerate(lines) if line["model"] == "better@2")
    assert lines[first]["frame"] == report["first_frame"]
    runs = [m for k, m in enumerate(models) if k == 0 or models[k - 1] != m]
    assert runs == ["blobs@1", "better@2", "blobs@1"]


def test_with_the_page_and_by_its_address(place, runtime):
    with RunningApp(place, runtime, "--model", "blobs", "--display", "browser") as app:
        told = app.ready()
        for to in (told["url"], f"{told['url']}/?token={told['token']}", told["url"].removeprefix("http://")):
            code, out, err = swap(place, runtime, "better", *QUICK, "--dry-run", "--to", to)
            assert code == 0, (out, err)
        code, _, err = swap(place, runtime, "better", "--to", f"{told['url']}/?token=wrong-wrong")
        assert (code, "wants its token" in err) == (2, True), err


def test_several_apps_are_named_and_one_is_asked_for(place, runtime):
    with (
        RunningApp(place, runtime, "--model", "blobs", "--display", "none") as one,
        RunningApp(place, runtime, "--model", "better", "--display", "none") as two,
    ):
        urls = [one.ready()["url"], two.ready()["url"]]
        code, _, err = swap(place, runtime, "better", *QUICK)
        assert code == 2
        assert re.search(r"2 apps run: .*blobs@1 on scene.*better@2 on scene.*say which with --to URL", err), err
        code, out, _ = swap(place, runtime, "better", *QUICK, "--dry-run", "--to", urls[0])
        assert code == 0, out
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(HANG_S)
        assert one.file.exists()
        code, out, _ = swap(place, runtime, "blobs", *QUICK, "--dry-run")
        assert code == 0, out
        assert "better@2 → blobs@1" in out
        assert not one.file.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["better"], r"no running `edgevision run` found on this machine: start one"),
        ([], r"expected one of: a model to swap in, --revert, --history"),
        (["better", "--revert"], r"expected one of"),
        (["better", "--force", "load"], r"force: expected one of golden"),
        (["better", "--min-ap", "0.5"], r"go together"),
        (["better", "--to", "ftp://x"], r"--to: expected an address"),
        (["better", "--to", "127.0.0.1:1"], r"no running `edgevision run` found at http://127.0.0.1:1"),
        (
            ["better", "--to", "http://127.0.0.1:1/?token=abcdefgh"],
            r"expected a running app to answer, got connection refused",
        ),
    ],
)
def test_what_cannot_be_meant_is_one_line(place, runtime, arguments, message):
    code, out, err = swap(place, runtime, *arguments)
    assert code in (1, 2)
    assert out == ""
    assert re.search(message, err), err
    assert len(err.strip().splitlines()) == 1


def test_an_app_that_wants_no_control_has_none(place, runtime):
    with RunningApp(place, runtime, "--model", "blobs", "--display", "none", "--no-control", "--seconds", "1.5") as app:
        _, err = app.process.communicate(timeout=HANG_S)
    assert app.process.returncode == 0, err
    assert not runtime.exists() or not list(runtime.iterdir())


def test_giving_up_waiting_says_that_the_swap_goes_on(place, runtime):
    with RunningApp(place, runtime, "--model", "blobs", "--display", "none") as app:
        told = app.ready()
        asked = App(told["url"], told["token"])
        waiting = subprocess.Popen(
            [sys.executable, "-m", "edgevision", "swap", "better", "--watch-seconds", "600", "--budget-ms", "2000"],
            cwd=place,
            env=environment(runtime),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + HANG_S
        while asked.ask("status")["swap"] is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=HANG_S)
        assert waiting.returncode == 130, err
        assert "the swap continues in the app" in err
        code, out, _ = swap(place, runtime, "--revert", "--json")
        report = json.loads(out)
        assert (code, report["serves"], report["checks"][-1]["name"]) == (4, "blobs@1", "person"), out


def test_a_watched_folder_is_swapped_in_when_another_model_stands_in_it(place, runtime, tmp_path):
    folder, results = blob_model(tmp_path / "watched"), tmp_path / "results.jsonl"
    arguments = ("--model", str(folder), "--watch", "--display", "none", "--json", str(results))
    with RunningApp(place, runtime, *arguments) as app:
        app.ready()
        half = blob_model(tmp_path / "new", nhwc_uint8=True)
        shutil.copy(half / "model.onnx", folder / "model.onnx")  # what its manifest does not mean yet
        line = said(app, "is not taken yet")
        assert "its SHA-256 is" in line
        shutil.copy(half / "model.toml", folder / "model.toml")
        line = said(app, "in place of")
        err = app.end()
    # Same name and version: told apart by the bytes.
    digits = hashlib.sha256((half / "model.onnx").read_bytes()).hexdigest()[:8]
    assert f"blobs@1+{digits} in place of blobs@1: " in line, line + err
    if "accepted" in line:
        assert {json.loads(x)["model"] for x in results.read_text().splitlines()} == {"blobs@1", f"blobs@1+{digits}"}


def said(app, words):
    """The first line on stderr with these words."""
    for line in app.process.stderr:
        if words in line:
            return line
    raise AssertionError(f"the app ended and never said {words!r}")


class TestRuntimeFolder:
    def test_a_folder_that_others_may_read_is_not_used(self, runtime, tmp_path):
        runtime.mkdir(mode=0o755)
        app = RuntimeFile("http://127.0.0.1:1", "a-secret", "scene://", "blobs@1")
        try:
            assert not list(runtime.iterdir())
            where = tmp_path / f"edgevision-{os.getuid()}"
            assert stat.S_IMODE(where.stat().st_mode) == 0o700
            assert [a.pid for a in running_apps()] == [os.getpid()]
        finally:
            app.remove()
        assert running_apps() == []

    def test_without_a_safe_place_it_is_said(self, runtime, tmp_path):
        for folder in runtime_folders():
            folder.parent.mkdir(exist_ok=True)
            folder.symlink_to(tmp_path)
        with pytest.raises(EdgeVisionError, match="name it with --to"):
            RuntimeFile("http://127.0.0.1:1", "a-secret", "scene://", "blobs@1")

    @pytest.mark.skipif(sys.platform != "linux", reason="counts ticks since boot on Linux only")
    @pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another"}])
    def test_another_process_with_the_same_number_is_not_the_app(self, runtime, change):
        app = RuntimeFile("http://127.0.0.1:1", "a-secret", "scene://", "blobs@1")
        path = runtime / f"app-{os.getpid()}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        assert running_apps() == []
        assert not path.exists()
        app.remove()

    @pytest.mark.skipif(sys.platform != "linux", reason="counts ticks since boot on Linux only")
    @pytest.mark.parametrize("earlier", [False, True], ids=["this version", "a file of an earlier version"])
    def test_a_clock_set_after_the_start_changes_nothing(self, runtime, earlier):
        """A Pi has no clock of its own: NTP sets it by years, minutes after the boot."""
        app = RuntimeFile("http://127.0.0.1:1", "a-secret", "scene://", "blobs@1")
        path = runtime / f"app-{os.getpid()}.json"
        values = json.loads(path.read_text())
        values["started_unix_s"] -= 3 * 365 * 86400
        if earlier:
            del values["start_ticks"], values["boot_id"]
        path.write_text(json.dumps(values))
        assert [a.pid for a in running_apps()] == [os.getpid()]
        assert path.exists()
        app.remove()

    def test_a_file_that_vanished_is_written_again(self, runtime):
        app = RuntimeFile("http://127.0.0.1:1", "a-secret", "scene://", "blobs@1")
        app.serves("other@2")
        path = runtime / f"app-{os.getpid()}.json"
        assert not app.restore()
        path.unlink()
        runtime.rmdir()
        assert app.restore()
        assert [(a.token, a.model) for a in running_apps()] == [("a-secret", "other@2")]
        app.remove()
        assert running_apps() == []

    def test_the_app_looks_after_its_file(self, runtime, monkeypatch):
        monkeypatch.setattr(control_endpoint, "_LOOK_EVERY_S", 0.02)
        path = runtime / f"app-{os.getpid()}.json"
        with open_source("scene://?size=96x64") as source, running_page(source) as running:
            with control_endpoint.ControlEndpoint(running.app, running.page):
                token = json.loads(path.read_text())["token"]
                path.unlink()
                wait_for(path.exists)
                assert json.loads(path.read_text())["token"] == token == running.page.token
            assert not path.exists()

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "url": 3}'])
    def test_what_cannot_be_read_is_no_app(self, runtime, text):
        runtime.mkdir(mode=0o700)
        path = runtime / "app-7.json"
        path.write_text(text)
        assert running_apps() == []
        assert path.exists()  # somebody may be writing it just now
        os.utime(path, (1, 1))
        assert running_apps() == []
        assert not path.exists()
