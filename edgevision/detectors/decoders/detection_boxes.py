"""Finished detections in separate outputs, in any order: suppression is inside the graph, or was never needed.

| made by | outputs | boxes | classes |
|---|---|---|---|
| TensorFlow Object Detection API (SSD-MobileNet, EfficientDet) | ``detection_boxes``, ``detection_scores``,
  ``detection_classes``, ``num_detections``, and others | (1, K, 4) y1, x1, y2, x2 in shares of the input | from 1 |
| TensorFlow Lite's post-processing (EfficientDet-Lite), by tf2onnx | the same four, all of floats, under any names |
  the same | from 0 |
| torchvision | boxes, labels, scores, without batch axis | (K, 4) x1, y1, x2, y2 in input pixels | from 1 |
| EfficientNMS (YOLOv6, YOLOv7) | ``det_boxes``, ``det_scores``, ``det_classes``, ``num_dets`` | (1, K, 4) x1, y1,
  x2, y2 in input pixels | from 0 |
| super-gradients' batch format | ``pred_boxes``, ``pred_scores``, ``pred_classes``, ``num_predictions`` | the same |
  from 0 |
| RT-DETR's and D-FINE's own export | ``labels``, ``boxes``, ``scores`` | (1, K, 4) x1, y1, x2, y2 in pixels of the size
  they were told | from 0 |

Where two outputs of floats have no telling names, the one whose numbers are all whole holds the classes. Boxes that all
lie within 2 px are in shares. Sources: the exporters' documentation (models/research/object_detection/exporter.py,
TFLite_Detection_PostProcess, torchvision.models.detection, TensorRT's efficientNMSPlugin, super-gradients' "Export
models", RT-DETR's tools/export_onnx.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.decoders.base import (
    LARGEST_FINISHED_SHARE,
    Candidates,
    Guess,
    Head,
    Recipe,
    are_whole,
)
from edgevision.detectors.onnx_session import TensorInfo


@dataclass(frozen=True, slots=True)
class _Style:
    maker: str
    boxes: int
    scores: int
    labels: int
    count: int | None
    """Output that says how many rows are used; None where all are."""
    first_label: int
    y_first: bool = False
    """y1, x1, y2, x2, instead of x1, y1, x2, y2."""
    by_values: bool = False
    """Which of the two is scores and which is labels, only the numbers tell."""


class DetectionBoxesDecoder:
    needs_nms = False
    family: ClassVar = "detection-boxes"

    def __init__(self, head: Head) -> None:
        style = self.style(head.outputs)
        if style is None:
            raise head.refuse(self.family, "boxes (K, 4), scores (K,) and labels (K,), with or without batch axis")
        self._style = style
        self._input_whwh = np.tile(np.array(head.input_wh, np.float32), 2)

    def style(self, outputs: tuple[TensorInfo, ...]) -> _Style | None:
        return _style(outputs)

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        style = self._style
        scores, labels = outputs[style.scores].reshape(-1), outputs[style.labels].reshape(-1)
        if style.count is not None:
            used = int(outputs[style.count].reshape(-1)[0])
            scores, labels = scores[:used], labels[:used]
        if style.by_values:
            scores, labels = _told_apart(scores, labels)
        rows = np.flatnonzero(scores > min_score)
        labels = labels[rows]
        if not are_whole(labels):
            raise ValueError("its classes are no whole numbers")
        every = outputs[style.boxes].reshape(-1, 4)
        boxes = every[rows].astype(np.float32)
        if style.y_first:
            boxes = np.ascontiguousarray(boxes[:, [1, 0, 3, 2]])
        if len(rows) and every.max() <= LARGEST_FINISHED_SHARE:
            boxes *= self._input_whwh
        class_ids = labels.astype(np.int64) - style.first_label
        known = class_ids >= 0  # label 0 of those that count from 1 is background
        found = scores[rows][known].astype(np.float32)
        return Candidates(boxes[known], found, class_ids[known], suppressed=True)


def _told_apart(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Scores and labels of two lists of floats: labels are whole, and where both are, scores are not over 1."""
    if are_whole(a) != are_whole(b):
        return (b, a) if are_whole(a) else (a, b)
    if not are_whole(a):
        raise ValueError("neither of its lists holds class numbers")
    return (a, b) if a.max(initial=0) <= b.max(initial=0) else (b, a)


