"""``edgevision decide``: custom, foundation, or both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgevision.cli.command import takes
from edgevision.cli.decide_options import DecideOptions
from edgevision.cli.outputs import Output, check_outputs

if TYPE_CHECKING:
    from edgevision.bench.decide import Answers, Cost, Decision, Evidence
    from edgevision.bench.decide.rules import Question


@takes(DecideOptions)
def decide(options: DecideOptions) -> None:
    """Decide between a custom model, a foundation model, or both, from a few answers and measurements.

    Asks its questions at a terminal. The rules are in edgevision/bench/decide/rules.py.

    Examples:

        edgevision decide
        edgevision decide --fps 30 --target pi --unlabelled 2000 --html page.html
    """
    from edgevision.bench.decide import Prices, chart, costs
    from edgevision.bench.decide import decide as walk
    from edgevision.bench.decide.answers import Answers, made, read_answers
    from edgevision.bench.decide.page import page

    check_outputs(
        [Output(option, path) for option, path in (("--svg", options.svg), ("--html", options.html)) if path],
        {"--answers": options.answers, "--bench": options.bench},
    )
    told = dict(read_answers(options.answers).told()) if options.answers else {}
    told |= options.said(Answers.model_fields)
    evidence = _evidence(options.bench or [])
    interview = sys.stdin.isatty() and not told if options.ask is None else options.ask
    decision = walk(made(told, "decide"), evidence, _ask if interview else None)
    prices = Prices(machine_hour=options.machine_hour, person_hour=options.person_hour, api_frame=options.api_frame)
    sums = costs(decision.answers, evidence, prices)
    if options.svg is not None:
        _write(options.svg, chart(decision))
    if options.html is not None:
        _write(options.html, page(decision, sums, prices))
    if options.json:
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
    from rich.markup import escape
    from rich.table import Table

    from edgevision.bench.decide import MEANING
    from edgevision.cli.terminal import Terminal

    console = Terminal(highlight=False)
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
