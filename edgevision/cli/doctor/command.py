"""``edgevision doctor``: check packages and cameras, and print a fix for each problem."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgevision.cli.doctor import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fault": "bold red"}


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Check packages and cameras, and print a fix for each problem.

    Opens every camera for a moment, and a small window if there is a screen. Exit code 1 if there is a fault.

    Example:

        edgevision doctor
    """
    from edgevision import __version__
    from edgevision.cli.doctor import examine

    if sys.stderr.isatty():
        typer.echo("checking (every camera is opened, which takes some seconds) …", err=True)
    findings = examine()
    faults = sum(finding.state == "fault" for finding in findings)
    warnings = sum(finding.state == "warn" for finding in findings)
    if json_:
        report = {"version": __version__, "faults": faults, "findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(report, ensure_ascii=False, indent=2))
    elif sys.stdout.isatty():
        _show_table(findings)
        typer.echo(_verdict(faults, warnings))
    else:
        for finding in findings:
            typer.echo(f"{finding.state:<5} {finding.area}: {finding.subject}: {finding.text}")
            if finding.fix:
                typer.echo(f"      fix: {finding.fix}")
        typer.echo(_verdict(faults, warnings))
    if faults:
        raise typer.Exit(1)


def _verdict(faults: int, warnings: int) -> str:
    def count(number: int, word: str) -> str:
        return f"{number} {word}{'' if number == 1 else 's'}"

    if faults:
        return f"{count(faults, 'fault')}, {count(warnings, 'warning')}: the fix of each is above."
    return f"No faults, {count(warnings, 'warning')}."


def _show_table(findings: list[Finding]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from edgevision.cli.terminal import Terminal

    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column("state", no_wrap=True)
    table.add_column("subject", no_wrap=False, max_width=32)
    table.add_column("text", overflow="fold", ratio=1)
    area = ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            table.add_row("", Text(area, style="bold"), "")
        table.add_row(Text(finding.state, style=_COLOURS[finding.state]), Text(finding.subject), Text(finding.text))
    console = Terminal()
    console.print(table)
    for finding in findings:
        if finding.fix:
            console.print(Text(f"{finding.subject}:", style=_COLOURS[finding.state]))
            # Below the table and never wrapped, so that a command can be copied whole.
            typer.echo(f"    {finding.fix}")
