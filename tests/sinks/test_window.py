"""The window: real ones, on a display that these tests start (Xvfb), pressed with real keys (xdotool)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.errors import SinkError
from edgevision.interfaces import Controls
from edgevision.sinks import window
from edgevision.sinks.window import WindowSink, why_no_window
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]

display = pytest.mark.display
needs_x = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="Xvfb or xdotool is not installed"
)


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An X server; gives the file in which its screen can be read (XWD). ``DISPLAY`` is in ``environment``."""
    folder = tmp_path_factory.mktemp("screen")
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1400x900x24",
            "-fbdir",
            str(folder),
            "-nolisten",
            "tcp",
            "-noreset",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        number = server.stdout.readline().strip()
        assert number, "Xvfb did not start"
        (folder / "display").write_text(f":{number}")
        yield folder / "Xvfb_screen0"
    finally:
        server.terminate()
        server.wait(5)
        server.stdout.close()


def environment(screen: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    return {**kept, "DISPLAY": (screen.parent / "display").read_text(), "PYTHONPATH": str(ROOT), **more}


def pixels_on(screen: Path) -> np.ndarray:
    """What is on the screen, (H, W, 3) BGR, out of the server's own frame buffer."""
    data = np.fromfile(screen, np.uint8)
    header = data[:100].view(">u4")
    colours, line_bytes, height_px, width_px = int(header[19]), int(header[12]), int(header[5]), int(header[4])
    start = int(header[0]) + 12 * colours
    rows = data[start : start + line_bytes * height_px].reshape(height_px, line_bytes)
    return rows[:, : width_px * 4].reshape(height_px, width_px, 4)[..., :3]


def count_of(screen: Path, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels_on(screen).astype(int) - colour).max(axis=2) <= 6).sum())


@contextlib.contextmanager
def shown(screen: Path) -> Iterator[subprocess.Popen[str]]:
    """A loop with a window in a process of its own, that says on its output what was asked of it.

    It has lost its camera while the file ``lost`` lies beside the screen's.
    """
    lost = screen.with_name("lost")
    lost.unlink(missing_ok=True)
    code = f"""
import json, sys, time
from pathlib import Path
import numpy as np
from edgevision.interfaces import Controls
from edgevision.sinks.window import WindowSink
from tests.support.display import *
controls, lost = Controls(), Path({str(lost)!r})
pixels = np.full((360, 640, 3), (180, 60, 20), np.uint8)
with WindowSink(controls) as sink:
    print(json.dumps("open"), flush=True)
    index, paused, renderer = 0, False, Renderer()
    while not controls.quitting:
        if controls.paused != paused:
            paused = controls.paused
            print(json.dumps("paused" if paused else "resumed"), flush=True)
        if controls.take_snapshot_request():
            print(json.dumps("snapshot"), flush=True)
        if paused:
            sink.notice(PAUSED)
        elif lost.exists():
            sink.notice(LOST)
        else:
            show(sink, result_of(index, [(20, 40, 300, 300)], pixels=pixels.copy()), renderer=renderer)
            index += 1
        time.sleep(0.02)
    print(json.dumps("quit"), flush=True)
"""
    child = started(screen, code)
    try:
        yield child
    finally:
        stopped(child)


def started(screen: Path, code: str) -> subprocess.Popen[str]:
    """The child, once its window has been painted.

    OpenCV's Qt windows now and then never paint on a screen that has no window manager, when the machine is busy: bare
    ``namedWindow``, ``imshow``, ``waitKey`` does so too. That is not what is tested here, so it is tried again.
    """
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", code], env=environment(screen), cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == '"open"\n'
            end = time.monotonic() + 5
            while time.monotonic() < end:
                if count_of(screen, (180, 60, 20)) > 50_000:
                    return child
                time.sleep(0.05)
        except BaseException:
            stopped(child)
            raise
        stopped(child)
    pytest.fail("no picture was seen in four windows")


