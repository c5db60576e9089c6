"""The decision chart as a picture, with the path taken: SVG that stands alone."""

from __future__ import annotations

import textwrap
from html import escape

from edgevision.bench.decide.decision import Decision
from edgevision.bench.decide.patterns import Pattern
from edgevision.bench.decide.rules import CHART

_PLACES = {
    "numbers": (0, 0), "open": (0, 1), "open-fast": (1, 1), "handful": (0, 3), "too-fast": (0, 4), "barred": (1, 4),
    "grows": (1, 5), "soon": (0, 7), "labels": (0, 8), "few": (0, 9), "teachable": (0, 10), "hands": (0, 11),
}  # fmt: skip
"""Column and row of each question."""
_BELOW = {("open-fast", False), ("grows", False), ("hands", False)}
"""Ends that stand a row lower than their question's right; the last one right below it."""
_BOX_W, _BOX_H, _STEP_X, _STEP_Y, _EDGE = 196.0, 52.0, 246.0, 76.0, 12.0
_STYLE = """
.decision text{font:12px system-ui,sans-serif;fill:#1c2430}.decision .said{font-size:11px;fill:#5b6675}
.decision rect{fill:#f4f6f9;stroke:#b9c2cf}.decision .end{fill:#e8f0ff;stroke:#8fa9d8}
.decision path{fill:none;stroke:#b9c2cf;stroke-width:1.5}
.decision .taken{stroke:#d9480f;stroke-width:3}.decision rect.taken{fill:#fff4ec;stroke-width:2}
.decision .taken-said{font-size:11px;font-weight:700;fill:#d9480f}
@media (prefers-color-scheme:dark){.decision text{fill:#e6eaf0}.decision .said{fill:#9aa7b8}
.decision rect{fill:#1d242e;stroke:#4a5666}.decision .end{fill:#1b2942;stroke:#4f6fae}
.decision path{stroke:#4a5666}.decision .taken{stroke:#ff8a4c}.decision rect.taken{fill:#3a2416}
.decision .taken-said{fill:#ff8a4c}}
"""


def chart(decision: Decision) -> str:
    """An SVG element. What was assumed for want of an answer is marked with a question mark."""
    parts: list[str] = []
    steps = {step.name: step for step in decision.steps}
    boxes: list[str] = []
    for question in CHART:
        step = steps.get(question.name)
        column, row = _PLACES[question.name]
        boxes.append(_box(_x(column), _y(row), question.ask, "taken" if step else "", step.why if step else ""))
        for yes, way in ((True, question.yes), (False, question.no)):
            taken = step is not None and step.yes is yes
            said = ("yes" if yes else "no") + ("?" if taken and step is not None and step.assumed else "")
            if isinstance(way, str):
                points = _between((column, row), _PLACES[way])
            else:
                place = _end(question.name, yes, column, row)
                points = _between((column, row), place)
                boxes.append(_box(_x(place[0]), _y(place[1]), _names(way), "end taken" if taken else "end"))
            parts.append(_arrow(points, said, taken))
    width = _EDGE * 2 + _STEP_X * 2 + _BOX_W
    height = _EDGE * 2 + _STEP_Y * 12 + _BOX_H
    words = "; ".join(f"{s.ask} {'yes' if s.yes else 'no'}" for s in decision.steps)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="decision" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="Decision chart"><title>Decision: {escape(_names(decision.patterns))}</title>'
        f"<desc>{escape(words)}</desc><style>{_STYLE}</style>{''.join(parts)}{''.join(boxes)}</svg>"
    )


def _names(patterns: tuple[Pattern, ...]) -> str:
    return " and ".join(patterns)


def _x(column: float) -> float:
    return _EDGE + column * _STEP_X


def _y(row: float) -> float:
    return _EDGE + row * _STEP_Y


def _end(name: str, yes: bool, column: int, row: int) -> tuple[int, int]:
    if (name, yes) not in _BELOW:
        return column + 1, row
    return (column, row + 1) if name == "hands" else (column + 1, row + 1)


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[float, float]]:
    """Where the line runs, from box to box."""
    (c1, r1), (c2, r2) = start, end
    middle_y = _y(r1) + _BOX_H / 2
    if c1 == c2 and r2 > r1:  # down
        x = _x(c1) + _BOX_W / 2
        return [(x, _y(r1) + _BOX_H), (x, _y(r2))]
    if r1 == r2:  # right
        return [(_x(c1) + _BOX_W, middle_y), (_x(c2), middle_y)]
    if c2 > c1:  # right and down
        x = _x(c1) + _BOX_W * 0.82
        return [(x, _y(r1) + _BOX_H), (x, _y(r2) + _BOX_H / 2), (_x(c2), _y(r2) + _BOX_H / 2)]
    # back to the column on the left, between the rows
    x = _x(c1) - (_STEP_X - _BOX_W) / 2
    return [
        (_x(c1), middle_y + 10), (x, middle_y + 10), (x, _y(r2) - 12), (_x(c2) + _BOX_W * 0.8, _y(r2) - 12),
        (_x(c2) + _BOX_W * 0.8, _y(r2)),
    ]  # fmt: skip


def _arrow(points: list[tuple[float, float]], said: str, taken: bool) -> str:
    steps = " ".join(f"{'M' if k == 0 else 'L'}{x:g} {y:g}" for k, (x, y) in enumerate(points))
    (x1, y1), (x2, _) = points[0], points[1]
    x, y = (x1 + 6, y1 + 15) if x1 == x2 else (x1 + 4, y1 - 5) if x2 > x1 else (x2 + 5, y1 + 20)
    kind = ' class="taken"' if taken else ""
    return (
        f'<path{kind} d="{steps}"/><text class="{"taken-said" if taken else "said"}" x="{x:g}" y="{y:g}">{said}</text>'
    )


def _box(x: float, y: float, words: str, kind: str, hint: str = "") -> str:
    lines = textwrap.wrap(words, 26)[:3]
    first = y + _BOX_H / 2 + 4 - (len(lines) - 1) * 7.5
    texts = "".join(
        f'<text x="{x + _BOX_W / 2:g}" y="{first + k * 15:g}" text-anchor="middle">{escape(line)}</text>'
        for k, line in enumerate(lines)
    )
    title = f"<title>{escape(hint)}</title>" if hint else ""
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{_BOX_W:g}" height="{_BOX_H:g}" rx="8">{title}</rect>{texts}'
    )
