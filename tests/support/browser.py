"""A camera before a page: a real Chromium shows it, and what it draws is filmed, small and askew, by a `Source`."""

from __future__ import annotations

import base64
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.interfaces import ContextManaged
from edgevision.types import Frame, SourceInfo
from tests.support.places import CHROMIUM

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
VIEW_WH = (480, 270)
CAMERA_WH = (640, 360)
SCREEN = np.array([[330, 60], [540, 90], [520, 240], [310, 190]], np.float32)
"""Where the camera sees the page's corners, clockwise from the top left, (4, 2) px: a twelfth of its picture."""


class PageFilm(ContextManaged):
    """A page in Chromium, and every frame that Chromium drew of it: (monotonic ns when it was here, (H, W, 3) BGR).

    Playwright wants all its calls in one thread: that of the film, which does what `ask` is given too.
    """

    def __init__(self, url: str) -> None:
        self.frames: list[tuple[int, NDArray[np.uint8]]] = []
        self._url = url
        self._asked: queue.SimpleQueue[tuple[Callable[[Any], Any], Future[Any]]] = queue.SimpleQueue()
        self._over = threading.Event()
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="page-film")
        self._thread.start()
        self._opened.result(60)

    def ask(self, what: Callable[[Any], Any]) -> Any:
        """What ``what`` says of Playwright's page."""
        answer: Future[Any] = Future()
        self._asked.put((what, answer))
        return answer.result(30)

    def seen_ns(self, light: bool, after_ns: int) -> int | None:
        """When the page was first seen so after then; None where it did not."""
        return next((t for t, p in list(self.frames) if t > after_ns and (p.mean() > 127) == light), None)

    def close(self) -> None:
        self._over.set()
        self._thread.join(30)

    def _run(self) -> None:
        from playwright.sync_api import sync_playwright

        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                tab = browser.new_page(viewport={"width": VIEW_WH[0], "height": VIEW_WH[1]})
                film = tab.context.new_cdp_session(tab)
                film.on("Page.screencastFrame", lambda frame: self._keep(film, frame))
                tab.goto(self._url)
                film.send("Page.startScreencast", {"format": "png"})
                self._opened.set_result(None)
                while not self._over.is_set():
                    tab.wait_for_timeout(5)
                    while not self._asked.empty():
                        what, answer = self._asked.get()
                        try:
                            answer.set_result(what(tab))
                        except Exception as exc:
                            answer.set_exception(exc)
                browser.close()
        except Exception as exc:
            if self._opened.done():
                raise
            self._opened.set_exception(exc)

    def _keep(self, film: Any, frame: dict[str, Any]) -> None:
        data = np.frombuffer(base64.b64decode(frame["data"]), np.uint8)
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        # Timed once it can be filmed: a camera without a delay cannot have it sooner than one with.
        self.frames.append((time.monotonic_ns(), picture))
        film.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})


class FilmingCamera(ContextManaged):
    """Films a page: noise, glare, something else that moves, and the page askew in a part of the picture.

    A frame shows what there was to see ``delay_s`` before it is given.
    """

    trouble = None

    def __init__(self, film: PageFilm, delay_s: float = 0.0, fps: float = 20.0) -> None:
        self.info = SourceInfo("film of a page", *CAMERA_WH, fps, True)
        self._film, self._delay_ns, self._period_s = film, round(delay_s * 1e9), 1 / fps
        self._index = 0
        self._closed = threading.Event()
        rng = np.random.default_rng(0)
        width, height = CAMERA_WH
        self._room = cv2.GaussianBlur(rng.integers(30, 120, (height, width, 3)).astype(np.uint8), (0, 0), 5)
        # Drawn once: each frame is disturbed by one of these.
        self._noise = [rng.normal(0, 6, (height, width, 3)).astype(np.int8) for _ in range(4)]

    def read(self) -> Frame | None:
        if self._closed.wait(self._period_s):
            return None
        captured_ns = time.monotonic_ns() - self._delay_ns
        there = [picture for at_ns, picture in list(self._film.frames) if at_ns <= captured_ns]
        pixels = self._room.copy()
        left = (self._index * 7) % 500
        pixels[280:340, left : left + 80] = 200
        if there:
            self._look_at(there[-1], pixels)
        noisy = np.clip(pixels.astype(np.int16) + self._noise[self._index % 4], 0, 255).astype(np.uint8)
        self._index += 1
        return Frame(noisy, self._index - 1, captured_ns, self.info)

    def close(self) -> None:
        self._closed.set()

    @staticmethod
    def _look_at(page: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
        height, width = page.shape[:2]
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        to_picture = cv2.getPerspectiveTransform(corners, SCREEN)
        askew = cv2.warpPerspective(page, to_picture, CAMERA_WH)
        where = cv2.warpPerspective(np.full((height, width), 255, np.uint8), to_picture, CAMERA_WH) > 127
        pixels[where] = (askew[where] * 0.55 + 50).astype(np.uint8)  # glare: its dark is no black
