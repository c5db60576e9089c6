"""A trained student to a float ONNX graph, and its preprocessing embedded in the graph.

A uint8 NHWC BGR image goes in as the camera gave it. In the int8 graph (`quantize_int8`) the first convolution reads
the pixels themselves, so normalisation costs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from edgevision.training.student import Exported, Student

OPSET = 17
INPUT = "images"
_WORTH_HALVING = 256
"""Numbers: what is smaller (a bias, a scale) stays as exact as it is."""


def export_float(student: Student, side_px: int, path: Path) -> None:
    """Write a float32 graph: images (1, 3, side, side) in 0-1, BGR, to output0 (1, 4 + classes, cells)."""
    picture = torch.zeros(1, 3, side_px, side_px)
    torch.onnx.export(
        Exported(student, (side_px, side_px)).eval(),
        (picture,),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=["output0"],
    )


def put_front_in_graph(path: Path, metadata: dict[str, str]) -> None:
    """Rewrite a graph in place to take uint8 (1, H, W, 3) pixels in place of float (1, 3, H, W) in 0-1."""
    model = onnx.load(path)
    graph = model.graph
    old = graph.input[0]
    _, _, height, width = (d.dim_value for d in old.type.tensor_type.shape.dim)
    quantiser = next((n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == INPUT), None)
    new = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, height, width, 3])
    turn = helper.make_node("Transpose", [INPUT], ["front_turned"], name="front_turn", perm=[0, 3, 1, 2])
    scale = numpy_helper.from_array(np.array(1 / 255, np.float32), "front_scale")
    graph.initializer.append(scale)
    if quantiser is None:
        front = [
            turn,
            helper.make_node("Cast", ["front_turned"], ["front_float"], name="front_cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["front_float", "front_scale"], ["front_scaled"], name="front_mul"),
        ]
        _replace_input(graph, INPUT, "front_scaled")
    else:
        # Pixels are the quantised values: scale 1/255, zero point 0, whatever calibration saw.
        graph.initializer.append(numpy_helper.from_array(np.array(0, np.uint8), "front_zero"))
        for node in graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] == quantiser.output[0]:
                node.input[:] = ["front_turned", "front_scale", "front_zero"]
        graph.node.remove(quantiser)
        front = [turn]
    graph.input.remove(old)
    graph.input.append(new)
    for place, node in enumerate(front):
        graph.node.insert(place, node)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def halve_weights(path: Path) -> None:
    """Rewrite a float graph in place to keep its weights in 16 bits: half the file, and the same float32 arithmetic,
    since onnxruntime widens constants once, when it loads them."""
    model = onnx.load(path)
    graph = model.graph
    for k, weight in enumerate(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= _WORTH_HALVING:
            widen = helper.make_node("Cast", [f"{weight.name}_half"], [weight.name], to=TensorProto.FLOAT)
            widen.name = f"widen_{weight.name}"
            graph.initializer[k].CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{weight.name}_half"))
            graph.node.insert(0, widen)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _replace_input(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for k, name in enumerate(node.input):
            if name == old:
                node.input[k] = new
