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
    notes.append("normalisation and layout put inside the graph: it takes uint8 pictures as the camera gives them")
    return Made(_with_front(graph, recipe), fed), tuple(notes)


def without_front(graph: bytes, manifest: Manifest) -> Made | None:
    """The graph as it was before `front_into` and the recipe that feeds it, or None where it has no front of ours."""
    note = None
    for number, _, value in wire.fields_of(graph):
        if number == wire.MODEL_METADATA and isinstance(value, memoryview):
            entry = {n: bytes(v).decode() for n, _, v in wire.fields_of(value) if isinstance(v, memoryview)}
            if entry.get(1) == _NOTE:
                note = json.loads(entry[2])
    if note is None:
        return None
    old = base64.b64decode(note["input"])
    parts = []
    for number, kind, value in wire.fields_of(graph):
        if number == wire.MODEL_GRAPH and isinstance(value, memoryview):
            parts.append(wire.bytes_field(number, _graph_without(value, old)))
        elif not (number == wire.MODEL_METADATA and isinstance(value, memoryview) and _NOTE.encode() in bytes(value)):
            parts.append(wire.again(number, kind, value))
    return Made(
        wire.joined(parts), manifest.model_copy(update={"input": InputRecipe(**note["recipe"]), "sha256": None})
    )


def _graph_without(graph: memoryview, old_input: bytes) -> bytes:
    parts = []
    for number, kind, value in wire.fields_of(graph):
        name_field = {wire.GRAPH_NODE: wire.NODE_NAME, wire.GRAPH_INITIALIZER: wire.TENSOR_NAME}.get(number)
        if name_field is not None and isinstance(value, memoryview):
            names = [
                bytes(v).decode() for n, k, v in wire.fields_of(value) if n == name_field and isinstance(v, memoryview)
            ]
            if any(name.startswith(_PREFIX) for name in names):
                continue
        if number == wire.GRAPH_INPUT and isinstance(value, memoryview) and wire.value_name(value).startswith(_PREFIX):
            parts.append(wire.bytes_field(number, old_input))
            continue
        parts.append(wire.again(number, kind, value))
    return wire.joined(parts)


def with_fixed_input(graph: bytes, name: str, values: NDArray[np.int64]) -> bytes:
    """The model with one of its inputs made a constant."""
    parts = []
    for number, kind, value in wire.fields_of(graph):
        if number != wire.MODEL_GRAPH or not isinstance(value, memoryview):
            parts.append(wire.again(number, kind, value))
            continue
        kept = [
            wire.again(n, k, v)
            for n, k, v in wire.fields_of(value)
            if not (n == wire.GRAPH_INPUT and isinstance(v, memoryview) and wire.value_name(v) == name)
        ]
        held = wire.bytes_field(wire.GRAPH_INITIALIZER, _tensor(name, values))
        parts.append(wire.bytes_field(number, wire.joined([*kept, held])))
    return wire.joined(parts)


def _tidied(graph: bytes, weights: set[str]) -> bytes:
    """The model without inputs that are weights."""
    parts = []
    for number, kind, value in wire.fields_of(graph):
        if number == wire.MODEL_IR and isinstance(value, int):
            # Before version 4 a weight had to be listed as an input.
            parts.append(wire.number_field(number, max(4, value)))
        elif number == wire.MODEL_GRAPH and isinstance(value, memoryview):
            kept = [
                wire.again(n, k, v)
                for n, k, v in wire.fields_of(value)
                if not (n == wire.GRAPH_INPUT and isinstance(v, memoryview) and wire.value_name(v) in weights)
            ]
            parts.append(wire.bytes_field(number, wire.joined(kept)))
        else:
            parts.append(wire.again(number, kind, value))
    return wire.joined(parts)


def _with_front(model: bytes, recipe: InputRecipe) -> bytes:
    parts, note = [], b""
    for number, kind, value in wire.fields_of(model):
        if number == wire.MODEL_GRAPH and isinstance(value, memoryview):
            graph, old = _graph_with(value, recipe)
            saved = {"input": base64.b64encode(old).decode(), "recipe": recipe.model_dump(mode="json")}
            note = wire.bytes_field(1, _NOTE) + wire.bytes_field(2, json.dumps(saved))
            parts.append(wire.bytes_field(number, graph))
        else:
            parts.append(wire.again(number, kind, value))
    return wire.joined([*parts, wire.bytes_field(wire.MODEL_METADATA, note)])


def _graph_with(graph: memoryview, recipe: InputRecipe) -> tuple[bytes, bytes]:
    """The graph with the front before it, and its old input as it was."""
    parts, old = list(_front(recipe)), b""
    for number, kind, value in wire.fields_of(graph):
        if number == wire.GRAPH_INPUT and isinstance(value, memoryview) and wire.value_name(value) == recipe.name:
            old = bytes(value)
            parts.append(wire.bytes_field(number, _new_input(old, recipe.layout)))
        else:
            parts.append(wire.again(number, kind, value))
    return wire.joined(parts), old


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
