"""Weights that an exporter left in a file beside the graph, put into the graph.

PyTorch's newer exporter does so (``model.onnx`` and ``model.onnx.data``). A model is one file here: it is copied,
hashed and tried as one. Only files of the graph's own folder are read. Source: "External data" in onnx's documentation,
https://onnx.ai/onnx/repo-docs/ExternalData.html.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from edgevision.detectors import onnx_protobuf as wire
from edgevision.errors import ModelInvalid
from edgevision.regular_file import read_regular

_KEY = b"\x0a\x08location"
"""How protocol buffers write the entry that names the other file: without it there is none."""
_RAW_DATA = 9
_MOST_BYTES = (2 << 30) - 1
"""A protocol buffer cannot be larger."""


def embedded(model: bytes, folder: Path, where: str) -> bytes:
    """The model with the weights of ``folder``'s files in it; as it is where it has none outside.

    A file that is named outside the folder is left where it is: what loads the model refuses it. Raises `ModelInvalid`
    for a file that is missing, too short or too large.
    """
    if _KEY not in model or not wire.inspect(model, where).external:
        return model
    held: dict[str, bytes] = {}
    parts = []
    for number, kind, value in wire.fields_of(model):
        if number == wire.MODEL_GRAPH and isinstance(value, memoryview):
            inner = [_field(n, k, v, folder, where, held) for n, k, v in wire.fields_of(value)]
            if sum(map(len, inner)) > _MOST_BYTES:
                raise ModelInvalid(f"{where}: with its weights expected an ONNX file of under 2 GiB")
            parts.append(wire.bytes_field(number, wire.joined(inner)))
        else:
            parts.append(wire.again(number, kind, value))
    return wire.joined(parts)


def _field(number: int, kind: int, value: wire.Value, folder: Path, where: str, held: dict[str, bytes]) -> bytes:
    """A field of the graph; a tensor of another file comes with its data."""
    if number != wire.GRAPH_INITIALIZER or not isinstance(value, memoryview):
        return wire.again(number, kind, value)
    fields = wire.fields_of(value)
    if not any(n == wire.TENSOR_LOCATION and v == 1 for n, _, v in fields):
        return wire.again(number, kind, value)
    entries = dict(_entry(v) for n, _, v in fields if n == wire.TENSOR_EXTERNAL and isinstance(v, memoryview))
    location = entries.get("location", "")
    path = folder / location
    if not _is_inside(location, path, folder):
        return wire.again(number, kind, value)
    if location not in held:
        held[location] = _read(path, where)
    data = held[location]
    try:
        start, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
    except ValueError:
        start = length = -1
    end = len(data) if length < 0 else start + length
    if not 0 <= start <= end <= len(data):
        raise ModelInvalid(
            f"{where}: expected weights up to byte {end} of {location}, which has {len(data)}: it is cut off, or of "
            "another model; copy both files again"
        )
    kept = [wire.again(n, k, v) for n, k, v in fields if n not in (wire.TENSOR_EXTERNAL, wire.TENSOR_LOCATION)]
    return wire.bytes_field(number, wire.joined([*kept, wire.bytes_field(_RAW_DATA, data[start:end])]))


def _entry(value: memoryview) -> tuple[str, str]:
    texts = {n: bytes(v).decode("utf-8", "replace") for n, _, v in wire.fields_of(value) if isinstance(v, memoryview)}
    return texts.get(1, ""), texts.get(2, "")


def _is_inside(location: str, path: Path, folder: Path) -> bool:
    plain = PurePosixPath(location)
    if not location or plain.is_absolute() or ".." in plain.parts or "\\" in location or ":" in location:
        return False
    return path.resolve().is_relative_to(folder.resolve())


def _read(path: Path, where: str) -> bytes:
    try:
        return read_regular(path, _MOST_BYTES)
    except OSError as exc:
        raise ModelInvalid(
            f"{where}: keeps its weights in {path.name}, expected that file beside it, got none that can be read "
            f"({exc.strerror or exc}); copy both"
        ) from exc
