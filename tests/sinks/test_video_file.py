"""Recordings: true in time and colour, playable whatever happens, and never in the loop's way."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2  # noqa: F401 - before av, whose libxcb hangs Qt's windows
import av
import numpy as np
import pytest

from edgevision.errors import SinkError
from edgevision.sinks import video_file
from edgevision.sinks.render import Renderer
from edgevision.sinks.video_encoder import FORMATS, fitted
from edgevision.sinks.video_file import VideoFileSink
from tests.support.display import LOST, PAUSED, RUNNING, pixels_of, result_of, show
from tests.support.models import FakeClock

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Played:
    times_s: list[float]
    pictures: list[np.ndarray]
    codec: str
    rate: Fraction | None
    container: str


def play(path: Path) -> Played:
    """Every frame of the file, read to its end without an error."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = list(file.decode(stream))
        return Played(
            [float(f.pts * f.time_base) for f in frames],
            [f.to_ndarray(format="bgr24") for f in frames],
            stream.codec_context.name,
            stream.average_rate,
            file.format.name,
        )


def settle(sink: VideoFileSink) -> None:
    """So that a slow machine leaves nothing out."""
    while sink._slot.statistics.waiting:
        time.sleep(0.001)


def record(path: Path, results, statuses=(), **options) -> VideoFileSink:
    with VideoFileSink(path, **options) as sink:
        for result in results:
            show(sink, result)
            settle(sink)
        for status in statuses:
            sink.notice(status)
    return sink


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_every_format_plays_with_every_frame(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    record(path, [result_of(k, live=False) for k in range(40)])
    played = play(path)
    assert len(played.pictures) == 40
    assert np.allclose(played.times_s, np.arange(40) / 30, atol=0.002)
    assert played.pictures[0].shape == (180, 320, 3)


def test_colours_are_those_that_were_drawn(tmp_path):
    pixels = np.zeros((240, 320, 3), np.uint8)
    colours = [(30, 60, 200), (200, 60, 30), (40, 180, 60), (128, 128, 128)]
    for k, colour in enumerate(colours):
        pixels[:, k * 80 : k * 80 + 80] = colour
    record(tmp_path / "out.mp4", [result_of(k, [], pixels=pixels.copy(), live=False) for k in range(5)])
    with av.open(str(tmp_path / "out.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (6, 1), "unsaid, players guess"
    picture = play(tmp_path / "out.mp4").pictures[-1]
    for k, colour in enumerate(colours):
        assert np.abs(picture[100, k * 80 + 40].astype(int) - colour).max() <= 8


def test_a_live_source_plays_back_at_the_pace_of_the_world(tmp_path):
    """Frames that come unevenly, with a gap of two seconds where the camera was away."""
    at_s = [0.0, 0.033, 0.070, 0.095, 0.140, 2.140, 2.173, 2.210]
    results = [result_of(k, captured_ns=10**15 + round(s * 1e9)) for k, s in enumerate(at_s)]
    record(tmp_path / "out.mp4", results)
    assert np.allclose(play(tmp_path / "out.mp4").times_s, at_s, atol=1e-4)


@pytest.mark.parametrize("fps", [12.5, 30000 / 1001, 25.0])
def test_a_file_keeps_its_rate_however_fast_it_was_read(tmp_path, fps):
    results = [result_of(k, live=False, fps=fps, captured_ns=10**12 + k * 1000) for k in range(50)]
    record(tmp_path / "out.mp4", results)
    played = play(tmp_path / "out.mp4")
    assert np.allclose(played.times_s, np.arange(50) / fps, atol=1e-4)
    assert float(played.rate) == pytest.approx(fps, rel=1e-3)


def test_pictures_without_a_rate_can_be_looked_at(tmp_path):
    record(tmp_path / "out.mp4", [result_of(k, live=False, fps=None) for k in range(4)])
    assert np.allclose(play(tmp_path / "out.mp4").times_s, [0, 0.5, 1.0, 1.5])


def test_size_changes_are_fitted_into_the_first(tmp_path):
    sizes = [(321, 181)] * 3 + [(180, 320)] * 3 + [(640, 360)] * 3
    results = [result_of(k, [], pixels=np.full((h, w, 3), 200, np.uint8), live=False) for k, (w, h) in enumerate(sizes)]
    record(tmp_path / "out.mp4", results)
    played = play(tmp_path / "out.mp4")
    assert {p.shape for p in played.pictures} == {(180, 320, 3)}
    assert len(played.pictures) == 9
    tall = played.pictures[5]
    assert tall[60, 160].mean() == pytest.approx(200, abs=6)
    assert tall[60, 20].mean() == pytest.approx(0, abs=6)


def test_fitting():
    picture = pixels_of(0, 33, 17)
    assert np.array_equal(fitted(picture, (32, 16)), picture[:16, :32])
    assert fitted(picture, (64, 64)).shape == (64, 64, 3)
    assert fitted(np.zeros((1, 1, 3), np.uint8), (2, 2)).shape == (2, 2, 3)


@pytest.mark.parametrize("status", [LOST, PAUSED])
def test_what_was_not_live_does_not_look_so_in_the_recording(tmp_path, status):
    clock = FakeClock()
    clock.now_ns = 10**12
    with VideoFileSink(tmp_path / "out.mp4", now_ns=clock) as sink:
        for k in range(3):
            show(sink, result_of(k, captured_ns=clock()))
            settle(sink)
            clock.advance_ms(33)
        for _ in range(60):  # 3 s, told twenty times a second
            sink.notice(status)
            settle(sink)
            clock.advance_ms(50)
        show(sink, result_of(4, captured_ns=clock()))
        settle(sink)
    played = play(tmp_path / "out.mp4")
    assert len(played.times_s) == 3 + 3 + 1
    assert played.times_s[-1] == pytest.approx(3.099, abs=0.001)
    live, halted = played.pictures[0], played.pictures[-2]
    assert halted[100:150, 200:300].mean() < 0.8 * live[100:150, 200:300].mean()


def test_a_live_loop_never_waits_for_the_encoder_and_the_rest_is_counted(tmp_path, monkeypatch, caplog):
    go_on = threading.Event()
    real = video_file.VideoEncoder.write

    def slow(self, picture, ticks):
        go_on.wait(10)
        return real(self, picture, ticks)

    monkeypatch.setattr(video_file.VideoEncoder, "write", slow)
    sink = VideoFileSink(tmp_path / "out.mp4")
    began = time.monotonic()
    for k in range(200):
        show(sink, result_of(k))
    assert time.monotonic() - began < 5
    go_on.set()
    sink.close()
    assert sink.written + sink.skipped == 200
    assert sink.written <= 7
    assert len(play(tmp_path / "out.mp4").pictures) == sink.written
    assert f"{sink.skipped} of 200 frames are not in" in caplog.text


def test_a_file_waits_for_the_encoder(tmp_path, monkeypatch):
    real = video_file.VideoEncoder.write

    def slow(self, picture, ticks):
        time.sleep(0.005)
        return real(self, picture, ticks)

    monkeypatch.setattr(video_file.VideoEncoder, "write", slow)
    with VideoFileSink(tmp_path / "out.mp4") as sink:
        for k in range(60):
            show(sink, result_of(k, live=False))
    assert (sink.written, sink.skipped) == (60, 0)


LOOP = """
import logging, sys, time
from edgevision.sinks.video_file import VideoFileSink
from tests.support.display import *
import numpy as np
logging.basicConfig(format="%(message)s")
noise = np.random.default_rng(0).integers(0, 255, (180, 320, 3), np.uint8)
renderer = Renderer()
with VideoFileSink({path!r}) as sink:
    for index in range({count}):
        show(sink, result_of(index, pixels=np.roll(noise, index * 7, 1), live=False), renderer=renderer)
        if index == 100:
            print("running", flush=True)
    print("went on", sink.written, sink.wants_picture, flush=True)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_plays_after_a_kill(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    code = LOOP.format(path=str(path), count=100_000)
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "running\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGKILL)
    child.wait(5)
    child.stdout.close()
    with av.open(str(path)) as file:
        times_s = []
        try:
            for frame in file.decode(video=0):
                times_s.append(float(frame.pts * frame.time_base))
        except av.FFmpegError:
            pass  # killed in the middle of writing the last fragment
    assert len(times_s) >= 60, "all but the last second or so"


@pytest.mark.parametrize("limit_bytes", [3_000, 300_000, 1_000_000])
def run_with_room_for(path, limit_bytes):
    """Record 150 frames of noise into a file that may not grow beyond a size; the one warning."""
    child = subprocess.run(
        [sys.executable, "-c", LOOP.format(path=str(path), count=150)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes)),
    )
    assert child.returncode == 0
    assert child.stdout.splitlines()[0] == "running"
    assert child.stdout.splitlines()[1].startswith("went on")
    assert child.stdout.endswith("False\n"), "nothing is drawn any more for a file that has ended"
    (warning,) = child.stderr.splitlines()
    assert warning.startswith(f"the video {path} ends here: File too large; the loop continues, and ")
    return warning


@pytest.mark.parametrize("limit_bytes", [0, 20, 3_000])
@pytest.mark.parametrize("old", [False, True])
def test_a_disk_that_is_full_from_the_start_holds_nothing_that_plays(tmp_path, limit_bytes, old):
    path = tmp_path / "out.mp4"
    if old:
        path.write_bytes(b"old")
    warning = run_with_room_for(path, limit_bytes)
    assert "not one frame of it was written" in warning
    assert "what is in it plays" not in warning
    assert path.exists() is old, "a file that was not there before, and holds nothing, is removed"


@pytest.mark.parametrize("limit_bytes", [300_000, 1_000_000])
def test_a_full_disk_is_one_warning_and_the_file_so_far_plays(tmp_path, limit_bytes):
    path = tmp_path / "out.mp4"
    assert run_with_room_for(path, limit_bytes).endswith("what is in it plays")
    assert path.stat().st_size <= limit_bytes
    assert len(play(path).pictures) >= limit_bytes // 25_000, "noise takes 17 kB a picture"


def test_an_encoder_that_fails_frees_a_loop_that_waits_for_it(tmp_path, monkeypatch, caplog):
    def broken(self, picture, ticks):
        time.sleep(0.05)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(video_file.VideoEncoder, "write", broken)
    with VideoFileSink(tmp_path / "out.mp4") as sink:
        for k in range(50):
            show(sink, result_of(k, live=False))
        assert not sink.wants_picture
    (record_,) = caplog.records
    assert "a fault of ours" in record_.getMessage()
    assert record_.exc_info, "a fault of ours must be found"


def test_ends_are_said(tmp_path):
    with pytest.raises(SinkError, match=r"saved as \.mp4, \.m4v, \.mov, \.mkv, \.avi; 'out\.gif' ends otherwise"):
        VideoFileSink(tmp_path / "out.gif")
    with pytest.raises(SinkError, match=r"cannot be written to .*: No such file or directory; name a file"):
        VideoFileSink(tmp_path / "no" / "out.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(SinkError, match="Is a directory"):
        VideoFileSink(tmp_path / "folder.mp4")


def test_without_a_frame_nothing_is_made_and_nothing_is_lost(tmp_path):
    VideoFileSink(tmp_path / "new.mp4").close()
    assert not (tmp_path / "new.mp4").exists()
    (tmp_path / "old.mp4").write_bytes(b"an older recording")
    VideoFileSink(tmp_path / "old.mp4").close()
    assert (tmp_path / "old.mp4").read_bytes() == b"an older recording"


def test_the_source_itself_is_never_overwritten(tmp_path):
    path = tmp_path / "clip.mp4"
    record(path, [result_of(k, live=False) for k in range(3)])
    before = path.read_bytes()
    with VideoFileSink(path) as sink, pytest.raises(SinkError, match="is the source itself"):
        show(sink, result_of(0, live=False, name=str(path)))
    assert path.read_bytes() == before


def test_nothing_grows_with_frames(tmp_path):
    import psutil

    process, renderer = psutil.Process(), Renderer()
    with VideoFileSink(tmp_path / "out.mp4") as sink:

        def run(first: int, count: int) -> int:
            for k in range(first, first + count):
                show(sink, result_of(k, live=False), RUNNING, renderer)
            return process.memory_info().rss

        low = run(0, 300)
        assert run(300, 600) - low < 12_000_000  # 600 pictures alone would be 100 MB
