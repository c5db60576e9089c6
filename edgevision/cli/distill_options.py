"""Options that several of ``edgevision distill``'s commands share, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgevision.detectors.load import TeacherSpec
    from edgevision.training.labelling.settings import LabelSettings
    from edgevision.training.recipe import Recipe

Data = Annotated[Path, typer.Argument(metavar="DATA", help="A data folder of ours, or YOLO's or COCO's layouts.")]
Teacher = Annotated[
    list[str],
    typer.Option("--teacher", help="A model, MODEL*WEIGHT, or foundation:NAME. Repeat it: several are fused."),
]
Prompts = Annotated[
    str | None,
    typer.Option(metavar="TEXT|FILE", help="'person: a person, a worker; helmet: a hard hat'. Default: all classes."),
]
Sure = Annotated[str, typer.Option(help="Score from which a box is an object: 0.45, or '0.45, helmet=0.5'.")]
Doubt = Annotated[str, typer.Option(help="Score from which a box is doubtful; under it, background.")]
Mirror = Annotated[bool, typer.Option(help="Ask teachers for the mirror image too.")]
Threads = Annotated[int | None, typer.Option(min=1, max=256, help="Threads.")]
Student = Annotated[str, typer.Option("--student", help="A shipped recipe's name, or a recipe's .toml file.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="The recipe in so many epochs.")]
Side = Annotated[int | None, typer.Option(min=32, help="Input side in px, a multiple of 32.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes that make samples; by default one a core.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps. By default a GPU where there is one.")]
Init = Annotated[str | None, typer.Option(help="Begin from a run, its checkpoint, or a model of ours: person.")]
Soft = Annotated[
    str | None, typer.Option(help="boxes, scores or dense=NET: what is taught, in place of what the recipe says.")
]


def names_in(text: str | None) -> list[str] | None:
    """Names with commas between."""
    return [n.strip() for n in text.split(",") if n.strip()] if text else None


def recipe_of(student: str, epochs: int | None, side: int | None, init: str | None, soft: str | None) -> Recipe:
    """The student's recipe with what the options change of it. Raises `UsageError`."""
    from edgevision.training.recipe import read_recipe, softened

    recipe = read_recipe(student)
    if side is not None:
        recipe = recipe.sized(side)
    if epochs is not None:
        recipe = recipe.lasting(epochs)
    if init is not None:
        recipe = recipe.model_copy(update={"init": init})
    return recipe if soft is None else softened(recipe, soft)


def teaching_of(
    teacher: list[str],
    prompts: str | None,
    sure: str,
    doubt: str,
    mirror: bool,
    threads: int | None,
    allow_upload: bool,
) -> tuple[tuple[TeacherSpec, ...], LabelSettings]:
    """Teachers, and what they are to label, as the options say. Raises `UsageError`."""
    from edgevision.detectors.load import parse_teacher
    from edgevision.training.labelling.settings import settings_from

    specs = tuple(parse_teacher(t, threads, allow_upload) for t in teacher)
    return specs, settings_from(specs, prompts, sure, doubt, mirror)
