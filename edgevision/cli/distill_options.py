"""Options that several commands of ``edgevision distill`` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgevision.detectors.load import TeacherSpec
    from edgevision.training.labelling.settings import LabelSettings
    from edgevision.training.recipe import Recipe

Data = Annotated[Path, typer.Argument(metavar="DATA", help="Dataset: this program's folder, YOLO, COCO or VOC.")]
Teacher = Annotated[
    list[str],
    typer.Option(
        "--teacher",
        help="Model that labels: a name, MODEL*WEIGHT, or foundation:NAME. Repeatable; boxes of several are fused.",
    ),
]
Prompts = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|FILE",
        help="Classes to label, 'person: a person, a worker; helmet: a hard hat'. Default: all classes.",
    ),
]
Sure = Annotated[
    str,
    typer.Option("--conf", help="Accept score: boxes above it are objects. 0.45, or per class: '0.45, helmet=0.5'."),
]
Doubt = Annotated[
    str,
    typer.Option(
        "--review-conf", help="Review score: boxes below it are background, boxes between the two are reviewed."
    ),
]
Mirror = Annotated[bool, typer.Option(help="Label the mirrored image too and fuse both.")]
Threads = Annotated[int | None, typer.Option(min=1, max=256, help="Threads of one inference.")]
Student = Annotated[str, typer.Option("--student", help="Recipe: person, person-tiny, face, hardhat, or a .toml file.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Number of epochs, in place of the recipe's.")]
Side = Annotated[int | None, typer.Option("--imgsz", min=32, help="Input side in px, a multiple of 32.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes that prepare samples. Default: one per core.")]
Device = Annotated[str | None, typer.Option(help="Device: cpu, cuda or mps. Default: a GPU if there is one.")]
Init = Annotated[
    str | None, typer.Option(help="Initial weights: a run, a checkpoint, or an exported model such as person.")
]
Soft = Annotated[
    str | None, typer.Option(help="Training targets: boxes, scores or dense=NET, in place of the recipe's.")
]


def names_in(text: str | None) -> list[str] | None:
    """Comma-separated names as a list."""
    return [n.strip() for n in text.split(",") if n.strip()] if text else None


def recipe_of(student: str, epochs: int | None, side: int | None, init: str | None, soft: str | None) -> Recipe:
    """The student's recipe with the options' changes. Raises `UsageError`."""
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
    """Teachers and label settings of the options. Raises `UsageError`."""
    from edgevision.detectors.load import parse_teacher
    from edgevision.training.labelling.settings import settings_from

    specs = tuple(parse_teacher(t, threads, allow_upload) for t in teacher)
    return specs, settings_from(specs, prompts, sure, doubt, mirror)
