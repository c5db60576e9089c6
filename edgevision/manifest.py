"""What stands beside a model in ``model.toml``: how to feed it, what it finds, where it comes from.

A wrong recipe still gives plausible boxes, so nothing here is guessed at run time, unknown keys are refused,
and the file's SHA-256 is part of it.
"""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgevision.errors import ModelInvalid, ModelNotFound


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
Side = Annotated[int, Field(gt=0, le=8192)]
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

    @model_validator(mode="after")
    def _plain_file(self) -> Manifest:
        if Path(self.file).name != self.file:
            raise ValueError(f"file: expected a name beside the manifest, got {self.file!r}")
        return self

    @property
    def label(self) -> str:
        """``name@version``, as every result carries it."""
        return f"{self.name}@{self.version}"


def read_manifest(path: Path) -> Manifest:
    """Read and check a ``model.toml``. Raises `ModelNotFound` and, with key and line, `ModelInvalid`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelNotFound(f"{path}: no such file; a model's folder holds model.onnx and model.toml") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelInvalid(f"{path}: cannot be read as a text file: {exc}") from exc
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ModelInvalid(f"{path}: not valid TOML: {exc}") from exc
    return manifest_from(values, str(path), text)


def manifest_from(values: dict[str, Any], where: str, text: str = "") -> Manifest:
    """Check a manifest's values. ``where`` names them in errors; ``text`` is the file they stand in."""
    try:
        return Manifest.model_validate(values)
    except ValidationError as exc:
        problems = [_problem(e["loc"], e["type"], e["msg"], text) for e in exc.errors()]
        raise ModelInvalid(f"{where}: {'; '.join(problems)}") from exc


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
