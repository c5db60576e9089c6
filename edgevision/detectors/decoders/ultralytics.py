"""Ultralytics exports, each recognised by its shape.

| head | one output | columns |
|---|---|---|
| raw (YOLOv5u, 8, 9, 11, 12, 26) | (1, 4 + classes, A), or turned: (1, A, 4 + classes) | centre x, y, width, height in
  input pixels or in shares of the input; probabilities |
| end-to-end (YOLOv10, 26) and suppression inside (``nms=True``) | (1, K, 6) | x1, y1, x2, y2 in pixels or shares;
  score; class |
| v5 (YOLOv5, v6, v7) | (1, A, 5 + classes) | centre x, y, width, height; object score; class probabilities |
| queries | (1, Q, 4 + classes) | centre x, y, width, height in shares; probabilities |

Layouts as in the export documentation, https://docs.ultralytics.com/modes/export/, and ``non_max_suppression`` of
YOLOv5 (score = object * class). The bundled models use the raw one. Heads of segmentation, pose and oriented boxes give
each box more numbers: `ultralytics_segment`, `ultralytics_pose`, `ultralytics_obb`. RT-DETR: `ultralytics_rtdetr`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.decoders.base import (
    LARGEST_FINISHED_SHARE,
    LARGEST_SHARE,
    Candidates,
    Graph,
    Guess,
    Head,
    Recipe,
    are_whole,
    best_class,
    cell_count,
)
from edgevision.detectors.decoders.ultralytics_metadata import read_metadata
from edgevision.detectors.onnx_session import TensorInfo

LETTERBOXED: Recipe = {"resize": "letterbox", "channel_order": "rgb", "std": (255.0, 255.0, 255.0)}
_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))


class _Layout(Enum):
    RAW = "raw"
    TURNED = "turned"
    FINISHED = "finished"
    V5 = "v5"
    QUERIES = "queries"


class UltralyticsDecoder:
    """Boxes of the first output. A subclass says how many more numbers each box has."""

    family: ClassVar = "ultralytics"

    def __init__(self, head: Head) -> None:
        self._classes = head.classes
        self._cells = {cell_count(head.input_wh, strides) for strides in _STRIDES}
        self._input_whwh = np.tile(np.array(head.input_wh, np.float32), 2)
        shape = head.outputs[0].shape
        possible = self._possible(*shape[1:]) if len(shape) == 3 and shape[0] in (1, None) else []
        if not possible:
            raise head.refuse(self.family, self._expected())
        self._layout = possible[0] if len(possible) == 1 else None
        """None where only the numbers of a frame tell."""
        self.needs_nms = any(kind in possible for kind in (_Layout.RAW, _Layout.TURNED, _Layout.V5))

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        table = outputs[0][0]
        layout = self._layout or self._layout_of(table)
        if layout is _Layout.RAW:
            return self._raw(table, min_score)
        if layout is _Layout.TURNED:
            return self._raw(table.T, min_score)
        if layout is _Layout.FINISHED:
            return self._finished(table, min_score)
        if layout is _Layout.V5:
            table = table[table[:, 4] > min_score].astype(np.float32)
            rows, scores, class_ids = best_class(table[:, 5:] * table[:, 4:5], min_score)
            return Candidates(from_centres(table[rows, :4]), scores, class_ids)
        rows, scores, class_ids = best_class(table[:, 4:], min_score)
        boxes = from_centres(table[rows, :4].astype(np.float32) * self._input_whwh)
        return Candidates(boxes, scores, class_ids, suppressed=True)

    def extra_fits(self, count: int) -> bool:
        """Whether a box of this head may have ``count`` numbers beside its corners and scores."""
        return count == 0

    def boxes_of(self, centres: NDArray[np.float32], extra: NDArray[Any]) -> NDArray[np.float32]:
        """Corners (N, 4) of raw boxes: centre x, y, width, height in input pixels, and what else each row has."""
        return from_centres(centres)

    def finished_boxes(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Corners (N, 4) of finished rows, in the unit of the rows."""
        return rows[:, :4]

    def rotated_of(self, centres: NDArray[np.float32], extra: NDArray[Any]) -> NDArray[np.float32] | None:
        """The turned boxes of raw rows, where the head has any."""
        return None

    def _raw(self, table: NDArray[Any], min_score: float) -> Candidates:
        scores_end = 4 + self._classes
        rows, scores, class_ids = best_class(table[4:scores_end].T, min_score)
        centres = table[:4, rows].T.astype(np.float32)
        if len(rows) and table[:2].max() <= LARGEST_SHARE:
            centres *= self._input_whwh
        extra = table[scores_end:, rows].T
        rotated = self.rotated_of(centres, extra)
        return Candidates(self.boxes_of(centres, extra), scores, class_ids, rotated=rotated)

    def _finished(self, table: NDArray[Any], min_score: float) -> Candidates:
        found = table[table[:, 4] > min_score].astype(np.float32)
        if not are_whole(found[:, 5]):
            raise ValueError("its sixth column holds no class numbers")
        if len(found) and table[:, :4].max() <= LARGEST_FINISHED_SHARE:
            found[:, :4] *= self._input_whwh
        return Candidates(self.finished_boxes(found), found[:, 4], found[:, 5].astype(np.int64), suppressed=True)

    def _expected(self) -> str:
        n = self._classes
        return f"(1, {4 + n}, cells), (1, cells, {4 + n}), (1, boxes, 6), (1, cells, {5 + n}) or (1, queries, {4 + n})"

    def _possible(self, rows: int | None, columns: int | None) -> list[_Layout]:
        """What a table of this shape may be; None stands for a length that only the frame tells."""
        n, plain = self._classes, self.extra_fits(0)
        found = []
        dense_columns = columns is None or columns in self._cells
        if self._holds(rows, 4 + n) and (plain or dense_columns):
            found.append(_Layout.RAW)
            if rows is not None and columns is not None:
                return found
        if self._holds(columns, 6):
            found.append(_Layout.FINISHED)
        if self._holds(columns, 4 + n) and (rows is None or rows in self._cells):
            found.append(_Layout.TURNED)
        if plain and self._holds(columns, 5 + n) and (columns != 6 or rows is None or rows in self._anchor_counts()):
            found.append(_Layout.V5)
        if plain and self._holds(columns, 4 + n) and (rows is None or rows not in self._cells):
            found.append(_Layout.QUERIES)
        return found

    def _holds(self, length: int | None, least: int) -> bool:
        return length is None or (length >= least and self.extra_fits(length - least))

    def _layout_of(self, table: NDArray[Any]) -> _Layout:
        """What this frame's table is: finished boxes are sorted by score and have class numbers in the sixth column."""
        possible = self._possible(*table.shape)
        if len(possible) > 1 and _Layout.FINISHED in possible:
            classes = table[:, 5]
            # A v5 head of one class may give it the probability 1 everywhere.
            too_high = _Layout.V5 in possible and classes.max(initial=0) >= self._classes
            if are_whole(classes) and not too_high and (np.diff(table[:, 4]) <= 0).all():
                return _Layout.FINISHED
            possible.remove(_Layout.FINISHED)
        if not possible:
            raise ValueError(f"expected {self._expected()}")
        return possible[0]

    def _anchor_counts(self) -> set[int]:
        """Rows that v5, v6 and v7 heads have: three anchors a cell or one."""
        return {per_cell * n for n in self._cells for per_cell in (1, 3)}


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    shape = outputs[0].shape
    # RT-DETR was trained on stretched images, all others on padded ones.
    queries = len(shape) == 3 and shape[1] == 300 and shape[2] is not None and shape[2] > 6
    return {**LETTERBOXED, "resize": "stretch"} if queries else LETTERBOXED


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    """From shapes alone; YOLOv6's one anchor a cell looks like YOLOX, and is left to be named by hand."""
    shape = outputs[0].shape
    if len(outputs) != 1 or len(shape) != 3 or shape[0] not in (1, None):
        return _v5_with_maps(outputs, input_wh)
    rows, columns = shape[1:]
    raw_cells = {cell_count(input_wh, s) for s in _STRIDES}
    if columns in raw_cells and rows is not None and rows > 4:
        return Guess(f"4 + {rows - 4} rows for every cell", (rows - 4,))
    if columns == 6 and (rows is None or rows <= 1000):
        return Guess("rows of x1, y1, x2, y2, score, class", ())
    if rows in raw_cells and columns is not None and columns > 4:
        # A model of YOLOv6's layout has an object score before its classes.
        counts = (columns - 4, columns - 5)[: columns - 4]
        return Guess(f"4 + {columns - 4} columns for every cell", counts, seldom=True)
    if rows == 300 and columns is not None and columns > 4:
        return Guess(f"300 queries of 4 + {columns - 4} columns (RT-DETR)", (columns - 4,))
    return _v5_with_maps(outputs, input_wh)


def _v5_with_maps(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    """YOLOv5's own exporter may leave the maps of each stride beside the table."""
    shape = outputs[0].shape
    three = {3 * cell_count(input_wh, s) for s in ((8, 16, 32), (8, 16, 32, 64), (16, 32))}
    if len(shape) != 3 or shape[0] not in (1, None) or shape[1] not in three or shape[2] is None or shape[2] <= 5:
        return None
    return Guess(f"5 + {shape[2] - 5} columns for three anchors a cell (YOLOv5 layout)", (shape[2] - 5,))


def recognise(graph: Graph) -> dict[str, Any] | None:
    """Manifest values from the metadata of an Ultralytics export; see `ultralytics_metadata`."""
    return read_metadata(graph)
