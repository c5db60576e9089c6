"""Raw network outputs to boxes: one file a model family, and the table of them.

A family knows its head and nothing else: suppression, the way back to frame pixels and the user's thresholds are
the detector's.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, cast

from edgevision.detectors.decoders.base import Candidates, Decoder, Graph, Guess, Head, Recipe
from edgevision.detectors.onnx_session import TensorInfo
from edgevision.errors import ModelInvalid

FAMILIES = {
    "ultralytics": "edgevision.detectors.decoders.ultralytics:UltralyticsDecoder",
    "ultralytics-segment": "edgevision.detectors.decoders.ultralytics_segment:UltralyticsSegmentDecoder",
    "ultralytics-pose": "edgevision.detectors.decoders.ultralytics_pose:UltralyticsPoseDecoder",
    "ultralytics-obb": "edgevision.detectors.decoders.ultralytics_obb:UltralyticsObbDecoder",
    "ultralytics-rtdetr": "edgevision.detectors.decoders.ultralytics_rtdetr:UltralyticsRtdetrDecoder",
    "yolox": "edgevision.detectors.decoders.yolox:YoloxDecoder",
    "nanodet": "edgevision.detectors.decoders.nanodet:NanodetDecoder",
    "fastestdet": "edgevision.detectors.decoders.fastestdet:FastestdetDecoder",
    "yunet": "edgevision.detectors.decoders.yunet:YunetDecoder",
    "detr": "edgevision.detectors.decoders.detr:DetrDecoder",
    "detection-boxes": "edgevision.detectors.decoders.detection_boxes:DetectionBoxesDecoder",
    "ssd": "edgevision.detectors.decoders.ssd:SsdDecoder",
    "mmdeploy": "edgevision.detectors.decoders.mmdeploy:MmdeployDecoder",
    "yolo-fastestv2": "edgevision.detectors.decoders.yolo_fastestv2:YoloFastestV2Decoder",
    "yolo-nas": "edgevision.detectors.decoders.yolo_nas:YoloNasDecoder",
    "yolov7": "edgevision.detectors.decoders.yolov7:Yolov7Decoder",
    "tflite-boxes": "edgevision.detectors.decoders.tflite_boxes:TfliteBoxesDecoder",
    "classifier": "edgevision.detectors.decoders.classifier:ClassifierDecoder",
}

ALIASES = {
    "yolov5": "ultralytics",
    "yolov8": "ultralytics",
    "yolov9": "ultralytics",
    "yolov10": "ultralytics",
    "yolo11": "ultralytics",
    "yolo12": "ultralytics",
    "yolo26": "ultralytics",
    "ultralytics-detect": "ultralytics",
    "ultralytics-seg": "ultralytics-segment",
    "picodet": "nanodet",
    "nanodet-plus": "nanodet",
    "ultraface": "ssd",
    "d-fine": "detr",
    "dfine": "detr",
    "rf-detr": "detr",
    "rfdetr": "detr",
    "efficientdet": "detection-boxes",
    "efficientdet-lite": "detection-boxes",
    "ssd-mobilenet": "detection-boxes",
    "tf-od": "detection-boxes",
    "torchvision": "detection-boxes",
    "rtmdet": "mmdeploy",
    "yolonas": "yolo-nas",
    "pp-yoloe": "yolo-nas",
    "ppyoloe": "yolo-nas",
    "yolofastestv2": "yolo-fastestv2",
    "yolo-fastest-v2": "yolo-fastestv2",
}
"""What a model is called, and the family by which it is read."""

__all__ = [
    "ALIASES",
    "FAMILIES",
    "Candidates",
    "Decoder",
    "Graph",
    "Guess",
    "Head",
    "family_named",
    "guesses",
    "make_decoder",
    "recognise",
    "standard_recipe",
    "standard_thresholds",
]


def make_decoder(family: str, head: Head) -> Decoder:
    """The decoder of a family for a graph's outputs. Raises `ModelInvalid` where they do not fit."""
    return cast(Decoder, getattr(_module(family, head.where), FAMILIES[family].split(":")[1])(head))


def family_named(text: str, where: str) -> str:
    """The family that a user calls by its own name or by a model's. Raises `ModelInvalid` for one that is not known."""
    name = text.strip().lower().replace("_", "-")
    name = ALIASES.get(name, name)
    _module(name, where)
    return name


def recognise(graph: Graph) -> dict[str, Any] | None:
    """Manifest values of a graph that says what it is, asking each family that can tell; None where none can."""
    for family in FAMILIES:
        ask = getattr(_module(family, graph.where), "recognise", None)
        values = None if ask is None else ask(graph)
        if values is not None:
            return cast(dict[str, Any], values)
    return None


def guesses(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> dict[str, Guess]:
    """Each family whose heads look like these outputs, for an input of that size in px: from names and shapes alone."""
    found = {family: _module(family, "").guess(outputs, input_wh) for family in FAMILIES} if outputs else {}
    return {family: guess for family, guess in found.items() if guess is not None}


def standard_recipe(family: str, outputs: tuple[TensorInfo, ...], where: str) -> Recipe:
    """How the family's published weights are fed. Raises `ModelInvalid` for a family that is not known."""
    return cast(Recipe, _module(family, where).standard_recipe(outputs))


def standard_thresholds(family: str, where: str) -> dict[str, float]:
    """Score and IoU at which the family's reference cuts, where that is not what a manifest has by default."""
    return dict(getattr(_module(family, where), "THRESHOLDS", {}))


def _module(family: str, where: str) -> ModuleType:
    place = FAMILIES.get(family)
    if place is None:
        raise ModelInvalid(f"{where}: unknown family {family!r}; known are {', '.join(sorted(FAMILIES))}")
    return import_module(place.split(":")[0])
