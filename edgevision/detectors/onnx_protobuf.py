"""The few parts of an ONNX file that must be read or changed without running it, straight from its bytes.

An ONNX file is a protocol buffer (https://protobuf.dev/programming-guides/encoding/) whose field numbers are fixed by
onnx.proto3. Reading a dozen of them by hand keeps the onnx package, some 35 MB with what it needs, out of the core,
and every step is bounded: a hostile file is refused and never walked without end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgevision.errors import ModelInvalid

MOST_FIELDS = 3_000_000
"""Real detectors have some tens of thousands; walking this many takes about two seconds."""
_DEEPEST = 16
_STANDARD_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"}

# Field numbers of onnx.proto3, by message.
MODEL_IR, MODEL_GRAPH, MODEL_OPSET, MODEL_METADATA, MODEL_FUNCTION = 1, 7, 8, 14, 25
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_SPARSE = 1, 5, 11, 15
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 3, 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
TENSOR_NAME, TENSOR_EXTERNAL, TENSOR_LOCATION = 8, 13, 14
FUNCTION_NODE, FUNCTION_DOMAIN = 7, 10

Value = int | memoryview


class _Malformed(ValueError):
    """Bytes that are no protocol buffer."""


@dataclass(slots=True)
class _Walk:
    """Counts fields over one file, so that no file is walked without end."""

    left: int = field(default_factory=lambda: MOST_FIELDS)

    def fields(self, data: memoryview) -> Iterator[tuple[int, int, Value]]:
        """(field number, wire type, value) of one message."""
        place, end = 0, len(data)
        while place < end:
            self.left -= 1
            if self.left < 0:
                raise _Malformed("more fields than any detector has")
            key, place = _varint(data, place)
            number, kind = key >> 3, key & 7
            if kind == 0:
                value, place = _varint(data, place)
                yield number, kind, value
                continue
            if kind == 2:
                length, place = _varint(data, place)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise _Malformed(f"wire type {kind}")
            if number == 0 or place + length > end:
                raise _Malformed("a field reaches past its end")
            yield number, kind, data[place : place + length]
            place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if place >= len(data) or shift > 63:
            raise _Malformed("a number without an end")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _text(value: Value) -> str:
    if isinstance(value, int):
        raise _Malformed("a number where a name should stand")
    return bytes(value).decode("utf-8", "replace")


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise _Malformed("a number where a message should stand")
    return value


@dataclass(slots=True)
class GraphFacts:
    """What can be said of an ONNX file without loading it."""

    ir_version: int = 0
    opset: int = 0
    """Version of the standard operators."""
    external: list[str] = field(default_factory=list)
    """Weights that are kept in other files."""
    foreign: list[str] = field(default_factory=list)
    """Operators, as domain.name, that no onnxruntime has."""
    inputs: list[str] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)
    nodes: int = 0

    @property
    def inputs_with_values(self) -> list[str]:
        """Inputs that are weights, as exporters wrote them before 2019; onnxruntime then folds no constants."""
        return [name for name in self.inputs if name in self.initializers]


def inspect(model: bytes, where: str) -> GraphFacts:
    """Read an ONNX file's facts. Raises `ModelInvalid`, naming the file as ``where``, for one that is none."""
    walk, facts = _Walk(), GraphFacts()
    own_domains: set[str] = set()
    used: dict[str, str] = {}
    graphs: list[memoryview] = []
    try:
        for number, _, value in walk.fields(memoryview(model)):
            if number == MODEL_IR and isinstance(value, int):
                facts.ir_version = value
            elif number == MODEL_GRAPH:
                graphs.append(_message(value))
            elif number == MODEL_OPSET:
                version, domain = _opset(walk, _message(value))
                if domain in ("", "ai.onnx"):
                    facts.opset = version
            elif number == MODEL_FUNCTION:
                for inner, _, part in walk.fields(_message(value)):
                    if inner == FUNCTION_DOMAIN:
                        own_domains.add(_text(part))
                    elif inner == FUNCTION_NODE:
                        _node(walk, _message(part), facts, used, 1)
        if len(graphs) != 1:
            raise _Malformed("no graph in it" if not graphs else "more than one graph in it")
        _graph(walk, graphs[0], facts, used, 0)
    except _Malformed as exc:
        raise ModelInvalid(
            f"{where}: expected an ONNX model, got {_looks_like(model)} ({exc}); export or copy the file again"
        ) from exc
    facts.foreign = sorted(op for op, domain in used.items() if domain not in _STANDARD_DOMAINS | own_domains)
    return facts


