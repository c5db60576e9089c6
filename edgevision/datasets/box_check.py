"""Whether a box can be a label of its image. Every reader passes its boxes through here."""

from __future__ import annotations

import math

from edgevision.datasets.reading_report import LabelError, ReadingReport

ROUNDING_PX = 1.0
"""Overhang up to here is rounding, and clipped without a remark."""
LEAST_INSIDE = 0.5
"""Share of a box's area that must lie in the image; a box with less is a mistake, not an object at the edge."""

Corners = tuple[float, float, float, float]


def checked_box(
    corners: tuple[float, ...], size_wh: tuple[int, int], place: str, image: object, report: ReadingReport
) -> Corners | None:
    """x1, y1, x2, y2 px clipped to the image, or None for a box of no size, which is remarked on.

    Raises `LabelError` for numbers that cannot be a box of this image.
    """
    if not all(math.isfinite(v) for v in corners):
        raise LabelError("bad number", place, f"expected finite numbers, got {_shown(corners)}")
    x1, y1, x2, y2 = corners
    width, height = x2 - x1, y2 - y1
    if width < 0 or height < 0:
        raise LabelError("bad number", place, f"expected a positive width and height, got {width:g} and {height:g} px")
    if min(width, height) < 1e-3:
        report.add("no size", place, f"a label of {width:g} × {height:g} px is left out", image)
        return None
    clipped = (
        min(max(x1, 0.0), float(size_wh[0])),
        min(max(y1, 0.0), float(size_wh[1])),
        min(max(x2, 0.0), float(size_wh[0])),
        min(max(y2, 0.0), float(size_wh[1])),
    )
    inside = (clipped[2] - clipped[0]) / width * ((clipped[3] - clipped[1]) / height)
    if inside < LEAST_INSIDE:
        raise LabelError(
            "outside",
            place,
            f"expected a label inside the image of {size_wh[0]} × {size_wh[1]} px, got {_shown(corners)}",
        )
    if max(abs(a - b) for a, b in zip(corners, clipped, strict=True)) > ROUNDING_PX:
        report.add("clipped", place, f"{_shown(corners)} is clipped to {size_wh[0]} × {size_wh[1]} px", image)
    return clipped


def _shown(corners: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{v:.6g}" for v in corners) + ")"
