"""What an Ultralytics export says of itself: ``names``, ``imgsz``, ``task``, ``head`` and ``license``.

Its keys are those that the exporter writes, https://docs.ultralytics.com/modes/export/; values are Python literals.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from edgevision.detectors.decoders.base import Graph
from edgevision.errors import ModelInvalid

_FAMILY_OF = {
    "detect": "ultralytics",
    "segment": "ultralytics-segment",
    "pose": "ultralytics-pose",
    "obb": "ultralytics-obb",
}
_NOTES = {
    "segment": "a segmentation model, used as a detector: its boxes are read, its masks are not",
    "pose": "a pose model, used as a detector: its boxes are read, its key points are not",
    "obb": "a model of oriented boxes, used as a detector: each is read as the upright box that encloses it",
}


def read_metadata(graph: Graph) -> dict[str, Any] | None:
    """Manifest values, or None where the graph carries none of it; ``note`` says what of the model is not used.

    ``classes`` is empty where no names are carried. Raises `ModelInvalid` for a task that gives no boxes, and for
    metadata that cannot be read.
    """
    metadata = graph.metadata
    if "names" not in metadata or "stride" not in metadata:
        return None
    task = metadata.get("task", "detect")
    if task not in _FAMILY_OF:
        raise ModelInvalid(
            f"{graph.where}: expected a model that gives boxes, got Ultralytics task {task!r}; export one for "
            f"{', '.join(_FAMILY_OF)}"
        )
    try:
        classes = _names(ast.literal_eval(metadata["names"].strip() or "None"))
        sides = ast.literal_eval(metadata.get("imgsz", "[640, 640]"))
        height, width = (sides, sides) if isinstance(sides, int) else (int(sides[0]), int(sides[1]))
    except (ValueError, SyntaxError, TypeError, IndexError, MemoryError, RecursionError) as exc:
        raise ModelInvalid(f"{graph.where}: its Ultralytics metadata cannot be read: {exc}") from exc
    shape = graph.inputs[0].shape
    if len(shape) == 4:
        height, width = shape[2] or height, shape[3] or width
    rtdetr = _is_rtdetr(metadata)
    values = {
        "family": "ultralytics-rtdetr" if rtdetr else _FAMILY_OF[task],
        "classes": classes,
        "licence": metadata.get("license", "unknown"),
        "input": {
            "name": graph.inputs[0].name,
            "width_px": width,
            "height_px": height,
            "dtype": graph.inputs[0].dtype,
            # RT-DETR was trained on stretched images, all others on padded ones.
            "resize": "stretch" if rtdetr else "letterbox",
            "channel_order": "rgb",
            "std": (255.0, 255.0, 255.0),
        },
    }
    return values | ({"note": _NOTES[task]} if task in _NOTES else {})


def _names(names: Any) -> list[str]:
    """Class names in order. None, nothing, and nothing but empty names are no names."""
    if names is None:
        return []
    listed = [names[k] for k in sorted(names)] if isinstance(names, dict) else list(names)
    texts = ["" if name is None else str(name).strip() for name in listed]
    if not any(texts):
        return []
    return [text or f"class {k}" for k, text in enumerate(texts)]


def _is_rtdetr(metadata: Mapping[str, str]) -> bool:
    """By its head's name; exports from before that was written say it in their description."""
    head = metadata.get("head")
    if head is not None:
        return head == "RTDETRDecoder"
    return re.search(r"rt-?detr", metadata.get("description", ""), re.IGNORECASE) is not None
