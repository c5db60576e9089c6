"""Cameras without a camera: what is decided, said and guarded. The real V4L2 device is in tests/rigs."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest

from edgevision.capture import camera, camera_diagnostics, v4l2
from edgevision.capture.camera import CameraSource, list_cameras
from edgevision.capture.liveness import DriverClock, Stillness
from edgevision.capture.v4l2 import Node, Offer
from edgevision.errors import SourceLost, SourceNotFound, UsageError

linux = pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux is Linux's")

MS = 1_000_000
S = 1_000_000_000
CAPTURES = v4l2.CAPTURE | v4l2.STREAMING


# --- which format to ask for -----------------------------------------------------------------------------------------


def c920(size: tuple[int, int]) -> list[Offer]:
    """What a common USB 2 webcam offers (uvcvideo, Logitech C920)."""
    raw = {(640, 480): 30.0, (1280, 720): 10.0, (1920, 1080): 5.0}[size]
    return [Offer("YUYV", *size, raw), Offer("MJPG", *size, 30.0), Offer("H264", *size, 30.0)]


@pytest.mark.parametrize(
    ("offered", "wanted_fps", "fourcc"),
    [
        (c920((640, 480)), 30.0, "YUYV"),  # raw is fast enough: no decoding
        (c920((1280, 720)), 30.0, "MJPG"),  # raw would give 10 fps
        (c920((1280, 720)), 10.0, "YUYV"),
        (c920((1920, 1080)), 60.0, "MJPG"),  # neither reaches 60: the faster one
        ([Offer("YUYV", 640, 480, 29.97)], 30.0, "YUYV"),
        ([Offer("MJPG", 640, 480, 30.0)], 30.0, "MJPG"),
        ([Offer("NV12", 640, 480, 60.0), Offer("YUYV", 640, 480, 60.0)], 30.0, "YUYV"),  # as good: the usual one
        ([Offer("NV12", 640, 480, 60.0), Offer("YUYV", 640, 480, 15.0)], 30.0, "NV12"),
        ([Offer("MJPG", 640, 480, 10.0), Offer("YUYV", 640, 480, 10.0)], 30.0, "YUYV"),
    ],
)
def test_format_choice(offered, wanted_fps, fourcc):
    chosen = v4l2.choose(offered, wanted_fps)
    assert chosen is not None
    assert chosen.fourcc == fourcc


def test_no_choice_where_nothing_readable_is_offered():
    assert v4l2.choose([], 30.0) is None
    assert v4l2.choose([Offer("H264", 640, 480, 30.0)], 30.0) is None


class Driver:
    """Answers the enumerating ioctls as the kernel's structures lay them out (linux/videodev2.h)."""

    def __init__(self, modes: dict[str, dict[tuple[int, int], list[tuple[int, int]]]], stepwise: bool = False):
        self.modes = modes
        self.stepwise = stepwise

    def __call__(self, device: int, request: int, argument: bytes) -> bytes:
        index = struct.unpack_from("=I", argument)[0]
        names = list(self.modes)
        if request == v4l2.ENUM_FMT:
            if struct.unpack_from("=I", argument, 4)[0] != 1 or index >= len(names):
                raise OSError(22, "Invalid argument")
            code = int.from_bytes(names[index].encode(), "little")
            return struct.pack("=III32sII12x", index, 1, 0, b"words", code, 0)
        code = struct.unpack_from("=I", argument, 4)[0]
        sizes = self.modes[code.to_bytes(4, "little").decode()]
        if request == v4l2.ENUM_FRAMESIZES:
            if self.stepwise:
                if index:
                    raise OSError(22, "Invalid argument")
                return struct.pack("=3I6I8x", 0, code, 3, 320, 1920, 2, 180, 1080, 2)
            if index >= len(sizes):
                raise OSError(22, "Invalid argument")
            return struct.pack("=3I6I8x", index, code, 1, *list(sizes)[index], 0, 0, 0, 0)
        assert request == v4l2.ENUM_FRAMEINTERVALS
        size = struct.unpack_from("=II", argument, 8)
        rates = next(iter(sizes.values())) if self.stepwise else sizes.get(size, [])
        if index >= len(rates):
            raise OSError(22, "Invalid argument")
        return struct.pack("=5I6I8x", index, code, *size, 1, *rates[index], 0, 0, 0, 0)


