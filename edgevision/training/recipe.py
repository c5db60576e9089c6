"""A student's recipe: what network, on what pictures, how long, by what loss. A small TOML, checked key by key."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgevision.detectors.manifest import problems_in
from edgevision.errors import UsageError
from edgevision.regular_file import parse_toml, read_regular_text

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]
Four = tuple[Count, Count, Count, Count]
FourFromZero = tuple[Annotated[int, Field(ge=0)], ...]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(_Section):
    """The own student's shape. ``widths`` and ``depths`` are for strides 4, 8, 16, 32."""

    widths: Four = (24, 48, 96, 192)
    depths: Annotated[FourFromZero, Field(min_length=4, max_length=4)] = (1, 2, 3, 2)
    neck_width: Count = 48


class Phase(_Section):
    """Epochs with one input size; that of the last phase is exported, where the recipe names no ``exported_px``."""

    epochs: Count
    side_px: Annotated[int, Field(ge=32, le=2048, multiple_of=32)] = 320
    mosaic: Share = 0.5
    """Share of samples made of four pictures."""


class Schedule(_Section):
    """AdamW: warm-up, steady rate, cosine cool-down; the averaged weights are what is kept. In rounds (warm restarts,
    arXiv:1608.03983) each begins with the averaged weights of the one before."""

    rate: Annotated[float, Field(gt=0)] = 2e-3
    warm_up_steps: Count = 500
    cool_down_epochs: Annotated[int, Field(ge=0)] = 8
    """Of each round."""
    rounds: Count = 1
    """The epochs are shared out evenly."""
    later_rate: Annotated[float, Field(gt=0, le=1)] = 0.7
    """A round's rate as a share of that of the one before."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9995


class Loss(_Section):
    """Weights of the parts."""

    box: Annotated[float, Field(ge=0)] = 5.0
    classes: Annotated[float, Field(ge=0)] = 1.0


class Augmentation(_Section):
    """How far samples are moved from their pictures."""

    mirror: Share = 0.5
    """Share of pictures that are mirrored; 0 where left and right mean something."""
    stretch: Annotated[float, Field(ge=0, le=1)] = 0.12
    """Largest change of the aspect ratio, as a natural logarithm."""
    mosaic_scale: tuple[float, float] = (0.7, 2.0)
    single_scale: tuple[float, float] = (0.6, 1.7)
    paste: Share = 0.0
    """Share of samples that get up to three objects of other pictures pasted in."""
    light: Share = 1.0
    """How far light, contrast and colour go; 0 leaves them."""
    damage: Share = 0.2
    """Share of samples that are blurred, noisy or re-compressed."""

    @model_validator(mode="after")
    def _in_order(self) -> Augmentation:
        for low, high in (self.mosaic_scale, self.single_scale):
            if not 0 < low <= high:
                raise ValueError(f"scale: expected two numbers above 0, the lesser first, got {low}, {high}")
        return self


class Soft(_Section):
    """What is taken from the teacher beyond boxes."""

    targets: Literal["boxes", "scores", "dense"] = "boxes"
    """``boxes``: sure boxes as labels, weighted. ``scores``: every box over ``least_score``, its score as the class
    target. ``dense``: ``scores``, and at every cell the class logits and distances of ``teacher``."""
    least_score: Share = 0.05
    doubt_weight: Share = 0.5
    """How much the class loss counts inside boxes whose score is under ``sure``."""
    sure: Share = 0.45
    teacher: str = ""
    """``dense``: a larger student with the same classes (its run or checkpoint, or the name or path of a model that
    `distill export` made, such as ``person``), or another's detector from the store that knows the student's classes
    (NanoDet, PicoDet, YOLOX). It sees what the student sees, at the student's size."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    dense_weight: Annotated[float, Field(ge=0)] = 1.0
    distance_weight: Annotated[float, Field(ge=0)] = 0.5
    cached_images: Annotated[int, Field(ge=0)] = 0
    """``dense``: this many augmented images are made once, with the teacher's outputs, and every epoch takes crops of
    them, mirrored and lit anew: for a CPU, where the teacher costs as much as a training step. 0: the teacher runs on
    every batch."""
    others_weight: Annotated[float, Field(ge=0)] = 1.0
    """``dense`` from another's detector: how much its other classes count, which the student then learns too and
    forgets at export; 0 leaves them out."""

    @model_validator(mode="after")
    def _has_teacher(self) -> Soft:
        if (self.targets == "dense") != bool(self.teacher):
            raise ValueError("teacher: needed for targets 'dense', and only for it")
        if self.cached_images and self.targets != "dense":
            raise ValueError("cached_images: only for targets 'dense'")
        return self

    @property
    def in_words(self) -> str:
        """``soft targets: dense by picodet_s_416``."""
        return f"soft targets: {self.targets}" + (f" by {Path(self.teacher).name}" if self.teacher else "")


class Ultralytics(_Section):
    """What goes to Ultralytics' own trainer."""

    model: str = "yolo26n.yaml"
    options: dict[str, str | int | float | bool] = {}
    """Passed on to its train()."""


