"""Images turned as they come in: size, pixels, true boxes and results agree, for files and live sources alike."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgevision.capture import open_source
from edgevision.capture.orientation import ROTATIONS, TurnedSource
from edgevision.capture.reconnect import ReconnectingSource
from edgevision.errors import UsageError
from edgevision.interfaces import ContextManaged
from edgevision.types import Detections, Frame, SourceInfo
from tests.support.video import WebCamera, film, number_of, picture

ALL = [(rotate, flip) for rotate in ROTATIONS for flip in (False, True)]


def turned(pixels: NDArray[np.uint8], rotate: int, flip: bool) -> NDArray[np.uint8]:
    """The definition: clockwise, then mirrored left to right."""
    upright = np.rot90(pixels, -rotate // 90)
    return upright[:, ::-1] if flip else upright


class Still(ContextManaged):
    """One image, with a box around what is not black in it."""

    trouble = "none worth a word"

    def __init__(self) -> None:
        self.info = SourceInfo("still", 40, 20, 30.0, live=True)
        self.closed = False

    def read(self) -> Frame | None:
        pixels = np.zeros((20, 40, 3), np.uint8)
        pixels[3:8, 4:16] = (10, 20, 30)
        box = Detections(np.array([[4, 3, 16, 8]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
        return Frame(pixels, 7, 123, self.info, truth=box)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("rotate", "flip"), ALL)
def test_pixels_size_and_boxes(rotate: int, flip: bool) -> None:
    still = Still()
    with TurnedSource(still, rotate, flip) as source:
        before, frame = still.read(), source.read()
    assert before is not None
    assert frame is not None
    np.testing.assert_array_equal(frame.pixels, turned(before.pixels, rotate, flip))
    assert frame.pixels.flags.c_contiguous
    assert frame.size_wh == (source.info.width_px, source.info.height_px) == frame.pixels.shape[1::-1]
    assert frame.source == source.info
    assert (frame.index, frame.captured_ns, source.trouble) == (7, 123, "none worth a word")
    assert frame.truth is not None
    y, x = np.nonzero(frame.pixels.any(axis=2))
    assert frame.truth.boxes.tolist() == [[x.min(), y.min(), x.max() + 1, y.max() + 1]]
    assert frame.truth.boxes.dtype == np.float32
    assert still.closed


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    film(root / "clip.mp4", 12)
    film(root / "phone.mp4", 12, rotation=90)
    cv2.imwrite(str(root / "shot.png"), picture(5))
    return root


@pytest.fixture
def web() -> Iterator[WebCamera]:
    camera = WebCamera()
    yield camera
    camera.close()


@pytest.mark.parametrize("name", ["clip.mp4", "phone.mp4", "shot.png"])
@pytest.mark.parametrize(("rotate", "flip"), [(90, False), (180, False), (270, False), (0, True), (180, True)])
def test_files(media: Path, name: str, rotate: int, flip: bool) -> None:
    """What the file itself says of its orientation comes first, and only once."""
    with open_source(media / name) as plain, open_source(media / name, rotate=rotate, flip=flip) as source:
        assert source.info.frame_count == plain.info.frame_count
        for _ in range(12 if name != "shot.png" else 1):
            one, other = plain.read(), source.read()
            assert one is not None
            assert other is not None
            np.testing.assert_array_equal(other.pixels, turned(one.pixels, rotate, flip))
        assert plain.read() is source.read() is None


def test_a_live_stream_stays_turned_when_it_comes_back(web: WebCamera) -> None:
    with open_source(web.url(), rotate=180) as source:
        assert isinstance(source, TurnedSource)
        assert isinstance(source._source, ReconnectingSource)
        first = source.read()
        assert first is not None
        assert number_of(turned(first.pixels, 180, False)) < 60
        web.away.set()
        threshold = web.sent
        web.size_wh = (240, 180)
        web.away.clear()
        later = next(
            frame
            for frame in itertools.islice(iter(source.read, None), 200)
            if frame is not None
            and number_of(turned(frame.pixels, 180, False)) > threshold
            and frame.size_wh == (240, 180)
        )
        assert later.index > first.index


def test_the_scene_s_truth_turns_with_it() -> None:
    address = "scene://?size=160x120&people=2&seed=3&live=0"
    with open_source(address) as plain, open_source(address, rotate=90) as source:
        one, other = plain.read(), source.read()
    assert one is not None
    assert one.truth is not None
    assert other is not None
    assert other.truth is not None
    assert other.size_wh == (120, 160)
    x1, y1, x2, y2 = one.truth.boxes.T
    np.testing.assert_allclose(other.truth.boxes, np.stack([120 - y2, x1, 120 - y1, x2], axis=1))


@pytest.mark.parametrize("rotate", [45, -90, 360, 1])
def test_other_angles_are_refused_before_anything_opens(rotate: int) -> None:
    with pytest.raises(UsageError, match=r"0, 90, 180, 270 degrees, got"):
        open_source("/dev/video77", rotate=rotate)


def test_run(media: Path, tmp_path: Path) -> None:
    """Boxes and size in JSON lines are those of the turned image."""
    out = tmp_path / "lines.jsonl"
    command = [sys.executable, "-m", "edgevision", "run", "--source", str(media / "clip.mp4"), "--display", "none"]
    command += ["--model", "person-tiny", "--json", str(out), "--frames", "2", "--rotate", "90", "--flip"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["size"] for line in out.read_text().splitlines()] == [[120, 160]] * 2
