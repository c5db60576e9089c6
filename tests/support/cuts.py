"""Sources that are cut and come back, and what each cut costs this process. Real servers on loopback."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from edgevision.capture import open_source
from edgevision.capture.stream import StreamSource
from edgevision.errors import SourceBroken
from tests.support.relay import Relay
from tests.support.rtsp import RtspServer
from tests.support.video import WebCamera, film
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Usage:
    """What this process holds."""

    threads: int
    fds: int
    rss_mib: float
    sources: int
    """`StreamSource` objects, garbage in circles included."""

    @classmethod
    def now(cls) -> Usage:
        process = psutil.Process()
        fds = process.num_fds() if hasattr(process, "num_fds") else 0
        sources = sum(isinstance(one, StreamSource) for one in gc.get_objects())
        return cls(process.num_threads(), fds, process.memory_info().rss / 2**20, sources)


Cut = Callable[[int], None]
"""Cuts number 0, 1, 2, …, and returns when pictures come again."""


@contextmanager
def cut_stream(address: str, cut: Callable[[int], None], back: Callable[[], None]) -> Iterator[Cut]:
    """A live source that is read all the time, as the loop does, and lost at each ``cut``."""
    source = open_source(address)
    seen = itertools.count()
    newest = [next(seen)]

    def read() -> None:
        for _ in iter(source.read, None):
            newest[0] = next(seen)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def once(number: int) -> None:
        wait_for(lambda: newest[0] > 0)
        cut(number)
        wait_for(lambda: source.trouble, 15)
        back()
        wait_for(lambda: source.trouble is None, 15)
        before = newest[0]
        wait_for(lambda: newest[0] > before + 5, 15)

    try:
        yield once
    finally:
        source.close()
        reader.join(10)


@contextmanager
def mjpeg_cuts(size_wh: tuple[int, int] = (320, 240)) -> Iterator[Cut]:
    camera = WebCamera(fps=100, size_wh=size_wh)
    try:
        with cut_stream(camera.url(), lambda _: camera.away.set(), camera.away.clear) as cut:
            yield cut
    finally:
        camera.close()


@contextmanager
def rtsp_cuts() -> Iterator[Cut]:
    """Cut in order, by a reset, and with the camera away for a while, in turns."""
    server = RtspServer()
    server.start()
    relay = Relay(server.port)

    def end(number: int) -> None:
        if number % 3 == 2:
            relay.down.set()
        relay.cut(reset=number % 3 == 1)

    def back() -> None:
        if relay.down.is_set():
            time.sleep(0.4)
            relay.down.clear()

    try:
        with cut_stream(f"rtsp://127.0.0.1:{relay.port}/cam", end, back) as cut:
            yield cut
    finally:
        relay.close()
        server.kill()


@contextmanager
def http_file_cuts(folder: Path) -> Iterator[Cut]:
    """A finite file over HTTP that breaks off each time, and is opened again."""
    path = film(folder / "clip.mp4", 60, faststart=True)
    content = path.read_bytes()
    web = WebCamera(files={"/clip.mp4": ("video/mp4", content)}, cut_after={"/clip.mp4": len(content) * 2 // 3})

    def once(_: int) -> None:
        with open_source(web.url("/clip.mp4")) as source, contextlib.suppress(SourceBroken):
            while source.read() is not None:
                pass

    try:
        yield once
    finally:
        web.close()


def no_camera() -> str | None:
    """Why there is no camera here that can be pulled, or None."""
    if "EDGEVISION_CAMERA" not in os.environ:
        return "EDGEVISION_CAMERA names no vivid camera (scripts/test-rigs vivid has one)"
    return None if shutil.which("v4l2-ctl") else "no v4l2-ctl: apt install v4l-utils"


@contextmanager
def camera_cuts(device: str | None = None) -> Iterator[Cut]:
    """The kernel's vivid camera, disconnected each time; it is back once its last reader has let go."""
    device = device or os.environ["EDGEVISION_CAMERA"]

    def pull(_: int) -> None:
        subprocess.run(["v4l2-ctl", "-d", device, "-c", "disconnect=1"], check=True, timeout=20)

    with cut_stream(device, pull, lambda: None) as cut:
        yield cut
