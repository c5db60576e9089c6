"""As `detection_boxes`, where classes count from 0 though the outputs' names are TensorFlow's that count from 1.

TensorFlow Lite's own post-processing counts so; a model that was renamed on its way to ONNX does not show it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from edgevision.detectors.decoders.base import Guess, Recipe
from edgevision.detectors.decoders.detection_boxes import DetectionBoxesDecoder
from edgevision.detectors.onnx_session import TensorInfo


class TfliteBoxesDecoder(DetectionBoxesDecoder):
    family: ClassVar = "tflite-boxes"

    def style(self, outputs: tuple[TensorInfo, ...]) -> Any:
        style = super().style(outputs)
        return None if style is None or not style.y_first else replace(style, first_label=0)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    return {"resize": "stretch", "channel_order": "rgb", "mean": (127.5,) * 3, "std": (127.5,) * 3}


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    """Never: `detection_boxes` has the same outputs."""
    return None
