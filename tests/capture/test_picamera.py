"""A Raspberry Pi's camera without one: a fake picamera2, whose methods are held against the real one's source.

The real class runs in tests/rigs.
"""

from __future__ import annotations

import ast
import concurrent.futures
import os
import sys
import threading
import time
import types
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.capture import picamera
from edgevision.capture.picamera import PiCameraSource, sensor_ns
from edgevision.errors import MissingExtra, SourceBroken, SourceLost, SourceNotFound, UsageError

S = 1_000_000_000
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


@pytest.fixture
def fake(monkeypatch):
    module = types.ModuleType("picamera2")
    module.Picamera2 = FakePicamera2
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(FakePicamera2, "cameras", [{"Model": "imx708", "Num": 0, "Id": "/base/i2c/imx708@1a"}])
    monkeypatch.setattr(FakePicamera2, "gives", None)
    monkeypatch.setattr(FakePicamera2, "fails", None)
    monkeypatch.setattr(FakePicamera2, "made", [])
    monkeypatch.setenv("LIBCAMERA_LOG_LEVELS", "*:WARN")
    yield FakePicamera2
    for camera in FakePicamera2.made:
        assert camera.closed == 1
        assert all(request.released == 1 for request in camera.requests), "a request kept starves the camera"


def test_asks_for_bgr_and_reads_back(fake):
    fake.gives = {"size": (64, 48)}
    with PiCameraSource("csi://0", width_px=641, height_px=361, fps=25) as source:
        asked = fake.made[0].camera_config
        assert asked["main"]["format"] == "RGB888"  # B, G, R in memory
        assert asked["controls"]["FrameDurationLimits"] == (40_000, 40_000)
        assert not asked["queue"]
        info = source.info
        assert (info.name, info.width_px, info.height_px, info.live) == ("csi://0", 64, 48, True)
        assert info.fps == pytest.approx(30, abs=0.01)
        frames = [source.read() for _ in range(3)]
        assert [frame.index for frame in frames] == [0, 1, 2]
        assert all(12_000_000 <= time.monotonic_ns() - frame.captured_ns < 5 * S for frame in frames)
        np.testing.assert_array_equal(frames[0].pixels, SMOOTH)
        assert source.trouble is None


@pytest.mark.parametrize("pixel_format", sorted(picamera.TO_BGR))
def test_every_format_becomes_bgr(fake, pixel_format):
    fake.gives = {"size": (64, 48), "format": pixel_format}
    with PiCameraSource(0) as source:
        pixels = source.read().pixels
    assert pixels.shape == (48, 64, 3)
    assert pixels.flags.c_contiguous
    error = np.abs(pixels.astype(int) - SMOOTH.astype(int))
    assert error.mean() < 6, "swapped colours or rows out of step"


def test_a_format_nobody_can_draw(fake):
    fake.gives = {"format": "SRGGB10_CSI2P"}
    with pytest.raises(SourceBroken, match="SRGGB10_CSI2P; expected one of"):
        PiCameraSource(0)


def test_a_stall_is_lost_and_the_camera_let_go(fake):
    source = PiCameraSource(0)
    source.read()
    fake.made[0].silent = True
    for _ in range(2):
        with pytest.raises(SourceLost, match="csi://0 stopped giving frames"):
            source.read()
    assert fake.made[0].closed == 1
    assert "stopped" in source.trouble
    source.close()
    assert source.read() is None


def test_opens_but_gives_nothing(fake, monkeypatch):
    monkeypatch.setattr(fake, "capture_request", lambda self, wait: (_ for _ in ()).throw(TimeoutError))
    with pytest.raises(SourceNotFound, match=r"gave no frame within 3 s.*ribbon cable"):
        PiCameraSource(0)


def test_no_such_camera(fake):
    with pytest.raises(SourceNotFound, match=r"no camera csi://1; there is csi://0 \(imx708\)"):
        PiCameraSource("csi://1")
    fake.cameras = []
    with pytest.raises(SourceNotFound, match=r"libcamera finds none: .*ribbon cable"):
        PiCameraSource("csi://0")
    assert not fake.made, "a Picamera2 that fails to open leaves a pipe behind"