def _style(outputs: tuple[TensorInfo, ...]) -> _Style | None:
    """Who made the head, by names, else by shapes and types."""
    names = {o.name.rsplit("/")[-1].split(":")[0]: k for k, o in enumerate(outputs)}
    if {"detection_boxes", "detection_scores", "detection_classes"} <= names.keys():
        places = (names["detection_boxes"], names["detection_scores"], names["detection_classes"])
        return _Style("TensorFlow's", *places, names.get("num_detections"), 1, y_first=True)
    if {"det_boxes", "det_scores", "det_classes"} <= names.keys():
        places = (names["det_boxes"], names["det_scores"], names["det_classes"])
        return _Style("EfficientNMS's", *places, names.get("num_dets", names.get("num_detections")), 0)
    return _by_shape(outputs)


def _by_shape(outputs: tuple[TensorInfo, ...]) -> _Style | None:
    boxes = [k for k, o in enumerate(outputs) if len(o.shape) == 3 and o.shape[-1] == 4]
    boxes = boxes or [k for k, o in enumerate(outputs) if len(o.shape) == 2 and o.shape[-1] == 4]
    if len(boxes) != 1:
        return None
    axes = len(outputs[boxes[0]].shape) - 1
    rows = outputs[boxes[0]].shape[-2]
    counts = [k for k, o in enumerate(outputs) if _is_one_number(o.shape) and not (o.shape and rows == 1)]
    lists = [k for k, o in enumerate(outputs) if len(o.shape) == axes and k not in counts]
    scores = [k for k in lists if outputs[k].dtype.startswith("float")]
    labels = [k for k in lists if outputs[k].dtype in ("int64", "int32")]
    count = counts[0] if len(counts) == 1 else None
    if len(scores) == 2 and not labels and count is not None:
        return _tensorflow(outputs, boxes[0], scores, count)
    if len(scores) != 1 or len(labels) != 1 or len(counts) > 1:
        return None
    places = (boxes[0], scores[0], labels[0])
    if axes == 1:
        return _Style("torchvision's", *places, count, 1)
    maker = "super-gradients'" if "pred_boxes" in outputs[boxes[0]].name else "RT-DETR's"
    return _Style(maker, *places, count, 0)


def _is_one_number(shape: tuple[int | None, ...]) -> bool:
    return all(side == 1 for side in shape)


def _tensorflow(outputs: tuple[TensorInfo, ...], boxes: int, lists: list[int], count: int) -> _Style:
    """Two lists of floats: by their names where those tell, else by their numbers."""
    texts = [outputs[k].name.lower() for k in lists]
    named = [k for k, text in zip(lists, texts, strict=True) if "score" in text or "conf" in text]
    others = [k for k, text in zip(lists, texts, strict=True) if "class" in text or "label" in text]
    first_label = 1 if any("detection" in t and "tflite" not in t for t in texts) else 0
    a, b = lists
    style = _Style("TensorFlow Lite's", boxes, a, b, count, first_label, y_first=True, by_values=True)
    if len(named) == 1 or len(others) == 1:
        scores = named[0] if len(named) == 1 else next(k for k in lists if k != others[0])
        labels = next(k for k in lists if k != scores)
        style = replace(style, scores=scores, labels=labels, by_values=False)
    return style


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    """TensorFlow's API normalises inside the graph, its Lite models of floats are fed -1 to 1; the others 0 to 1."""
    style = _style(outputs)
    if style is not None and style.y_first:
        if style.first_label:
            return {"resize": "stretch", "channel_order": "rgb"}
        return {"resize": "stretch", "channel_order": "rgb", "mean": (127.5,) * 3, "std": (127.5,) * 3}
    padded = style is not None and style.maker in ("EfficientNMS's", "super-gradients'")
    return {"resize": "letterbox" if padded else "stretch", "channel_order": "rgb", "std": (255.0, 255.0, 255.0)}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    style = _style(outputs)
    if style is None or style.maker == "super-gradients'":
        return None
    start = f", its classes counted from {style.first_label}"
    return Guess(f"finished boxes, scores and labels in {style.maker} layout{start}", ())
