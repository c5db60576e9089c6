"""fps over minutes: what a machine does at first and what it does when it is hot are two figures."""

from __future__ import annotations

import re
import statistics
from itertools import pairwise

from edgevision.bench.records import Block, Clip, Moment, Sustained
from edgevision.errors import UsageError

SUSTAINED_BLOCK_S = 2.0
LINE_FPS = 30.0
UNDER_FOR_S = 10.0
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "": 1.0}


def parse_duration_s(text: str) -> float:
    """``90s``, ``10m``, ``1h``; a bare number is seconds. Raises `UsageError`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|)\s*", text.lower())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"--sustained: expected a time such as 90s, 10m or 1h, got {text!r}")
    return float(found[1]) * _UNITS[found[2]]


class Sustaining:
    """Collects blocks of one contender's loop."""

    def __init__(self, contender: str, clip: Clip, began_ns: int) -> None:
        self._contender, self._clip, self._began_ns = contender, clip, began_ns
        self._moments: list[Moment] = []

    def add(self, block: Block, began_s: float) -> None:
        """A block that began so many seconds after the first."""
        published = block.published_ns
        if not published:
            return
        single = len(published) == 1
        span_s = (published[0] if single else published[-1] - published[0]) / 1e9
        if span_s <= 0:
            return
        self._moments.append(
            Moment(
                at_s=began_s + (published[0] + published[-1]) / 2e9,
                frames=1 if single else len(published) - 1,
                span_s=span_s,
                # A frame that was not inferred has no such time.
                infer_p50_ms=statistics.median([t for t in block.stages["infer"] if t] or [0]) / 1e6,
                dropped=sum(max(0, b - a - 1) for a, b in pairwise(block.indices)),
            )
        )

    def result(self) -> Sustained:
        clip = self._clip
        # A live source of 30 fps or less gives no more than that: a little under it is all that can be asked.
        line = min(LINE_FPS, clip.fps * 0.97) if clip.live and clip.fps else LINE_FPS
        return Sustained(
            contender=self._contender,
            clip=clip.name,
            line_fps=line,
            began_ns=self._began_ns,
            moments=tuple(self._moments),
            under_line_at_s=under_line_at_s(self._moments, line),
        )


def under_line_at_s(moments: list[Moment], line_fps: float) -> float | None:
    """When the first ten seconds began over which fps was under the line."""
    for first, moment in enumerate(moments):
        begins = moment.at_s - moment.span_s / 2
        frames = span = 0.0
        for later in moments[first:]:
            frames, span = frames + later.frames, span + later.span_s
            if later.at_s + later.span_s / 2 - begins >= UNDER_FOR_S:
                if frames / span < line_fps:
                    return max(0.0, begins)
                break
    return None
