"""Zones and lines: where something is to be noticed, in shares of the frame.

Shares, 0 to 1 from the left and the top, stay right when a camera changes its resolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import UsageError

Point = tuple[float, float]
_LEAST_AREA = 1e-6
_MOST_POINTS = 200


class Anchor(StrEnum):
    """What of a box decides where the object is."""

    FEET = "feet"
    """The middle of its lower edge: where a person or a car touches the ground."""
    CENTRE = "centre"
    OVERLAP = "overlap"
    """The share of its area inside the zone."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon. Raises `UsageError` for one that is no area, crosses itself or leaves the frame."""

    name: str
    polygon: tuple[Point, ...]
    """Three corners or more, (x, y) in shares of the frame."""
    classes: tuple[str, ...] = ()
    """Names of the classes that count; empty for all."""
    anchor: Anchor = Anchor.FEET
    min_overlap: float = 0.5
    """With `Anchor.OVERLAP`: the share of the box's area that must lie inside, 0-1."""
    enter_s: float = 0.2
    """So long inside before it counts as entered: a box that flickers over the edge is no event."""
    leave_s: float = 0.6
    """So long outside or unseen before it counts as left."""
    stay_s: float | None = None
    """A stay longer than this is an event of its own; None for none."""

    def __post_init__(self) -> None:
        where = f"zone {self.name!r}"
        _check_name(self.name)
        if not 3 <= len(self.polygon) <= _MOST_POINTS:
            raise UsageError(f"{where}: expected 3 to {_MOST_POINTS} corners, got {len(self.polygon)}")
        _check_points(where, self.polygon)
        if _crosses_itself(self.polygon):
            raise UsageError(f"{where}: its edges cross each other: give the corners in order around the zone")
        if abs(_area(self.polygon)) < _LEAST_AREA:
            raise UsageError(f"{where}: expected an area, its corners lie on one line")
        _check_share(where, "min_overlap", self.min_overlap)
        _check_seconds(where, "enter_s", self.enter_s)
        _check_seconds(where, "leave_s", self.leave_s)
        if self.stay_s is not None:
            _check_seconds(where, "stay_s", self.stay_s)

    def holds(self, boxes: NDArray[np.float32], frame_wh: tuple[int, int]) -> NDArray[np.bool_]:
        """Which boxes (N, 4) xyxy px are inside, by the zone's anchor: (N,)."""
        shares = in_shares(boxes, frame_wh)
        if self.anchor is Anchor.OVERLAP:
            return np.asarray(_share_inside(shares, self.polygon) >= self.min_overlap, np.bool_)
        return inside(anchor_points(shares, self.anchor), self.polygon)


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be crossed. Raises `UsageError` for one without length or outside the frame.

    Walking from ``start`` to ``end``, a crossing from the left to the right is ``in``, the other way ``out``.
    """

    name: str
    start: Point
    end: Point
    classes: tuple[str, ...] = ()
    anchor: Anchor = Anchor.FEET
    margin: float = 0.01
    """How far beyond the line, in shares of the frame, an object must get to have crossed it: who stands on it and
    sways does not cross it again and again."""

    def __post_init__(self) -> None:
        where = f"line {self.name!r}"
        _check_name(self.name)
        _check_points(where, (self.start, self.end))
        if math.dist(self.start, self.end) < 1e-3:
            raise UsageError(f"{where}: expected two different ends, got {self.start} and {self.end}")
        if self.anchor is Anchor.OVERLAP:
            raise UsageError(f"{where}: expected the anchor feet or centre: a line has no area to overlap")
        _check_share(where, "margin", self.margin)

    def distances(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of points (N, 2) in shares: signed distance to the line, positive on its right, and the place along it, 0 at
        ``start`` to 1 at ``end``."""
        (x1, y1), (x2, y2) = self.start, self.end
        length = math.dist(self.start, self.end)
        along_x, along_y = (x2 - x1) / length, (y2 - y1) / length
        dx, dy = points[:, 0] - x1, points[:, 1] - y1
        # The y axis points down, so this is positive on the right of somebody who walks from start to end.
        return along_x * dy - along_y * dx, (along_x * dx + along_y * dy) / length


