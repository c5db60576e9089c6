"""How fast the loop is, told honestly and in bounded memory.

fps counts unique captured frames through the whole loop, (n - 1) / (t_last - t_first), never a mean of per-frame
rates. Times are kept in log-spaced bins, so a loop may run for months and still know its percentiles.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from edgevision.pipeline.memory import peak_rss_mib
from edgevision.types import STAGES, Result

_BASE_NS = 1_000
_GROWTH = math.log(1.01)
_DETECTING = ("preprocess", "infer", "decode")
"""Stages that a predicted frame does not go through: it must not make them look faster."""
_BINS = 2_400
"""1 µs · 1.01^2400 is over six hours; a bin's middle is within 0.5 % of what fell into it."""


class Histogram:
    """Counts of durations in bins 1 % wide."""

    def __init__(self) -> None:
        self._counts = [0] * _BINS
        self.count = 0
        self._largest_ns = 0

    def add(self, duration_ns: int) -> None:
        place = int(math.log(duration_ns / _BASE_NS) / _GROWTH) + 1 if duration_ns > _BASE_NS else 0
        self._counts[min(place, _BINS - 1)] += 1
        self.count += 1
        self._largest_ns = max(self._largest_ns, duration_ns)

    def percentile_ms(self, percent: float) -> float:
        """The duration that ``percent`` of all do not exceed, in ms, within 0.5 %; NaN while empty."""
        if self.count == 0:
            return math.nan
        rank = max(1, math.ceil(self.count * percent / 100))
        place = next(k for k, seen in enumerate(accumulate(self._counts)) if seen >= rank)
        if place == 0:
            return min(_BASE_NS / 2, self._largest_ns) / 1e6
        middle_ns = _BASE_NS * math.exp((place - 0.5) * _GROWTH)
        return min(middle_ns, self._largest_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, histogram: Histogram) -> Percentiles:
        return cls(*(histogram.percentile_ms(p) for p in (50, 95, 99)))


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did, from its first published frame to its last."""

    frames: int
    fps: float
    """Unique captured frames a second through the whole loop; NaN under two frames."""
    dropped: int
    stages: dict[str, Percentiles]
    """Preprocessing, inference and decoding: of the frames that went through them."""
    age: Percentiles
    """From exposure to published."""
    cpu_percent: float
    """Of one core, all threads of this process."""
    peak_rss_mib: float
    predicted: int = 0
    """Of the frames, those that the network did not look at."""


class LoopMetrics:
    """Takes each published result; tells the state now and the sum at the end. One thread."""

    WINDOW_NS = 2_000_000_000

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._stages = {name: Histogram() for name in STAGES}
        self._age = Histogram()
        self._recent: deque[int] = deque()
        self._recent_infer: deque[int] = deque(maxlen=31)
        self.frames = self.dropped = self.predicted = 0
        self._first_ns = self._last_ns = self._idle_ns = 0
        self._last_index: int | None = None
        self._last_age_ns = 0
        self._cpu = _cpu_seconds()

    def record(self, result: Result) -> None:
        """One result, just published."""
        now = self._clock()
        if self.frames == 0:
            self._first_ns = now
            self._cpu = _cpu_seconds()
        self._last_ns = now
        self.frames += 1
        if self._last_index is not None:
            self.dropped += result.frame.index - self._last_index - 1
        self._last_index = result.frame.index
        self.predicted += result.predicted
        for name, histogram in self._stages.items():
            if not (result.predicted and name in _DETECTING):
                histogram.add(getattr(result.times, name))
        self._last_age_ns = now - result.frame.captured_ns
        self._age.add(self._last_age_ns)
        self._recent.append(now)
        if not result.predicted:
            self._recent_infer.append(result.times.infer)

    def skip_idle(self, idle_ns: int) -> None:
        """A pause of that length: neither slow nor frames dropped."""
        if self.frames:
            self._idle_ns += idle_ns
        self._last_index = None
        self._recent.clear()

    @property
    def fps(self) -> float:
        """Over the last 2 s; 0 when fewer than two frames came in them."""
        now = self._clock()
        while self._recent and now - self._recent[0] > self.WINDOW_NS:
            self._recent.popleft()
        if len(self._recent) < 2:
            return 0.0
        return (len(self._recent) - 1) * 1e9 / max(1, self._recent[-1] - self._recent[0])

    @property
    def infer_ms(self) -> float:
        """Median of the last 31 frames that were inferred."""
        if not self._recent_infer:
            return 0.0
        return sorted(self._recent_infer)[len(self._recent_infer) // 2] / 1e6

    @property
    def age_ms(self) -> float:
        """Of the last published frame, when it was published."""
        return self._last_age_ns / 1e6

    def summary(self) -> Summary:
        span_ns = self._last_ns - self._first_ns - self._idle_ns
        busy_ns = self._last_ns - self._first_ns
        fps = (self.frames - 1) * 1e9 / span_ns if self.frames > 1 and span_ns > 0 else math.nan
        cpu = (_cpu_seconds() - self._cpu) * 100e9 / busy_ns if busy_ns > 0 else math.nan
        stages = {name: Percentiles.of(histogram) for name, histogram in self._stages.items()}
        age = Percentiles.of(self._age)
        return Summary(self.frames, fps, self.dropped, stages, age, cpu, peak_rss_mib(), self.predicted)


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system