def _looks_like(model: bytes) -> str:
    if not model.strip(b"\0"):
        return "an empty file" if not model else "a file of zeros"
    if model[:1] == b"\x08" and len(model) > 4:
        return "a truncated or damaged one"
    return "something else"


def _opset(walk: _Walk, data: memoryview) -> tuple[int, str]:
    version, domain = 0, ""
    for number, _, value in walk.fields(data):
        if number == 1:
            domain = _text(value)
        elif number == 2 and isinstance(value, int):
            version = value
    return version, domain


def _graph(walk: _Walk, data: memoryview, facts: GraphFacts, used: dict[str, str], depth: int) -> None:
    if depth > _DEEPEST:
        raise _Malformed(f"graphs nested deeper than {_DEEPEST}")
    for number, _, value in walk.fields(data):
        if number == GRAPH_NODE:
            facts.nodes += 1
            _node(walk, _message(value), facts, used, depth)
        elif number == GRAPH_INITIALIZER:
            name = _tensor(walk, _message(value), facts)
            if depth == 0:
                facts.initializers.add(name)
        elif number == GRAPH_SPARSE:
            for _, kind, part in walk.fields(_message(value)):
                if kind == 2:
                    _tensor(walk, _message(part), facts)
        elif number == GRAPH_INPUT and depth == 0:
            facts.inputs.append(value_name(_message(value)))


def _node(walk: _Walk, data: memoryview, facts: GraphFacts, used: dict[str, str], depth: int) -> None:
    op, domain = "", ""
    for number, _, value in walk.fields(data):
        if number == NODE_OP:
            op = _text(value)
        elif number == NODE_DOMAIN:
            domain = _text(value)
        elif number == NODE_ATTRIBUTE:
            for inner, _, part in walk.fields(_message(value)):
                if inner in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                    _graph(walk, _message(part), facts, used, depth + 1)
                elif inner in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
                    _tensor(walk, _message(part), facts)
    used[f"{domain}.{op}" if domain else op] = domain


def _tensor(walk: _Walk, data: memoryview, facts: GraphFacts) -> str:
    name, external = "", False
    for number, kind, value in walk.fields(data):
        if number == TENSOR_NAME and kind == 2:
            name = _text(value)
        elif number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value == 1):
            external = True
    if external:
        facts.external.append(name or "a constant")
    return name


def value_name(data: memoryview) -> str:
    """The name of a ValueInfoProto."""
    return next((_text(v) for n, _, v in _Walk().fields(data) if n == 1), "")


def fields_of(data: bytes | memoryview) -> list[tuple[int, int, Value]]:
    """All fields of one message of a file that `inspect` has passed."""
    return list(_Walk().fields(memoryview(data)))


def edit(
    message: bytes | memoryview,
    changes: Mapping[int, Callable[[Any], bytes | memoryview | int | None]],
    *,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A message of a file that `inspect` has passed, with some of its fields changed; all others stay to the byte.

    ``changes`` gives, by a field's number, its new value from its old one (an int, or the bytes of a name or message);
    None leaves it out. ``before`` and ``after`` are whole fields to add.
    """
    parts = [before]
    for number, kind, value in fields_of(message):
        if number not in changes:
            parts.append(again(number, kind, value))
            continue
        new = changes[number](value)
        if isinstance(new, int):
            parts.append(number_field(number, new))
        elif new is not None:
            parts.append(bytes_field(number, new))
    return joined([*parts, after])


def metadata_of(model: bytes) -> dict[str, str]:
    """Key-value pairs of a model's ``metadata_props``; nothing where the bytes are no ONNX model."""
    pairs: dict[str, str] = {}
    try:
        for number, _, value in _Walk().fields(memoryview(model)):
            if number == MODEL_METADATA:
                entry = {inner: _text(part) for inner, _, part in _Walk().fields(_message(value))}
                pairs[entry.get(1, "")] = entry.get(2, "")
    except _Malformed:
        return {}
    return pairs


def varint(value: int) -> bytes:
    """A non-negative number as protocol buffers write it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: bytes | memoryview | str) -> bytes:
    data = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(data)) + data


def again(number: int, kind: int, value: Value) -> bytes:
    """A field as it was read."""
    if isinstance(value, int):
        return number_field(number, value)
    return bytes_field(number, value) if kind == 2 else varint(number << 3 | kind) + bytes(value)


def joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(parts)