def in_shares(boxes: NDArray[np.float32], frame_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes (N, 4) xyxy from px of a frame to shares of it."""
    return np.asarray(boxes / np.array([*frame_wh, *frame_wh], np.float32), np.float32)


def anchor_points(shares: NDArray[np.float32], anchor: Anchor) -> NDArray[np.float64]:
    """Points (N, 2) that stand for boxes (N, 4) xyxy in shares of the frame."""
    x = (shares[:, 0] + shares[:, 2]) / 2
    y = shares[:, 3] if anchor is Anchor.FEET else (shares[:, 1] + shares[:, 3]) / 2
    return np.column_stack([x, y]).astype(np.float64)


def inside(points: NDArray[np.float64], polygon: Sequence[Point]) -> NDArray[np.bool_]:
    """Which points (N, 2) lie in a polygon, by the even-odd rule; on an edge, either answer is right."""
    corners = np.asarray(polygon, np.float64)
    x1, y1 = corners[:, 0], corners[:, 1]
    x2, y2 = np.roll(x1, -1), np.roll(y1, -1)
    x, y = points[:, :1], points[:, 1:]
    spans = (y1 > y) != (y2 > y)
    rise = np.where(y2 == y1, 1.0, y2 - y1)
    crossed = spans & (x < (x2 - x1) * (y - y1) / rise + x1)
    return np.asarray(crossed.sum(1) % 2 == 1, np.bool_)


_GRID = 8


def _share_inside(shares: NDArray[np.float32], polygon: Sequence[Point]) -> NDArray[np.float64]:
    """The share of each box's area in a polygon, from 8×8 points of the box."""
    steps = (np.arange(_GRID) + 0.5) / _GRID
    x = shares[:, :1] + (shares[:, 2:3] - shares[:, :1]) * steps
    y = shares[:, 1:2] + (shares[:, 3:4] - shares[:, 1:2]) * steps
    points = np.stack(np.broadcast_arrays(x[:, None, :], y[:, :, None]), -1).reshape(-1, 2).astype(np.float64)
    return np.asarray(inside(points, polygon).reshape(len(shares), -1).mean(1), np.float64)


def _check_name(name: str) -> None:
    if not name or len(name) > 64 or not name.isprintable() or "/" in name:
        raise UsageError(f"zones and lines: expected a name of 1 to 64 printable characters without /, got {name!r}")


def _check_points(where: str, points: Sequence[Point]) -> None:
    for x, y in points:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise UsageError(f"{where}: expected points from 0 to 1 in shares of the frame, got ({x:g}, {y:g})")


def _check_share(where: str, name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{where}: {name}: expected 0 to 1, got {value:g}")


def _check_seconds(where: str, name: str, value: float) -> None:
    if not 0 <= value <= 86_400:
        raise UsageError(f"{where}: {name}: expected 0 to 86400 s, got {value:g}")


def _area(polygon: Sequence[Point]) -> float:
    """Signed area (the shoelace formula)."""
    pairs = zip(polygon, (*polygon[1:], polygon[0]), strict=True)
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs) / 2


def _crosses_itself(polygon: Sequence[Point]) -> bool:
    edges = list(zip(polygon, (*polygon[1:], polygon[0]), strict=True))
    for i, first in enumerate(edges):
        for j in range(i + 2, len(edges)):
            neighbours = i == 0 and j == len(edges) - 1
            if not neighbours and _segments_cross(first, edges[j]):
                return True
    return False


def _segments_cross(a: tuple[Point, Point], b: tuple[Point, Point]) -> bool:
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(*a, b[0]) * side(*a, b[1]) < 0 and side(*b, a[0]) * side(*b, a[1]) < 0
