"""Cameras through OpenCV: Video4Linux2 on Linux, the system's own interface elsewhere."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture import camera_diagnostics, v4l2
from edgevision.capture.base_camera import BaseCamera
from edgevision.capture.liveness import DriverClock, Stillness
from edgevision.errors import SourceLost, SourceNotFound, UsageError
from edgevision.types import Frame, SourceInfo

DEFAULT_WH_PX = (640, 480)
DEFAULT_FPS = 30.0
FIRST_FRAME_LIMIT_S = 3.0
"""Webcams take up to about 2 s from start to first frame."""
STALL_LIMIT_S = 1
"""A camera that gives nothing for so long is lost. OpenCV counts in whole seconds, and waits 10 unless told."""
AWAY_LIMIT_S = 0.2
"""After a longer pause of the reader, what waits in the driver's buffers is old, and is thrown away."""
STILL_LIMIT_S = 5.0
BUFFERS = 2
"""Fewest that lose no frame at 30 fps while one is converted; every further one is a frame of delay."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that is plugged in."""

    spec: str
    """What `open_source` and ``--source`` take."""
    name: str


def list_cameras() -> list[Camera]:
    """Cameras plugged in, the likeliest first. On Linux none is started; elsewhere each is opened for a moment.

    A Raspberry Pi's own camera comes first, where picamera2 is there to read it.
    """
    if sys.platform != "linux":
        return _probed_cameras()
    nodes = v4l2.nodes()
    cameras = [Camera(node.path, node.card) for node in nodes if node.captures]
    own = any(node.driver in ("unicam", "rp1-cfe") for node in nodes)
    if own and find_spec("picamera2") is not None:
        cameras.insert(0, Camera("csi://0", "Raspberry Pi camera"))
    return cameras


def _probed_cameras() -> list[Camera]:
    cameras = []
    for index in range(4):
        capture = cv2.VideoCapture(index)
        opened = capture.isOpened()
        capture.release()
        if not opened:
            break
        cameras.append(Camera(str(index), f"camera {index}"))
    return cameras


