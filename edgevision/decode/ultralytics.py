"""Ultralytics exports (YOLOv8 and later): the raw head, and the end-to-end one without suppression.

Raw: one output (1, 4 + classes, A): centre x, centre y, width, height in input pixels, then class
probabilities. End-to-end: (1, K, 6): x1, y1, x2, y2, score, class. Layouts as in the export documentation,
https://docs.ultralytics.com/modes/export/; the bundled models use the raw one.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.boxes import from_centres
from edgevision.decode.head import Candidates, Graph, Head, best_class
from edgevision.errors import ModelInvalid


class UltralyticsDecoder:
    def __init__(self, head: Head) -> None:
        shape = head.outputs[0].shape
        expected = f"(1, {4 + head.classes}, cells) or (1, boxes, 6)"
        if len(shape) != 3 or shape[0] not in (1, None):
            raise head.refuse("ultralytics", expected)
        # A raw head whose cell count is 6 does not exist: the smallest input has 21 cells.
        self._end_to_end = shape[2] == 6
        if not self._end_to_end and shape[1] not in (4 + head.classes, None):
            raise head.refuse("ultralytics", expected)

    @property
    def needs_nms(self) -> bool:
        return not self._end_to_end

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        table = outputs[0][0]
        if self._end_to_end:
            found = table[table[:, 4] > min_score]
            return Candidates(
                found[:, :4].astype(np.float32), found[:, 4].astype(np.float32), found[:, 5].astype(np.int64)
            )
        rows, scores, class_ids = best_class(table[4:].T, min_score)
        return Candidates(from_centres(table[:4, rows].T.astype(np.float32)), scores, class_ids)


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
    except (ValueError, SyntaxError, TypeError, IndexError) as exc:
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
            "std": [255.0, 255.0, 255.0],
        },
    }