WEBCAM = {
    "YUYV": {(640, 480): [(1, 30), (1, 15)], (1280, 720): [(1, 10), (2, 15)]},
    "MJPG": {(640, 480): [(1, 30)], (1280, 720): [(1, 30)], (1280, 960): [(1, 30)]},
}


@linux
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((1280, 720), {("YUYV", 1280, 720, 10.0), ("MJPG", 1280, 720, 30.0)}),
        ((1300, 700), {("YUYV", 1280, 720, 10.0), ("MJPG", 1280, 720, 30.0)}),  # nearest size
        ((1280, None), {("YUYV", 1280, 720, 10.0), ("MJPG", 1280, 720, 30.0)}),  # the smaller of two as near
        ((None, 480), {("YUYV", 640, 480, 30.0), ("MJPG", 640, 480, 30.0)}),
        ((1280, 960), {("MJPG", 1280, 960, 30.0)}),
    ],
)
def test_offers_at_the_nearest_size(monkeypatch, asked, expected):
    monkeypatch.setattr(v4l2, "_ioctl", Driver(WEBCAM))
    found = {(o.fourcc, o.width_px, o.height_px, o.fps) for o in v4l2.offers("/dev/null", *asked)}
    assert found == expected


@linux
def test_offers_of_a_camera_with_any_size(monkeypatch):
    monkeypatch.setattr(v4l2, "_ioctl", Driver({"YUYV": {(0, 0): [(1001, 30000)]}}, stepwise=True))
    (offer,) = v4l2.offers("/dev/null", 641, 4000)
    assert (offer.width_px, offer.height_px) == (640, 1080)
    assert offer.fps == pytest.approx(29.97, abs=0.01)


@linux
def test_offers_are_empty_where_the_driver_does_not_say(monkeypatch):
    monkeypatch.setattr(v4l2, "_ioctl", Driver({}))
    assert v4l2.offers("/dev/null", 640, 480) == []


# --- which node is a camera ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "capabilities", "captures"),
    [
        ("uvcvideo", CAPTURES, True),
        ("vivid", v4l2.CAPTURE_MPLANE | v4l2.STREAMING, True),
        ("uvcvideo", 0x00800000 | v4l2.STREAMING, False),  # the metadata node that every USB camera has beside it
        ("v4l2 loopback", 0x2 | v4l2.STREAMING, False),  # a virtual camera that nothing feeds
        ("bcm2835-codec", CAPTURES | 0x00004000, False),
        ("bcm2835-isp", CAPTURES, False),
        ("unicam", CAPTURES, False),  # a Pi's sensor, raw
        ("isys", CAPTURES | v4l2.MEDIA_CONTROLLER, False),  # a laptop's MIPI camera
    ],
)
def test_which_nodes_are_cameras(driver, capabilities, captures):
    assert Node("/dev/video0", driver, "a card", capabilities).captures is captures


@linux
def test_a_pi_camera_is_listed_first_where_picamera2_can_read_it(monkeypatch):
    nodes = [Node("/dev/video0", "rp1-cfe", "rp1-cfe", CAPTURES), Node("/dev/video8", "uvcvideo", "Webcam", CAPTURES)]
    monkeypatch.setattr(v4l2, "nodes", lambda: nodes)
    monkeypatch.setattr(camera, "find_spec", lambda name: object())
    assert [found.spec for found in list_cameras()] == ["csi://0", "/dev/video8"]
    monkeypatch.setattr(camera, "find_spec", lambda name: None)
    assert [found.spec for found in list_cameras()] == ["/dev/video8"]


# --- the sentences ---------------------------------------------------------------------------------------------------


@linux
def test_no_such_camera_names_those_there_are(monkeypatch):
    monkeypatch.setattr(v4l2, "nodes", lambda: [Node("/dev/video2", "uvcvideo", "Webcam C920", CAPTURES)])
    with pytest.raises(SourceNotFound, match=r"no camera /dev/video77: there is /dev/video2 \(Webcam C920\)"):
        CameraSource(77)


@linux
def test_no_camera_at_all(monkeypatch):
    monkeypatch.setattr(v4l2, "nodes", list)
    monkeypatch.setattr(v4l2, "paths", list)
    with pytest.raises(SourceNotFound, match=r"shows no camera at all.*edgevision doctor"):
        CameraSource("77")


