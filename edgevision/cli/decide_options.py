"""The options of ``edgevision decide``, as one dataclass. An answer's field has the name that it has in `Answers`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

_TASK, _NEED, _DATA, _PEOPLE, _PRICES, _OUT = "Task", "Needs", "Data", "People", "Prices", "Output"


@dataclass(frozen=True, slots=True)
class DecideOptions:
    """Answers about the situation; None means unknown."""

    answers: Annotated[Path | None, typer.Option(help="TOML file of answers; options override it.")] = None
    bench: Annotated[list[Path] | None, typer.Option(help="run.json of `edgevision bench`. Repeatable.")] = None
    material: Annotated[
        str | None, typer.Option(help="Input of the model: pictures, text or numbers.", rich_help_panel=_TASK)
    ] = None
    task: Annotated[
        str | None,
        typer.Option(help="Task: fixed (known classes) or open (classes asked for in words).", rich_help_panel=_TASK),
    ] = None
    answer: Annotated[
        str | None,
        typer.Option(
            "--answer-type", help="Answer: where (boxes) or kind (class of a frame or crop).", rich_help_panel=_TASK
        ),
    ] = None
    fps: Annotated[float | None, typer.Option(help="Required frames per second.", rich_help_panel=_NEED)] = None
    latency_ms: Annotated[float | None, typer.Option(help="Maximum latency in ms.", rich_help_panel=_NEED)] = None
    device: Annotated[
        str | None,
        typer.Option("--target", help="Target device: phone, pi, laptop, server or gpu.", rich_help_panel=_NEED),
    ] = None
    frames_month: Annotated[float | None, typer.Option(help="Frames per month.", rich_help_panel=_NEED)] = None
    scale_later: Annotated[
        bool | None,
        typer.Option("--scale-later/--no-scale", help="Whether it must scale later.", rich_help_panel=_NEED),
    ] = None
    days: Annotated[float | None, typer.Option(help="Days until the first version.", rich_help_panel=_NEED)] = None
    may_leave: Annotated[
        bool | None,
        typer.Option("--may-leave/--private", help="Whether frames may leave your machines.", rich_help_panel=_NEED),
    ] = None
    control: Annotated[
        bool | None,
        typer.Option("--control/--no-control", help="Whether you must control the model.", rich_help_panel=_NEED),
    ] = None
    labels: Annotated[
        int | None, typer.Option("--labelled-images", help="Number of labelled images.", rich_help_panel=_DATA)
    ] = None
    unlabelled: Annotated[int | None, typer.Option(help="Number of unlabelled images.", rich_help_panel=_DATA)] = None
    uniform: Annotated[
        bool | None,
        typer.Option(
            "--uniform/--varied", help="Whether the images are uniform: one place, one light.", rich_help_panel=_DATA
        ),
    ] = None
    teacher_knows: Annotated[
        bool | None,
        typer.Option(
            "--teacher-knows/--teacher-fails",
            help="Whether a foundation model finds your objects.",
            rich_help_panel=_DATA,
        ),
    ] = None
    can_label: Annotated[
        bool | None,
        typer.Option(
            "--can-label/--nobody-labels", help="Whether someone is available to label images.", rich_help_panel=_PEOPLE
        ),
    ] = None
    ml_people: Annotated[
        bool | None,
        typer.Option(
            "--ml-people/--no-ml-people", help="Whether someone has trained a model before.", rich_help_panel=_PEOPLE
        ),
    ] = None
    machine_hour: Annotated[float, typer.Option(min=0, help="Price of a machine hour.", rich_help_panel=_PRICES)] = 0.10
    person_hour: Annotated[float, typer.Option(min=0, help="Price of an hour of work.", rich_help_panel=_PRICES)] = 40.0
    api_frame: Annotated[float, typer.Option(min=0, help="Price of one API answer.", rich_help_panel=_PRICES)] = 0.001
    svg: Annotated[
        Path | None, typer.Option(help="Write the decision chart to this SVG file.", rich_help_panel=_OUT)
    ] = None
    html: Annotated[Path | None, typer.Option(help="Write an HTML page to this file.", rich_help_panel=_OUT)] = None
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_OUT)] = False
    ask: Annotated[
        bool | None, typer.Option("--ask/--no-ask", help="Ask for missing answers. Default: only at a terminal.")
    ] = None

    def said(self, names: Collection[str]) -> dict[str, object]:
        """The fields of ``names`` that were given."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}
