"""The newest result, held for whoever watches in a browser. `edgevision.web` serves it.

The loop hands over references and goes on: nothing is drawn, encoded or copied for a page that nobody has open.
A picture is encoded when a client waits for one, once for all clients, in the thread of whoever asks first.
Only the newest is held, so a slow client, or fifty, cost the memory of one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import SinkError
from edgevision.interfaces import ContextManaged
from edgevision.sinks.render import Renderer
from edgevision.types import Result, Status

_LIVE_PER_S = 60.0
_FILE_PER_S = 30.0
"""A file runs as fast as it can; more than this of it only takes time from the loop."""
_INTEREST_S = 0.25
"""A client that has just been given a picture is still being sent it, and will want the next."""
_OVERLAY_EVERY_S = 0.5
_SILENT_S = 2.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """One picture as JPEG. ``number`` grows with every new picture."""

    number: int
    data: bytes


class BrowserSink(ContextManaged):
    """Holds the newest result. `publish` and `notice` for the loop; everything else from any thread.

    ``longest_px`` bounds the longer side of what is sent: a 4K picture on a page costs eight times the encoding.
    """

    def __init__(
        self, *, jpeg_quality: int = 80, longest_px: int = 1280, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._jpeg_quality = jpeg_quality
        self._longest_px = longest_px
        self._now_s = now_s
        self._lock = threading.Lock()
        self._encoding = threading.Lock()
        self._renderer = Renderer()
        self._result: Result | None = None
        self._picture: NDArray[np.uint8] | None = None
        self._status = Status("starting", "waiting for the first frame")
        self._overlaid = True
        """Whether the newest picture must say that it is not live."""
        self._number = 0
        self._encoded: Encoded | None = None
        self._watching = 0
        self._wanted_until_s = 0.0
        self._due_s = 0.0
        self._heard_s = now_s()
        self._noticed_s = 0.0
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._closed = False
        self.encodes = 0
        """Pictures encoded so far."""

    @property
    def wants_picture(self) -> bool:
        """True while a client waits for a picture, at most 60 times a second (30 for files)."""
        with self._lock:
            now_s = self._now_s()
            return (self._watching > 0 or now_s < self._wanted_until_s) and now_s >= self._due_s

    def publish(self, result: Result, picture: NDArray[np.uint8] | None, status: Status) -> None:
        with self._lock:
            now_s = self._heard_s = self._now_s()
            self._result, self._picture, self._status, self._overlaid = result, picture, status, False
            if picture is not None:
                every_s = 1.0 / (_LIVE_PER_S if result.frame.source.live else _FILE_PER_S)
                # Due times run on a grid, so that a camera's jitter does not cost every second frame.
                self._due_s = max(self._due_s, now_s - every_s) + every_s
                self._number += 1
            elif self._watching == 0 and now_s >= self._wanted_until_s:
                self._number += 1  # What was encoded for the last client is old: the next one gets this.
        if picture is not None:
            self._tell()

    def notice(self, status: Status) -> None:
        """Show over the last picture that nothing is coming; while lost, with the seconds counting on."""
        with self._lock:
            now_s = self._heard_s = self._now_s()
            before, self._status = self._status, status
            if status.state in ("running", "ended"):  # The page says in its own words that it is over.
                return
            changed = status.state != before.state or status.detail != before.detail or not self._overlaid
            if not changed and not (status.state == "lost" and now_s - self._noticed_s >= _OVERLAY_EVERY_S):
                return
            self._noticed_s = now_s
            self._overlaid = True
            self._number += 1
        self._tell()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._status.state != "ended":
                self._status = replace(self._status, state="ended", detail="")
            self._encoded = None
        self._tell()

    @property
    def closed(self) -> bool:
        with self._lock:
            return self._closed

    def status(self) -> tuple[Status, Result | None]:
        """How the loop is doing, and the newest result.

        A loop that has said nothing for 2 s is ``stalled``: its figures are old, and must not be shown as if they
        were not.
        """
        with self._lock:
            silent_s = self._now_s() - self._heard_s
            status = self._status
            if status.state == "running" and silent_s > _SILENT_S:
                detail = f"nothing new from the loop for {silent_s:.0f} s"
                status = replace(status, state="stalled", detail=detail, age_ms=status.age_ms + silent_s * 1e3)
            return status, self._result

    @property
    def number(self) -> int:
        """The number of the newest picture; a client that has sent a lower one has something to fetch."""
        with self._lock:
            return self._number

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While inside, the loop draws pictures: a client is ready to be sent one."""
        with self._lock:
            self._watching += 1
        try:
            yield
        finally:
            with self._lock:
                self._watching -= 1
                self._wanted_until_s = self._now_s() + _INTEREST_S

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have ``listener`` called, in the loop's thread, at each new picture; returns what ends that.

        It must not block.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def stop() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

        return stop

    def jpeg(self) -> Encoded | None:
        """The newest picture, encoded at most once however many ask; None before the first frame and after the end."""
        with self._encoding:
            with self._lock:
                number, result, closed = self._number, self._result, self._closed
                held, picture, status, overlaid = self._encoded, self._picture, self._status, self._overlaid
            if closed or (result is None and not overlaid):
                return None
            if held is not None and held.number == number:
                return held
            encoded = Encoded(number, self._encode(self._drawn(result, picture, status, overlaid), self._jpeg_quality))
            with self._lock:
                self.encodes += 1
                if not self._closed:
                    self._encoded = encoded
            return encoded

    def snapshot(self) -> bytes | None:
        """The newest result, drawn, in its full size and better quality; None before the first frame."""
        with self._lock:
            result, picture, status = self._result, self._picture, self._status
        if result is None:
            return None
        live = replace(status, state="running")
        return self._encode(self._drawn(result, picture, live, False), quality=95, whole=True)

    def _drawn(
        self, result: Result | None, picture: NDArray[np.uint8] | None, status: Status, overlaid: bool
    ) -> NDArray[np.uint8]:
        if picture is None and result is not None:  # Nobody watched when it was published.
            picture = self._renderer.draw(result, replace(status, state="running") if overlaid else status)
        return self._renderer.overlay(picture, status) if overlaid or picture is None else picture

    def _encode(self, picture: NDArray[Any], quality: int, whole: bool = False) -> bytes:
        height_px, width_px = picture.shape[:2]
        scale = self._longest_px / max(height_px, width_px)
        if scale < 1 and not whole:
            size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise SinkError(f"expected an image that JPEG can store, got {picture.shape}")
        return data.tobytes()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
