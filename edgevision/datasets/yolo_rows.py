"""Rows of a YOLO label file: boxes, polygons, oriented boxes, key points, with or without a score and a track's number.

Nothing in a file says which it is. A row has ``class cx cy w h`` and then key points, or ``class`` and the corners of a
polygon; Ultralytics adds a score and a track's number at the end of either. `RowFormat` decides from ``kpt_shape``,
else from all rows of the dataset together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgevision.datasets.annotations import Box
from edgevision.datasets.box_check import checked_box
from edgevision.datasets.reading_report import LabelError, ReadingReport, all_or_error

SLACK = 0.02
"""Of the image: a coordinate this far over its edge is clipped, one further is an impossible number."""
POLYGON_SLACK = 0.5
_SURE_ROWS = 8
"""From so many rows of one length on, that length is no chance."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line, read as numbers."""

    place: str
    """``file:line``"""
    words: tuple[str, ...]
    """Those after the class."""
    class_id: int
    values: tuple[float, ...]
    """Those after the class."""

    @property
    def track_id(self) -> bool:
        """Whether the last word is a number that no coordinate or score can be, behind numbers that are some."""
        fits = all(0 <= v <= 1 + SLACK or v == 2 for v in self.values[:-1])
        return len(self.values) > 4 and self.words[-1].isdecimal() and self.values[-1] >= 2 and fits


def rows_of(text: str, file: object) -> list[Row]:
    """Rows of a label file's text. Raises `LabelError` for the first line that is not a class and numbers."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return all_or_error(lines, lambda numbered: _row(numbered[1], f"{file}:{numbered[0]}"))


def _row(line: str, place: str) -> Row:
    words = line.split()
    try:
        if "_" in line:
            raise ValueError
        values = [float(w) for w in words]
    except ValueError:
        raise LabelError("bad row", place, f"expected numbers, got {line.strip()[:40]!r}") from None
    if not math.isfinite(values[0]) or values[0] != int(values[0]):
        raise LabelError("unknown class", place, f"expected a whole number as class, got {words[0][:20]}")
    return Row(place, tuple(words[1:]), int(values[0]), tuple(values[1:]))


@dataclass(frozen=True, slots=True)
class RowFormat:
    """How the rows of one dataset are read."""

    keypoints: tuple[int, int] | None = None
    """Key points of a row and numbers of each, where all rows have them."""
    stated: bool = False
    """Whether a ``kpt_shape`` says so."""
    tracked: bool = False
    """Rows end in a score and a track's number."""
    unclear: int = 0
    """Length of rows that can be polygons as well as key points, with nothing to decide by; 0 where there is none."""

    @classmethod
    def of(cls, rows: Iterable[Row], stated: tuple[int, int] | None = None) -> RowFormat:
        """Of all rows of a dataset; ``stated`` is its ``kpt_shape``."""
        rows = list(rows)
        tracked = any(r.track_id and not _flagged_points(r) for r in rows if len(r.values) != 5)
        if stated is not None:
            return cls(stated, True, tracked)
        longer = [r for r in rows if len(r.values) >= 7]
        lengths = {len(r.values) for r in longer}
        # Polygons differ in length; eight numbers are an oriented box or a rectangle.
        if len(lengths) != 1 or lengths == {8}:
            return cls(tracked=tracked)
        length = lengths.pop()
        end = length % 2 if not tracked else 2 - length % 2
        points = (length - 4 - end) // 2
        if points < 2 or not all(_points_in_box(r, points, 2) for r in longer):
            return cls(tracked=tracked)
        if len(longer) >= _SURE_ROWS:
            return cls((points, 2), False, tracked)
        return cls(tracked=tracked, unclear=length)

    def shares(self, row: Row, report: ReadingReport) -> tuple[tuple[float, ...], float]:
        """x1, y1, x2, y2 of a row in shares of the image, and its score (1 where none is written).

        Raises `LabelError` for a row of another length.
        """
        values, count = row.values, len(row.values)
        if any(not math.isfinite(v) for v in values):
            raise LabelError("bad number", row.place, f"expected finite numbers, got {' '.join(row.words)[:60]}")
        plain = self.keypoints is None or count < 4 + self.keypoints[0] * self.keypoints[1]
        if count in (4, 5) or (count == 6 and plain and self._ends_in_score_and_track(row, report)):
            return _box(row, values[:4]), _score(row, values[4:])
        points = self.keypoints or _flagged_points(row)
        if points is not None:
            end = count - 4 - points[0] * points[1]
            if 0 <= end <= 2:
                if not self.stated:
                    text = f"read as a box and {points[0]} key points; say kpt_shape: [{points[0]}, {points[1]}]"
                    report.add("key points", row.place, text)
                return _box(row, values[:4]), _score(row, values[count - end :])
            if self.stated:
                wanted = f"4 numbers, or {4 + points[0] * points[1]} with kpt_shape [{points[0]}, {points[1]}]"
                raise LabelError("bad row", row.place, f"expected {wanted}, got {count} after the class")
        end = (2 - count % 2) if self.tracked and count >= 7 else count % 2
        if count - end < 6:
            raise LabelError("bad row", row.place, f"expected class, x, y, width, height, got {count + 1} numbers")
        if count == self.unclear:
            raise LabelError(
                "bad row",
                row.place,
                f"{count} numbers can be a polygon or a box with key points; say kpt_shape in the data.yaml",
            )
        return _polygon(row, values[: count - end]), _score(row, values[count - end :])

    def _ends_in_score_and_track(self, row: Row, report: ReadingReport) -> bool:
        """Six numbers: a box, a score and a track's number, or a triangle."""
        if self.tracked:
            return True
        x, y, w, h, score, _ = row.values
        whole = row.words[-1].isdecimal()
        fits = w > 0 and h > 0 and min(x - w / 2, y - h / 2) >= -SLACK and max(x + w / 2, y + h / 2) <= 1 + SLACK
        if not (whole and fits and 0 <= score <= 1):
            return False
        report.add("unclear row", row.place, "read as a box, a score and a track's number; it can be a triangle too")
        return True


