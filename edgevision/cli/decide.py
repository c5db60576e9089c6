"""``edgevision decide``: custom, foundation, or both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgevision.bench.decide import Answers, Cost, Decision, Evidence
    from edgevision.bench.decide.rules import Question

_TASK, _NEED, _DATA, _PEOPLE, _PRICES, _OUT = "Task", "Needs", "Data", "People", "Prices", "Output"


def decide(
    answers: Annotated[Path | None, typer.Option(help="Answers in a TOML file; flags go before it.")] = None,
    bench: Annotated[list[Path] | None, typer.Option(help="A run.json of `edgevision bench`; repeatable.")] = None,
    material: Annotated[str | None, typer.Option(help="pictures, text or numbers.", rich_help_panel=_TASK)] = None,
    task: Annotated[str | None, typer.Option(help="fixed or open.", rich_help_panel=_TASK)] = None,
    answer: Annotated[
        str | None, typer.Option(help="where (boxes) or kind (which of some).", rich_help_panel=_TASK)
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second it must do.", rich_help_panel=_NEED)] = None,
    latency_ms: Annotated[float | None, typer.Option(help="Latest answer, ms.", rich_help_panel=_NEED)] = None,
    device: Annotated[str | None, typer.Option(help="phone, pi, laptop, server or gpu.", rich_help_panel=_NEED)] = None,
    frames_month: Annotated[float | None, typer.Option(help="Frames a month.", rich_help_panel=_NEED)] = None,
    scale_later: Annotated[
        bool | None, typer.Option("--scale-later/--no-scale", help="Must it grow?", rich_help_panel=_NEED)
    ] = None,
    days: Annotated[float | None, typer.Option(help="Days to a first version.", rich_help_panel=_NEED)] = None,
    may_leave: Annotated[
        bool | None, typer.Option("--may-leave/--private", help="May frames leave?", rich_help_panel=_NEED)
    ] = None,
    control: Annotated[
        bool | None, typer.Option("--control/--no-control", help="Must the model be yours?", rich_help_panel=_NEED)
    ] = None,
    labels: Annotated[int | None, typer.Option(help="Labelled pictures.", rich_help_panel=_DATA)] = None,
    unlabelled: Annotated[int | None, typer.Option(help="Pictures without labels.", rich_help_panel=_DATA)] = None,
    uniform: Annotated[
        bool | None, typer.Option("--uniform/--varied", help="All alike?", rich_help_panel=_DATA)
    ] = None,
    teacher_knows: Annotated[
        bool | None,
        typer.Option("--teacher-knows/--teacher-fails", help="Does one find your things?", rich_help_panel=_DATA),
    ] = None,
    can_label: Annotated[
        bool | None, typer.Option("--can-label/--nobody-labels", help="Hands to draw boxes?", rich_help_panel=_PEOPLE)
    ] = None,
    ml_people: Annotated[
        bool | None, typer.Option("--ml-people/--no-ml-people", help="Trained models before?", rich_help_panel=_PEOPLE)
    ] = None,
    machine_hour: Annotated[float, typer.Option(min=0, help="Of one machine.", rich_help_panel=_PRICES)] = 0.10,
    person_hour: Annotated[float, typer.Option(min=0, help="Of one person.", rich_help_panel=_PRICES)] = 40.0,
    api_frame: Annotated[float, typer.Option(min=0, help="An API's answer.", rich_help_panel=_PRICES)] = 0.001,
    svg: Annotated[Path | None, typer.Option(help="Write the chart.", rich_help_panel=_OUT)] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page.", rich_help_panel=_OUT)] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_OUT)] = False,
    ask: Annotated[
        bool | None, typer.Option("--ask/--no-ask", help="Ask what was not told; by default at a terminal.")
    ] = None,
) -> None:
    """Decide between a custom model, a foundation model, and both, from a few answers and what was measured.

    Asks what it needs to know. Every reason is in edgevision/bench/decide/rules.py.
    """
    from edgevision.bench.decide import Prices, chart, costs
    from edgevision.bench.decide import decide as walk
    from edgevision.bench.decide.answers import made, read_answers
    from edgevision.bench.decide.page import page

    flags = {
        "material": material, "task": task, "answer": answer, "fps": fps, "latency_ms": latency_ms, "device": device,
        "frames_month": frames_month, "scale_later": scale_later, "days": days, "may_leave": may_leave,
        "control": control, "labels": labels, "unlabelled": unlabelled, "uniform": uniform,
        "teacher_knows": teacher_knows, "can_label": can_label, "ml_people": ml_people,
    }  # fmt: skip
    told = dict(read_answers(answers).told()) if answers else {}
    told |= {name: value for name, value in flags.items() if value is not None}
    evidence = _evidence(bench or [])
    interview = sys.stdin.isatty() and not told if ask is None else ask
    decision = walk(made(told, "decide"), evidence, _ask if interview else None)
    prices = Prices(machine_hour=machine_hour, person_hour=person_hour, api_frame=api_frame)
    sums = costs(decision.answers, evidence, prices)
    if svg is not None:
        _write(svg, chart(decision))
    if html is not None:
        _write(html, page(decision, sums, prices))
    if json_:
        typer.echo(_as_json(decision, sums))
    else:
        _show(decision, sums, prices.currency)


def _evidence(paths: list[Path]) -> Evidence:
    from edgevision.bench.decide import from_runs, reference

    if not paths:
        return reference()
    from edgevision.bench import read_run

    return from_runs([read_run(path) for path in paths], f"from {', '.join(p.name for p in paths)}")


def _ask(question: Question, answers: Answers) -> Answers:
    """Put a chart question's needs to the person at the terminal; Enter leaves one open."""
    from edgevision.bench.decide.answers import made
    from edgevision.bench.decide.answers import question as wording
    from edgevision.errors import UsageError

    for name in question.needs:
        if getattr(answers, name) is not None:
            continue
        while True:
            said = typer.prompt(f"{wording(name)} (Enter: not known)", default="", show_default=False, err=True).strip()
            if not said:
                break
            value: object = {"y": True, "yes": True, "n": False, "no": False}.get(said.lower(), said)
            try:
                answers = made(answers.told() | {name: value}, "answer")
                break
            except UsageError as exc:
                typer.echo(str(exc), err=True)
    return answers


