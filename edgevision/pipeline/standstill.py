"""Whether this whole program stood still for a while: stopped by a signal, asleep with its laptop, swapped out.

What was captured before is then old, however quickly the loop goes on: it must not be shown as if it were live.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BEAT_S = 0.1
PATIENCE_S = 1.5
"""A shorter standstill is a frame that comes late."""


def since_boot_ns() -> int:
    """Nanoseconds that go on while the machine sleeps, where the system counts them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)


class Standstill:
    """Beats in a thread of its own, and with each result: a long gap between two beats is a standstill.

    Unless the program worked meanwhile: a detector that keeps the interpreter to itself for seconds is slow, its
    results are as new as they can be. Safe from any thread.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.monotonic_ns,
        *,
        beat_clock: Callable[[], int] = since_boot_ns,
        worked: Callable[[], int] = time.process_time_ns,
    ) -> None:
        """``clock`` is the frames'. ``beat_clock`` goes on while nothing runs; ``worked`` is the processor time of all
        threads. All in ns."""
        self._clock, self._beat_clock, self._worked = clock, beat_clock, worked
        self._lock = threading.Lock()
        self._last_ns = beat_clock()
        self._worked_ns = worked()
        self._ended_ns: int | None = None

    def beat(self) -> int | None:
        """When the last standstill ended, by the frames' clock; None before the first."""
        with self._lock:
            now, worked = self._beat_clock(), self._worked()
            gap_ns = now - self._last_ns
            if gap_ns > PATIENCE_S * 1e9 and worked - self._worked_ns < gap_ns / 2:
                self._ended_ns = self._clock()
            self._last_ns, self._worked_ns = now, worked
            return self._ended_ns

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat every `BEAT_S` meanwhile."""
        done = threading.Event()

        def run() -> None:
            while not done.wait(BEAT_S):
                self.beat()

        self.beat()
        thread = threading.Thread(target=run, name="standstill", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
