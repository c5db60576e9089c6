"""A real app with its page, and clients that want to do harm: connections that say nothing, odd requests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.support.http_fuzz import requests, status_of
from tests.support.video import WebCamera

DESCRIPTORS = 1024
"""What a process may have by default on Linux."""


@dataclass
class PageApp:
    """`edgevision run` with a page, on a camera of this process."""

    camera: WebCamera
    process: subprocess.Popen[str]
    port: int
    token: str
    log: list[str] = field(default_factory=list)

    def state(self) -> str:
        """What the page says of the loop, over a new connection."""
        address = f"http://127.0.0.1:{self.port}/status?token={self.token}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return str(json.load(answer)["state"])


@dataclass(frozen=True)
class Flooded:
    page_s: float
    """The slowest answer of the page."""
    back_s: float
    """From the camera's return to frames."""
    log_lines: int

    @property
    def good(self) -> bool:
        return self.page_s <= 1 and self.back_s <= 5 and self.log_lines <= 10

    def sentence(self) -> str:
        return f"page {self.page_s:.2f} s, camera back after {self.back_s:.1f} s, {self.log_lines} log lines"


@dataclass(frozen=True)
class Odd:
    answered: int
    server_errors: int
    running: bool


@contextmanager
def page_app() -> Iterator[PageApp]:
    camera = WebCamera(fps=25)
    command = [sys.executable, "-m", "edgevision", "run", "--source", camera.url(), "--model", "person-tiny"]
    command += ["--display", "browser", "--threads", "1"]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"live page at (\S+)", line):
                parts = urlsplit(found[1])
                app = PageApp(camera, process, parts.port or 0, parse_qs(parts.query)["token"][0])
                break
        else:
            raise RuntimeError("the app ended before it had a page")
        threading.Thread(target=lambda: app.log.extend(process.stderr or ()), daemon=True).start()
        _wait(lambda: app.state() == "running", 20)
        yield app
    finally:
        process.terminate()
        process.wait(20)
        camera.close()


def flood_page(idle: int, events: int) -> Flooded:
    """Hold ``idle`` silent connections and ask ``events`` times for /events, with the token and without reading."""
    _raise_own_limit(idle + events + 200)
    with page_app() as app, contextlib.ExitStack() as held:
        lines = len(app.log)
        head = f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {app.token}\r\n\r\n".encode()
        for said in [head] * events + [b""] * idle:
            client = held.enter_context(socket.create_connection(("127.0.0.1", app.port), timeout=10))
            with contextlib.suppress(OSError):  # one too many
                client.sendall(said)
        answers_s = [_timed(app.state) for _ in range(5)]
        app.camera.away.set()
        _wait(lambda: app.state() == "lost", 20)
        answers_s += [_timed(app.state) for _ in range(5)]
        app.camera.away.clear()
        began = time.monotonic()
        _wait(lambda: app.state() == "running", 60)
        back_s = time.monotonic() - began
        answers_s += [_timed(app.state) for _ in range(5)]
        time.sleep(1.0)  # what is still to be logged
        return Flooded(max(answers_s), back_s, len(app.log) - lines)


def odd_requests(count: int) -> Odd:
    """Send malformed and hostile requests one after another."""
    with page_app() as app:
        statuses = [status_of(app.port, request, 0.25) for request in requests(count, app.token)]
        answered = [status for status in statuses if status is not None]
        return Odd(len(answered), sum(status >= 500 for status in answered), app.state() == "running")


def _timed(ask: Callable[[], object]) -> float:
    began = time.monotonic()
    ask()
    return time.monotonic() - began


def _wait(true: Callable[[], bool], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"did not happen within {within_s:g} s")
        time.sleep(0.05)


def _raise_own_limit(least: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < least:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (least if hard == resource.RLIM_INFINITY else min(least, hard), hard)
        )
