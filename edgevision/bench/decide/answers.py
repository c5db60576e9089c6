"""What is asked before a decision, and reading it from a file. None means: not said."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgevision.errors import UsageError


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
    """``open``: anything may be asked, in words. ``fixed``: a list of things known beforehand."""

    FIXED = "fixed"
    OPEN = "open"


class Answer(StrEnum):
    """``where``: boxes. ``kind``: which of some kinds a frame, or a cut-out of it, is."""

    WHERE = "where"
    KIND = "kind"


class Answers(BaseModel):
    """The situation, as far as its owner knows it; what is left out is not held against anyone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    material: Material | None = Field(None, description="What does the model look at: pictures, text or numbers?")
    task: Task | None = Field(None, description="Is the task fixed (a known list of things) or open (anything asked)?")
    answer: Answer | None = Field(
        None, description="Must it say where things are (where), or which kind a frame or cut-out is (kind)?"
    )
    fps: float | None = Field(None, ge=0, description="Frames a second it must keep up with (0: no stream)?")
    latency_ms: float | None = Field(None, gt=0, description="Milliseconds after which an answer is too late?")
    device: Device | None = Field(None, description="Where must it run: phone, pi, laptop, server or gpu?")
    may_leave: bool | None = Field(None, description="May the frames leave your machines?")
    control: bool | None = Field(
        None, description="Must you be able to freeze, explain and keep the model for years, whatever its maker does?"
    )
    frames_month: float | None = Field(None, ge=0, description="Frames a month, in the first version?")
    scale_later: bool | None = Field(None, description="Must it grow later: real time, many devices, many frames?")
    days: float | None = Field(None, gt=0, description="Days until a first version must run?")
    labels: int | None = Field(None, ge=0, description="Labelled pictures at hand?")
    unlabelled: int | None = Field(None, ge=0, description="Pictures at hand without labels?")
    uniform: bool | None = Field(None, description="Are the pictures all alike: one place, one light, one day?")
    teacher_knows: bool | None = Field(
        None, description="Does a foundation model find the things when you look at its boxes on ten of your frames?"
    )
    can_label: bool | None = Field(None, description="Is there somebody who can draw boxes for some days?")
    ml_people: bool | None = Field(None, description="Is there somebody who has trained a model before?")

    def told(self) -> dict[str, object]:
        """What was answered."""
        return {k: v for k, v in self.model_dump(mode="json").items() if v is not None}


def question(name: str) -> str:
    """What to ask for a field."""
    return Answers.model_fields[name].description or name


def read_answers(path: Path) -> Answers:
    """Answers from a TOML file of ``name = value``. Raises `UsageError`."""
    try:
        return made(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
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
            raise UsageError(f"{where}: {name} is no question; known are {', '.join(Answers.model_fields)}") from exc
        raise UsageError(f"{where}: {name}: {first['msg'].lower()}, got {first.get('input')!r}") from exc
