"""Zones and lines as text: ``yard=0,0.5 1,0.5 1,1 0,1`` and ``door=0.5,1 0.5,0``, in shares of the frame."""

from __future__ import annotations

from edgevision.errors import UsageError
from edgevision.events.shapes import Line, Point, Zone


def zone_from_text(text: str) -> Zone:
    """A zone from ``NAME=x,y x,y x,y …``. Raises `UsageError`."""
    name, points = _parts("--zone", text, "yard=0,0.5 1,0.5 1,1 0,1")
    return Zone(name, points)


def line_from_text(text: str) -> Line:
    """A line from ``NAME=x,y x,y``. Raises `UsageError`."""
    example = "door=0.5,1 0.5,0"
    name, points = _parts("--line", text, example)
    if len(points) != 2:
        raise UsageError(f"--line: expected two points, as in {example!r}, got {len(points)} in {text[:80]!r}")
    return Line(name, points[0], points[1])


def _parts(option: str, text: str, example: str) -> tuple[str, tuple[Point, ...]]:
    name, equals, rest = text.partition("=")
    points = []
    for word in rest.split():
        x, comma, y = word.partition(",")
        try:
            points.append((float(x), float(y)))
        except ValueError:
            comma = ""
        if not comma:
            raise UsageError(f"{option}: expected points x,y with spaces between, as in {example!r}, got {word[:40]!r}")
    if not equals or not points:
        raise UsageError(f"{option}: expected a name and points, as in {example!r}, got {text[:80]!r}")
    return name.strip(), tuple(points)
