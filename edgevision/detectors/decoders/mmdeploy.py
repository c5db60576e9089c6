"""MMDeploy's end-to-end detectors (MMDetection, MMYOLO, RTMDet): suppression is inside the graph.

Outputs ``dets`` (1, K, 5) as x1, y1, x2, y2 in input pixels and score, and ``labels`` (1, K), whole numbers from 0; a
row that is not used has score 0 or label -1. An instance segmenter has ``masks`` too, which are not read. Source: the
configuration of its exporter, ``configs/mmdet/detection`` in https://github.com/open-mmlab/mmdeploy, whose
``output_names`` these are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.decoders.base import Candidates, Guess, Head, Recipe
from edgevision.detectors.onnx_session import TensorInfo


class MmdeployDecoder:
    needs_nms = False

    def __init__(self, head: Head) -> None:
        places = _places(head.outputs)
        if places is None:
            raise head.refuse("mmdeploy", "dets (1, K, 5) and labels (1, K)")
        self._dets, self._labels = places

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        table = outputs[self._dets].reshape(-1, 5)
        labels = outputs[self._labels].reshape(-1).astype(np.int64)
        rows = np.flatnonzero((table[:, 4] > min_score) & (labels >= 0))
        found = table[rows].astype(np.float32)
        return Candidates(found[:, :4], found[:, 4], labels[rows], suppressed=True)


def _places(outputs: tuple[TensorInfo, ...]) -> tuple[int, int] | None:
    """Where boxes and labels are, by shape and type."""
    dets = [k for k, o in enumerate(outputs) if len(o.shape) in (2, 3) and o.shape[-1] == 5]
    if len(dets) != 1:
        return None
    axes = len(outputs[dets[0]].shape) - 1
    labels = [k for k, o in enumerate(outputs) if len(o.shape) == axes and o.dtype in ("int64", "int32")]
    return (dets[0], labels[0]) if len(labels) == 1 else None


def standard_recipe(outputs: tuple[TensorInfo, ...]) -> Recipe:
    """RTMDet's, the family's fastest: padded right and below with 114, BGR on ImageNet's mean and deviation."""
    return {
        "resize": "letterbox-top-left",
        "channel_order": "bgr",
        "mean": (103.53, 116.28, 123.675),
        "std": (57.375, 57.12, 58.395),
    }


def guess(outputs: tuple[TensorInfo, ...], input_wh: tuple[int, int]) -> Guess | None:
    if _places(outputs) is None:
        return None
    return Guess("rows of x1, y1, x2, y2, score, and labels (MMDeploy)", ())
