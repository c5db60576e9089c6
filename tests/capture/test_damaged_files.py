"""No damaged file is called complete, and no whole one damaged; where a container cannot tell, that is said."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.damaged_files import DAMAGES, FRAMES, KINDS, Made, Row, damaged, look, make
from edgevision.capture import open_source
from edgevision.errors import SourceBroken
from tests.support.video import film, picture

SAYS_ITS_END = {
    *("mp4", "mp4 index first", "mp4 fragmented", "mov mjpeg", "mkv", "webm", "avi mjpeg", "avi mpeg4", "flv", "ogg"),
    *("gif", "apng", "ivf", "mxf", "mpeg program stream", "jpeg", "png", "webp", "tiff", "avif"),
}


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS if kind.name not in ("dv", "mp4 hevc", "raw hevc")])
def test_each_damage_to_each_kind_of_file(kind: str) -> None:
    rows = [row for row in damaged(seed=3, only=kind) if row.kind == kind]
    assert len(rows) == 1 + len(DAMAGES)
    assert rows[0] == Row(kind, "none", "whole", rows[0].said), "a whole file was called damaged"
    assert not [row for row in rows if row.verdict == "called complete"]
    if kind in SAYS_ITS_END:
        assert not [row for row in rows if row.verdict == "unknown" or "unknown" in row.said]


def made(name: str, folder: Path) -> Path:
    kind: Made = next(kind for kind in KINDS if kind.name == name)
    path = folder / f"whole{kind.suffix}"
    make(kind, path)
    return path


@pytest.mark.parametrize("name", ["ts", "y4m", "raw mjpeg", "raw h264", "mkv of unknown length", "asf"])
def test_completeness_is_unknown_where_a_container_cannot_tell(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = made(name, tmp_path)
    with caplog.at_level(logging.WARNING), open_source(path) as source:
        assert sum(1 for _ in iter(source.read, None)) == FRAMES
    assert f"{path}: completeness unknown: " in caplog.text


@pytest.mark.parametrize("name", ["mp4", "mkv", "avi mjpeg", "gif", "ogg"])
def test_nothing_is_said_of_a_whole_file(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), open_source(made(name, tmp_path)) as source:
        assert sum(1 for _ in iter(source.read, None)) == FRAMES
    assert not caplog.text


@pytest.mark.parametrize("name", ["gif", "webm", "avi mjpeg", "ts", "mkv of unknown length"])
@pytest.mark.parametrize("keep", [0.4, 0.8, 0.97])
def test_an_end_of_zeros_is_named(name: str, keep: float, tmp_path: Path) -> None:
    """What a recorder leaves on its card after a power cut: the length is right, the end is empty."""
    path = made(name, tmp_path)
    data = path.read_bytes()
    held = int(len(data) * keep)
    path.write_bytes(data[:held] + bytes(len(data) - held))
    assert look(path).broken is not None


@pytest.mark.parametrize(
    ("codec", "suffix", "pixel_format"),
    [
        ("mjpeg", ".avi", "yuvj420p"),
        ("rawvideo", ".avi", "bgr24"),
        ("huffyuv", ".avi", "yuv422p"),
        ("ffv1", ".mkv", "yuv420p"),
        ("mpeg4", ".avi", "yuv420p"),
        ("mpeg2video", ".ts", "yuv420p"),
        ("mpeg2video", ".wtv", "yuv420p"),
        ("libx264", ".mp4", "yuv420p"),
        ("gif", ".gif", "rgb8"),
    ],
)
@pytest.mark.parametrize("grey", [0, 255])
def test_pictures_of_one_colour_are_no_damage(
    codec: str, suffix: str, pixel_format: str, grey: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.video.picture", lambda *_: np.full((120, 160, 3), grey, np.uint8))
    path = film(tmp_path / f"a{suffix}", 12, codec=codec, pixel_format=pixel_format)
    assert look(path).broken is None


def test_an_avi_of_another_writer_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    for number in range(20):
        writer.write(picture(number))
    writer.release()
    seen = look(path)
    assert (len(seen.pictures), seen.broken, seen.unknown) == (20, None, None)


def test_a_recorder_that_died_between_fragments_is_not_called_complete(tmp_path: Path) -> None:
    path = made("mp4 fragmented", tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moof") - 4])
    seen = look(path)
    assert seen.broken is None
    assert seen.unknown is not None
    assert len(seen.pictures) == FRAMES - 10


def test_a_gif_cut_after_an_image_is_named(tmp_path: Path) -> None:
    path = made("gif", tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SourceBroken, match="without its end mark"), open_source(path) as source:
        for _ in iter(source.read, None):
            pass
