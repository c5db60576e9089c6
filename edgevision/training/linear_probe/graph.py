"""One ONNX of a frozen feature network and a light head: a picture goes in as the camera gave it, probabilities out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from edgevision.detectors.foundation.embedding import FeatureDetector

FEATURES, OUTPUT = "features", "probabilities"
OPSET = 18


class _Front(nn.Module):
    """(1, S, S, 3) uint8 BGR to unit vectors (1, D): what the network was trained on is done inside."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: FeatureDetector) -> None:
        super().__init__()
        self.network = features.network
        self._features = features
        mean, std = features.normalisation
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        rgb = pixels.float().flip(3).permute(0, 3, 1, 2) / 255
        vector = self._features.features_of((rgb - self.mean) / self.std).float()
        return vector / vector.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def export_features(features: FeatureDetector, path: Path) -> int:
    """Write the feature graph, images (1, S, S, 3) uint8 BGR to features (1, D); returns S."""
    side = features.side_px
    module = _Front(features).eval()
    with torch.inference_mode(False), torch.no_grad():
        torch.onnx.export(
            module,
            (torch.zeros(1, side, side, 3, dtype=torch.uint8),),
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[FEATURES],
            verbose=False,
        )
    return side


def join_head(graph: bytes, weights: NDArray[np.float32], bias: NDArray[np.float32], metadata: dict[str, str]) -> bytes:
    """The feature graph with a head: softmax(features · weightsᵀ + bias); weights (C, D), bias (C,)."""
    model = onnx.load_from_string(graph)
    nodes: list[Any] = [
        helper.make_node("Gemm", [FEATURES, "head.weights", "head.bias"], ["head.logits"], transB=1, name="head"),
        helper.make_node("Softmax", ["head.logits"], [OUTPUT], axis=1, name="head.softmax"),
    ]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.ascontiguousarray(weights, np.float32), "head.weights"),
            numpy_helper.from_array(np.ascontiguousarray(bias, np.float32), "head.bias"),
        ]
    )
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, [1, len(bias)]))
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


INPUT = "images"