def _write(path: Path, text: str) -> None:
    from edgevision.errors import EdgeVisionError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise EdgeVisionError(f"{path}: cannot be written: {exc.strerror or exc}; name another place") from exc


def _as_json(decision: Decision, sums: tuple[Cost, ...]) -> str:
    import json
    from dataclasses import asdict

    return json.dumps(
        {
            "patterns": list(decision.patterns),
            "sentence": decision.sentence,
            "steps": [asdict(step) for step in decision.steps],
            "told": decision.answers.told(),
            "assumed": list(decision.assumed),
            "commands": list(decision.commands),
            "notes": list(decision.notes),
            "costs": [asdict(cost) for cost in sums],
            "evidence": {
                "source": decision.evidence.source,
                "measured": [asdict(m) for m in decision.evidence.measured],
            },
        },
        indent=1,
    )


def _show(decision: Decision, sums: tuple[Cost, ...], currency: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edgevision.bench.decide import MEANING

    console = Console(highlight=False)
    console.print(f"[bold]{escape(' and '.join(decision.patterns))}[/]", soft_wrap=True)
    for pattern in decision.patterns:
        console.print(f"  {escape(MEANING[pattern].what)}", soft_wrap=True)
    console.print()
    for step in decision.steps:
        mark = "yes" if step.yes else "no"
        why = "unknown, assumed" if step.assumed else step.why
        console.print(f"  {escape(step.ask)} [bold]{mark}[/]: {escape(why)}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("approach", no_wrap=True)
    table.add_column(f"once, {currency}", justify="right", no_wrap=True)
    table.add_column("per month", justify="right", no_wrap=True)
    table.add_column("calculation")
    for cost in sums:
        style = "bold" if cost.pattern in decision.patterns else ""
        table.add_row(cost.pattern, f"{cost.once:,.0f}", f"{cost.a_month:,.2f}", escape(cost.sums), style=style)
    console.print()
    console.print(table)
    for note in decision.notes:
        console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    if decision.commands:
        console.print("\nNext:")
        for command in decision.commands:
            console.print(f"  {escape(command)}", soft_wrap=True)
