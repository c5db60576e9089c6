"""What stands beside a model in ``model.toml``: how to feed it, what it finds, where it comes from.

A wrong recipe still gives plausible boxes, so nothing here is guessed at run time, unknown keys are refused,
and the file's SHA-256 is part of it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgevision.errors import ModelInvalid, ModelNotFound
from edgevision.regular_file import parse_toml, read_regular_text


class Resize(StrEnum):
    """How a frame of another shape is made to fit the input."""

    LETTERBOX = "letterbox"
    """Keep the aspect ratio, pad both sides alike."""
    LETTERBOX_TOP_LEFT = "letterbox-top-left"
    """Keep the aspect ratio, pad right and below."""
    STRETCH = "stretch"
    """Give up the aspect ratio, pad nothing."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Triple = tuple[float, float, float]
MOST_SIDE_PX = 8192
"""Of a network's input: 67 million pixels."""
Side = Annotated[int, Field(gt=0, le=MOST_SIDE_PX)]
Share = Annotated[float, Field(ge=0, le=1)]


class InputRecipe(_Section):
    """What a network expects of its one image input: value = (pixel - mean) / std, pixels in 0-255."""

    name: str = ""
    """The graph's input; empty for the only one."""
    width_px: Side
    height_px: Side
    resize: Resize = Resize.LETTERBOX
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """``mean`` and ``std`` are in this order."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    """``uint8`` where the normalisation is inside the graph; ``mean`` and ``std`` then stay 0 and 1."""
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    pad_value: Annotated[int, Field(ge=0, le=255)] = 114

    @model_validator(mode="after")
    def _consistent(self) -> InputRecipe:
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        if self.dtype == "uint8" and self.mean + self.std != (0, 0, 0, 1, 1, 1):
            raise ValueError("a uint8 input takes pixels as they are: leave mean and std out")
        return self

    @property
    def in_words(self) -> str:
        """``416×416 rgb letterbox 0-1``."""
        return f"{self.width_px}×{self.height_px} {self.channel_order} {self.resize.value} {self.scale_in_words}"

    @property
    def scale_in_words(self) -> str:
        """What pixel values become: ``0-1``, ``0-255``, by which mean and deviation; ``uint8`` as they are."""
        if self.dtype == "uint8":
            return "uint8"
        if not any(self.mean) and len(set(self.std)) == 1:
            return f"0-{255 / self.std[0]:g}"
        return f"mean {'/'.join(f'{v:g}' for v in self.mean)} std {'/'.join(f'{v:g}' for v in self.std)}"


class Thresholds(_Section):
    """Where the model's scores are cut unless the user says otherwise."""

    score: Share = 0.3
    iou: Share = 0.6
    """Non-maximum suppression, for heads that need it."""


class Origin(_Section):
    """Where the weights come from."""

    teacher: str = ""
    data: tuple[str, ...] = ()
    """Each source with its licence."""
    recipe: str = ""


class Accuracy(_Section):
    """One measured figure."""

    data: str
    """What was measured on: set, split, number of images."""
    metric: str = "AP50"
    value: Share
    low: Share | None = None
    """95 % interval."""
    high: Share | None = None


class Latency(_Section):
    """Median time of one inference, with what it was measured on."""

    machine: str
    threads: Annotated[int, Field(gt=0)]
    median_ms: Annotated[float, Field(gt=0)]
    runtime: str = "onnxruntime"


class GoldenBox(_Section):
    """One detection that must be found again."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the picture."""
    score: Share
    class_name: str


class Golden(_Section):
    """A picture beside the manifest, with what the model found in it when it was last seen to be right."""

    picture: str
    boxes: tuple[GoldenBox, ...] = ()

    @model_validator(mode="after")
    def _plain_picture(self) -> Golden:
        if Path(self.picture).name != self.picture:
            raise ValueError(f"picture: expected a name beside the manifest, got {self.picture!r}")
        return self


