"""A window on this machine's screen, through OpenCV's highgui."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import SinkError
from edgevision.interfaces import ContextManaged, Controls
from edgevision.sinks.render import Renderer
from edgevision.types import Result, Status

_ESCAPE = 27
_LARGEST_PX = (1280, 720)
"""A window starts no larger than this; it can be resized."""
_OVERLAY_EVERY_S = 0.2
_SHOW_EVERY_S = 1 / 60
"""A screen shows no more, and a file that is read faster than that should not wait for its window."""
_PROBE = "import cv2; cv2.namedWindow('edgevision', cv2.WINDOW_GUI_NORMAL); cv2.waitKey(1)"
_ELSEWHERE = "use --display browser to watch in a browser, or --display none"


def why_no_window(environment: Mapping[str, str] | None = None, *, probe: bool = True) -> str | None:
    """Why no window can be opened here, in a sentence that says what to do, or None where one can.

    Opening a window without a display **aborts the process**, and no Python code can catch that. So the answer is
    found without opening one: from the build, from the environment, and (``probe``) by a child process that tries,
    which also finds a display that refuses us and Qt libraries that are missing. Takes 0.2 s with a display.
    """
    environment = os.environ if environment is None else environment
    if _toolkit() is None:
        return (
            f"this build of OpenCV ({cv2.__version__}) has no windows (opencv-python-headless?): "
            f"pip uninstall opencv-python-headless, then pip install --force-reinstall opencv-python; or {_ELSEWHERE}"
        )
    if not sys.platform.startswith("linux"):
        return None
    if not environment.get("DISPLAY"):
        if not environment.get("WAYLAND_DISPLAY"):
            return f"there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set): {_ELSEWHERE}"
        if _toolkit() == "QT":  # The wheels carry Qt's X11 plug-in and no other.
            return f"OpenCV needs X11 and only Wayland is here (DISPLAY is not set): install Xwayland, or {_ELSEWHERE}"
    if not probe:
        return None
    shown = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    try:
        child = subprocess.run(
            [sys.executable, "-c", _PROBE], env=dict(environment), capture_output=True, timeout=15, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the display {shown} does not answer: {_ELSEWHERE}"
    if child.returncode == 0:
        return None
    said = [line.strip() for line in child.stderr.decode(errors="replace").splitlines() if line.strip()]
    reason = next((line for line in said if "could not connect" in line or "could not load" in line.lower()), "")
    reason = reason.removeprefix("qt.qpa.xcb: ") or (said[-1] if said else f"exit status {child.returncode}")
    return f"a window cannot be opened on the display {shown} ({reason[:160]}): {_ELSEWHERE}"


def _toolkit() -> str | None:
    """The name of the window toolkit this OpenCV was built with, or None."""
    try:
        name = str(cv2.currentUIFramework())
    except (cv2.error, AttributeError):
        # Before 4.10 there is no such question; the headless wheels answer it with an error or with nothing.
        lines = [line.split(":", 1)[1].strip() for line in cv2.getBuildInformation().splitlines() if "GUI:" in line]
        name = lines[0] if lines else "NONE"
    return None if name in ("", "NONE", "NO") else name


class WindowSink(ContextManaged):
    """Shows every result in a window. Keys: q or Esc quits, space pauses, s saves a snapshot; closing it quits.

    Must be made, used and closed in one thread (the main one: macOS allows no other).
    Raises `SinkError` on construction where no window can be opened. ``probe=False`` spares the child process that
    tries it, where `why_no_window` was asked a moment ago.
    """

    def __init__(
        self,
        controls: Controls,
        title: str = "edgevision",
        *,
        probe: bool = True,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        reason = why_no_window(probe=probe)
        if reason is not None:
            raise SinkError(reason)
        # Qt in OpenCV's wheels complains about fonts it does not need; a fault of ours would not come this way.
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
        self._controls = controls
        self._title = title
        self._now_s = now_s
        self._renderer = Renderer()
        self._picture: NDArray[np.uint8] | None = None
        self._noticed: tuple[str, float] | None = None
        self._size_wh: tuple[int, int] | None = None
        self._due_s = 0.0
        self._open = False
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as exc:
            raise SinkError(f"a window cannot be opened ({exc.err or exc}): {_ELSEWHERE}") from exc
        self._open = True
        cv2.resizeWindow(title, *_LARGEST_PX)

    @property
    def wants_picture(self) -> bool:
        return self._open and self._now_s() >= self._due_s

    def publish(self, result: Result, picture: NDArray[np.uint8] | None, status: Status) -> None:
        self._noticed = None
        now_s = self._now_s()
        if picture is None or now_s < self._due_s:
            return
        # Due times run on a grid, so that a camera's jitter does not cost every second frame.
        self._due_s = max(self._due_s, now_s - _SHOW_EVERY_S) + _SHOW_EVERY_S
        self._picture = picture
        self._show(picture)
        self._pump()

    def notice(self, status: Status) -> None:
        """Keep the window alive, and say over the last picture why it stands still."""
        now_s = self._now_s()
        held = self._noticed
        if status.state != "running" and (
            held is None or held[0] != status.state or (status.state == "lost" and now_s - held[1] >= _OVERLAY_EVERY_S)
        ):
            self._noticed = (status.state, now_s)
            self._show(self._renderer.overlay(self._picture, status))
        self._pump()

    def close(self) -> None:
        if self._open:
            self._open = False
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)  # Qt and GTK take the window off the screen only when events run.

    def _show(self, picture: NDArray[np.uint8]) -> None:
        if not self._open:
            return
        height_px, width_px = picture.shape[:2]
        if self._size_wh != (width_px, height_px):
            self._size_wh = (width_px, height_px)
            fit = min(1.0, _LARGEST_PX[0] / width_px, _LARGEST_PX[1] / height_px)
            cv2.resizeWindow(self._title, max(320, round(width_px * fit)), max(180, round(height_px * fit)))
        cv2.imshow(self._title, picture)

    def _pump(self) -> None:
        if not self._open:
            return
        key = cv2.pollKey() & 0xFF
        if key in (ord("q"), ord("Q"), _ESCAPE):
            self._controls.quit()
        elif key == ord(" "):
            self._controls.toggle_pause()
        elif key in (ord("s"), ord("S")):
            self._controls.ask_snapshot()
        if self._gone():
            self._open = False
            self._controls.quit()

    def _gone(self) -> bool:
        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:  # Qt, once its last window is closed
            return True
