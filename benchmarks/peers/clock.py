"""fps as every peer counts it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator


def fps_of(results: Iterator[object], frames: int) -> float:
    """(n - 1) / time from the first result to the last: loading and the first inference are not counted."""
    next(results)
    began, count = time.perf_counter(), 0
    for _ in itertools.islice(results, frames - 1):
        count += 1
    if count < frames - 1:
        raise SystemExit(f"expected {frames} results, got {count + 1}")
    return count / (time.perf_counter() - began)