@linux
def test_a_device_that_is_no_camera():
    with pytest.raises(SourceNotFound, match="/dev/null is no video device"):
        CameraSource("/dev/null")


@linux
def test_a_metadata_node(monkeypatch):
    camera_node = Node("/dev/video0", "uvcvideo", "Webcam", CAPTURES)
    metadata_node = Node("/dev/video1", "uvcvideo", "Webcam", 0x00800000 | v4l2.STREAMING)
    monkeypatch.setattr(v4l2, "inspect", lambda path: metadata_node)
    monkeypatch.setattr(v4l2, "nodes", lambda: [camera_node, metadata_node])
    with pytest.raises(SourceNotFound, match=r"/dev/video1 .*metadata.*there is /dev/video0 \(Webcam\)"):
        CameraSource(1)


@linux
def test_a_pi_camera_behind_index_0(monkeypatch):
    own = Node("/dev/video0", "unicam", "unicam", CAPTURES)
    monkeypatch.setattr(v4l2, "inspect", lambda path: own)
    monkeypatch.setattr(v4l2, "nodes", lambda: [own])
    with pytest.raises(SourceNotFound, match=r"--source csi://0$"):
        CameraSource(0)


@linux
def test_no_camera_at_0_on_a_pi_with_its_own(monkeypatch):
    own = Node("/dev/video19", "pispbe", "pispbe", CAPTURES)
    monkeypatch.setattr(v4l2, "nodes", lambda: [own])
    monkeypatch.setattr(v4l2, "paths", lambda: ["/dev/video19"])
    monkeypatch.setattr(v4l2, "raspberry_pi", lambda: "Raspberry Pi 5 Model B Rev 1.0")
    with pytest.raises(
        SourceNotFound, match=r"no camera /dev/video0: this Raspberry Pi's own camera is --source csi://0"
    ):
        CameraSource(0)