def stopped(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait(5)
    assert child.stdout is not None
    child.stdout.close()


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return str(json.loads(child.stdout.readline()))


CLICK_THE_X = """
import ctypes, subprocess
# The message that a window manager sends when its X is clicked; there is no manager here.
class Message(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("sent", ctypes.c_int), ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong), ("kind", ctypes.c_ulong), ("format", ctypes.c_int), ("data", ctypes.c_long * 5),
    ]
class Event(ctypes.Union):
    _fields_ = [("message", Message), ("room", ctypes.c_long * 24)]
x = ctypes.CDLL("libX11.so.6")
x.XOpenDisplay.restype = x.XInternAtom.restype = ctypes.c_void_p
x.XInternAtom.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
x.XSendEvent.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
x.XSync.argtypes = [ctypes.c_void_p, ctypes.c_int]
display = x.XOpenDisplay(None)
found = subprocess.run(["xdotool", "search", "--name", "^edgevision$"], capture_output=True, text=True, check=True)
window = int(found.stdout.split()[-1])
event = Event()
data = (ctypes.c_long * 5)(x.XInternAtom(display, b"WM_DELETE_WINDOW", 0))
event.message = Message(33, 0, 1, display, window, x.XInternAtom(display, b"WM_PROTOCOLS", 0), 32, data)
x.XSendEvent(display, window, 0, 0, ctypes.byref(event))
x.XSync(display, 0)
"""


def press(screen: Path, key: str) -> None:
    subprocess.run(
        ["xdotool", "search", "--name", "^edgevision$", "windowfocus", "key", key], env=environment(screen), check=True
    )


@display
@needs_x
def test_shows_the_drawn_picture_and_closing_it_quits(screen):
    with shown(screen) as child:
        assert count_of(screen, (80, 225, 60)) > 1_000, "no green box"
        assert count_of(screen, (180, 60, 20)) > 0.5 * 640 * 360
        subprocess.run([sys.executable, "-c", CLICK_THE_X], env=environment(screen), check=True)
        assert said(child) == "quit"
        assert child.wait(5) == 0


@display
@needs_x
def test_space_pauses_and_goes_on_s_saves_and_escape_quits(screen):
    with shown(screen) as child:
        press(screen, "space")
        assert said(child) == "paused"
        wait_for(lambda: count_of(screen, (60, 190, 250)) > 300)
        press(screen, "space")
        assert said(child) == "resumed"
        wait_for(lambda: count_of(screen, (60, 190, 250)) == 0)
        press(screen, "s")
        assert said(child) == "snapshot"
        press(screen, "Escape")
        assert said(child) == "quit"
        assert child.wait(5) == 0
    wait_for(lambda: count_of(screen, (180, 60, 20)) == 0)


@display
@needs_x
def test_lost_is_seen_and_q_still_quits(screen):
    with shown(screen) as child:
        screen.with_name("lost").touch()
        wait_for(lambda: count_of(screen, (70, 70, 245)) > 300)
        assert count_of(screen, (180, 60, 20)) == 0, "the last picture still looks live"
        press(screen, "q")
        assert said(child) == "quit"


@display
@needs_x
def test_window_keeps_the_sinks_contract(screen):
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/sinks/test_sink_contract.py"],
        env=environment(screen, EDGEVISION_TEST_WINDOW="1"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stdout
    assert "[100%]" in run.stdout


@display
@needs_x
def test_a_display_that_answers(screen):
    assert why_no_window(environment(screen)) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
@pytest.mark.skipif(window._toolkit() is None, reason="this OpenCV has no windows")
class TestWithoutADisplay:
    def test_says_so_before_anything_is_opened(self, monkeypatch):
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(SinkError, match=r"no display here .* --display browser"):
            WindowSink(Controls())

    def test_only_wayland(self):
        reason = why_no_window({"WAYLAND_DISPLAY": "wayland-0"}, probe=False)
        assert reason is None or "Xwayland" in reason

    def test_a_display_that_is_not_there_is_found_out_by_a_child(self):
        """In this process it would be the end: Qt aborts."""
        reason = why_no_window({**os.environ, "DISPLAY": ":4242"})
        assert reason is not None
        assert "could not connect to display :4242" in reason
        assert "--display browser" in reason


def test_the_headless_wheel_is_named(monkeypatch):
    def none() -> str:
        raise cv2.error("not implemented")

    monkeypatch.setattr(cv2, "currentUIFramework", none)
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n  Media I/O: \n")
    reason = why_no_window({"DISPLAY": ":0"})
    assert reason is not None
    assert "opencv-python-headless" in reason
    assert "pip" in reason
