"""An exported model of ours, back to a network that can be trained: its convolutions, with batch norms fitted anew.

So that what was bundled, or bought with days of training, is a place to begin from when the run's folder is gone.
int8 weights come back within half a step of their channel's scale, which costs next to nothing (person 2 had an AP50 of
0.603 as int8; unfolded, 0.605 by the trainer's own measure).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from edgevision.errors import UsageError
from edgevision.training.student import Student, StudentShape

FILTER_RMS = 0.2
"""Root mean square of a filter's weights after `unfold`. Batch norm undoes any scale, but Adam's steps have a size of
their own: this is about where weight decay and a steady rate have brought filters after some ten thousand steps."""
_STAGES = ("stem", "stage8", "stage16", "stage32")


@dataclass(frozen=True, slots=True)
class Exported:
    """What an exported file says of the network inside."""

    shape: StudentShape
    classes: tuple[str, ...]
    weights: dict[str, NDArray[np.float32]]
    """``NAME.weight`` (O, I, kH, kW) and ``NAME.bias`` (O,) of every convolution, batch norms folded into them."""


def read_exported(path: Path) -> Exported:
    """Read the convolutions of a file that `distill export` wrote, float or int8. Raises `UsageError`."""
    try:
        model = onnx.load(path, load_external_data=False)
        weights = _convolutions(model.graph)
        classes = _classes(model)
        return Exported(_shape(weights, len(classes)), classes, weights)
    except Exception as exc:  # onnx and protobuf each raise their own
        why = f"it has no {exc}" if isinstance(exc, KeyError) else " ".join(str(exc).split())[:160]
        raise UsageError(f"{path}: expected a model that `edgevision distill export` made: {why}") from exc


def _classes(model: onnx.ModelProto) -> tuple[str, ...]:
    names = next((p.value for p in model.metadata_props if p.key == "names"), None)
    if names is None:
        raise ValueError("it names no classes")
    return tuple(str(name) for _, name in sorted(ast.literal_eval(names).items()))


def _convolutions(graph: onnx.GraphProto) -> dict[str, NDArray[np.float32]]:
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}

    def value(name: str) -> NDArray[np.float32]:
        if name in stored:
            return np.asarray(stored[name], np.float32)
        node = made_by[name]
        if node.op_type in ("Identity", "Cast"):  # what equal weights share; weights kept in 16 bits
            return value(node.input[0])
        if node.op_type != "DequantizeLinear":
            raise ValueError(f"{name} is no weight")
        whole, scale, zero = (np.asarray(stored[i], np.float32) for i in node.input)
        across = (-1, *(1,) * (whole.ndim - 1))
        return np.asarray((whole - zero.reshape(across)) * scale.reshape(across), np.float32)

    found: dict[str, NDArray[np.float32]] = {}
    for node in graph.node:
        if node.op_type == "Conv":
            # torch names a node by the path of its module: /student/stem/stem.0/stem.0.0/Conv
            path = node.name.split("/")
            if path[1:2] != ["student"]:
                raise ValueError(f"its layers are not named as ours are ({node.name or 'not at all'})")
            module = path[-2]
            found[f"{module}.weight"] = value(node.input[1])
            found[f"{module}.bias"] = value(node.input[2])
    return found


def _shape(weights: dict[str, NDArray[np.float32]], classes: int) -> StudentShape:
    widths = tuple(len(weights[f"{stage}.0.0.weight"]) for stage in _STAGES)
    depths = tuple(sum(k.startswith(f"{stage}.") and k.endswith("weight") for k in weights) - 1 for stage in _STAGES)
    neck = len(weights["top.0.weight"])
    predicted = len(weights["predictions.0.weight"])
    if predicted != 4 + classes:
        raise ValueError(f"it names {classes} classes and predicts {predicted - 4}")
    return StudentShape(classes, widths, depths, neck)  # type: ignore[arg-type]


@torch.no_grad()
def unfold(exported: Exported, pictures: Iterable[Tensor]) -> Student:
    """The network of an exported file, each convolution followed by a batch norm again.

    ``pictures`` are batches (B, 3, H, W) of 0-1 as the network is to be trained on; each batch norm takes the mean
    and variance that it would see there, and a gain and offset that leave the network's output as it was.
    Raises `UsageError` where weights are missing.
    """
    student = Student(exported.shape).eval()
    state = dict(student.state_dict())
    offsets: dict[str, Tensor] = {}
    for key, values in exported.weights.items():
        tensor = torch.from_numpy(np.array(values))
        if key.startswith("predictions.") or key.endswith("weight"):
            state[key] = tensor
        else:
            offsets[key.removesuffix(".0.bias")] = tensor
    try:
        student.load_state_dict(state)
    except RuntimeError as exc:
        raise UsageError(f"the file is not of our network: {str(exc).splitlines()[-1].strip()}") from exc
    wanted = {name for name, part in student.named_modules() if isinstance(part, nn.BatchNorm2d)}
    if wanted != {f"{name}.1" for name in offsets}:
        raise UsageError(f"the file has {len(offsets)} convolutions, the network {len(wanted)}")
    batch = torch.cat(list(pictures)).contiguous(memory_format=torch.channels_last)
    hooks = [
        student.get_submodule(f"{name}.1").register_forward_pre_hook(_fit(student.get_submodule(f"{name}.0"), offset))
        for name, offset in offsets.items()
    ]
    student(batch)
    for hook in hooks:
        hook.remove()
    return student


def _fit(convolution: nn.Module, offset: Tensor) -> Any:
    """A hook that gives a batch norm what leaves its convolution's output plus ``offset`` as it is."""
    assert isinstance(convolution, nn.Conv2d)

    def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> tuple[Tensor]:
        seen = inputs[0]
        scale = FILTER_RMS / convolution.weight.pow(2).mean((1, 2, 3)).sqrt().clamp(min=1e-6)
        convolution.weight.mul_(scale[:, None, None, None])
        mean, variance = seen.mean((0, 2, 3)), seen.var((0, 2, 3), correction=0)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean * scale)
        norm.running_var.copy_(variance * scale**2)
        norm.weight.copy_((norm.running_var + norm.eps).sqrt() / scale)
        norm.bias.copy_(offset + mean)
        return (seen * scale[:, None, None],)

    return hook