def test_busy(fake):
    fake.fails = RuntimeError("Failed to acquire camera: Device or resource busy")
    with pytest.raises(SourceNotFound, match="csi://0 is in use by another program"):
        PiCameraSource(0)


def test_cannot_be_configured(fake, monkeypatch):
    def refuse(self, camera_config=None):
        raise RuntimeError("Invalid camera configuration")

    monkeypatch.setattr(fake, "configure", refuse)
    with pytest.raises(SourceNotFound, match=r"cannot be started.*Invalid camera configuration"):
        PiCameraSource(0)


def test_close_while_a_read_waits(fake, monkeypatch):
    inside, go_on = threading.Event(), threading.Event()
    real = fake.capture_request

    def slow(self, wait=None, signal_function=None, flush=None):
        inside.set()
        go_on.wait(5)
        return real(self, wait)

    source = PiCameraSource(0)
    monkeypatch.setattr(fake, "capture_request", slow)
    reader = threading.Thread(target=source.read)
    reader.start()
    assert inside.wait(5)
    source.close()
    assert fake.made[0].closed == 0
    go_on.set()
    reader.join(5)
    assert fake.made[0].closed == 1
    assert source.read() is None


@pytest.mark.parametrize("spec", ["csi://x", "csi:0", "", "video0"])
def test_a_spec_that_names_no_camera(spec):
    with pytest.raises(UsageError, match="csi://0"):
        PiCameraSource(spec)


def test_without_picamera2(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(MissingExtra, match=r"sudo apt install python3-picamera2.*--system-site-packages") as raised:
        PiCameraSource("csi://0")
    assert raised.value.exit_code == 6


def test_picamera2_of_another_numpy(monkeypatch, tmp_path):
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed, may indicate incompatibility')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    with pytest.raises(MissingExtra, match=r"numpy.dtype size changed.*full-upgrade"):
        PiCameraSource("csi://0")


NOW = 100 * S


@pytest.mark.parametrize(
    ("stamp_ns", "suspended_ns", "expected_ns"),
    [
        (NOW - 20_000_000, 0, NOW - 20_000_000),
        (NOW - 20_000_000, 500 * S, NOW - 20_000_000),  # CLOCK_MONOTONIC, on a machine that slept
        (NOW + 500 * S - 20_000_000, 500 * S, NOW - 20_000_000),  # CLOCK_BOOTTIME, on the same
        (None, 0, NOW),
        (0, 0, NOW),
        (1_790_000_000 * S, 0, NOW),  # wall time
    ],
)
def test_sensor_time(stamp_ns, suspended_ns, expected_ns):
    assert sensor_ns(stamp_ns, NOW, suspended_ns) == expected_ns


def parameters(function: ast.FunctionDef) -> list[str]:
    return [a.arg for a in function.args.args + function.args.kwonlyargs if a.arg != "self"]


def methods(path: Path, name: str) -> dict[str, list[str]]:
    """Parameters of a class's methods; of overloads the last, which is the real one."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return {child.name: parameters(child) for child in node.body if isinstance(child, ast.FunctionDef)}
    raise AssertionError(f"{path} has no class {name}")


def test_the_fake_is_like_the_real_one():
    """Set PICAMERA2_SOURCE to a folder with picamera2's sources where it is not installed."""
    folder = os.environ.get("PICAMERA2_SOURCE")
    if folder is None:
        spec = find_spec("picamera2")
        if spec is None or not spec.submodule_search_locations:
            pytest.skip("picamera2 is not installed; the picamera rig runs this against the real one")
        folder = spec.submodule_search_locations[0]
    for file, real_name, fake_class in (
        ("picamera2.py", "Picamera2", FakePicamera2),
        ("request.py", "CompletedRequest", FakeRequest),
    ):
        real = methods(Path(folder) / file, real_name)
        fakes = methods(Path(__file__), fake_class.__name__)
        for name, taken in fakes.items():
            if name == "__init__" and fake_class is FakeRequest:
                continue
            assert name in real, f"{real_name} has no {name}"
            assert real[name] == taken, f"{real_name}.{name}"
