"""Ultralytics exports, each told by its shape.

| head | one output | columns |
|---|---|---|
| raw (YOLOv8, 9, 11, 12, 26) | (1, 4 + classes, A) | centre x, y, width, height in input pixels; probabilities |
| end-to-end (YOLOv10, 26) and suppression inside (``nms=True``) | (1, K, 6) | x1, y1, x2, y2, score, class |
| v5 (YOLOv5, v6, v7) | (1, A, 5 + classes) | centre x, y, width, height; object score; class probabilities |
| RT-DETR | (1, Q, 4 + classes) | centre x, y, width, height in shares of the input; probabilities |

Layouts as in the export documentation, https://docs.ultralytics.com/modes/export/, and ``non_max_suppression`` of
YOLOv5 (score = object * class). The bundled models use the raw one.
"""

from __future__ import annotations

import ast
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.decoders.base import Candidates, Graph, Guess, Head, Recipe, best_class, cell_count
from edgevision.detectors.onnx_session import TensorInfo
from edgevision.errors import ModelInvalid


class _Layout(Enum):
    RAW = "raw"
    FINISHED = "finished"
    V5 = "v5"
    QUERIES = "queries"


class UltralyticsDecoder:
    def __init__(self, head: Head) -> None:
        layout = _layout(head.outputs[0].shape, head.classes, head.input_wh)
        if layout is None:
            n = head.classes
            raise head.refuse(
                "ultralytics", f"(1, {4 + n}, cells), (1, boxes, 6), (1, cells, {5 + n}) or (1, queries, {4 + n})"
            )
        self._layout = layout
        self._input_whwh = np.tile(np.array(head.input_wh, np.float32), 2)

    @property
    def needs_nms(self) -> bool:
        return self._layout in (_Layout.RAW, _Layout.V5)

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        table = outputs[0][0]
        if self._layout is _Layout.RAW:
            rows, scores, class_ids = best_class(table[4:].T, min_score)
            return Candidates(from_centres(table[:4, rows].T.astype(np.float32)), scores, class_ids)
        if self._layout is _Layout.FINISHED:
            found = table[table[:, 4] > min_score].astype(np.float32)
            return Candidates(found[:, :4], found[:, 4], found[:, 5].astype(np.int64))
        if self._layout is _Layout.V5:
            table = table[table[:, 4] > min_score].astype(np.float32)
            rows, scores, class_ids = best_class(table[:, 5:] * table[:, 4:5], min_score)
            return Candidates(from_centres(table[rows, :4]), scores, class_ids)
        rows, scores, class_ids = best_class(table[:, 4:], min_score)
        return Candidates(from_centres(table[rows, :4].astype(np.float32) * self._input_whwh), scores, class_ids)


def _layout(shape: tuple[int | None, ...], classes: int, input_wh: tuple[int, int]) -> _Layout | None:
    if len(shape) != 3 or shape[0] not in (1, None):
        return None
    rows, columns = shape[1:]
    # Six columns are finished boxes, unless the model has one class and as many rows as v5 has anchors.
    if columns == 6 and not (classes == 1 and rows in _anchor_counts(input_wh)):
        return _Layout.FINISHED
    if rows == 4 + classes:
        return _Layout.RAW
    if columns == 5 + classes:
        return _Layout.V5
    if columns == 4 + classes:
        return _Layout.QUERIES
    return _Layout.RAW if rows is None and columns is None else None


def _anchor_counts(input_wh: tuple[int, int]) -> set[int]:
    """Rows that v5, v6 and v7 heads have: three anchors a cell or one, with or without stride 64."""
    counts = [cell_count(input_wh, strides) for strides in ((8, 16, 32), (8, 16, 32, 64))]
    return {per_cell * n for n in counts for per_cell in (1, 3)}


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    shape = outputs[0].shape
    # RT-DETR was trained on stretched pictures, all others on padded ones.
    queries = len(shape) == 3 and shape[1] == 300 and shape[2] is not None and shape[2] > 6
    resize = "stretch" if queries else "letterbox"
    return {"resize": resize, "channel_order": "rgb", "std": (255.0, 255.0, 255.0)}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    """From shapes alone; YOLOv6's one anchor a cell looks like YOLOX, and is left to be named by hand."""
    shape = outputs[0].shape
    if len(shape) != 3 or shape[0] not in (1, None):
        return None
    rows, columns = shape[1:]
    raw_cells = {cell_count(input_wh, s) for s in ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))}
    if len(outputs) == 1 and columns in raw_cells and rows is not None and rows > 4:
        return Guess(f"4 + {rows - 4} rows for every cell", (rows - 4,))
    three = {3 * cell_count(input_wh, s) for s in ((8, 16, 32), (8, 16, 32, 64), (16, 32))}
    if rows in three and columns is not None and columns > 5:
        return Guess(f"5 + {columns - 5} columns for three anchors a cell (YOLOv5 layout)", (columns - 5,))
    if len(outputs) == 1 and columns == 6 and (rows is None or rows <= 1000):
        return Guess("rows of x1, y1, x2, y2, score, class", ())
    if len(outputs) == 1 and rows == 300 and columns is not None and columns > 4:
        return Guess(f"300 queries of 4 + {columns - 4} columns (RT-DETR)", (columns - 4,))
    return None


def recognise(graph: Graph) -> dict[str, Any] | None:
    """Manifest values from the metadata that an Ultralytics export writes, or None where there is none.

    ``names`` and ``imgsz`` are Python literals. Raises `ModelInvalid` for another task than detection.
    """
    metadata = graph.metadata
    if "names" not in metadata or "stride" not in metadata:
        return None
    task = metadata.get("task", "detect")
    if task != "detect":
        raise ModelInvalid(f"{graph.where}: expected a detection model, got Ultralytics task {task!r}")
    try:
        names = ast.literal_eval(metadata["names"])
        sides = ast.literal_eval(metadata.get("imgsz", "[640, 640]"))
        classes = [str(names[k]) for k in sorted(names)] if isinstance(names, dict) else [str(n) for n in names]
        height, width = (sides, sides) if isinstance(sides, int) else (int(sides[0]), int(sides[1]))
    except (ValueError, SyntaxError, TypeError, IndexError, MemoryError, RecursionError) as exc:
        raise ModelInvalid(f"{graph.where}: its Ultralytics metadata cannot be read: {exc}") from exc
    shape = graph.inputs[0].shape
    if len(shape) == 4:
        height, width = shape[2] or height, shape[3] or width
    return {
        "family": "ultralytics",
        "classes": classes,
        "licence": metadata.get("license", "unknown"),
        "input": {
            "name": graph.inputs[0].name,
            "width_px": width,
            "height_px": height,
            "dtype": graph.inputs[0].dtype,
            **standard_recipe(graph.outputs),
        },
    }
