"""Drawing SVG: a picture of fixed width that grows downwards, axes, and nothing else. Every chart is drawn with it.

Colours are classes, which a page's style gives a value for light, dark and paper; a file of its own brings its style
along. The width is that of a phone, so that letters stay readable there; on a desk the picture is shown larger.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

WIDTH = 420.0
COLOURS = 8
"""Classes ``c0`` to ``c7``."""
_LIGHT = ["#0b62b8", "#d1600a", "#0d8a63", "#a3338b", "#8a6d00", "#2a93c4", "#6b4fc4", "#5c6770"]
_DARK = ["#5aa9f5", "#f59a4c", "#45c99a", "#e083cb", "#d8b83f", "#7fd0f2", "#ab96f2", "#9daab5"]
"""The report's own, of bench/assets/report.css."""


def _colours(values: Sequence[str]) -> str:
    return "".join(f".c{k}{{fill:{v}}}.c{k}.curve{{stroke:{v}}}" for k, v in enumerate(values))


_FILE_STYLE = (
    "svg{background:#fff;font-family:system-ui,sans-serif}text{fill:#16202a;font-size:9.5px}.name{font-size:11px;"
    "font-weight:600}.tick{fill:#5b6b7a}.grid{stroke:#dfe5ea;stroke-width:1}.curve{fill:none!important;"
    f"stroke-width:1.6;stroke-linejoin:round}}{_colours(_LIGHT)}"
    "@media(prefers-color-scheme:dark){svg{background:#11171d}text{fill:#e8edf2}.tick{fill:#9aa8b5}"
    f".grid{{stroke:#2a343e}}{_colours(_DARK)}}}"
)


class Picture:
    """An SVG under construction. Coordinates in its own units, 1 to 1.5 px each on the page."""

    def __init__(self, height: float, title: str, description: str) -> None:
        """``title`` and ``description`` are for those who cannot see it."""
        self.height = height
        self._title, self._description = title, description
        self._parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> None:
        self._parts.append(f'<line class="{kind}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>')

    def rect(self, x: float, y: float, width: float, height: float, kind: str, hint: str = "") -> None:
        inner = f"<title>{escape(hint)}</title>" if hint else ""
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0.0))}" height="{_n(height)}"'
        self._parts.append(f'<rect class="{kind}" {place}>{inner}</rect>')

    def dot(self, x: float, y: float, radius: float, kind: str, hint: str = "") -> None:
        inner = f"<title>{escape(hint)}</title>" if hint else ""
        self._parts.append(f'<circle class="{kind}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}">{inner}</circle>')

    def text(self, x: float, y: float, words: str, kind: str = "label", anchor: str = "start") -> None:
        self._parts.append(
            f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def path(self, points: Iterable[tuple[float, float]], kind: str, closed: bool = False) -> None:
        steps = " ".join(f"{'M' if k == 0 else 'L'}{_n(x)} {_n(y)}" for k, (x, y) in enumerate(points))
        if steps:
            self._parts.append(f'<path class="{kind}" d="{steps}{"Z" if closed else ""}"/>')

    def render(self) -> str:
        """An element for a page that has the style."""
        return self._svg("", "")

    def render_file(self) -> str:
        """A file that stands alone: light or dark as the reader has it."""
        size = f'xmlns="http://www.w3.org/2000/svg" width="{_n(2 * WIDTH)}" height="{_n(2 * self.height)}" '
        return self._svg(size, f"<style>{_FILE_STYLE}</style>") + "\n"

    def _svg(self, attributes: str, style: str) -> str:
        return (
            f'<svg {attributes}viewBox="0 0 {_n(WIDTH)} {_n(self.height)}" role="img" '
            f'aria-label="{escape(self._title, quote=True)}">'
            f"<title>{escape(self._title)}</title><desc>{escape(self._description)}</desc>"
            f"{style}{''.join(self._parts)}</svg>"
        )


class LogAxis:
    """Values to places along x, a factor of ten always as wide."""

    def __init__(self, values: Sequence[float], left: float, right: float) -> None:
        known = [v for v in values if math.isfinite(v) and v > 0] or [1.0]
        self._low = math.log10(min(known)) - 0.08
        self._high = math.log10(max(known)) + 0.08
        if self._high - self._low < 0.5:
            middle = (self._low + self._high) / 2
            self._low, self._high = middle - 0.25, middle + 0.25
        self._left, self._right = left, right

    def __call__(self, value: float) -> float:
        share = (math.log10(max(value, 1e-12)) - self._low) / (self._high - self._low)
        return self._left + min(1.0, max(0.0, share)) * (self._right - self._left)

    def ticks(self) -> list[float]:
        """Powers of ten, and where those are few, twice and five times them as well."""
        span = self._high - self._low
        steps = (1,) if span > 3.2 else (1, 3) if span > 1.6 else (1, 2, 5)
        first, last = math.floor(self._low), math.ceil(self._high)
        found = [s * 10.0**e for e in range(first, last + 1) for s in steps]
        return [v for v in found if self._low <= math.log10(v) <= self._high]


class LinearAxis:
    """Values to places, from 0 or from the smallest value."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = low, high if high > low else low + 1.0
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self._start + min(1.0, max(0.0, share)) * (self._end - self._start)

    def ticks(self, count: int = 5) -> list[float]:
        raw = (self.high - self.low) / count
        size = 10 ** math.floor(math.log10(raw))
        step = next(s * size for s in (1, 2, 2.5, 5, 10) if s * size >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """A tick's number, short."""
    if value >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