@linux
@pytest.mark.parametrize(("number", "words"), [(13, "usermod -aG video"), (16, "is in use by another program")])
def test_not_allowed_and_busy(monkeypatch, number, words):
    def refuse(path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(v4l2, "inspect", refuse)
    with pytest.raises(SourceNotFound, match=words):
        camera_diagnostics.checked_node("/dev/video0")


@linux
def test_who_holds_a_device():
    child = subprocess.Popen(
        [sys.executable, "-c", "f = open('/dev/full', 'wb'); print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        child.stdout.readline()
        mine = open("/dev/full", "wb")  # noqa: SIM115 - our own process is not named
        found = v4l2.holders("/dev/full")
        mine.close()
        assert [name for name in found if f"(process {child.pid})" in name]
        assert not [name for name in found if f"(process {os.getpid()})" in name]
    finally:
        child.communicate(b"\n")
    assert v4l2.holders("/dev/no-such-device") == []


@pytest.mark.parametrize("spec", ["webcam", "", "-1", "0x1", "rtsp://host/"])
def test_a_spec_that_names_no_camera(spec):
    with pytest.raises(UsageError, match="a camera is a number"):
        CameraSource(spec)


# --- time stamps -----------------------------------------------------------------------------------------------------


def test_driver_stamps_are_believed_near_the_present():
    clock = DriverClock()
    now = 5_000 * S
    assert clock.captured_ns((now - 20 * MS) / MS, now) == now - 20 * MS
    assert clock.captured_ns((now + 13 * MS) / MS, now + 33 * MS) == now + 13 * MS
    # what waited in a buffer is old, and says so
    assert clock.captured_ns((now + 46 * MS) / MS, now + 2 * S) == now + 46 * MS
    assert not clock.repeated


@pytest.mark.parametrize("stamp_ms", [0.0, -1.0, 1_790_000_000_000.0, 4_000_000.0])
def test_stamps_of_another_clock_give_way_to_the_time_of_arrival(stamp_ms):
    clock = DriverClock()
    assert clock.captured_ns(stamp_ms, 5_000 * S) == 5_000 * S
    assert clock.captured_ns(stamp_ms, 5_001 * S) == 5_001 * S
    assert not clock.repeated, "a driver without stamps repeats none"


def test_a_stamp_slightly_ahead_is_now_and_a_jump_back_is_ignored():
    clock = DriverClock()
    now = 5_000 * S
    assert clock.captured_ns((now + 28 * MS) / MS, now) == now  # vivid
    assert clock.captured_ns((now - 100 * MS) / MS, now + 33 * MS) == now + 33 * MS


def test_the_same_buffer_again_is_noticed():
    clock = DriverClock()
    now = 5_000 * S
    clock.captured_ns((now - 10 * MS) / MS, now)
    clock.captured_ns((now - 10 * MS) / MS, now + 33 * MS)
    assert clock.repeated
    clock.captured_ns((now + 50 * MS) / MS, now + 66 * MS)
    assert not clock.repeated


def test_stillness():
    rng = np.random.default_rng(1)
    still = Stillness()
    picture = rng.integers(0, 255, (480, 640, 3), np.uint8)
    for k in range(200):
        still.see(picture, k * 33 * MS)
    assert still.still_s == pytest.approx(199 * 0.033)
    still.see(rng.integers(0, 255, (480, 640, 3), np.uint8), 7 * S)
    assert still.still_s == 0.0
    still.see(rng.integers(0, 255, (240, 320, 3), np.uint8), 8 * S)
    assert still.still_s == 0.0


# --- reading, losing, closing ----------------------------------------------------------------------------------------


class Device:
    """A stand-in for cv2.VideoCapture whose misuse is seen: overlapping calls crash the real one."""

    def __init__(self, *_: object) -> None:
        self.inside = threading.Lock()
        self.overlaps = 0
        self.released = 0
        self.grabs = 0
        self.opened = True
        self.fails_from = 10**9
        self.bad: set[int] = set()
        self.interrupted: set[int] = set()
        self.frozen_from = 10**9
        self.block = threading.Event()
        self.block.set()
        self.blocked = threading.Event()
        self.wanted: dict[int, float] = {}
        self.got_wh = (640, 360)
        self.stamp_ms = 0.0
        self.rng = np.random.default_rng(0)

    def _enter(self) -> None:
        if not self.inside.acquire(blocking=False):
            self.overlaps += 1
            self.inside.acquire()

    def isOpened(self) -> bool:
        return self.opened

    def set(self, prop: int, value: float) -> bool:
        self.wanted[prop] = value
        return True

    def get(self, prop: int) -> float:
        return {
            cv2.CAP_PROP_FPS: 24.0,
            cv2.CAP_PROP_FOURCC: float(int.from_bytes(b"MJPG", "little")),
            cv2.CAP_PROP_POS_MSEC: self.stamp_ms,
        }[prop]

    def grab(self) -> bool:
        self._enter()
        try:
            self.grabs += 1
            if not self.block.is_set():
                self.blocked.set()
                self.block.wait(10)
            time.sleep(0.001)
            if self.grabs < self.frozen_from:
                self.stamp_ms = time.monotonic_ns() / MS - 5.0
            return self.grabs < self.fails_from and self.grabs not in self.interrupted
        finally:
            self.inside.release()

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        self._enter()
        try:
            if self.grabs in self.bad:
                return False, None
            return True, self.rng.integers(0, 255, (self.got_wh[1], self.got_wh[0], 3), np.uint8)
        finally:
            self.inside.release()

    def release(self) -> None:
        self._enter()
        try:
            self.released += 1
        finally:
            self.inside.release()


@pytest.fixture
def device(monkeypatch):
    made = Device()
    monkeypatch.setattr(camera.sys, "platform", "linux")
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: made)
    monkeypatch.setattr(v4l2, "inspect", lambda path: Node(path, "uvcvideo", "Webcam C920", CAPTURES))
    monkeypatch.setattr(v4l2, "offers", lambda path, w, h: c920((1280, 720)))
    monkeypatch.setattr(v4l2, "holders", lambda path: [])
    monkeypatch.delenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", raising=False)
    yield made
    assert made.overlaps == 0, "OpenCV was used from two threads at once: the real one crashes"


def test_what_was_got_is_told_not_what_was_asked(device):
    with CameraSource(0, width_px=1280, height_px=720, fps=30) as source:
        assert device.wanted[cv2.CAP_PROP_FOURCC] == int.from_bytes(b"MJPG", "little")
        assert device.wanted[cv2.CAP_PROP_FRAME_WIDTH] == 1280
        assert device.wanted[cv2.CAP_PROP_BUFFERSIZE] == 2
        info = source.info
        assert (info.width_px, info.height_px, info.fps, info.live) == (640, 360, 24.0, True)
        assert (info.name, source.fourcc, source.card) == ("/dev/video0", "MJPG", "Webcam C920")
        frames = [source.read() for _ in range(5)]
        assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
        stamps = [frame.captured_ns for frame in frames]
        assert stamps == sorted(set(stamps))
        assert all(0 < time.monotonic_ns() - stamp < 5 * S for stamp in stamps)
        assert frames[0].pixels.shape == (360, 640, 3)
        assert source.trouble is None
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "1"


def test_the_users_own_timeout_stands(device, monkeypatch):
    monkeypatch.setenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "7")
    CameraSource(0).close()
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "7"


def test_a_camera_that_opens_and_gives_nothing(device, monkeypatch):
    monkeypatch.setattr(camera, "FIRST_FRAME_LIMIT_S", 0.3)
    device.fails_from = 0
    with pytest.raises(SourceNotFound, match=r"opens but gave no frame .*another USB port"):
        CameraSource(0)
    assert device.released == 1


def test_a_camera_that_another_program_has(device, monkeypatch):
    device.opened = False
    monkeypatch.setattr(v4l2, "holders", lambda path: ["zoom (process 4711)"])
    with pytest.raises(SourceNotFound, match=r"in use by zoom \(process 4711\): close that first"):
        CameraSource(0)


def test_lost_and_let_go(device, monkeypatch):
    source = CameraSource(0)
    source.read()
    device.fails_from = device.grabs + 1

    def gone(path):
        raise OSError(19, "No such device")

    monkeypatch.setattr(v4l2, "inspect", gone)
    for _ in range(2):
        with pytest.raises(SourceLost, match="/dev/video0 is gone"):
            source.read()
    assert device.released == 1, "a device that is held cannot come back"
    assert "gone" in source.trouble
    source.close()
    assert source.read() is None


def test_a_signal_that_interrupts_a_wait_is_not_a_loss(device):
    with CameraSource(0) as source:
        source.read()
        device.interrupted = {device.grabs + 1}
        assert source.read() is not None
        device.interrupted = {device.grabs + 1, device.grabs + 2}
        with pytest.raises(SourceLost):
            source.read()


def test_damaged_pictures_are_left_out(device):
    with CameraSource(0) as source:
        source.read()
        device.bad = {device.grabs + 1, device.grabs + 2}
        assert source.read().index == 3


def test_only_damaged_pictures_is_lost(device):
    with CameraSource(0) as source:
        device.bad = set(range(10**5))
        with pytest.raises(SourceLost, match="cannot be decoded"):
            source.read()


def test_the_same_buffer_for_ever_is_lost(device):
    with CameraSource(0) as source:
        source.read()
        device.frozen_from = 0
        with pytest.raises(SourceLost, match="same frame again and again"):
            source.read()


def test_after_a_pause_what_waited_in_the_buffers_is_thrown_away(device):
    with CameraSource(0) as source:
        assert source.read().index == 0
        time.sleep(camera.AWAY_LIMIT_S * 1.5)
        before = device.grabs
        assert source.read().index == 3
        assert device.grabs == before + 3


def test_close_while_a_read_blocks(device):
    source = CameraSource(0)
    source.read()
    device.block.clear()
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(source.read()))
    reader.start()
    assert device.blocked.wait(5)
    source.close()
    source.close()
    assert device.released == 0, "not while a read is in progress"
    device.block.set()
    reader.join(5)
    assert not reader.is_alive()
    assert device.released == 1
    assert source.read() is None


def test_a_blocked_read_is_trouble(device, monkeypatch):
    monkeypatch.setattr(camera, "STALL_LIMIT_S", 0.05)
    source = CameraSource(0)
    device.block.clear()
    reader = threading.Thread(target=source.read)
    reader.start()
    assert device.blocked.wait(5)
    deadline = time.monotonic() + 5
    while source.trouble is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "no frame from /dev/video0" in source.trouble
    source.close()
    device.block.set()
    reader.join(5)
    assert device.released == 1


def test_closing_at_any_moment_releases_once(device):
    for k in range(60):
        device.released = 0
        source = CameraSource(0)
        reader = threading.Thread(target=lambda source=source: all(source.read() for _ in range(1000)))
        reader.start()
        time.sleep(k * 0.0002)
        source.close()
        reader.join(5)
        assert not reader.is_alive()
        assert device.released == 1