class Manifest(_Section):
    """``model.toml``."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    version: str = "1"
    file: str = "model.onnx"
    """Beside the manifest; no folders."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    family: str
    """How the outputs are read: a name from the table in ``decode/``."""
    input: InputRecipe
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    thresholds: Thresholds = Thresholds()
    licence: str = "unknown"
    origin: Origin = Origin()
    accuracy: tuple[Accuracy, ...] = ()
    latency: tuple[Latency, ...] = ()
    golden: tuple[Golden, ...] = ()

    @model_validator(mode="after")
    def _plain_file(self) -> Manifest:
        if Path(self.file).name != self.file:
            raise ValueError(f"file: expected a name beside the manifest, got {self.file!r}")
        return self

    @property
    def label(self) -> str:
        """``name@version``, as every result carries it."""
        return f"{self.name}@{self.version}"

    @property
    def ap50(self) -> float | None:
        """The first AP50 of its card, 0-1; None where none was measured."""
        return next((a.value for a in self.accuracy if a.metric == "AP50"), None)

    @property
    def median_ms(self) -> float | None:
        """The first time of one inference on its card, ms; None where none was measured."""
        return self.latency[0].median_ms if self.latency else None


def read_manifest(path: Path) -> Manifest:
    """Read and check a ``model.toml``. Raises `ModelNotFound` and, with key and line, `ModelInvalid`."""
    try:
        text = read_regular_text(path)
    except FileNotFoundError:
        raise ModelNotFound(f"{path}: no such file; a model's folder holds model.onnx and model.toml") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelInvalid(f"{path}: cannot be read as a text file: {exc}") from exc
    try:
        values = parse_toml(text)
    except tomllib.TOMLDecodeError as exc:
        raise ModelInvalid(f"{path}: not valid TOML: {exc}") from exc
    return manifest_from(values, str(path), text)


def manifest_from(values: dict[str, Any], where: str, text: str = "") -> Manifest:
    """Check a manifest's values. ``where`` names them in errors; ``text`` is the file they stand in."""
    try:
        return Manifest.model_validate(values)
    except ValidationError as exc:
        raise ModelInvalid(f"{where}: {problems_in(exc, text)}") from exc


def problems_in(error: ValidationError, text: str = "") -> str:
    """What is wrong with values read from TOML, each with its line in ``text`` where that can be told."""
    return "; ".join(_problem(e["loc"], e["type"], e["msg"], text) for e in error.errors())


def manifest_text(manifest: Manifest) -> str:
    """The manifest as TOML that `read_manifest` reads back as the same."""
    values = manifest.model_dump(mode="json", exclude_none=True)
    return "\n".join(_toml(values, "")).strip() + "\n"


def _toml(values: Mapping[str, Any], path: str) -> list[str]:
    """Lines of one table: its own keys first, then the tables inside it."""
    plain, tables = [], []
    for key, value in values.items():
        inner = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            tables += ["", f"[{inner}]", *_toml(value, inner)] if value else []
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                tables += ["", f"[[{inner}]]", *_toml(entry, inner)]
        elif value not in ([], ""):
            plain.append(f"{key} = {_toml_value(value)}")
    return plain + tables


def _toml_value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    # JSON's strings, numbers and booleans are TOML's, but for the one control character JSON leaves bare.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _problem(location: tuple[int | str, ...], kind: str, message: str, text: str) -> str:
    key = ".".join(str(part) for part in location) or "manifest"
    line = _line_of(location, text)
    place = f"line {line}: " if line else ""
    if kind == "extra_forbidden":
        return f"{place}unknown key {key!r}"
    if kind == "missing":
        return f"{place}{key!r} is missing"
    return f"{place}{key}: {message.removeprefix('Value error, ')}"


def _line_of(location: tuple[int | str, ...], text: str) -> int | None:
    """Line of a key in TOML text, by its section and name; tomllib itself keeps no positions."""
    names = [part for part in location if isinstance(part, str)]
    if not names:
        return None
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]\s]+)\s*\]+", line)
        if header:
            section = header[1]
            if section == ".".join(names):
                return number
        elif re.match(rf'\s*"?{re.escape(names[-1])}"?\s*=', line) and section == ".".join(names[:-1]):
            return number
    return None
