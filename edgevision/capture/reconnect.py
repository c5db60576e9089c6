"""The policy for live devices: one that is lost is said to be lost, and opened again until it is back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from edgevision.errors import SourceError, SourceLost
from edgevision.frame_queue import BoundedQueue, Closed
from edgevision.interfaces import ContextManaged, Source
from edgevision.types import Frame, SourceInfo

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 0.5
"""With an attempt that may wait 3 s for an answer, and 1.3 s until the first picture: back within 5 s of its return."""

_log = logging.getLogger(__name__)


class ReconnectingSource(ContextManaged):
    """A live source that outlasts its device.

    Indices go on where they were; the frames in between are uncounted. The name stays, the size may change.
    """

    def __init__(
        self,
        open_again: Callable[[], Source],
        first: Source | None = None,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """``open_again`` opens the device, or raises `SourceError`; ``first`` is the device, opened already.

        ``wait`` (seconds) is how it pauses between attempts, and ends early on `close` unless given. Raises what
        ``open_again`` raises the first time: what was never there is not waited for.
        """
        self._open_again = open_again
        self._clock = clock
        self._closing = threading.Event()
        self._wait = self._closing.wait if wait is None else wait
        self._lock = threading.Lock()
        self._raw: Source | None = open_again() if first is None else first
        self._info = self._raw.info
        self._opening: BoundedQueue[Source] | None = None
        self._trouble: str | None = None
        self._told: set[str] = set()
        self._next_index = 0
        self._offset = 0
        self._fresh_from_ns = 0

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def trouble(self) -> str | None:
        raw = self._raw
        return self._trouble or (None if raw is None else raw.trouble)

    def read(self) -> Frame | None:
        """The next frame, however long the device is away; None only after `close`."""
        while not self._closing.is_set():
            raw = self._raw
            if raw is None:
                self._reopen()
                continue
            try:
                frame = raw.read()
                reason = f"{self._info.name} ended"
            except SourceLost as exc:
                frame, reason = None, str(exc)
            if self._closing.is_set():
                return None
            if frame is None:
                self._lose(raw, reason)
            elif frame.captured_ns >= self._fresh_from_ns:
                return self._numbered(frame)
        return None

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            raw, opening = self._raw, self._opening
        if opening is not None:
            opening.close()
        if raw is not None:
            raw.close()

    def _numbered(self, frame: Frame) -> Frame:
        index = self._offset + frame.index
        self._next_index = index + 1
        same_name = frame.source.name == self._info.name
        if index == frame.index and same_name:
            return frame
        source = frame.source if same_name else replace(frame.source, name=self._info.name)
        return replace(frame, index=index, source=source)

    def _lose(self, raw: Source, reason: str) -> None:
        """Release the device, and say so."""
        self._told = set()
        self._tell(reason)
        self._lost_ns = self._clock()
        with self._lock:
            self._raw = None
        raw.close()

    def _reopen(self) -> None:
        """Try until the device is back or this source closed."""
        pause_s = _FIRST_PAUSE_S
        while not self._closing.is_set():
            self._wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            began_ns = self._clock()
            raw = self._attempt()
            if raw is None:
                continue
            with self._lock:
                self._raw = raw
            if self._closing.is_set():
                raw.close()  # `close` came before it could see this one
                return
            # What a driver or server kept from before must not pass for what is in front of the camera now.
            self._fresh_from_ns = began_ns
            self._offset = self._next_index
            self._info = replace(raw.info, name=self._info.name)
            self._trouble = None
            _log.warning("%s is back after %.1f s", self._info.name, (self._clock() - self._lost_ns) / 1e9)
            return

    def _tell(self, reason: str) -> None:
        """Show why there is no picture: first why the device went, then why it does not open (another password, say).

        Each reason is logged once until the device is back.
        """
        self._trouble = f"{reason}; trying to open it again"
        if reason not in self._told:
            self._told.add(reason)
            _log.warning("%s", self._trouble)

    def _attempt(self) -> Source | None:
        """Open the device once, in a thread of its own: opening can block for longer than `close` may."""
        opening: BoundedQueue[Source] = BoundedQueue()

        def work() -> None:
            try:
                raw = self._open_again()
            except BaseException as exc:  # handed to the reader
                opening.close(exc)
                return
            if not opening.put(raw):
                raw.close()
            opening.close()

        with self._lock:
            self._opening = opening
        if self._closing.is_set():
            return None
        threading.Thread(target=work, name="reopen", daemon=True).start()
        try:
            return opening.take()
        except Closed:
            return None
        except SourceError as exc:
            self._tell(str(exc))
            return None
        finally:
            with self._lock:
                self._opening = None
