"""Wait for a condition in place of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], within_s: float = 10.0, every_s: float = 0.01) -> float:
    """Return the seconds until ``condition()`` was true. Fails after ``within_s``."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"the condition did not become true within {within_s:g} s"
        time.sleep(every_s)
    return time.monotonic() - began
