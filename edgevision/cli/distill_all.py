"""``edgevision distill all``: the whole line in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevision.cli.distill_options import (
    Device,
    Doubt,
    Epochs,
    Init,
    Mirror,
    Prompts,
    Side,
    Soft,
    Student,
    Sure,
    Teacher,
    Threads,
    Workers,
    recipe_of,
    teaching_of,
)
from edgevision.cli.outputs import Output, check_outputs


def all_(
    source: Annotated[str, typer.Option(help="Folder of images, clip, or any source of `edgevision run`.")],
    out: Annotated[Path, typer.Option(help="Working folder; finished steps are not repeated.")],
    name: Annotated[str, typer.Option(help="Name of the model.")],
    teacher: Teacher,
    student: Student = "person",
    prompts: Prompts = None,
    labels: Annotated[Path | None, typer.Option(help="Manual labels to keep.")] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Maximum number of frames to collect.")] = None,
    sure: Sure = "0.45",
    doubt: Doubt = "0.25",
    mirror: Mirror = True,
    epochs: Epochs = None,
    side: Side = None,
    init: Init = None,
    soft: Soft = None,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unknown",
    int8: Annotated[bool, typer.Option(help="Export int8.")] = True,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Accept an int8 model that loses over 1.5 points of AP50.")
    ] = False,
    swap: Annotated[bool, typer.Option(help="Swap the model into the running app, after the swap's checks.")] = True,
) -> None:
    """Run all steps, from frames to an installed model; the same command resumes an interrupted one.

    Example:

        edgevision distill all --source clip.mp4 --teacher picodet_s_416 \\
            --prompts person --name walkers --out line
    """
    from edgevision.cli import distill_console
    from edgevision.training.export.model_card import ModelCardFields
    from edgevision.training.train import usual_workers
    from edgevision.training.workflow import Workflow, run_workflow

    check_outputs([Output("--out", out, ("line.json",))], {"--source": source, "--labels": labels})
    teachers, settings = teaching_of(teacher, prompts, sure, doubt, mirror, threads, False)
    line = Workflow(
        source=source,
        folder=out,
        teachers=teachers,
        settings=settings,
        recipe=recipe_of(student, epochs, side, init, soft),
        wish=ModelCardFields(name, licence=licence, recipe=Path(student).stem, allow_loss=allow_loss, replace=True),
        people=labels,
        most=most,
        int8=int8,
        workers=usual_workers() if workers is None else workers,
        threads=threads,
        device=device,
    )
    label_ = run_workflow(line, distill_console)
    if not swap:
        distill_console.say(f"swap it into a running app: edgevision swap {name}")
        return
    _swap_in(label_, name)


def _swap_in(label_: str, name: str) -> None:
    """Into the app that runs, where one does."""
    from edgevision.cli import distill_console
    from edgevision.web.discovery import running_apps

    if len(running_apps()) != 1:
        distill_console.say(f"{label_} is installed; swap it into a running app: edgevision swap {name}")
        return
    from edgevision.cli.swap import swap as swap_model

    swap_model(name)
