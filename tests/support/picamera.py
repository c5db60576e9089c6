"""A fake picamera2. tests/capture/test_picamera.py holds its methods against the real one's source."""

from __future__ import annotations

import concurrent.futures
import time

import cv2
import numpy as np

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
SMOOTH = cv2.GaussianBlur(np.repeat(np.repeat(PICTURE[::8, ::8], 8, 0), 8, 1), (15, 15), 0)


class FakeRequest:
    def __init__(self, camera: FakePicamera2) -> None:
        self.camera = camera
        self.released = 0
        camera.requests.append(self)

    def get_metadata(self):
        return {"SensorTimestamp": time.monotonic_ns() - 12_000_000, "FrameDuration": 33_333}

    def make_array(self, name):
        assert name == "main"
        assert self.released == 0, "the buffer went back to the camera already"
        return as_picamera2_gives(SMOOTH, self.camera.camera_configuration()["main"]["format"])

    def release(self):
        self.released += 1


class FakePicamera2:
    """Answers as picamera2 does on a Raspberry Pi, and notices what would hang or leak there."""

    cameras: list[dict] = []  # noqa: RUF012
    gives: dict | None = None
    made: list[FakePicamera2] = []  # noqa: RUF012
    fails: BaseException | None = None

    def __init__(self, camera_num=0, verbose_console=None, tuning=None, allocator=None):
        if self.fails is not None:
            raise RuntimeError("Camera __init__ sequence did not complete.") from self.fails
        self.camera_num = camera_num
        self.requests: list[FakeRequest] = []
        self.silent = False
        self.pending = 0
        self.closed = 0
        self.started = False
        self.camera_controls = {"FrameDurationLimits": (33333, 120000, None)}
        self.camera_config: dict = {}
        FakePicamera2.made.append(self)

    @staticmethod
    def global_camera_info():
        return FakePicamera2.cameras

    def create_video_configuration(
        self,
        main={},  # noqa: B006
        lores=None,
        raw={},  # noqa: B006
        transform=None,
        colour_space=None,
        buffer_count=6,
        controls={},  # noqa: B006
        display="main",
        encode="main",
        queue=True,
        sensor={},  # noqa: B006
        use_case="video",
    ):
        return {"main": dict(main), "buffer_count": buffer_count, "controls": controls, "queue": queue}

    def configure(self, camera_config=None):
        size = camera_config["main"]["size"]
        if size[0] % 2 or size[1] % 2:
            raise RuntimeError("width and height should be even")
        self.camera_config = {**camera_config, "main": {**camera_config["main"], **(FakePicamera2.gives or {})}}

    def camera_configuration(self):
        return self.camera_config

    def start(self, config=None, show_preview=False):
        self.started = True

    def capture_request(self, wait=None, signal_function=None, flush=None):
        assert wait, "waits for ever when the camera is gone"
        if self.silent:
            time.sleep(min(wait, 0.05))
            self.pending += 1
            raise concurrent.futures.TimeoutError
        return FakeRequest(self)

    def cancel_all_and_flush(self):
        self.pending = 0

    def close(self):
        assert self.pending == 0, "the real one waits for ever behind a request that is not answered"
        self.closed += 1


def as_picamera2_gives(bgr, pixel_format):
    """The array that make_array returns for a picture, row padding where it leaves some."""
    h, w = bgr.shape[:2]
    if pixel_format == "RGB888":
        return bgr.copy()
    if pixel_format in ("BGR888", "MJPEG"):
        return bgr[..., ::-1].copy()
    if pixel_format == "XRGB8888":
        return np.dstack([bgr, np.full((h, w), 255, np.uint8)])
    if pixel_format == "XBGR8888":
        return np.dstack([bgr[..., ::-1], np.full((h, w), 255, np.uint8)])
    i420 = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    y, u, v = i420[:h], i420[h : h + h // 4].reshape(h // 2, w // 2), i420[h + h // 4 :].reshape(h // 2, w // 2)
    if pixel_format in ("YUV420", "YVU420"):  # padded: rows of w + 32, chroma rows of half that
        first, second = (u, v) if pixel_format == "YUV420" else (v, u)
        pad = 32
        rows = [np.pad(y, ((0, 0), (0, pad))).ravel()]
        rows += [np.pad(plane, ((0, 0), (0, pad // 2))).ravel() for plane in (first, second)]
        return np.concatenate(rows).reshape(h * 3 // 2, w + pad)
    if pixel_format in ("NV12", "NV21"):
        pair = (u, v) if pixel_format == "NV12" else (v, u)
        return np.vstack([y, np.dstack(pair).reshape(h // 2, w)])
    chroma = {"YUYV": (0, u, v), "YVYU": (0, v, u), "UYVY": (1, u, v)}[pixel_format]
    packed = np.empty((h, w, 2), np.uint8)
    at = chroma[0]
    packed[..., at] = y
    packed[:, 0::2, 1 - at] = np.repeat(chroma[1], 2, 0)
    packed[:, 1::2, 1 - at] = np.repeat(chroma[2], 2, 0)
    return packed
