"""Whether what a camera hands out is new: by its driver's time stamps, and by its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class DriverClock:
    """Turns a driver's time stamps into time.monotonic_ns(), where they are that clock's.

    Video4Linux drivers stamp buffers with CLOCK_MONOTONIC, with few exceptions: none at all, wall time, or a device
    clock badly converted. A stamp is believed where it is later than the one before and near the present; some drivers
    (vivid) stamp up to a frame ahead, which is taken as now.
    """

    AHEAD_LIMIT_NS = 100_000_000
    BEHIND_LIMIT_NS = 10_000_000_000

    def __init__(self) -> None:
        self._last_ns = 0
        self.repeated = False
        """Whether the last believable stamp came again: the driver handed out the very same buffer."""

    def captured_ns(self, stamp_ms: float, now_ns: int) -> int:
        stamp_ns = round(stamp_ms * 1e6)
        near = stamp_ns > 0 and -self.AHEAD_LIMIT_NS <= now_ns - stamp_ns <= self.BEHIND_LIMIT_NS
        self.repeated = near and stamp_ns == self._last_ns
        if not near or stamp_ns <= self._last_ns:
            return now_ns
        self._last_ns = stamp_ns
        return min(stamp_ns, now_ns)


class Stillness:
    """How long a picture has been exactly the same. A live sensor's noise alone changes every frame."""

    def __init__(self) -> None:
        self._sample: NDArray[np.uint8] | None = None
        self._since_ns = 0
        self.still_s = 0.0

    def see(self, pixels: NDArray[np.uint8], now_ns: int) -> None:
        sample = pixels[::24, ::24].copy()
        if self._sample is None or not np.array_equal(sample, self._sample):
            self._sample, self._since_ns = sample, now_ns
        self.still_s = (now_ns - self._since_ns) / 1e9
