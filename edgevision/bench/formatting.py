"""Numbers as people read them: the same in the terminal, the page and the Markdown."""

from __future__ import annotations

import math

from edgevision.bench.statistics import Estimate


def digits(value: float) -> str:
    """Three significant figures, without exponents."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 4)}f}" if abs(value) < 1000 else f"{value:,.0f}".replace(",", "\u202f")


def interval_text(estimate: Estimate) -> str:
    return f" [{digits(estimate.low)}–{digits(estimate.high)}]" if estimate.has_interval else ""


def fps_text(estimate: Estimate) -> str:
    """``231 [225–238]``."""
    return digits(estimate.value) + interval_text(estimate)


def ms_text(value: float | Estimate) -> str:
    """Milliseconds, with the interval of an estimate."""
    if isinstance(value, Estimate):
        return digits(value.value) + interval_text(value)
    return digits(value)


def ratio_text(estimate: Estimate) -> str:
    """``1.04 [0.98–1.10]``."""
    return digits(estimate.value) + interval_text(estimate)


def times_text(estimate: Estimate) -> str:
    """``54.2 times (95 %: 51.0 to 57.7)``."""
    return f"{digits(estimate.value)} times" + (
        f" (95 %: {digits(estimate.low)} to {digits(estimate.high)})" if estimate.has_interval else ""
    )
