"""Streams as cameras really send and name them: MJPEG beside the standard, awkward passwords, pushed streams."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from edgevision.capture import open_source
from edgevision.capture.redact import hide_credentials, quote_credentials, quoting_hint
from edgevision.errors import SourceBroken, SourceNotFound
from edgevision.types import Frame
from tests.support.rtsp import RtspServer, missing
from tests.support.video import WebCamera, film, number_of
from tests.support.waiting import wait_for


@pytest.fixture
def web() -> Iterator[WebCamera]:
    camera = WebCamera()
    yield camera
    camera.close()


def some(address: str, count: int) -> list[Frame]:
    with open_source(address) as source:
        assert source.info.live
        return [frame for frame in itertools.islice(iter(source.read, None), count) if frame is not None]


def in_order(frames: list[Frame]) -> bool:
    numbers = [number_of(frame.pixels) for frame in frames]
    return all(later > earlier for earlier, later in itertools.pairwise(numbers))


# --- MJPEG beside the standard ----------------------------------------------------------------------------------------

LENGTH, NO_LENGTH = "Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", "Content-Type: image/jpeg\r\n\r\n"


def _head(text: str, jpeg: bytes) -> bytes:
    return (text % len(jpeg) if "%" in text else text).encode()


PARTS: dict[str, Callable[[int, bytes], bytes]] = {
    "no boundary before the first part": lambda n, jpeg: (
        (b"--next\r\n" if n else b"") + _head(LENGTH, jpeg) + jpeg + b"\r\n"
    ),
    "neither boundary nor length": lambda n, jpeg: (
        (b"--next\r\n" if n else b"") + _head(NO_LENGTH, jpeg) + jpeg + b"\r\n"
    ),
    "an image before the first boundary": lambda n, jpeg: (
        (b"--next\r\n" + _head(LENGTH, jpeg) if n else b"") + jpeg + b"\r\n"
    ),
    "bare LF and a length": lambda n, jpeg: b"--next\n" + _head(LENGTH, jpeg).replace(b"\r", b"") + jpeg + b"\n",
    "bare LF and no length": lambda n, jpeg: b"--next\n" + _head(NO_LENGTH, jpeg).replace(b"\r", b"") + jpeg + b"\n",
    "bare LF from the second part on": lambda n, jpeg: (
        b"--next\r\n" + _head(LENGTH, jpeg) + jpeg + b"\r\n"
        if n == 0
        else b"--next\n" + _head(LENGTH, jpeg).replace(b"\r", b"") + jpeg + b"\n"
    ),
    "another boundary than announced": lambda n, jpeg: b"--other\r\n" + _head(NO_LENGTH, jpeg) + jpeg + b"\r\n",
    "a boundary without dashes": lambda n, jpeg: b"next\r\n" + _head(LENGTH, jpeg) + jpeg + b"\r\n",
    "a preamble": lambda n, jpeg: (
        (b"" if n else b"This is a multipart message.\r\n") + b"--next\r\n" + _head(LENGTH, jpeg) + jpeg + b"\r\n"
    ),
    "no parts at all": lambda n, jpeg: jpeg,
    "a length that is wrong": lambda n, jpeg: b"--next\r\n" + _head(LENGTH, jpeg + b"12345678") + jpeg + b"\r\n",
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_mjpeg_beside_the_standard(web: WebCamera, part: Callable[[int, bytes], bytes]) -> None:
    # A server numbers parts by connection; the camera here by images, so each connection begins anew.
    numbers = itertools.count()
    opened = [0]

    def numbered(_: int, jpeg: bytes) -> bytes:
        nonlocal numbers
        if web.opened != opened[0]:
            opened[0], numbers = web.opened, itertools.count()
        return part(next(numbers), jpeg)

    web.part = numbered
    frames = some(web.url(), 12)
    assert len(frames) == 12
    assert in_order(frames)
    assert {frame.size_wh for frame in frames} == {(160, 120)}


def test_such_a_stream_comes_back_too(web: WebCamera) -> None:
    web.part = PARTS["bare LF and no length"]
    with open_source(web.url()) as source:
        assert source.info.fps is None, "25 is FFmpeg's guess"
        assert source.read() is not None
        web.away.set()
        reader = threading.Thread(target=lambda: list(iter(source.read, None)), daemon=True)
        reader.start()
        wait_for(lambda: source.trouble)
        web.away.clear()
        assert wait_for(lambda: source.trouble is None) < 8
        source.close()
        reader.join(5)


def test_what_is_no_video_stays_none(web: WebCamera) -> None:
    web.files["/page"] = ("text/html", b"<p>no video</p>" * 99)
    with pytest.raises(SourceBroken, match="found something else"):
        open_source(web.url("/page"))


# --- passwords --------------------------------------------------------------------------------------------------------

AWKWARD = ["p#a/s?s", "12#34", "a/b", "q?w=1&x", "per%cent#", "#", "ü/ß"]


@pytest.mark.parametrize("password", AWKWARD)
def test_a_password_as_the_camera_has_it(web: WebCamera, password: str) -> None:
    web.user = f"bob:{password}"
    assert len(some(web.url(user=f"bob:{password}@"), 2)) == 2
    assert len(some(web.url(user=f"bob:{quote(password, safe='')}@"), 2)) == 2


@pytest.mark.parametrize("password", AWKWARD)
def test_no_part_of_it_is_shown(web: WebCamera, password: str) -> None:
    web.turns_down = True
    with pytest.raises(SourceNotFound) as caught:
        open_source(web.url(user=f"bob:{password}@"))
    assert "bob:***@127.0.0.1" in str(caught.value)
    assert password not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("rtsp://u:a/b#c?d@host:554/cam", "rtsp://u:a%2Fb%23c%3Fd@host:554/cam"),
        ("rtsp://u:12#34@host/cam", "rtsp://u:12%2334@host/cam"),
        # Well formed, or nothing to quote.
        ("rtsp://u:a%2Fb@host/cam", "rtsp://u:a%2Fb@host/cam"),
        ("rtsp://u:s@cret@host/cam", "rtsp://u:s@cret@host/cam"),
        ("rtsp://host:8554/live@1", "rtsp://host:8554/live@1"),
        ("http://host/video?to=me@home#x", "http://host/video?to=me@home#x"),
        ("udp://@239.0.0.1:5000", "udp://@239.0.0.1:5000"),
        ("/home/me/a:b@c.mp4", "/home/me/a:b@c.mp4"),
        # Not clear where it ends: left alone, and said.
        ("rtsp://u:a/b@host/live@1", "rtsp://u:a/b@host/live@1"),
    ],
)
def test_what_ffmpeg_is_given(address: str, taken: str) -> None:
    assert quote_credentials(address) == taken
    assert ("%2F" in quoting_hint(address)) == (address in ("rtsp://u:a/b@host/live@1", "rtsp://host:8554/live@1"))
    assert "a/b" not in hide_credentials(address).replace("/home/me/a:b", "")


def test_rtsp_password(web: WebCamera) -> None:
    if reason := missing():
        pytest.skip(f"no RTSP server: {reason}")
    server = RtspServer()
    server.start("red", user=("bob", "p#a/s?s"))
    try:
        assert len(some(server.url(user="bob:p#a/s?s@"), 2)) == 2
        with pytest.raises(SourceNotFound, match="401"):
            open_source(server.url(user="bob:wrong@"))
    finally:
        server.kill()


# --- pushed streams ---------------------------------------------------------------------------------------------------


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _push(send: Callable[[bytes], object], clip: bytes, ended: threading.Event) -> None:
    """Send a clip of 4 s in that time, in pieces that a datagram holds."""
    pieces = [clip[at : at + 1316] for at in range(0, len(clip), 1316)]
    try:
        for piece in pieces:
            if ended.wait(4 / len(pieces)):
                return
            send(piece)
    except OSError:
        pass  # whoever fetched it has gone


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_a_stream_by_another_protocol(scheme: str, tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.ts", 100, options={"tune": "zerolatency"}).read_bytes()
    ended = threading.Event()
    with ExitStack() as stack:
        stack.callback(ended.set)
        if scheme == "udp":
            port = _free_port(socket.SOCK_DGRAM)
            sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            work = lambda: _push(lambda data: sender.sendto(data, ("127.0.0.1", port)), clip, ended)  # noqa: E731
        else:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
            work = lambda: _push(listener.accept()[0].sendall, clip, ended)  # noqa: E731
        threading.Thread(target=work, daemon=True).start()
        frames = some(f"{scheme}://127.0.0.1:{port}", 10)
    assert len(frames) == 10
    assert in_order(frames)


@pytest.mark.parametrize("address", ["udp://127.0.0.1:{}", "rtmp://127.0.0.1:{}/live", "tcp://127.0.0.1:{}"])
def test_nothing_comes(address: str) -> None:
    with pytest.raises(SourceNotFound, match="could not open it"):
        open_source(address.format(_free_port(socket.SOCK_STREAM)))


def test_srt_reaches_ffmpeg_or_the_way_round_is_said() -> None:
    with pytest.raises(SourceNotFound, match=r"cannot open srt:// addresses.*mpegts|could not open it"):
        open_source("srt://127.0.0.1:1?mode=caller")
