"""The box of a COCO annotation: its ``bbox``, else the extent of its polygons or of its run-length mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.datasets.reading_report import LabelError

MOST_PIXELS = 1 << 31
_MOST_RUNS = 50_000_000


def corners_of(annotation: dict[str, Any], place: str) -> tuple[float, ...]:
    """x1, y1, x2, y2 px. Raises `LabelError` where it has no box, or one that is not four numbers."""
    box = annotation.get("bbox")
    if box:
        numbers = _numbers(box, place)
        if len(numbers) != 4:
            raise LabelError("bad row", place, f"bbox: expected x, y, width, height, got {len(numbers)} numbers")
        x, y, width, height = numbers
        return x, y, x + width, y + height
    shape = annotation.get("segmentation")
    if isinstance(shape, dict):
        return _extent_of_mask(shape, place)
    if isinstance(shape, list) and shape:
        polygons = shape if isinstance(shape[0], list) else [shape]
        numbers = [v for polygon in polygons for v in _even(_numbers(polygon, place), place)]
        if numbers:
            return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    raise LabelError("no box", place, "expected a bbox or a segmentation, got neither")


def _numbers(values: Any, place: str) -> list[float]:
    if not isinstance(values, list):
        raise LabelError("bad row", place, f"expected a list of numbers, got {str(values)[:40]}")
    try:
        return [float(v) for v in values]
    except (TypeError, ValueError, OverflowError):
        raise LabelError("bad row", place, f"expected numbers, got {str(values)[:60]}") from None


def _even(numbers: list[float], place: str) -> list[float]:
    if len(numbers) % 2:
        raise LabelError("bad row", place, f"segmentation: expected pairs of x and y, got {len(numbers)} numbers")
    return numbers


def _extent_of_mask(shape: dict[str, Any], place: str) -> tuple[float, ...]:
    size, counts = shape.get("size"), shape.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(v, int) and v > 0 for v in size):
        raise LabelError("bad row", place, "segmentation: expected size [height, width] of a run-length mask")
    height, width = size
    if height * width > MOST_PIXELS:
        raise LabelError("bad number", place, f"segmentation: expected a mask of an image, got {width} × {height}")
    runs = run_lengths(counts, place) if isinstance(counts, str) else _run_list(counts, place)
    if int(runs.sum()) > height * width or (len(runs) and runs.min() < 0):
        raise LabelError("bad row", place, f"segmentation: the runs of the mask do not fit {width} × {height}")
    ends = np.cumsum(runs)
    first, last = ends[0 : len(ends) - 1 : 2], ends[1::2] - 1  # every second run is of the object
    first, last = first[: len(last)], last[: len(first)]
    kept = last >= first
    first, last = first[kept], last[kept]
    if not len(first):
        raise LabelError("no box", place, "segmentation: the mask is empty")
    # Runs go down the columns: one that goes on into the next column touches both edges.
    across = first // height != last // height
    top = 0 if across.any() else int((first % height).min())
    bottom = height if across.any() else int((last % height).max()) + 1
    return float(first.min() // height), float(top), float(last.max() // height + 1), float(bottom)


def _run_list(counts: Any, place: str) -> NDArray[np.int64]:
    if not isinstance(counts, list) or not all(isinstance(c, int) and 0 <= c <= MOST_PIXELS for c in counts):
        raise LabelError("bad row", place, "segmentation: expected counts, a list of runs or a text")
    return np.array(counts, np.int64)


def run_lengths(text: str, place: str) -> NDArray[np.int64]:
    """pycocotools' compressed runs: 5 bits a character, lowest first, and from the fourth run on the difference to
    the run two before.

    Follows ``rleFrString`` of cocoapi's maskApi.c. Raises `LabelError`.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text[:_MOST_RUNS]:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise LabelError("bad row", place, "segmentation: the text of the mask is damaged")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            if not 0 <= runs[-1] <= MOST_PIXELS:
                raise LabelError("bad row", place, "segmentation: the text of the mask is damaged")
            value = shift = 0
    return np.array(_whole(runs, shift, place), np.int64)


def _whole(runs: Sequence[int], shift: int, place: str) -> Sequence[int]:
    if shift:
        raise LabelError("bad row", place, "segmentation: the text of the mask is cut off")
    return runs
