"""Put normalisation and layout inside a graph: it then takes pictures as a camera gives them.

What is left of preprocessing is one resize. In onnxruntime the same arithmetic runs on all its threads and in one pass;
outside it costs a pass of numpy for each step. Old exports that list their weights among the inputs are tidied too:
onnxruntime folds no constants while a caller might still replace them.

The front goes before the old input, which keeps its name as an inner value, so no other node changes; the graph keeps
a note of how it was, and `without_front` takes the front off again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors import onnx_protobuf as wire
from edgevision.detectors.manifest import InputRecipe, Manifest

_PREFIX = "edgevision_front_"
_NOTE = "edgevision.front"
_FLOAT, _UINT8, _INT64, _FLOAT16 = 1, 2, 7, 10
_LEAST_OPSET = 7
"""From here on arithmetic spreads a value for each channel over the picture without being told the axis."""


@dataclass(frozen=True, slots=True)
class Made:
    """A graph's bytes, and the manifest that now fits it (its SHA-256 left out)."""

    graph: bytes
    manifest: Manifest


def front_into(graph: bytes, manifest: Manifest, with_front: bool) -> tuple[Made, tuple[str, ...]]:
    """The graph tidied and, where asked and possible, with its front inside; and notes on what was done."""
    facts = wire.inspect(graph, manifest.label)
    notes: list[str] = []
    if facts.inputs_with_values:
        graph = _tidied(graph, set(facts.inputs_with_values))
        notes.append(f"tidied: {len(facts.inputs_with_values)} weights taken out of the graph's inputs")
    recipe = manifest.input
    if not with_front or (recipe.dtype == "uint8" and recipe.layout == "nhwc"):
        return Made(graph, manifest), tuple(notes)
    if facts.opset < _LEAST_OPSET or not recipe.name:
        notes.append(f"normalisation left outside the graph: its opset {facts.opset} is older than {_LEAST_OPSET}")
        return Made(graph, manifest), tuple(notes)
    bare = {"name": _PREFIX + "pixels", "dtype": "uint8", "layout": "nhwc", "channel_order": "bgr"}
    fed = manifest.model_copy(update={"input": InputRecipe(**{**recipe.model_dump(exclude={"mean", "std"}), **bare})})
    notes.append("normalisation and layout embedded in the graph: it takes uint8 frames as the camera gives them")
    return Made(_with_front(graph, recipe), fed), tuple(notes)


def without_front(graph: bytes, manifest: Manifest) -> Made | None:
    """The graph as it was before `front_into` and the recipe that feeds it, or None where it has no front of ours."""
    text = wire.metadata_of(graph).get(_NOTE)
    if text is None:
        return None
    note = json.loads(text)
    old_input = base64.b64decode(note["input"])

    def bare_graph(graph: memoryview) -> bytes:
        return wire.edit(
            graph,
            {
                wire.GRAPH_NODE: lambda node: None if _is_ours(node, wire.NODE_NAME) else node,
                wire.GRAPH_INITIALIZER: lambda tensor: None if _is_ours(tensor, wire.TENSOR_NAME) else tensor,
                wire.GRAPH_INPUT: lambda info: old_input if wire.value_name(info).startswith(_PREFIX) else info,
            },
        )

    bare = wire.edit(
        graph,
        {
            wire.MODEL_GRAPH: bare_graph,
            wire.MODEL_METADATA: lambda entry: None if _NOTE.encode() in bytes(entry) else entry,
        },
    )
    return Made(bare, manifest.model_copy(update={"input": InputRecipe(**note["recipe"]), "sha256": None}))


def _is_ours(message: memoryview, name_field: int) -> bool:
    """Whether a node or tensor belongs to a front."""
    names = (value for number, _, value in wire.fields_of(message) if number == name_field)
    return any(isinstance(name, memoryview) and bytes(name).startswith(_PREFIX.encode()) for name in names)


def with_fixed_input(graph: bytes, name: str, values: NDArray[np.int64]) -> bytes:
    """The model with one of its inputs made a constant."""
    constant = wire.bytes_field(wire.GRAPH_INITIALIZER, _tensor(name, values))
    return wire.edit(
        graph,
        {wire.MODEL_GRAPH: lambda graph: wire.edit(graph, {wire.GRAPH_INPUT: _unless_in({name})}, after=constant)},
    )


def _tidied(graph: bytes, weights: set[str]) -> bytes:
    """The model without inputs that are weights."""
    return wire.edit(
        graph,
        {
            wire.MODEL_IR: lambda version: max(4, version),  # before version 4 a weight had to be listed as an input
            wire.MODEL_GRAPH: lambda graph: wire.edit(graph, {wire.GRAPH_INPUT: _unless_in(weights)}),
        },
    )


def _unless_in(names: set[str]) -> Callable[[memoryview], memoryview | None]:
    """An edit of inputs that leaves those of these names out."""
    return lambda info: None if wire.value_name(info) in names else info


