"""A Raspberry Pi's own camera, through picamera2 and libcamera.

Both are packages of the system, not of the package index: libcamera is built for the system's Python alone.
Written against picamera2 0.3.12 (Bookworm) to 0.3.38.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.base_camera import BaseCamera
from edgevision.errors import EdgeVisionError, MissingExtra, SourceBroken, SourceLost, SourceNotFound, UsageError
from edgevision.types import Frame, SourceInfo

DEFAULT_WH_PX = (640, 480)
DEFAULT_FPS = 30.0
FIRST_FRAME_LIMIT_S = 3.0
STALL_LIMIT_S = 1.0
BUFFERS = 4
"""Fewer, and the pipeline of a Pi 4 cannot keep 30 frames a second. None waits for us: see ``queue`` below."""

TO_BGR: dict[str, int | None] = {
    "RGB888": None,  # named from the high byte down: in memory it is B, G, R
    "BGR888": cv2.COLOR_RGB2BGR,
    "XRGB8888": cv2.COLOR_BGRA2BGR,
    "XBGR8888": cv2.COLOR_RGBA2BGR,
    "YUV420": cv2.COLOR_YUV2BGR_I420,
    "YVU420": cv2.COLOR_YUV2BGR_YV12,
    "NV12": cv2.COLOR_YUV2BGR_NV12,
    "NV21": cv2.COLOR_YUV2BGR_NV21,
    "YUYV": cv2.COLOR_YUV2BGR_YUYV,
    "YVYU": cv2.COLOR_YUV2BGR_YVYU,
    "UYVY": cv2.COLOR_YUV2BGR_UYVY,
    "MJPEG": cv2.COLOR_RGB2BGR,  # picamera2 decodes it, to RGB
}


class MissingSystemPackage(MissingExtra):
    """picamera2 cannot be imported."""

    def __init__(self, why: str) -> None:
        EdgeVisionError.__init__(self, why)


class PiCameraSource(BaseCamera):
    """A camera that libcamera drives: ``csi://0``, ``csi://1`` or its number.

    The camera may give another size and format than was asked: `info` says which, and every format is turned into BGR.
    A frame's ``captured_ns`` is the sensor's time stamp (start of exposure of its first row). Every frame read is one
    that was completed after `read` was called. `read` raises `SourceLost` within 2 s of the last frame.

    Raises `MissingSystemPackage` where picamera2 is not installed, or not seen from a virtual environment;
    `SourceNotFound` where there is no such camera, another program has it, or it gives no first frame within 3 s;
    `SourceBroken` for a format that cannot be turned into BGR.
    """

    def __init__(
        self, spec: int | str, *, width_px: int | None = None, height_px: int | None = None, fps: float | None = None
    ) -> None:
        self._number = _camera_number(spec)
        super().__init__(f"csi://{self._number}")
        self._index = 0
        self._camera: Any = _opened(_picamera2(), self._number)
        try:
            self._configure(width_px, height_px, fps)
            self._camera.start()
            self._info = self._first_frame()
        except (RuntimeError, OSError, ValueError) as exc:
            self._release()
            raise SourceNotFound(f"{self._name} cannot be started ({exc}): `edgevision doctor` says more") from exc
        except BaseException:
            self._release()
            raise

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def trouble(self) -> str | None:
        if self._lost is None and (waited_s := self._waited_s) > 1.0:
            return f"no frame from {self._name} for {waited_s:.1f} s"
        return self._lost

    def _holds(self) -> bool:
        return self._camera is not None

    def _next(self) -> Frame:
        return self._next_frame(max(STALL_LIMIT_S, 1.5 / (self._info.fps or DEFAULT_FPS)))

    def _release(self) -> None:
        camera, self._camera = self._camera, None
        if camera is None:
            return
        # An unanswered request would stay in front of the request to stop, and closing would wait for ever.
        if hasattr(camera, "cancel_all_and_flush"):
            camera.cancel_all_and_flush()
        camera.close()

    def _configure(self, width_px: int | None, height_px: int | None, fps: float | None) -> None:
        if width_px is None and height_px is None:
            width_px, height_px = DEFAULT_WH_PX
        width_px = width_px or (height_px or DEFAULT_WH_PX[1]) * 4 // 3
        height_px = height_px or width_px * 3 // 4
        controls = {}
        if "FrameDurationLimits" in self._camera.camera_controls:
            frame_us = round(1e6 / (fps or DEFAULT_FPS))
            controls["FrameDurationLimits"] = (frame_us, frame_us)
        asked = self._camera.create_video_configuration(
            main={"size": (width_px // 2 * 2, height_px // 2 * 2), "format": "RGB888"},  # odd sizes are refused
            buffer_count=BUFFERS,
            controls=controls,
            # Without a queue no completed frame is kept for later: each one read is new.
            queue=False,
            display=None,
            encode=None,
        )
        self._camera.configure(asked)
        # libcamera may have chosen another size or format, and picamera2 does not complain.
        main = self._camera.camera_configuration()["main"]
        self._format, self._wh_px = str(main["format"]), (int(main["size"][0]), int(main["size"][1]))
        if self._format not in TO_BGR:
            raise SourceBroken(
                f"{self._name} gives pictures as {self._format}; expected one of {', '.join(TO_BGR)}: "
                "ask for another --width and --height"
            )

    def _first_frame(self) -> SourceInfo:
        metadata: dict[str, Any] = {}
        try:
            request = self._camera.capture_request(wait=FIRST_FRAME_LIMIT_S)
        except TimeoutError as exc:
            raise SourceNotFound(
                f"{self._name} opens but gave no frame within {FIRST_FRAME_LIMIT_S:.0f} s: switch the Raspberry Pi "
                "off, and press the camera's ribbon cable home at both ends"
            ) from exc
        try:
            metadata = request.get_metadata()
        finally:
            request.release()
        frame_us = metadata.get("FrameDuration")
        return SourceInfo(
            name=self._name,
            width_px=self._wh_px[0],
            height_px=self._wh_px[1],
            fps=1e6 / frame_us if frame_us else None,
            live=True,
        )

    def _next_frame(self, limit_s: float) -> Frame:
        try:
            request = self._camera.capture_request(wait=limit_s)
        except TimeoutError as exc:
            raise SourceLost(f"{self._name} stopped giving frames: is its ribbon cable loose?") from exc
        except (RuntimeError, OSError) as exc:
            raise SourceLost(f"{self._name} stopped giving frames ({exc})") from exc
        try:
            stamp_ns = request.get_metadata().get("SensorTimestamp")
            image = request.make_array("main")  # a copy, without what the rows are padded with
        finally:
            request.release()
        index, self._index = self._index, self._index + 1
        pixels = _bgr(image, self._format, self._wh_px)
        return Frame(pixels, index, sensor_ns(stamp_ns, time.monotonic_ns(), _suspended_ns()), self._info)


def sensor_ns(stamp_ns: int | None, now_ns: int, suspended_ns: int) -> int:
    """A libcamera ``SensorTimestamp`` as time.monotonic_ns().

    libcamera's reference says CLOCK_BOOTTIME; its pipelines, the Raspberry Pi's among them, pass on Video4Linux's
    stamp, which is CLOCK_MONOTONIC (libcamera bug 254). The clocks differ by the time the machine was suspended
    (``suspended_ns``), so a stamp in the future of the one is of the other. Without a stamp near the present: now.
    """
    if stamp_ns is None:
        return now_ns
    for candidate_ns in (stamp_ns, stamp_ns - suspended_ns):
        if 0 <= now_ns - candidate_ns <= 10_000_000_000:
            return candidate_ns
    return now_ns


def _suspended_ns() -> int:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


def _bgr(image: NDArray[np.uint8], pixel_format: str, wh_px: tuple[int, int]) -> NDArray[np.uint8]:
    conversion = TO_BGR[pixel_format]
    if conversion is None:
        return np.ascontiguousarray(image)
    converted = cv2.cvtColor(image, conversion)
    # picamera2 leaves the padding of rows in planar YUV, for the conversion needs it.
    found: Any = np.ascontiguousarray(converted[: wh_px[1], : wh_px[0]])
    return found  # type: ignore[no-any-return]


def _camera_number(spec: int | str) -> int:
    found = re.fullmatch(r"(?:csi://)?(\d*)", str(spec).strip())
    if found is None or not str(spec).strip():
        raise UsageError(f"a Raspberry Pi camera is csi://0, csi://1, …, not {spec!r}")
    return int(found[1] or 0)


def _picamera2() -> Any:
    """The class Picamera2. Raises `MissingSystemPackage`."""
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")  # else it writes its life story to stderr
    try:
        from picamera2 import Picamera2
    except ModuleNotFoundError as exc:
        raise MissingSystemPackage(
            f"csi:// needs picamera2, and {exc.name} is not to be found: sudo apt install python3-picamera2, and make "
            "the virtual environment with python3 -m venv --system-site-packages, as scripts/setup does on a "
            "Raspberry Pi. Elsewhere there is no such camera: use --source 0"
        ) from exc
    except (ImportError, ValueError, AttributeError, OSError) as exc:
        # Typically one package built for another numpy ("numpy.dtype size changed") or another Python.
        raise MissingSystemPackage(
            f"picamera2 is installed but does not import ({exc}): sudo apt update && sudo apt full-upgrade, and make "
            "the virtual environment anew with the system's own python3 and --system-site-packages"
        ) from exc
    return Picamera2


def _opened(picamera2: Any, number: int) -> Any:
    """An opened camera. Raises `SourceNotFound`."""
    try:
        known = picamera2.global_camera_info()
    except (RuntimeError, OSError) as exc:
        raise SourceNotFound(f"libcamera does not start ({exc}): `edgevision doctor` says more") from exc
    # Looked up first: a constructor of Picamera2 that fails leaves a pipe open.
    if number >= len(known):
        there = ", ".join(f"csi://{k} ({camera.get('Model', '?')})" for k, camera in enumerate(known))
        none = (
            "libcamera finds none: switch the Raspberry Pi off, press the camera's ribbon cable home at both ends, and "
        )
        none += "look with rpicam-hello --list-cameras"
        raise SourceNotFound(f"there is no camera csi://{number}; {f'there is {there}' if there else none}")
    try:
        return picamera2(number)
    except (RuntimeError, OSError, IndexError) as exc:
        cause = exc.__cause__ or exc
        if "busy" in str(cause).lower() or "in use" in str(cause).lower() or "acquire" in str(cause).lower():
            raise SourceNotFound(
                f"csi://{number} is in use by another program: find it with fuser -v /dev/media* /dev/video*, "
                "and close it"
            ) from exc
        raise SourceNotFound(f"csi://{number} does not open ({cause}): `edgevision doctor` says more") from exc