class CameraSource(BaseCamera):
    """A live camera: ``0``, ``"0"``, ``"/dev/video0"`` or a link to one such as ``"/dev/v4l/by-id/…"``.

    `info` says what the camera gives, which need not be what was asked. A frame's ``captured_ns`` is the driver's own
    time stamp (start of exposure for USB cameras) where it has a usable one, else the time it was handed over.
    `read` raises `SourceLost` within 2 s of the last frame when the camera stalls or goes, and has then let go of it.

    Raises `SourceNotFound`, saying why, where there is no camera, it may not be opened, another program has it, or it
    gives no first frame within 3 s; `UsageError` for a spec that names no camera.
    """

    def __init__(
        self, spec: int | str, *, width_px: int | None = None, height_px: int | None = None, fps: float | None = None
    ) -> None:
        super().__init__(_device_name(spec))
        self._index = 0
        self._clock = DriverClock()
        self._stillness = Stillness()
        self._linux = sys.platform == "linux"
        self.card = ""
        """The camera's own name, where the driver tells."""
        if self._linux:
            self.card = camera_diagnostics.checked_node(self._name).card
        self._capture: cv2.VideoCapture | None = self._open()
        try:
            self._configure(self._capture, width_px, height_px, fps)
            first = self._first_frame(self._capture)
        except BaseException:
            self._release()
            raise
        got_fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fourcc = _fourcc_text(self._capture.get(cv2.CAP_PROP_FOURCC))
        """The format the camera delivers in: ``YUYV``, ``MJPG``, …; empty where the system does not say."""
        self._info = SourceInfo(
            name=self._name,
            width_px=first.shape[1],
            height_px=first.shape[0],
            fps=got_fps if 0 < got_fps < 1000 else None,
            live=True,
        )
        self._last_read_ns = time.monotonic_ns()

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def trouble(self) -> str | None:
        if self._lost is not None:
            return self._lost
        if (waited_s := self._waited_s) > STALL_LIMIT_S:
            return f"no frame from {self._name} for {waited_s:.1f} s"
        if self._stillness.still_s > STILL_LIMIT_S:
            return f"the picture of {self._name} has not changed at all for {self._stillness.still_s:.0f} s: frozen?"
        return None

    def _holds(self) -> bool:
        return self._capture is not None

    def _next(self) -> Frame:
        assert self._capture is not None
        try:
            return self._next_frame(self._capture)
        finally:
            self._last_read_ns = time.monotonic_ns()

    def _release(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        if not self._linux:
            capture = cv2.VideoCapture(int(self._name.removeprefix("camera ")))
            if not capture.isOpened():
                raise SourceNotFound(
                    f"{self._name} does not open: is it plugged in, free, and this program allowed to use cameras? "
                    "`edgevision doctor` lists the cameras that answer"
                )
            return capture
        # Read by OpenCV at the first wait of the process; the user's own setting stands.
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(STALL_LIMIT_S))
        capture = cv2.VideoCapture(self._name, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise SourceNotFound(camera_diagnostics.why_not_opened(self._name))
        return capture

    def _configure(
        self, capture: cv2.VideoCapture, width_px: int | None, height_px: int | None, fps: float | None
    ) -> None:
        """Ask for size, rate and format; what comes of it is read back from the first frame."""
        if width_px is None and height_px is None:
            width_px, height_px = DEFAULT_WH_PX
        wanted_fps = fps or DEFAULT_FPS
        if self._linux:
            try:
                offer = v4l2.choose(v4l2.offers(self._name, width_px, height_px), wanted_fps)
            except OSError:
                offer = None  # the first frame, which it has not given yet, will say what is wrong
            if offer is not None:
                capture.set(cv2.CAP_PROP_FOURCC, _fourcc_code(offer.fourcc))
                width_px, height_px = offer.width_px, offer.height_px
        width_px = width_px or (height_px or DEFAULT_WH_PX[1]) * 4 // 3
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height_px or width_px * 3 // 4)
        capture.set(cv2.CAP_PROP_FPS, wanted_fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, BUFFERS)

    def _first_frame(self, capture: cv2.VideoCapture) -> NDArray[np.uint8]:
        """Opening succeeds for cameras whose every read fails, so a camera is open only once it gave a picture."""
        deadline_s = time.monotonic() + FIRST_FRAME_LIMIT_S
        while time.monotonic() < deadline_s:
            pixels = _read(capture)
            if pixels is not None:
                return pixels
            time.sleep(0.05)  # a read may fail at once, too
        raise SourceNotFound(camera_diagnostics.why_no_frame(self._name, self._linux, FIRST_FRAME_LIMIT_S))

    def _grab(self, capture: cv2.VideoCapture) -> None:
        start_ns = time.monotonic_ns()
        if capture.grab():
            return
        # OpenCV also gives up when a signal comes in, and then the next try succeeds. After a wait it is lost.
        if time.monotonic_ns() - start_ns < STALL_LIMIT_S * 0.5e9 and capture.grab():
            return
        raise SourceLost(camera_diagnostics.why_lost(self._name, self._linux))

    def _next_frame(self, capture: cv2.VideoCapture) -> Frame:
        if time.monotonic_ns() - self._last_read_ns > AWAY_LIMIT_S * 1e9:
            for _ in range(BUFFERS):
                self._grab(capture)
                self._index += 1
        deadline_ns = time.monotonic_ns() + int(STALL_LIMIT_S * 1e9)
        while True:
            self._grab(capture)
            now_ns = time.monotonic_ns()
            captured_ns = now_ns
            if self._linux:
                captured_ns = self._clock.captured_ns(capture.get(cv2.CAP_PROP_POS_MSEC), now_ns)
            index, self._index = self._index, self._index + 1
            pixels = _retrieve(capture)
            if pixels is not None and not self._clock.repeated:
                self._stillness.see(pixels, now_ns)
                return Frame(pixels, index, captured_ns, self._info)
            # A damaged MJPG picture now and then is the way of USB; the next one is 33 ms away.
            if now_ns > deadline_ns:
                what = "the same frame again and again" if pixels is not None else "frames that cannot be decoded"
                raise SourceLost(f"{self._name} gives nothing but {what}: unplug it and plug it in again")


def _read(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    return _retrieve(capture) if capture.grab() else None


def _retrieve(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    try:
        good, pixels = capture.retrieve()
    except cv2.error:
        return None  # a picture that its decoder refuses
    if not good or pixels is None or pixels.size == 0:
        return None
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    found: Any = pixels
    return found  # type: ignore[no-any-return]


def _device_name(spec: int | str) -> str:
    """/dev/video0 on Linux, ``camera 0`` elsewhere."""
    text = str(spec).strip()
    if text.isascii() and text.isdigit():
        return f"/dev/video{int(text)}" if sys.platform == "linux" else f"camera {int(text)}"
    if sys.platform == "linux" and text.startswith("/dev/"):
        return text
    raise UsageError(f"a camera is a number such as 0 or a path such as /dev/video0, not {spec!r}")


def _fourcc_code(fourcc: str) -> int:
    return int.from_bytes(fourcc.encode("latin-1"), "little")


def _fourcc_text(code: float) -> str:
    text = (int(code) & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1")
    return text.strip("\0 ") if text.isprintable() or "\0" in text else ""
