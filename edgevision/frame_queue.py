"""The bounded queue between threads. Between capture and inference it holds one frame, and the newest wins."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SlotStatistics:
    put: int
    taken: int
    dropped: int
    waiting: int


class Closed(Exception):
    """The slot was closed and is empty: the writer has ended."""


class BoundedQueue(Generic[T]):
    """Holds at most ``capacity`` items. With ``newest_wins``, a full slot drops its oldest for a new one."""

    def __init__(
        self, capacity: int = 1, newest_wins: bool = False, on_drop: Callable[[T], None] | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity: expected at least 1, got {capacity}")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._newest_wins = newest_wins
        self._on_drop = on_drop
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._freed = threading.Condition(self._lock)
        self._closed = False
        self._error: BaseException | None = None
        self._put = self._taken = self._dropped = 0

    def put(self, item: T) -> bool:
        """Hand over an item; blocks while full unless the newest wins. False once closed: the item was not taken."""
        replaced: T | None = None
        with self._lock:
            while len(self._items) >= self._capacity and not self._newest_wins and not self._closed:
                self._freed.wait()
            if self._closed:
                return False
            if len(self._items) >= self._capacity:
                replaced = self._items.popleft()
                self._dropped += 1
            self._items.append(item)
            self._put += 1
            self._filled.notify()
        if replaced is not None and self._on_drop is not None:
            self._on_drop(replaced)
        return True

    def take(self, timeout_s: float | None = None) -> T:
        """The oldest item; blocks while empty.

        Raises `Closed` once closed and empty, the writer's own error if it closed with one, and `TimeoutError`.
        """
        with self._lock:
            while not self._items:
                if self._closed:
                    raise self._handed_over()
                if not self._filled.wait(timeout_s) and not self._items and not self._closed:
                    raise TimeoutError
            item = self._items.popleft()
            self._taken += 1
            self._freed.notify()
            return item

    def close(self, error: BaseException | None = None) -> None:
        """End: writers stop at once; what is inside can still be taken, and then ``error`` is raised to the reader."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._error = error
            self._filled.notify_all()
            self._freed.notify_all()

    def _handed_over(self) -> BaseException:
        """The end, for a reader to raise. The first reader gets the writer's error itself, later ones its like.

        An error that is raised holds the frames it passes through, and with them whoever reads this queue. Kept here
        as well, it would close a circle that only the garbage collector opens.
        """
        if self._error is None:
            return Closed()
        error, self._error = self._error, _without_history(self._error)
        return error

    def clear(self) -> None:
        """Throw away what is inside (the reader has stopped)."""
        with self._lock:
            self._items.clear()
            self._freed.notify_all()

    @property
    def statistics(self) -> SlotStatistics:
        with self._lock:
            return SlotStatistics(self._put, self._taken, self._dropped, len(self._items))


def _without_history(error: BaseException) -> BaseException:
    """An error of the same type and words, without traceback and cause."""
    like = type(error).__new__(type(error), *error.args)
    like.__dict__.update(error.__dict__)
    return like
