"""A camera that one thread reads and any other may close: let go of exactly once, and never beside a read."""

from __future__ import annotations

import threading
import time

from edgevision.errors import SourceLost
from edgevision.interfaces import ContextManaged
from edgevision.types import Frame


class BaseCamera(ContextManaged):
    """`read` and `close` of a camera, over three verbs of its driver: `_holds`, `_next` and `_release`.

    A camera that is lost is let go of at once: a device that was unplugged cannot come back while it is held.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()  # held while the driver is in use: releasing beside a read crashes the process
        self._closing = threading.Event()
        self._lost: str | None = None
        self._waiting_since_ns: int | None = None

    @property
    def _waited_s(self) -> float:
        """For how long a read has waited for its frame."""
        since_ns = self._waiting_since_ns
        return 0.0 if since_ns is None else (time.monotonic_ns() - since_ns) / 1e9

    def _holds(self) -> bool:
        """Whether the camera is held still."""
        raise NotImplementedError

    def _next(self) -> Frame:
        """The next frame of a camera that is held. Raises `SourceLost`."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of the camera. Twice is once."""
        raise NotImplementedError

    def read(self) -> Frame | None:
        """The next frame, or None after `close`. Raises `SourceLost`, and again if called again."""
        try:
            with self._lock:
                if self._closing.is_set():
                    return None
                if not self._holds():
                    raise SourceLost(self._lost or f"{self._name} is closed")
                self._waiting_since_ns = time.monotonic_ns()
                try:
                    return self._next()
                except SourceLost as exc:
                    self._lost = str(exc)
                    self._release()
                    if self._closing.is_set():
                        return None
                    raise
                finally:
                    self._waiting_since_ns = None
        finally:
            if self._closing.is_set():
                self._release_if_idle()

    def close(self) -> None:
        """Let go of the camera: at once, or when the read in progress returns (within about 1 s)."""
        self._closing.set()
        self._release_if_idle()

    def _release_if_idle(self) -> None:
        # Whoever comes last releases: close() when no read is in progress, else the reader, who looks at _closing
        # after it has let go of the lock.
        if self._lock.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._lock.release()
