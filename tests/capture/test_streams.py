"""Streams from real servers on loopback, and the policy that brings a lost source back."""

from __future__ import annotations

import itertools
import logging
import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.capture import open_source
from edgevision.capture.reconnect import ReconnectingSource
from edgevision.capture.redact import hide_credentials
from edgevision.capture.stream import StreamSource
from edgevision.errors import SourceBroken, SourceLost, SourceNotFound
from edgevision.interfaces import ContextManaged, Source
from edgevision.types import Frame, SourceInfo
from tests.support.page import running_page
from tests.support.rtsp import RtspServer, missing
from tests.support.video import WebCamera, film, number_of, picture
from tests.support.waiting import wait_for

_log = logging.getLogger(__name__)


@pytest.fixture
def web() -> Iterator[WebCamera]:
    camera = WebCamera()
    yield camera
    camera.close()


def read_frame(source: Source) -> Frame:
    frame = source.read()
    assert frame is not None
    return frame


def said_by(error: BaseException) -> str:
    """All that a report of an error would print of it and its causes."""
    lines = traceback.TracebackException.from_exception(error)
    said: list[str] = []
    todo: list[traceback.TracebackException | None] = [lines]
    while todo:
        if (one := todo.pop()) is not None:
            said += one.format_exception_only()
            todo += [one.__cause__, one.__context__]
    assert len(said) > 1, "no cause is told"
    return "".join(said)


# --- passwords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://user:secret@host/cam", "rtsp://user:***@host/cam"),
        ("rtsp://user:secret@host:554/cam?a=1", "rtsp://user:***@host:554/cam?a=1"),
        ("rtsp://user:@host/cam", "rtsp://user:***@host/cam"),
        ("rtsp://:secret@host/cam", "rtsp://:***@host/cam"),
        ("rtsp://user:se:cr:et@host/cam", "rtsp://user:***@host/cam"),
        ("rtsp://user:s@cret@host/cam", "rtsp://user:***@host/cam"),
        # A password that should have been quoted: better the host hidden too than a part of it shown.
        ("rtsp://user:sec/ret@host/cam", "rtsp://user:***@host/cam"),
        ("rtsp://user:sec#ret@host/cam", "rtsp://user:***@host/cam"),
        ("rtsp://user:s@ec?r@et@host/cam", "rtsp://user:***@host/cam"),
        ("RTSP://user:secret@host", "RTSP://user:***@host"),
        ("http://user:secret@[::1]:8080/v", "http://user:***@[::1]:8080/v"),
        ("http://host/video?user=me&password=secret&x=1", "http://host/video?user=me&password=***&x=1"),
        ("http://host/video?pwd=secret&access_token=secret", "http://host/video?pwd=***&access_token=***"),
        ("http://host/v?apikey=secret#key=secret", "http://host/v?apikey=***#key=***"),
        ("rtsp://host/user=me&password=secret&channel=1.sdp", "rtsp://host/user=me&password=***&channel=1.sdp"),
        # Nothing to hide.
        ("rtsp://host/cam", "rtsp://host/cam"),
        ("rtsp://host:8554/live@1", "rtsp://host:8554/live@1"),
        ("http://[fe80::1]:80/a:b@c", "http://[fe80::1]:80/a:b@c"),
        ("rtsp://user@host/cam", "rtsp://user@host/cam"),
        ("/home/me/a:b@c.mp4", "/home/me/a:b@c.mp4"),
        ("0", "0"),
    ],
)
def test_what_is_shown_of_an_address(address: str, shown: str) -> None:
    assert hide_credentials(address) == shown
    assert hide_credentials(shown) == shown


@pytest.mark.parametrize("path", ["/live", "/nothing", "/page?token=hunter3"])
def test_no_error_shows_a_password(path: str, web: WebCamera) -> None:
    web.turns_down = path == "/live"
    web.files["/page?token=hunter3"] = ("text/html", b"<p>no video</p>" * 99)
    with pytest.raises((SourceNotFound, SourceBroken)) as caught:
        open_source(web.url(path, user="bob:hunter2@"))
    assert "bob:***@127.0.0.1" in str(caught.value)
    assert "hunter" not in said_by(caught.value), "not in the message, nor in that of its cause"
    assert ("401" in str(caught.value)) == (path == "/live")


