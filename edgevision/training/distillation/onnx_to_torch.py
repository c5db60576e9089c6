"""An ONNX graph of convolutions as a PyTorch module, so that another's network can teach on a GPU and in batches.

Published detectors are exported for one picture of one size: the shapes in their Reshape nodes are constants. Here the
batch, and height and width where a Reshape keeps them, are those of what comes in. The operators are the ones that
compact detectors are made of; a graph with others is refused by name. Semantics: https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference
from torch import Tensor, nn
from torch.nn import functional as F

from edgevision.errors import ModelInvalid

Attributes = dict[str, Any]
Operator = Callable[[list[Any], Attributes], Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph; values go by name."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: Attributes
    """ONNX's, with ``outputs`` their number, and for Reshape ``was``, the static shape of its input."""


class TorchGraph(nn.Module):
    """``forward`` takes the graph's one input, (B, 3, H, W) or (B, H, W, 3), and gives its outputs in order, as
    onnxruntime would, with B first. Raises `ModelInvalid` for a Resize to a fixed size."""

    def __init__(
        self, nodes: Sequence[Node], constants: Mapping[str, NDArray[Any]], input_name: str, output_names: Sequence[str]
    ) -> None:
        """``nodes`` in the order in which they run; ``constants`` are all values that no node makes."""
        super().__init__()
        self.input_name, self.output_names = input_name, list(output_names)
        self._nodes = list(nodes)
        self._last = {name: k for k, node in enumerate(self._nodes) for name in node.inputs}
        self._weights: dict[str, str] = {}
        self._plain: dict[str, Any] = {}
        weights = {name for node in nodes if node.operator == "Conv" for name in node.inputs[1:]}
        for k, (name, value) in enumerate(constants.items()):
            if value.dtype.kind == "f" and value.size == 1 and name not in weights:
                # A plain number changes no tensor's type, and is not fetched from a GPU.
                self._plain[name] = value.item()
            elif value.dtype.kind == "f":
                self._weights[name] = f"weight{k}"
                self.register_buffer(f"weight{k}", torch.from_numpy(value.copy()))
            else:
                self._plain[name] = value.flatten().tolist()

    @classmethod
    def from_onnx(cls, path: Path) -> TorchGraph:
        """Raises `ModelInvalid` where the file is no ONNX graph or has an operator that is not known here."""
        try:
            graph = shape_inference.infer_shapes(onnx.load(path)).graph
        except Exception as exc:  # onnx and protobuf each raise their own
            raise ModelInvalid(f"{path}: cannot be read as ONNX: {' '.join(str(exc).split())[:160]}") from exc
        constants, unknown = _constants(graph)
        unknown = sorted({n.op_type for n in graph.node} - _OPERATORS.keys() - {"Constant", "Reshape"}) + unknown
        inputs = [i for i in graph.input if i.name not in constants]
        if unknown or len(inputs) != 1:
            what = f"operators {', '.join(unknown)}" if unknown else f"{len(inputs)} inputs"
            raise ModelInvalid(
                f"{path.name}: expected a graph of one input and of plain convolutions to teach densely, got {what}; "
                'teach by its boxes (targets = "scores")'
            )
        return cls(_nodes(graph), constants, inputs[0].name, [o.name for o in graph.output])

    def forward(self, pixels: Tensor) -> list[Tensor]:
        known: dict[str, Any] = {self.input_name: pixels}
        for k, node in enumerate(self._nodes):
            given = [self._value(name, known) for name in node.inputs]
            operator = _reshape if node.operator == "Reshape" else _OPERATORS[node.operator]
            result = operator(given, node.attributes)
            known |= zip(node.outputs, result if isinstance(result, (list, tuple)) else (result,), strict=True)
            for name in node.inputs:
                if self._last[name] == k and name not in self.output_names:
                    known.pop(name, None)
        return [known[name] for name in self.output_names]

    def _value(self, name: str, known: dict[str, Any]) -> Any:
        if name in known:
            return known[name]
        if name in self._weights:
            return getattr(self, self._weights[name])
        return self._plain.get(name)


def _constants(graph: onnx.GraphProto) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """All values that the file holds, by name, and what is unknown of them."""
    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    unknown = []
    for node in graph.node:
        if node.op_type == "Constant":
            value = next((a for a in node.attribute if a.name == "value"), None)
            if value is None:
                unknown.append("Constant without a tensor")
            else:
                constants[node.output[0]] = numpy_helper.to_array(value.t)
    return constants, unknown


def _nodes(graph: onnx.GraphProto) -> list[Node]:
    """The graph's operators in order, without its constants."""
    typed = (*graph.value_info, *graph.input, *graph.output)
    static = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in typed}
    nodes = []
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Reshape":
            attributes["was"] = static.get(node.input[0], [])
        attributes["outputs"] = len(node.output)
        nodes.append(Node(node.op_type, list(node.input), list(node.output), attributes))
    return nodes


def _reshape(given: list[Any], values: Attributes) -> Tensor:
    picture, wanted, was = given[0], list(given[1]), values["was"]
    now = list(picture.shape)
    if len(was) == len(now) and was and wanted:
        if wanted[0] == was[0]:
            wanted[0] = now[0]
        if len(was) >= 4 and len(wanted) >= 4 and wanted[-2:] == was[-2:]:
            wanted[-2:] = now[-2:]
        elif len(was) >= 4 and wanted[-1] == was[-2] * was[-1]:
            wanted[-1] = now[-2] * now[-1]
    return picture.reshape(wanted)


