"""The contract of `edgevision.interfaces.Source`, that every source keeps.

To add a kind: a line in `KINDS`, with what opens it, and what opens one whose read blocks for long.

The real V4L2 camera keeps it in the vivid guest (tests/rigs), named by EDGEVISION_CAMERA.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.capture import open_source
from edgevision.capture.camera import CameraSource
from edgevision.capture.picamera import PiCameraSource
from edgevision.capture.stream import StreamSource
from edgevision.interfaces import Source
from edgevision.types import Frame
from tests.support.picamera import FakePicamera2, FakeRequest
from tests.support.video import WebCamera, film, picture

CAMERA = os.environ.get("EDGEVISION_CAMERA")


class MovingRequest(FakeRequest):
    """Another picture each time, taken now."""

    def get_metadata(self):
        return {"SensorTimestamp": time.monotonic_ns(), "FrameDuration": 33_333}

    def make_array(self, name):
        assert self.released == 0
        width, height = self.camera.camera_configuration()["main"]["size"]
        return np.random.default_rng(len(self.camera.requests)).integers(0, 255, (height, width, 3), np.uint8)


class MovingPicamera2(FakePicamera2):
    def capture_request(self, wait=None, signal_function=None, flush=None):
        super().capture_request(wait, signal_function, flush)
        self.requests.pop()
        return MovingRequest(self)


class SilentPicamera2(MovingPicamera2):
    """Gives its first picture, and then waits as long as it may."""

    def capture_request(self, wait=None, signal_function=None, flush=None):
        if not self.silent:
            self.silent = True
            return MovingRequest(self)
        self.pending += 1
        time.sleep(wait)
        raise concurrent.futures.TimeoutError


class Studio:
    """What sources can be opened on."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clip, self.folder = root / "clip.mp4", root / "images"
        self._monkeypatch = monkeypatch

    def pi_camera(self, picamera2: type[FakePicamera2]) -> Source:
        module = types.ModuleType("picamera2")
        vars(module)["Picamera2"] = picamera2
        self._monkeypatch.setitem(sys.modules, "picamera2", module)
        self._monkeypatch.setattr(FakePicamera2, "cameras", [{"Model": "imx708", "Num": 0, "Id": "/base/imx708@1a"}])
        self._monkeypatch.setattr(FakePicamera2, "made", [])
        return PiCameraSource(0, width_px=160, height_px=120)

    def camera(self, dropped_percent: int = 0) -> Source:
        assert CAMERA is not None
        source = CameraSource(CAMERA, width_px=320, height_px=180)
        if dropped_percent:
            control = f"percentage_of_dropped_buffers={dropped_percent}"
            subprocess.run(["v4l2-ctl", "-d", CAMERA, "-c", control], check=True, timeout=20)
        return source

    @cached_property
    def web(self) -> WebCamera:
        clip = ("video/mp4", self.clip.read_bytes())
        return WebCamera(files={"/clip.mp4": clip, "/stalls.mp4": clip}, stall_after={"/stalls.mp4": len(clip[1]) // 2})

    def silent(self, source: Source) -> Source:
        """The same source, from now on sent nothing."""
        self.web.silent.set()
        return source


@dataclass(frozen=True)
class SourceKind:
    open: Callable[[Studio], Source]
    open_blocking: Callable[[Studio], Source]
    """One whose reads, after some at most, block for longer than `close` may take."""
    size_wh: tuple[int, int] = (160, 120)


KINDS = {
    "video": SourceKind(lambda s: open_source(s.clip), lambda s: open_source(s.clip, fps=0.1)),
    "images": SourceKind(lambda s: open_source(s.folder), lambda s: open_source(s.folder, fps=0.1)),
    "scene": SourceKind(
        lambda s: open_source("scene://?size=160x120&people=1&fps=100"),
        lambda s: open_source("scene://?size=160x120&people=1&fps=0.1"),
    ),
    "scene as a file": SourceKind(
        lambda s: open_source("scene://?size=160x120&people=1&live=0&frames=9"),
        lambda s: open_source("scene://?size=160x120&people=1&fps=0.1"),
    ),
    "stream": SourceKind(lambda s: StreamSource(s.web.url()), lambda s: s.silent(StreamSource(s.web.url()))),
    "stream that comes back": SourceKind(
        lambda s: open_source(s.web.url()), lambda s: s.silent(open_source(s.web.url()))
    ),
    "file over HTTP": SourceKind(
        lambda s: open_source(s.web.url("/clip.mp4")), lambda s: open_source(s.web.url("/stalls.mp4"))
    ),
    "Pi camera": SourceKind(lambda s: s.pi_camera(MovingPicamera2), lambda s: s.pi_camera(SilentPicamera2)),
}
if CAMERA:
    KINDS["camera"] = SourceKind(lambda s: s.camera(), lambda s: s.camera(100), (320, 180))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    film(root / "clip.mp4", 30, faststart=True)
    (root / "images").mkdir()
    for number in range(4):
        cv2.imwrite(str(root / "images" / f"{number}.png"), picture(number))
    return root


@pytest.fixture
def studio(media: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    studio = Studio(media, monkeypatch)
    yield studio
    if CAMERA:
        subprocess.run(["v4l2-ctl", "-d", CAMERA, "-c", "percentage_of_dropped_buffers=0"], check=True, timeout=20)
    if "web" in vars(studio):
        studio.web.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> SourceKind:
    return KINDS[request.param]


def frames_of(source: Source, most: int) -> list[Frame]:
    return [frame for frame in itertools.islice(iter(source.read, None), most) if frame is not None]


def test_info_is_what_frames_are(kind: SourceKind, studio: Studio) -> None:
    with kind.open(studio) as source:
        info = source.info
        frame = source.read()
        assert frame is not None
        assert frame.size_wh == (info.width_px, info.height_px) == kind.size_wh
        assert info.name
        assert info.fps is None or 0 < info.fps <= 1000
        assert info.frame_count is None or (info.frame_count > 0 and not info.live)
        assert frame.source.live == info.live
        assert source.trouble is None


def test_frames(kind: SourceKind, studio: Studio) -> None:
    began = time.monotonic_ns()
    with kind.open(studio) as source:
        frames = frames_of(source, 12)
        now = time.monotonic_ns()
        live = source.info.live
        shape = (source.info.height_px, source.info.width_px, 3)
    assert len(frames) >= 4
    indices = [frame.index for frame in frames]
    assert indices[0] == 0
    if live:
        assert indices == sorted(set(indices)), "indices rise"
    else:
        assert indices == list(range(len(frames))), "a file drops nothing"
    stamps = [frame.captured_ns for frame in frames]
    assert stamps == sorted(stamps)
    assert began <= stamps[0]
    assert stamps[-1] <= now
    for frame in frames:
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.shape == shape
        with pytest.raises(ValueError, match="read-only"):
            frame.pixels[0, 0, 0] = 1
    assert len({frame.pixels.tobytes() for frame in frames}) == len(frames), "each is another picture"


def test_a_frame_stays_what_it_was(kind: SourceKind, studio: Studio) -> None:
    with kind.open(studio) as source:
        first = source.read()
        assert first is not None
        before = first.pixels.tobytes()
        frames_of(source, 3)
        assert first.pixels.tobytes() == before, "its buffer was used again"
    assert first.pixels.tobytes() == before, "its buffer went with the source"


def test_nothing_after_the_end(kind: SourceKind, studio: Studio) -> None:
    with kind.open(studio) as source:
        if source.info.live:
            source.close()
        else:
            frames_of(source, 10_000)
        assert source.read() is None
        assert source.read() is None


def test_close_twice_is_once(kind: SourceKind, studio: Studio) -> None:
    source = kind.open(studio)
    assert source.read() is not None
    source.close()
    source.close()
    assert source.read() is None
    assert source.trouble is None


def test_closed_without_a_read(kind: SourceKind, studio: Studio) -> None:
    with kind.open(studio) as source:
        pass
    assert source.read() is None


def test_with_closes_and_lets_errors_through(kind: SourceKind, studio: Studio) -> None:
    with pytest.raises(KeyError, match="mine"), kind.open(studio) as source:
        raise KeyError("mine")
    assert source.read() is None


def test_close_ends_a_read_that_blocks(kind: SourceKind, studio: Studio) -> None:
    source = kind.open_blocking(studio)
    got: list[Frame | BaseException] = []

    def reader() -> None:
        try:
            got.extend(iter(source.read, None))
        except BaseException as exc:
            got.append(exc)

    thread = threading.Thread(target=reader)
    thread.start()
    settled = -1
    while settled != len(got):  # what is in flight still comes
        settled = len(got)
        time.sleep(0.25)
    assert thread.is_alive(), "it did not block"
    began = time.monotonic()
    source.close()
    thread.join(5)
    took_s = time.monotonic() - began
    assert not thread.is_alive()
    assert took_s < 2.5, "promised: 2 s"
    assert all(isinstance(frame, Frame) for frame in got), got
