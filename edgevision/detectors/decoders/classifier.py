"""Which of some kinds a whole picture is: one output (1, C) of probabilities that add up to 1.

The answer is a box of the whole picture, with the likeliest kind and its probability.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe, best_class
from edgevision.detectors.onnx_session import TensorInfo

THRESHOLDS = {"score": 0.0}
"""There is always a likeliest kind."""


class ClassifierDecoder:
    needs_nms = False

    def __init__(self, head: Head) -> None:
        shapes = [o.shape for o in head.outputs]
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] not in (head.classes, None):
            raise head.refuse("classifier", f"one output (1, {head.classes}) of probabilities")
        self._whole = np.array([[0, 0, *head.input_wh]], np.float32)

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        rows, scores, class_ids = best_class(outputs[0][:1], min_score)
        return Candidates(self._whole[rows], scores, class_ids)


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    """ImageNet's, as torchvision and timm train with it."""
    return {
        "resize": "stretch",
        "channel_order": "rgb",
        "mean": (123.675, 116.28, 103.53),
        "std": (58.395, 57.12, 57.375),
    }


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    """Never: logits and probabilities, and what a vector's numbers mean, cannot be told from its shape."""
    return None