def boxes_of(
    rows: Sequence[Row],
    row_format: RowFormat,
    classes: int,
    size_wh: tuple[int, int],
    image: object,
    report: ReadingReport,
) -> tuple[Box, ...]:
    """Boxes of one image's rows in pixels. Raises `LabelError` where one of them cannot be used."""
    width, height = size_wh

    def read(row: Row) -> Box | None:
        if not 0 <= row.class_id < classes:
            raise LabelError("unknown class", row.place, f"expected classes 0 to {classes - 1}, got {row.class_id}")
        shares, score = row_format.shares(row, report)
        corners = (shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height)
        checked = checked_box(corners, size_wh, row.place, image, report)
        return None if checked is None else Box(row.class_id, checked, score)

    return tuple(box for box in all_or_error(rows, read) if box is not None)


def _box(row: Row, values: Sequence[float]) -> tuple[float, ...]:
    _check_shares(row, values, SLACK, " ".join(row.words[:4])[:60])
    x, y, w, h = values
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def _polygon(row: Row, values: Sequence[float]) -> tuple[float, ...]:
    # Its corners may hang over the edge as far as a box's may, which has its centre inside.
    _check_shares(row, values, POLYGON_SLACK, f"{min(values):g} to {max(values):g}")
    xs, ys = values[::2], values[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _check_shares(row: Row, values: Sequence[float], slack: float, shown: str) -> None:
    if min(values) < -slack or max(values) > 1 + slack:
        pixels = "; pixels stand where shares are expected" if max(values) > 2 else ""
        raise LabelError("bad number", row.place, f"expected shares of the image, 0 to 1, got {shown}{pixels}")


def _score(row: Row, end: Sequence[float]) -> float:
    """Of what follows a box: a score, a track's number, or both."""
    if not end or (len(end) == 1 and row.track_id):
        return 1.0
    if not 0 <= end[0] <= 1:
        raise LabelError("bad row", row.place, f"expected a score from 0 to 1 behind the box, got {end[0]:g}")
    return float(end[0])


def _flagged_points(row: Row) -> tuple[int, int] | None:
    """Key points of three numbers, whose third is 0, 1 or 2: hardly a polygon has those."""
    for end in (0, 1, 2):
        points, rest = divmod(len(row.values) - 4 - end, 3)
        if rest or points < 1 or (end == 2 and not row.words[-1].isdecimal()):
            continue
        flags = row.values[6 : 4 + 3 * points : 3]
        if all(f in (0, 1, 2) for f in flags) and _points_in_box(row, points, 3):
            return points, 3
    return None


def _points_in_box(row: Row, points: int, numbers: int) -> bool:
    """Whether what follows the first four numbers lies in the box that those are; 0, 0 is a point that is not seen."""
    x, y, w, h = row.values[:4]
    xs = row.values[4 : 4 + points * numbers : numbers]
    ys = row.values[5 : 4 + points * numbers : numbers]
    inside = all(
        (px == 0 and py == 0) or (abs(px - x) <= w / 2 * 1.1 and abs(py - y) <= h / 2 * 1.1)
        for px, py in zip(xs, ys, strict=True)
    )
    edges = min(x - w / 2, y - h / 2) >= -SLACK and max(x + w / 2, y + h / 2) <= 1 + SLACK
    return inside and w > 0 and h > 0 and edges
