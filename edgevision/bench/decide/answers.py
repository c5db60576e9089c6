"""The questions of a decision and their answers, also from a file. None means unknown."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgevision.errors import UsageError
from edgevision.regular_file import parse_toml, read_regular_text


class Material(StrEnum):
    """What the model looks at."""

    PICTURES = "pictures"
    TEXT = "text"
    NUMBERS = "numbers"


class Device(StrEnum):
    """Where it has to run."""

    PHONE = "phone"
    PI = "pi"
    LAPTOP = "laptop"
    SERVER = "server"
    GPU = "gpu"


class Task(StrEnum):
    """``open``: classes are asked for in words. ``fixed``: a known list of classes."""

    FIXED = "fixed"
    OPEN = "open"


class Answer(StrEnum):
    """``where``: boxes. ``kind``: the class of a frame or of a crop."""

    WHERE = "where"
    KIND = "kind"


class Answers(BaseModel):
    """The situation, as far as it is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    material: Material | None = Field(None, description="What does the model look at: pictures, text or numbers?")
    task: Task | None = Field(
        None, description="Is the task fixed (a known list of classes) or open (any class, asked for in words)?"
    )
    answer: Answer | None = Field(
        None, description="Is the answer a box (where), or the class of a frame or crop (kind)?"
    )
    fps: float | None = Field(None, ge=0, description="Required frames per second (0: no stream)?")
    latency_ms: float | None = Field(None, gt=0, description="Maximum latency in ms?")
    device: Device | None = Field(None, description="Where must it run: phone, pi, laptop, server or gpu?")
    may_leave: bool | None = Field(None, description="May frames leave your machines?")
    control: bool | None = Field(
        None, description="Must you be able to freeze, explain and keep the model, independent of its vendor?"
    )
    frames_month: float | None = Field(None, ge=0, description="Frames per month, in the first version?")
    scale_later: bool | None = Field(None, description="Must it scale later: real time, many devices, many frames?")
    days: float | None = Field(None, gt=0, description="Days until a first version must run?")
    labels: int | None = Field(None, ge=0, description="Number of labelled images?")
    unlabelled: int | None = Field(None, ge=0, description="Number of unlabelled images?")
    uniform: bool | None = Field(None, description="Are the images uniform: one place, one light, one day?")
    teacher_knows: bool | None = Field(
        None, description="Does a foundation model find the objects in ten of your frames?"
    )
    can_label: bool | None = Field(None, description="Is someone available to label images for some days?")
    ml_people: bool | None = Field(None, description="Has someone on the team trained a model before?")

    def told(self) -> dict[str, object]:
        """The answers that were given."""
        return {k: v for k, v in self.model_dump(mode="json").items() if v is not None}


def question(name: str) -> str:
    """The question of a field."""
    return Answers.model_fields[name].description or name


def read_answers(path: Path) -> Answers:
    """Answers from a TOML file of ``name = value``. Raises `UsageError`."""
    try:
        return made(parse_toml(read_regular_text(path)), str(path))
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path}: expected TOML like `fps = 30`, got: {exc}") from exc


def made(values: dict[str, object], where: str) -> Answers:
    """Answers from values. Raises `UsageError` that names the first wrong one; ``where`` they came from."""
    try:
        return Answers.model_validate(values)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{where}: {name} is not a question; expected: {', '.join(Answers.model_fields)}") from exc
        raise UsageError(f"{where}: {name}: {first['msg'].lower()}, got {first.get('input')!r}") from exc
