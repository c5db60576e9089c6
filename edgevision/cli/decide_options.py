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
    """What a person said of their situation; None: not said."""

    answers: Annotated[Path | None, typer.Option(help="Answers in a TOML file; flags go before it.")] = None
    bench: Annotated[list[Path] | None, typer.Option(help="A run.json of `edgevision bench`; repeatable.")] = None
    material: Annotated[str | None, typer.Option(help="pictures, text or numbers.", rich_help_panel=_TASK)] = None
    task: Annotated[str | None, typer.Option(help="fixed or open.", rich_help_panel=_TASK)] = None
    answer: Annotated[
        str | None, typer.Option("--answer-type", help="where (boxes) or kind (which of some).", rich_help_panel=_TASK)
    ] = None
    fps: Annotated[float | None, typer.Option(help="Frames a second it must do.", rich_help_panel=_NEED)] = None
    latency_ms: Annotated[float | None, typer.Option(help="Latest answer, ms.", rich_help_panel=_NEED)] = None
    device: Annotated[
        str | None, typer.Option("--target", help="phone, pi, laptop, server or gpu.", rich_help_panel=_NEED)
    ] = None
    frames_month: Annotated[float | None, typer.Option(help="Frames a month.", rich_help_panel=_NEED)] = None
    scale_later: Annotated[
        bool | None, typer.Option("--scale-later/--no-scale", help="Must it grow?", rich_help_panel=_NEED)
    ] = None
    days: Annotated[float | None, typer.Option(help="Days to a first version.", rich_help_panel=_NEED)] = None
    may_leave: Annotated[
        bool | None, typer.Option("--may-leave/--private", help="May frames leave?", rich_help_panel=_NEED)
    ] = None
    control: Annotated[
        bool | None, typer.Option("--control/--no-control", help="Must the model be yours?", rich_help_panel=_NEED)
    ] = None
    labels: Annotated[int | None, typer.Option("--labelled-images", help="Labelled images.", rich_help_panel=_DATA)] = (
        None
    )
    unlabelled: Annotated[int | None, typer.Option(help="Pictures without labels.", rich_help_panel=_DATA)] = None
    uniform: Annotated[bool | None, typer.Option("--uniform/--varied", help="All alike?", rich_help_panel=_DATA)] = None
    teacher_knows: Annotated[
        bool | None,
        typer.Option("--teacher-knows/--teacher-fails", help="Does one find your things?", rich_help_panel=_DATA),
    ] = None
    can_label: Annotated[
        bool | None, typer.Option("--can-label/--nobody-labels", help="Hands to draw boxes?", rich_help_panel=_PEOPLE)
    ] = None
    ml_people: Annotated[
        bool | None, typer.Option("--ml-people/--no-ml-people", help="Trained models before?", rich_help_panel=_PEOPLE)
    ] = None
    machine_hour: Annotated[float, typer.Option(min=0, help="Of one machine.", rich_help_panel=_PRICES)] = 0.10
    person_hour: Annotated[float, typer.Option(min=0, help="Of one person.", rich_help_panel=_PRICES)] = 40.0
    api_frame: Annotated[float, typer.Option(min=0, help="An API's answer.", rich_help_panel=_PRICES)] = 0.001
    svg: Annotated[Path | None, typer.Option(help="Write the chart.", rich_help_panel=_OUT)] = None
    html: Annotated[Path | None, typer.Option(help="Write a page.", rich_help_panel=_OUT)] = None
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_OUT)] = False
    ask: Annotated[
        bool | None, typer.Option("--ask/--no-ask", help="Ask what was not told; by default at a terminal.")
    ] = None

    def said(self, names: Collection[str]) -> dict[str, object]:
        """Those of the fields ``names`` that were given."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}