class Recipe(_Section):
    """One student."""

    trainer: Literal["own", "ultralytics"] = "own"
    classes: tuple[str, ...] = ()
    """Which of the data's classes, in this order; empty for all."""
    init: str = ""
    """What to begin from: a checkpoint or run of our own, or the name or path of a model that `distill export` made,
    such as ``person``. Weights whose shapes match are taken over."""
    batch: Count = 32
    seed: int = 1
    validate_every: Count = 3
    times: dict[str, Annotated[float, Field(ge=0)]] = {}
    """How often an epoch has the pictures whose name a glob fits, where not once: ``"street/*" = 3``, or 0.5 for every
    other one. The first that fits counts. For kinds of pictures that are rare in the data and not in use."""
    student: Network = Network()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = (Phase(epochs=40), Phase(epochs=4, mosaic=0.0))
    exported_px: Annotated[int, Field(ge=0, le=2048, multiple_of=32)] = 0
    """The input side that is exported and validated, where not the last phase's: a network that saw objects of every
    size does well on smaller inputs than it was trained on."""
    schedule: Schedule = Schedule()
    loss: Loss = Loss()
    augmentation: Augmentation = Augmentation()
    soft: Soft = Soft()
    ultralytics: Ultralytics = Ultralytics()

    @model_validator(mode="after")
    def _own_only(self) -> Recipe:
        if self.trainer == "ultralytics" and self.soft.targets != "boxes":
            raise ValueError("soft: the ultralytics trainer takes boxes only; leave [soft] out")
        if self.trainer == "ultralytics" and (self.times or self.augmentation != Augmentation()):
            raise ValueError(
                "times, augmentation: the ultralytics trainer has its own ways; leave these out, and set its own in "
                "[ultralytics.options]"
            )
        return self

    @property
    def epochs(self) -> int:
        return sum(p.epochs for p in self.phases)

    @property
    def side_px(self) -> int:
        """The input side that is validated and exported."""
        return self.exported_px or self.phases[-1].side_px

    @property
    def round_epochs(self) -> int:
        """Epochs of a round; the last may be shorter."""
        return -(-self.epochs // self.schedule.rounds)

    def phase(self, epoch: int) -> Phase:
        """The phase an epoch is in."""
        for phase in self.phases:
            if epoch < phase.epochs:
                return phase
            epoch -= phase.epochs
        return self.phases[-1]

    def lasting(self, epochs: int) -> Recipe:
        """The same recipe in another number of epochs: phases and cool-down in proportion."""
        if epochs < 1:
            raise UsageError(f"--epochs: expected at least 1, got {epochs}")
        share = epochs / self.epochs
        ends, at = [], 0
        for phase in self.phases:
            at += phase.epochs
            ends.append(round(at * share))
        lengths = [b - a for a, b in zip([0, *ends], ends, strict=False)]
        if lengths[-1] == 0:
            # The last phase's input size is what is exported: it never goes.
            lengths[lengths.index(max(lengths))] -= 1
            lengths[-1] = 1
        phases = [p.model_copy(update={"epochs": n}) for p, n in zip(self.phases, lengths, strict=True) if n > 0]
        cool = round(self.schedule.cool_down_epochs * share)
        rounds = min(self.schedule.rounds, epochs)
        schedule = self.schedule.model_copy(update={"cool_down_epochs": cool, "rounds": rounds})
        return self.model_copy(update={"phases": tuple(phases), "schedule": schedule})

    def sized(self, side_px: int) -> Recipe:
        """The same recipe with its last input size another one, and no phase larger than that."""
        if side_px < 32 or side_px % 32:
            raise UsageError(f"--imgsz: expected a multiple of 32 px, got {side_px}")
        sides = [min(p.side_px, side_px) for p in self.phases[:-1]] + [side_px]
        phases = [p.model_copy(update={"side_px": s}) for p, s in zip(self.phases, sides, strict=True)]
        return self.model_copy(update={"phases": tuple(phases), "exported_px": 0})

    def as_values(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("edgevision.training") / "recipes"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def read_recipe(student: str) -> Recipe:
    """A recipe by its shipped name or its path. Raises `UsageError`, with key and line."""
    path = Path(student)
    if path.suffix == ".toml" or path.is_file():
        where, found = student, read_regular_text(path) if path.is_file() else None
    else:
        where = f"recipe {student}"
        found = None
        if student in shipped_recipes():
            found = (resources.files("edgevision.training") / "recipes" / f"{student}.toml").read_text(encoding="utf-8")
    if found is None:
        known = ", ".join(shipped_recipes())
        raise UsageError(f"--student: expected {known} or a recipe's .toml file, found nothing at {student!r}")
    try:
        values = parse_toml(found)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"{where}: not valid TOML: {exc}") from exc
    return recipe_from(values, where, found)


def recipe_from(values: dict[str, Any], where: str, text: str = "") -> Recipe:
    """Check a recipe's values. Raises `UsageError`."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as exc:
        raise UsageError(f"{where}: {problems_in(exc, text)}") from exc


def softened(recipe: Recipe, targets: str) -> Recipe:
    """The recipe with other soft targets; ``dense`` needs a teacher, as ``dense=RUN``. Raises `UsageError`."""
    kind, _, teacher = targets.partition("=")
    values = recipe.as_values()
    values["soft"] |= {"targets": kind, "teacher": teacher or (values["soft"]["teacher"] if kind == "dense" else "")}
    return recipe_from(values, f"--soft {targets}")