def _convolution(given: list[Any], values: Attributes) -> Tensor:
    pixels, weight, *bias = given
    spread = values.get("dilations", [1, 1])
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], spread, strict=True)]
    pixels, padding = _padded(pixels, values, reach, 0.0)
    return F.conv2d(
        pixels, weight, bias[0] if bias else None, values.get("strides", [1, 1]), padding, spread,
        values.get("group", 1),
    )  # fmt: skip


def _largest(given: list[Any], values: Attributes) -> Tensor:
    kernel = values["kernel_shape"]
    pixels, padding = _padded(given[0], values, kernel, -math.inf)
    return F.max_pool2d(
        pixels, kernel, values.get("strides", [1, 1]), padding, ceil_mode=bool(values.get("ceil_mode", 0))
    )


def _padded(pixels: Tensor, values: Attributes, reach: Sequence[int], with_value: float) -> tuple[Tensor, list[int]]:
    """What ONNX pads unevenly is padded here; what it pads evenly the operator does itself. ``reach``: the kernel's
    height and width in pixels."""
    if values.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        steps = values.get("strides", [1, 1])
        total = [
            max((-(-size // step) - 1) * step + k - size, 0)
            for size, step, k in zip(pixels.shape[2:], steps, reach, strict=True)
        ]
        before = [t // 2 if values["auto_pad"] == b"SAME_UPPER" else t - t // 2 for t in total]
        pads = [*before, *(t - b for t, b in zip(total, before, strict=True))]
    else:
        pads = values.get("pads", [0, 0, 0, 0])
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return pixels, [top, left]
    return F.pad(pixels, (left, right, top, bottom), value=with_value), [0, 0]


def _resize(given: list[Any], values: Attributes) -> Tensor:
    mode = values.get("mode", b"nearest").decode()
    scales = given[2] if len(given) > 2 and given[2] is not None else None
    if scales is None or len(scales) != 4:
        raise ModelInvalid("Resize: expected scales, got sizes: its output would not follow its input")
    by = [float(s) for s in scales[2:]]
    if mode == "nearest":
        return F.interpolate(given[0], scale_factor=by, mode="nearest")
    aligned = values.get("coordinate_transformation_mode", b"half_pixel") == b"align_corners"
    return F.interpolate(given[0], scale_factor=by, mode="bilinear", align_corners=aligned)


def _slice(given: list[Any], values: Attributes) -> Tensor:
    picture = given[0]
    if len(given) > 1:
        starts, ends = given[1], given[2]
        axes = given[3] if len(given) > 3 else list(range(len(starts)))
        steps = given[4] if len(given) > 4 else [1] * len(starts)
    else:
        starts, ends = values["starts"], values["ends"]
        axes, steps = values.get("axes", list(range(len(starts)))), [1] * len(starts)
    at: list[slice] = [slice(None)] * picture.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        at[axis] = slice(start, end, step)
    cut: Tensor = picture[tuple(at)]
    return cut


def _mean(given: list[Any], values: Attributes) -> Tensor:
    axes = values.get("axes") or (given[1] if len(given) > 1 else None) or list(range(given[0].ndim))
    mean: Tensor = given[0].mean(axes, keepdim=bool(values.get("keepdims", 1)))
    return mean


def _split(given: list[Any], values: Attributes) -> tuple[Tensor, ...]:
    axis = values.get("axis", 0)
    sizes = values.get("split") or (given[1] if len(given) > 1 else None)
    if sizes is None:
        return given[0].chunk(values["outputs"], axis)  # type: ignore[no-any-return]
    return given[0].split(list(sizes), axis)  # type: ignore[no-any-return]


def _gather(given: list[Any], values: Attributes) -> Tensor:
    axis = values.get("axis", 0)
    places = given[1] if isinstance(given[1], list) else [given[1]]
    picked: Tensor = torch.cat([given[0].narrow(axis, int(place), 1) for place in places], axis)
    return picked


def _clip(given: list[Any], values: Attributes) -> Tensor:
    low = given[1] if len(given) > 1 else values.get("min")
    high = given[2] if len(given) > 2 else values.get("max")
    low, high = (None if v is None else float(v) for v in (low, high))
    clipped: Tensor = given[0].clamp(low, high)
    return clipped


_OPERATORS: dict[str, Operator] = {
    "Add": lambda g, v: g[0] + g[1],
    "Sub": lambda g, v: g[0] - g[1],
    "Mul": lambda g, v: g[0] * g[1],
    "Div": lambda g, v: g[0] / g[1],
    # To float, which here is what autocast chooses.
    "Cast": lambda g, v: g[0],
    "Clip": _clip,
    "Concat": lambda g, v: torch.cat(g, v["axis"]),
    "Conv": _convolution,
    "Exp": lambda g, v: g[0].exp(),
    "Gather": _gather,
    "GlobalAveragePool": lambda g, v: g[0].mean((2, 3), keepdim=True),
    "HardSigmoid": lambda g, v: (g[0] * v.get("alpha", 0.2) + v.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda g, v: F.hardswish(g[0]),
    "Identity": lambda g, v: g[0],
    "LeakyRelu": lambda g, v: F.leaky_relu(g[0], v.get("alpha", 0.01)),
    "MaxPool": _largest,
    "ReduceMean": _mean,
    "Relu": lambda g, v: F.relu(g[0]),
    "Resize": _resize,
    "Sigmoid": lambda g, v: g[0].sigmoid(),
    "Slice": _slice,
    "Softmax": lambda g, v: g[0].softmax(v.get("axis", -1)),
    "Split": _split,
    "Transpose": lambda g, v: g[0].permute(v["perm"]),
}
