"""Finished detections in separate outputs: suppression is inside the graph, or was never needed.

| made by | outputs | boxes | classes |
|---|---|---|---|
| TensorFlow Object Detection API | ``detection_boxes``, ``detection_scores``, ``detection_classes``,
  ``num_detections`` | (1, K, 4) y1, x1, y2, x2 in shares of the input | from 1 |
| torchvision | boxes, labels, scores, without batch axis | (K, 4) x1, y1, x2, y2 in input pixels | from 1 |
| EfficientNMS (YOLOv6, YOLOv7, mmdeploy) | ``det_boxes``, ``det_scores``, ``det_classes``, ``num_dets`` | (1, K, 4) x1,
  y1, x2, y2 in input pixels | from 0 |
| RT-DETR's and D-FINE's own export | ``labels``, ``boxes``, ``scores`` | (1, K, 4) x1, y1, x2, y2 in pixels of the size
  they were told | from 0 |

Sources: the exporters' documentation (models/research/object_detection/exporter.py, torchvision.models.detection,
TensorRT's efficientNMSPlugin, RT-DETR's tools/export_onnx.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe
from edgevision.detectors.onnx_session import TensorInfo


@dataclass(frozen=True, slots=True)
class _Style:
    maker: str
    boxes: int
    scores: int
    labels: int
    count: int | None
    """Output that says how many rows are meant; None where all are."""
    first_label: int
    shares: bool
    """y1, x1, y2, x2 in shares of the input, instead of x1, y1, x2, y2 in its pixels."""


class DetectionBoxesDecoder:
    needs_nms = False

    def __init__(self, head: Head) -> None:
        style = _style(head.outputs)
        if style is None:
            raise head.refuse(
                "detection-boxes", "boxes (K, 4), scores (K,) and labels (K,), with or without batch axis"
            )
        self._style = style
        width, height = head.input_wh
        self._scale = np.array([height, width, height, width], np.float32)

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        style = self._style
        scores = outputs[style.scores].reshape(-1).astype(np.float32)
        if style.count is not None:
            scores = scores[: int(outputs[style.count].reshape(-1)[0])]
        rows = np.flatnonzero(scores > min_score)
        boxes = outputs[style.boxes].reshape(-1, 4)[rows].astype(np.float32)
        if style.shares:
            boxes = np.ascontiguousarray((boxes * self._scale)[:, [1, 0, 3, 2]])
        labels = outputs[style.labels].reshape(-1)[rows].astype(np.int64) - style.first_label
        known = labels >= 0  # label 0 of those that count from 1 is background
        return Candidates(boxes[known], scores[rows][known], labels[known])


def _style(outputs: tuple[TensorInfo, ...]) -> _Style | None:
    """Who made the head, by names, else by shapes and types."""
    names = {o.name.rsplit("/")[-1].split(":")[0]: k for k, o in enumerate(outputs)}
    if {"detection_boxes", "detection_scores", "detection_classes"} <= names.keys():
        places = (names["detection_boxes"], names["detection_scores"], names["detection_classes"])
        return _Style("TensorFlow's", *places, names.get("num_detections"), 1, True)
    if {"det_boxes", "det_scores", "det_classes"} <= names.keys():
        places = (names["det_boxes"], names["det_scores"], names["det_classes"])
        return _Style("EfficientNMS's", *places, names.get("num_dets", names.get("num_detections")), 0, False)
    boxes = [k for k, o in enumerate(outputs) if len(o.shape) in (2, 3) and o.shape[-1] == 4]
    if len(boxes) != 1:
        return None
    axes = len(outputs[boxes[0]].shape) - 1
    flat = [k for k, o in enumerate(outputs) if len(o.shape) == axes]
    scores = [k for k in flat if outputs[k].dtype.startswith("float")]
    labels = [k for k in flat if outputs[k].dtype in ("int64", "int32")]
    if len(scores) != 1 or len(labels) != 1:
        return None
    if axes == 1:
        return _Style("torchvision's", boxes[0], scores[0], labels[0], None, 1, False)
    return _Style("RT-DETR's", boxes[0], scores[0], labels[0], None, 0, False)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    style = _style(outputs)
    if style is not None and style.shares:
        return {"resize": "stretch", "channel_order": "rgb"}
    resize = "letterbox" if style is not None and style.maker == "EfficientNMS's" else "stretch"
    return {"resize": resize, "channel_order": "rgb", "std": (255.0, 255.0, 255.0)}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    style = _style(outputs)
    return None if style is None else Guess(f"finished boxes, scores and labels in {style.maker} layout", ())