def test_nobody_there() -> None:
    for scheme in ("rtsp", "http"):
        with pytest.raises(SourceNotFound, match=r"bob:\*\*\*@127\.0\.0\.1:1/x.*refused") as caught:
            open_source(f"{scheme}://bob:hunter2@127.0.0.1:1/x")
        assert "hunter2" not in said_by(caught.value)


# --- live over HTTP --------------------------------------------------------------------------------------------------


def test_a_live_stream(web: WebCamera) -> None:
    with open_source(web.url(user="bob:hunter2@")) as source:
        assert isinstance(source, ReconnectingSource)
        info = source.info
        assert (info.live, info.width_px, info.height_px, info.fps, info.frame_count) == (True, 160, 120, None, None)
        assert info.name == web.url(user="bob:***@")
        frames = [read_frame(source) for _ in range(20)]
    assert [frame.index for frame in frames] == [
        number_of(frame.pixels) - number_of(frames[0].pixels) for frame in frames
    ]
    assert frames[0].source.name == web.url(user="bob:***@")


def test_a_slow_reader_gets_the_newest(web: WebCamera) -> None:
    with StreamSource(web.url()) as source:
        time.sleep(0.3)
        before = read_frame(source)
        assert before.index == 0, "what came before the first read was dropped by nobody"
        for _ in range(3):
            time.sleep(0.3)
            sent = web.sent
            frame = read_frame(source)
            assert number_of(frame.pixels) >= sent - 10, "an old frame came out of a queue"
            # As many passed by as were not read.
            assert frame.index - before.index == number_of(frame.pixels) - number_of(before.pixels) > 5
            before = frame


def test_what_a_server_kept_is_not_the_present(web: WebCamera) -> None:
    web.fps, web.kept = 20, 40  # whoever connects is sent the last 2 s at once
    with StreamSource(web.url()) as source:
        assert number_of(read_frame(source).pixels) >= 40
    # Over in a moment all the same, where pictures come very fast.
    web.fps, web.kept = 250, 0
    began = time.monotonic()
    with StreamSource(web.url()) as source:
        read_frame(source)
    assert time.monotonic() - began < 5


def test_a_stream_that_changes_size(web: WebCamera) -> None:
    with open_source(web.url()) as source:
        assert read_frame(source).size_wh == (160, 120)
        web.size_wh = (320, 240)
        sizes = {read_frame(source).size_wh for _ in range(30)}
        assert (320, 240) in sizes
        assert read_frame(source).size_wh == (320, 240)
        assert number_of(read_frame(source).pixels) > 30


def test_a_silent_server_is_noticed(web: WebCamera) -> None:
    ahead_ns = [0]
    source = StreamSource(web.url(), read_timeout_s=0.6, clock=lambda: time.monotonic_ns() + ahead_ns[0])
    with source:
        read_frame(source)
        assert source.trouble is None
        web.silent.set()
        ahead_ns[0] = 2_100_000_000
        assert re.search(r"127\.0\.0\.1.* has sent no frame for 2 s", source.trouble or "")
        began = time.monotonic()
        with pytest.raises(SourceLost, match="stopped: nothing came"):
            list(iter(source.read, None))
        assert time.monotonic() - began < 3
        with pytest.raises(SourceLost):
            source.read()


def test_a_server_silent_from_the_start(web: WebCamera) -> None:
    web.silent.set()
    began = time.monotonic()
    with pytest.raises(SourceNotFound, match="nothing came for"):
        StreamSource(web.url(), open_timeout_s=0.5, read_timeout_s=0.5)
    assert time.monotonic() - began < 4


