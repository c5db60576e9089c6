"""A Raspberry Pi's camera without one: a fake picamera2, whose methods are held against the real one's source.

The real class runs in tests/rigs.
"""

from __future__ import annotations

import ast
import os
import sys
import threading
import time
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgevision.capture import picamera
from edgevision.capture.picamera import PiCameraSource, sensor_ns
from edgevision.errors import MissingExtra, SourceBroken, SourceLost, SourceNotFound, UsageError
from tests.support.picamera import SMOOTH, FakePicamera2, FakeRequest

S = 1_000_000_000


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