def _with_front(model: bytes, recipe: InputRecipe) -> bytes:
    """The model with the front before its input, and a note of that input as it was."""
    old_input = b""

    def fronted_input(info: memoryview) -> bytes | memoryview:
        nonlocal old_input
        if wire.value_name(info) != recipe.name:
            return info
        old_input = bytes(info)
        return _new_input(old_input, recipe.layout)

    front = wire.joined(_front(recipe))
    fronted = wire.edit(
        model,
        {wire.MODEL_GRAPH: lambda graph: wire.edit(graph, {wire.GRAPH_INPUT: fronted_input}, before=front)},
    )
    saved = {"input": base64.b64encode(old_input).decode(), "recipe": recipe.model_dump(mode="json")}
    note = wire.bytes_field(1, _NOTE) + wire.bytes_field(2, json.dumps(saved))
    return fronted + wire.bytes_field(wire.MODEL_METADATA, note)


def _front(recipe: InputRecipe) -> list[bytes]:
    """Nodes and constants from (1, H, W, 3) uint8 BGR to the old input, as `Preprocessor` computes it."""
    factor = (1.0 / np.array(recipe.std, np.float64)).astype(np.float32)
    shift = np.array(recipe.mean, np.float32) * factor
    per_channel = (1, 3, 1, 1) if recipe.layout == "nchw" else (1, 1, 1, 3)
    channel_axis = 1 if recipe.layout == "nchw" else 3
    steps: list[tuple[str, list[tuple[str, NDArray[np.generic]]], bytes]] = []
    if recipe.layout == "nchw":
        steps.append(("Transpose", [], _ints("perm", [0, 3, 1, 2])))
    if recipe.channel_order == "rgb":
        # On bytes, before they become four times as many.
        steps.append(("Gather", [("order", np.array([2, 1, 0], np.int64))], _int("axis", channel_axis)))
    if recipe.dtype != "uint8":
        steps.append(("Cast", [], _int("to", _FLOAT)))
        if (factor != 1).any():
            steps.append(("Mul", [("factor", factor.reshape(per_channel))], b""))
        if shift.any():
            steps.append(("Sub", [("shift", shift.reshape(per_channel))], b""))
        if recipe.dtype == "float16":
            steps.append(("Cast", [], _int("to", _FLOAT16)))
    parts, value = [], _PREFIX + "pixels"
    for k, (operator, constants, attribute) in enumerate(steps):
        after = recipe.name if k == len(steps) - 1 else f"{_PREFIX}{k}"
        inputs = [value, *(_PREFIX + name for name, _ in constants)]
        node = wire.joined(
            [
                *(wire.bytes_field(wire.NODE_INPUT, name) for name in inputs),
                wire.bytes_field(wire.NODE_OUTPUT, after),
                wire.bytes_field(wire.NODE_NAME, f"{_PREFIX}{operator.lower()}_{k}"),
                wire.bytes_field(wire.NODE_OP, operator),
                attribute,
            ]
        )
        parts.append(wire.bytes_field(wire.GRAPH_NODE, node))
        parts += [wire.bytes_field(wire.GRAPH_INITIALIZER, _tensor(_PREFIX + name, array)) for name, array in constants]
        value = after
    return parts


def _tensor(name: str, array: NDArray[np.generic]) -> bytes:
    kind = _INT64 if array.dtype == np.int64 else _FLOAT
    little = array.astype(array.dtype.newbyteorder("<")).tobytes()
    dims = [wire.number_field(1, side) for side in array.shape]
    return wire.joined(
        [*dims, wire.number_field(2, kind), wire.bytes_field(wire.TENSOR_NAME, name), wire.bytes_field(9, little)]
    )


def _int(name: str, value: int) -> bytes:
    body = wire.bytes_field(1, name) + wire.number_field(3, value) + wire.number_field(20, 2)
    return wire.bytes_field(wire.NODE_ATTRIBUTE, body)


def _ints(name: str, values: list[int]) -> bytes:
    body = wire.bytes_field(1, name) + wire.joined(wire.number_field(8, v) for v in values) + wire.number_field(20, 7)
    return wire.bytes_field(wire.NODE_ATTRIBUTE, body)


def _new_input(old: bytes, layout: str) -> bytes:
    """The ValueInfoProto of (1, H, W, 3) uint8, with height and width as the old input has them, open or not."""
    dims: list[bytes] = []
    for number, _, kind in wire.fields_of(old):
        if number != 2:
            continue
        for _, _, tensor in wire.fields_of(_bytes(kind)):
            for inner, _, shape in wire.fields_of(_bytes(tensor)):
                if inner == 2:
                    dims = [bytes(_bytes(dim)) for _, _, dim in wire.fields_of(_bytes(shape))]
    sides = dims[2:4] if layout == "nchw" else dims[1:3]
    shape_bytes = wire.joined(
        wire.bytes_field(1, dim) for dim in (wire.number_field(1, 1), *sides, wire.number_field(1, 3))
    )
    tensor_bytes = wire.number_field(1, _UINT8) + wire.bytes_field(2, shape_bytes)
    return wire.bytes_field(1, _PREFIX + "pixels") + wire.bytes_field(2, wire.bytes_field(1, tensor_bytes))


def _bytes(value: wire.Value) -> memoryview:
    assert isinstance(value, memoryview)
    return value