def test_away_and_back(web: WebCamera, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with open_source(web.url()) as source:
        before = [read_frame(source) for _ in range(5)][-1]
        last_sent = web.sent
        web.away.set()
        after: list[Frame] = []
        reader = threading.Thread(target=lambda: after.extend(itertools.islice(iter(source.read, None), 60)))
        reader.start()
        wait_for(lambda: source.trouble)
        assert re.search("(ended by the server|connection broke); trying to open it again", source.trouble or "")
        time.sleep(1.0)  # some attempts are turned down meanwhile
        assert reader.is_alive()
        back_ns = time.monotonic_ns()
        web.away.clear()
        took_s = wait_for(lambda: source.trouble is None)
        reader.join(10)
        assert took_s < 5
        new = [frame for frame in after if frame.captured_ns >= back_ns]
        old = [frame for frame in after if frame.captured_ns < back_ns]
        assert all(number_of(frame.pixels) < last_sent + 10 for frame in old)
        assert new[0].index == (old or [before])[-1].index + 1, "indices go on"
        assert all(number_of(frame.pixels) >= last_sent for frame in new)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert len(warnings) == 3, warnings
    assert "trying to open it again" in warnings[0]
    assert "503" in warnings[1] or "5XX" in warnings[1]
    assert re.search(r"is back after \d\.\d s", warnings[2])


def test_a_password_changed_while_it_runs(web: WebCamera, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with open_source(web.url(user="bob:hunter2@")) as source, running_page(source) as running:
        wait_for(lambda: running.app.status.state == "running")
        web.turns_down = True
        web.away.set()  # a camera ends its sessions when its password is changed
        wait_for(lambda: "401" in (source.trouble or ""))
        wait_for(lambda: "401" in running.app.status.detail)
        time.sleep(1.2)  # further attempts
        assert "401" in (source.trouble or ""), "the reason stays"
        said = [record.getMessage() for record in caplog.records]
        assert sum("401" in line for line in said) == 1, said
        assert not any("hunter2" in line for line in said)
        web.turns_down = False
        web.away.clear()
        assert wait_for(lambda: running.app.status.state == "running") < 5


def test_reasons_that_alternate_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    refused = SourceNotFound("401")
    bench = Bench(
        Device([1, SourceLost("went")]),
        *([GONE, refused] * 20),
        Device([LATE, SourceLost("went")]),
        GONE,
        Device([LATE]),
    )
    source = bench.start()
    for _ in range(3):
        read_frame(source)
    said = [r.getMessage().split(";")[0] for r in caplog.records if "back" not in r.getMessage()]
    assert said == ["went", "nothing there", "401", "went", "nothing there"]


# --- finite files over HTTP ------------------------------------------------------------------------------------------


def serve(web: WebCamera, path: Path) -> str:
    web.files[f"/{path.name}"] = ("application/octet-stream", path.read_bytes())
    return web.url(f"/{path.name}")


@pytest.mark.parametrize("name", ["front.mp4", "back.mp4", "clip.ts", "clip.mkv"])
def test_a_file_is_read_as_a_file(name: str, web: WebCamera, tmp_path: Path) -> None:
    address = serve(web, film(tmp_path / name, 60, faststart=name == "front.mp4"))
    with open_source(address) as source:
        assert isinstance(source, StreamSource)
        assert not source.info.live
        assert source.info.fps == 25
        frames = []
        for frame in iter(source.read, None):
            assert frame is not None
            frames.append(frame)
            if len(frames) == 5:
                time.sleep(0.2)
        assert source.read() is None
    assert [number_of(frame.pixels) for frame in frames] == [frame.index for frame in frames] == list(range(60))


def test_an_image_is_one_frame(web: WebCamera, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "shot.jpg"), picture(5))
    with open_source(serve(web, tmp_path / "shot.jpg")) as source:
        assert not source.info.live
        assert [number_of(frame.pixels) for frame in iter(source.read, None) if frame] == [5]


@pytest.mark.parametrize("ending", ["cut", "stall"])
def test_a_file_that_does_not_come_whole(ending: str, web: WebCamera, tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", 60, faststart=True, options={"bf": "0"})
    address = serve(web, path)
    getattr(web, f"{ending}_after")["/clip.mp4"] = path.stat().st_size * 2 // 3
    frames: list[Frame] = []
    with StreamSource(address, read_timeout_s=0.7) as source:
        with pytest.raises(SourceBroken, match=r"clip\.mp4 (broke off|is cut off) after (\d+) frames") as caught:
            while frame := source.read():
                frames.append(frame)
        assert f"after {len(frames)} frames" in str(caught.value)
    assert [number_of(frame.pixels) for frame in frames] == list(range(len(frames)))
    assert 20 < len(frames) < 60


# --- the policy, with devices that do as they are told ----------------------------------------------------------------


class Device(ContextManaged):
    """A live source that plays a script: frames, then an exception or the end."""

    trouble: str | None = None

    def __init__(self, script: list[int | Exception | None], size_wh: tuple[int, int] = (8, 6)) -> None:
        self.script = list(script)
        self.info = SourceInfo("cam", *size_wh, fps=None, live=True)
        self.closed = 0
        self.index = 0
        self.reads = 0

    def read(self) -> Frame | None:
        assert not self.closed, "read after it was released"
        self.reads += 1
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step is None:
            return None
        pixels = np.zeros((self.info.height_px, self.info.width_px, 3), np.uint8)
        frame = Frame(pixels, self.index, step, self.info)
        self.index += 1
        return frame

    def close(self) -> None:
        self.closed += 1


class Bench:
    """Opens devices in turn, on a clock that moves when somebody waits, and 1 ms at each attempt."""

    def __init__(self, *turns: Device | Exception) -> None:
        self.turns = list(turns)
        self.now_ns = 1_000
        self.pauses_s: list[float] = []
        self.opened: list[Device] = []
        self.troubles: list[str | None] = []
        self.source: ReconnectingSource | None = None

    def open(self) -> Device:
        assert all(device.closed for device in self.opened), "opened again before the lost one was released"
        self.now_ns += 1_000_000
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        self.opened.append(turn)
        return turn

    def wait(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.now_ns += round(seconds * 1e9)
        assert self.source is not None
        self.troubles.append(self.source.trouble)

    def start(self) -> ReconnectingSource:
        self.source = ReconnectingSource(self.open, clock=lambda: self.now_ns, wait=self.wait)
        return self.source


LATE = 10**15
"""A capture time after everything."""
GONE = SourceNotFound("nothing there")


def test_what_was_never_there_is_not_waited_for() -> None:
    bench = Bench(SourceNotFound("no camera"))
    with pytest.raises(SourceNotFound, match="no camera"):
        bench.start()
    assert bench.pauses_s == []


@pytest.mark.parametrize("loss", [SourceLost("cam was unplugged"), None])
def test_lost_and_found(loss: Exception | None, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Device([1, 2, 3, loss]), Device([LATE, LATE + 1], (16, 9))
    bench = Bench(first, GONE, GONE, GONE, GONE, GONE, second)
    source = bench.start()
    assert [read_frame(source).index for _ in range(3)] == [0, 1, 2]
    assert source.trouble is None
    frames = [read_frame(source), read_frame(source)]
    assert [frame.index for frame in frames] == [3, 4]
    assert frames[0].size_wh == (16, 9) == (source.info.width_px, source.info.height_px)
    assert first.closed == 1
    assert source.trouble is None
    # Soon at first, then less often, and never so seldom that 5 s would pass after its return.
    assert bench.pauses_s == [0.1, 0.2, 0.4, 0.5, 0.5, 0.5]
    words = "cam was unplugged" if loss else "cam ended"
    later = ["nothing there; trying to open it again"] * 5
    assert bench.troubles == [f"{words}; trying to open it again", *later], "the reason of the newest attempt"
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert said == [f"{words}; trying to open it again", later[0], "cam is back after 2.2 s"], "once each"
    source.close()
    assert second.closed == 1


def test_every_loss_is_a_loss() -> None:
    bench = Bench(*(Device([LATE + k, SourceLost("cam went")]) for k in range(5)))
    source = bench.start()
    assert [read_frame(source).index for _ in range(5)] == [0, 1, 2, 3, 4]
    assert bench.pauses_s == [0.1] * 4, "each begins with a quick attempt"


def test_no_stale_frame() -> None:
    """What a driver kept from before it was lost comes with its own time, and is passed over."""
    stale = [500, 1_000, 1_000_500]
    bench = Bench(Device([1, 2, SourceLost("went")]), Device([*stale, LATE]))
    source = bench.start()
    assert [read_frame(source).captured_ns for _ in range(3)] == [1, 2, LATE]


def test_gaps_stay_gaps() -> None:
    first, second = Device([1, 2, SourceLost("went")]), Device([LATE, LATE])
    bench = Bench(first, second)
    source = bench.start()
    assert read_frame(source).index == 0
    first.index = 7  # six were dropped
    assert read_frame(source).index == 7
    second.index = 2
    assert read_frame(source).index == 10


def test_the_device_s_own_trouble_is_told() -> None:
    device = Device([1])
    source = Bench(device).start()
    device.trouble = "no frame for 2 s"
    assert source.trouble == "no frame for 2 s"


def test_a_fault_of_ours_is_no_loss() -> None:
    bench = Bench(Device([1, SourceLost("went")]), ZeroDivisionError("a fault"))
    source = bench.start()
    read_frame(source)
    with pytest.raises(ZeroDivisionError, match="a fault"):
        source.read()


def closes_soon(source: Source, reader: threading.Thread) -> None:
    began = time.monotonic()
    source.close()
    reader.join(5)
    assert not reader.is_alive()
    assert time.monotonic() - began < 2


def reading(source: Source) -> tuple[threading.Thread, list[Frame | None]]:
    got: list[Frame | None] = []
    thread = threading.Thread(target=lambda: got.append(source.read()))
    thread.start()
    return thread, got


def test_close_between_attempts() -> None:
    attempts = [0]

    def nothing() -> Source:
        attempts[0] += 1
        raise GONE

    source = ReconnectingSource(nothing, Device([SourceLost("went")]))
    reader, got = reading(source)
    wait_for(lambda: attempts[0] >= 2)
    closes_soon(source, reader)
    assert got == [None]
    assert source.read() is None


def test_close_while_an_attempt_hangs() -> None:
    hangs, answers = threading.Event(), threading.Event()
    late = Device([1])

    def hanging() -> Source:
        hangs.set()
        answers.wait(10)
        return late

    source = ReconnectingSource(hanging, Device([SourceLost("went")]))
    reader, got = reading(source)
    assert hangs.wait(5)
    closes_soon(source, reader)
    assert got == [None]
    answers.set()  # and now the camera opens after all
    wait_for(lambda: late.closed)
    assert late.reads == 0


def test_close_while_the_device_blocks() -> None:
    class Blocking(Device):
        def __init__(self) -> None:
            super().__init__([])
            self.ended = threading.Event()

        def read(self) -> Frame | None:
            self.ended.wait(10)
            return None

        def close(self) -> None:
            self.ended.set()

    source = ReconnectingSource(Blocking)
    reader, got = reading(source)
    time.sleep(0.05)
    closes_soon(source, reader)
    assert got == [None]


# --- a real RTSP server ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def can_serve() -> None:
    if reason := missing():
        pytest.skip(f"no RTSP server: {reason}")


@pytest.fixture
def rtsp(can_serve: None) -> Iterator[RtspServer]:
    server = RtspServer()
    server.start("red")
    yield server
    server.kill()


class Watcher:
    """Reads a source in a thread, as the loop does, and remembers the newest frame and when it came."""

    def __init__(self, source: Source) -> None:
        self.frames: list[tuple[float, Frame]] = []
        self.error: BaseException | None = None
        self._source = source
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for frame in iter(self._source.read, None):
                assert frame is not None
                self.frames.append((time.monotonic(), frame))
        except BaseException as exc:
            self.error = exc

    def after(self, moment_s: float) -> Callable[[], bool]:
        """Whether a frame came since a moment."""
        return lambda: bool(self.frames) and self.frames[-1][0] > moment_s

    def end(self) -> None:
        self._thread.join(5)
        assert not self._thread.is_alive()
        assert self.error is None


def colour_of(frame: Frame) -> str:
    """Which of blue, green and red a picture is."""
    return ("blue", "green", "red")[int(frame.pixels.reshape(-1, 3).mean(axis=0).argmax())]


def test_rtsp(rtsp: RtspServer) -> None:
    began = time.monotonic()
    with open_source(rtsp.url()) as source:
        opened_s = time.monotonic() - began
        info = source.info
        assert (info.width_px, info.height_px, info.fps, info.live) == (320, 180, 25.0, True)
        frames = [read_frame(source) for _ in range(25)]
    assert opened_s < 5
    assert [frame.index for frame in frames] == list(range(25))
    assert {colour_of(frame) for frame in frames} == {"red"}
    periods_ms = np.diff([frame.captured_ns for frame in frames]) / 1e6
    assert 30 < np.median(periods_ms) < 50


def test_rtsp_killed_and_restarted(rtsp: RtspServer) -> None:
    with open_source(rtsp.url(user="bob:hunter2@")) as source:
        watcher = Watcher(source)
        wait_for(watcher.after(0))
        rtsp.kill()
        lost_s = wait_for(lambda: source.trouble)
        assert "ended by the server" in (source.trouble or "")
        assert "hunter2" not in (source.trouble or "")
        time.sleep(1.0)
        rtsp.start("blue")
        restarted = time.monotonic()
        back_s = wait_for(watcher.after(restarted))
        newer = [frame for at, frame in watcher.frames if at > restarted]
        wait_for(lambda: len(watcher.frames) > 10)
        assert source.trouble is None
    watcher.end()
    assert colour_of(newer[0]) == "blue", "a frame from before"
    indices = [frame.index for _, frame in watcher.frames]
    assert indices == sorted(set(indices))
    _log.info("lost after %.2f s, back after %.2f s", lost_s, back_s)
    assert lost_s < 3
    assert back_s < 5


def test_rtsp_silent_and_back(rtsp: RtspServer) -> None:
    with open_source(rtsp.url()) as source:
        watcher = Watcher(source)
        wait_for(watcher.after(0))
        rtsp.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        lost_s = wait_for(lambda: source.trouble)
        assert "has sent no frame for 2 s" in (source.trouble or "")
        given_up_s = lost_s + wait_for(lambda: "trying to open it again" in (source.trouble or ""))
        last_before = watcher.frames[-1][0]
        assert last_before < stopped + 1
        time.sleep(1.0)
        rtsp.signal(signal.SIGCONT)
        continued_ns, continued = time.monotonic_ns(), time.monotonic()
        back_s = wait_for(watcher.after(last_before))
        wait_for(lambda: source.trouble is None)
        newer = [frame for at, frame in watcher.frames if at > last_before]
    watcher.end()
    assert all(frame.captured_ns >= continued_ns for frame in newer), "a frame from before"
    _log.info("lost after %.2f s, back after %.2f s", lost_s, back_s)
    assert continued > stopped
    assert lost_s < 3
    assert given_up_s < 4.5
    assert back_s < 5


def test_rtsp_closed_while_it_is_silent(rtsp: RtspServer) -> None:
    source = open_source(rtsp.url())
    watcher = Watcher(source)
    wait_for(watcher.after(0))
    rtsp.signal(signal.SIGSTOP)
    time.sleep(0.5)
    read = len(watcher.frames)
    began = time.monotonic()
    source.close()
    watcher.end()
    assert time.monotonic() - began < 2
    assert len(watcher.frames) == read, "it did not block"
    assert source.trouble is None
