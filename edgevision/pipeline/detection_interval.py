"""Which frames the network looks at, where it does not look at each."""

from __future__ import annotations

from edgevision.interfaces import Detector
from edgevision.types import Frame, SourceInfo

LONGEST_S = 0.5
"""A frame further than this from the last detected one (or 2.5 of its source's periods) is detected: people have turned
round meanwhile, and a tracker soon forgets."""
_LEAST_PERIODS = 2.5


def usable(every: int, source: SourceInfo) -> int:
    """``every``, or 1 for a source whose frames have no times to predict to: not live, and without a rate (a folder of
    pictures)."""
    return every if source.live or source.fps else 1


class Cadence:
    """Every ``every``-th frame is detected; so is the first one of a model, and one that prediction cannot reach.

    For one thread at a time.
    """

    def __init__(self, every: int, source: SourceInfo) -> None:
        self._every = every
        self._reach_ns = round(max(LONGEST_S, _LEAST_PERIODS / source.fps if source.fps else 0) * 1e9)
        self._detector: Detector | None = None
        self._detected_ns = 0
        self._since = 0

    def due(self, frame: Frame, detector: Detector) -> bool:
        """Whether ``detector`` is to look at the next frame in line. Asked once for each, in order."""
        if self._every == 1:
            return True
        self._since += 1
        near = 0 <= frame.moment_ns - self._detected_ns <= self._reach_ns
        if near and self._since < self._every and detector is self._detector:
            return False
        self._detector, self._detected_ns, self._since = detector, frame.moment_ns, 0
        return True
