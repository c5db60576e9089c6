"""Clips, images and web servers that the tests of `edgevision.capture` make themselves.

Every picture carries its number as a row of black and white squares, so that a test can tell which one it got.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import av
import numpy as np
from numpy.typing import NDArray

BITS = 10
SIDE_PX = 12
"""Of one square; the row is 120 px wide."""


def picture(number: int, size_wh: tuple[int, int] = (160, 120)) -> NDArray[np.uint8]:
    """(H, W, 3) BGR: a moving texture with the number above it."""
    width, height = size_wh
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([(x * 2 + number * 3) % 256, (y * 2) % 256, (x + y + number * 5) % 256], axis=2).astype(np.uint8)
    pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 2), np.uint8)
    for bit in range(BITS):
        on = 255 if number >> bit & 1 else 0
        pixels[:SIDE_PX, bit * SIDE_PX : (bit + 1) * SIDE_PX] = on
    return pixels


def number_of(pixels: NDArray[np.uint8]) -> int:
    """The number in a picture, of whatever height the codec left it."""
    middle = pixels[SIDE_PX // 2, SIDE_PX // 2 : BITS * SIDE_PX : SIDE_PX].mean(axis=1)
    return sum(int(value > 128) << bit for bit, value in enumerate(middle))


def film(
    path: Path,
    frames: int = 50,
    *,
    codec: str = "libx264",
    size_wh: tuple[int, int] = (160, 120),
    fps: int = 25,
    pixel_format: str = "yuv420p",
    key_every: int = 10,
    faststart: bool = False,
    rotation: int | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A clip of pictures 0, 1, 2 …; the container follows from the name."""
    container_options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=container_options) as container:
        stream: Any = container.add_stream(codec, rate=fps, options={"g": str(key_every), **(options or {})})
        stream.width, stream.height = size_wh
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1  # the same clip each time, however busy the machine
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture(number, size_wh), format="bgr24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def overwrite(path: Path, at_byte: int, count: int, target: Path) -> Path:
    """A copy with ``count`` bytes of noise in it."""
    data = bytearray(path.read_bytes())
    data[at_byte : at_byte + count] = np.random.default_rng(0).integers(0, 256, count, dtype=np.uint8).tobytes()
    target.write_bytes(data)
    return target


def cut(path: Path, keep: float, target: Path) -> Path:
    """A copy of the first part of a file."""
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * keep)])
    return target


@dataclass
class WebCamera:
    """A web server on loopback: an MJPEG camera at ``/live``, and whatever files are given to it.

    ``silent``: connections stay, nothing is sent. ``away``: connections are ended and new ones turned down.
    """

    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Path to (content type, content)."""
    cut_after: dict[str, int] = field(default_factory=dict)
    """Path to the number of bytes after which the connection breaks."""
    stall_after: dict[str, int] = field(default_factory=dict)
    """Path to the number of bytes after which nothing more comes."""
    fps: float = 50.0
    size_wh: tuple[int, int] = (160, 120)
    kept: int = 0
    """Pictures that every newcomer is sent at once."""
    turns_down: bool = False
    """No password is the right one."""
    user: str | None = None
    """``name:password`` that is asked for."""
    part: Callable[[int, bytes], bytes] | None = None
    """Number and JPEG of an image to what is sent of it, for a camera that does not keep to the standard."""
    silent: threading.Event = field(default_factory=threading.Event)
    away: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    """Pictures so far; the number in the next one."""
    opened: int = 0
    """Connections to ``/live`` so far."""

    def __post_init__(self) -> None:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera._answer(self)

            def log_message(self, *_: object) -> None: ...

        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path: str = "/live", user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self._server.server_address[1]}{path}"

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        try:
            if self.turns_down or not self._knows(request.headers.get("Authorization", "")):
                request.send_response(401)
                request.send_header("WWW-Authenticate", 'Basic realm="camera"')
                request.end_headers()
            elif request.path == "/live":
                self._live(request)
            elif request.path in self.files:
                self._file(request)
            else:
                request.send_error(404)
        except ConnectionError:
            pass  # the other side went, as it may

    def _knows(self, authorization: str) -> bool:
        if self.user is None:
            return True
        return authorization == "Basic " + base64.b64encode(self.user.encode()).decode()

    def _file(self, request: BaseHTTPRequestHandler) -> None:
        kind, content = self.files[request.path]
        first = 0
        if asked := request.headers.get("Range"):
            first = int(asked.removeprefix("bytes=").split("-")[0])
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content) - first))
        request.end_headers()
        end = self.cut_after.get(request.path, len(content))
        for at in range(first, end, 4096):
            if at >= self.stall_after.get(request.path, end):
                self._ended.wait()
            request.wfile.write(content[at : min(at + 4096, end)])

    def _live(self, request: BaseHTTPRequestHandler) -> None:
        if self.away.is_set():
            request.send_error(503)
            return
        self.opened += 1
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        request.end_headers()
        request.wfile.write(b"".join(self._part() for _ in range(self.kept)))
        due = time.monotonic()
        while not (self._ended.is_set() or self.away.is_set()):
            if not self.silent.is_set():
                request.wfile.write(self._part())
            due += 1 / self.fps
            time.sleep(max(0.0, due - time.monotonic()))

    def _part(self) -> bytes:
        jpeg = cv2.imencode(".jpg", picture(self.sent % (1 << BITS), self.size_wh))[1].tobytes()
        self.sent += 1
        if self.part is not None:
            return self.part(self.sent - 1, jpeg)
        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        return head.encode() + jpeg + b"\r\n"


def wait_until(true: Callable[[], object], limit_s: float = 10.0) -> float:
    """Seconds until ``true()`` was, looked at every 10 ms; fails where it never was."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > limit_s:
            raise AssertionError(f"did not happen within {limit_s} s")
        time.sleep(0.01)
    return time.monotonic() - began
