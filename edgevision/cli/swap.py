"""``edgevision swap``: exchange the model of a running app, and follow its checks."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgevision.cli.command import has_settings
from edgevision.deployment.gates import settings as gates_settings

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from edgevision.web.control_client import App

_ASK_EVERY_S = 0.2
_REFUSED = 4
_COLOURS = {"passed": "green", "failed": "bold red", "failed, forced": "yellow"}
_GATES, _RUNNING = "Checks", "The running app"


@has_settings(gates_settings(), _GATES)
def swap(
    model: Annotated[
        str | None, typer.Argument(help="Model name, path of an .onnx file or folder, or foundation:NAME.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of the app, if several run.", rich_help_panel=_RUNNING),
    ] = None,
    force: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Treat this check as a warning. Repeatable.", rich_help_panel=_GATES),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run the checks without exchanging.")] = False,
    revert: Annotated[
        bool, typer.Option("--revert", help="Roll back to the previous model; stops a running swap.")
    ] = False,
    history: Annotated[bool, typer.Option("--history", help="List the swaps of this app.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Swap the model of a running app. The old model serves until the new one has passed every check.

    Exit code 0 if the new model serves or passed a dry run, 4 if it was refused or rolled back.

    Examples:

        edgevision swap gates                  # a model of `edgevision models list`
        edgevision swap gates --budget-ms 50 --force shadow
        edgevision swap --revert
    """
    from edgevision.deployment.gates import gates_from
    from edgevision.errors import UsageError
    from edgevision.web.control_client import find_app

    if (model is not None) + revert + history != 1:
        raise UsageError("expected one of: a model to swap in, --revert, --history")
    if model is None:
        app = find_app(to)
        if history:
            _show_history(app, json_)
            return
        _end(app.ask("revert"), json_)
        return
    gates = {name: str(value) if isinstance(value, Path) else value for name, value in (settings or {}).items()}
    gates |= {"dry_run": dry_run, "force": force or []}
    gates_from(gates)  # invalid values are refused without asking an app
    app = find_app(to)
    try:
        begun = app.ask("swap", model=_as_the_app_sees_it(model), gates=gates)
        report = _wait(app, begun, json_)
    except KeyboardInterrupt:
        typer.echo(
            "\nedgevision: stopped waiting; the swap continues in the app: `edgevision swap --history` shows its "
            "result, `edgevision swap --revert` stops it",
            err=True,
        )
        raise typer.Exit(130) from None
    _end(report, json_)


def _as_the_app_sees_it(model: str) -> str:
    """A path is one of this shell's folder; the app runs in another."""
    is_path = model.lower().endswith(".onnx") or "/" in model or os.sep in model
    if model.startswith("foundation:") or not is_path:
        return model
    return str(Path(model).expanduser().resolve())


def _wait(app: App, progress: dict[str, Any], json_: bool) -> dict[str, Any]:
    """Follow a swap to its report, on the terminal check by check."""
    from contextlib import nullcontext

    from rich.live import Live

    console = _console()
    number = progress["number"]
    live = None if json_ or not console.is_terminal else Live(_table(progress), console=console, transient=True)
    with live or nullcontext():
        while progress.get("report") is None:
            time.sleep(_ASK_EVERY_S)
            progress = app.ask("progress", number=number)
            if live is not None:
                live.update(_table(progress))
    report: dict[str, Any] = progress["report"]
    return report


def _end(report: dict[str, Any], json_: bool) -> None:
    """Show a report, and exit by its verdict."""
    import json

    if json_:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        console = _console()
        console.print(_table(report | {"doing": ""}))
        for check in report["checks"]:
            if len(check["classes"]) > 1:
                console.print(_class_table(check))
        console.print(_sentence(report), highlight=False)
    if report["verdict"] not in ("accepted", "passed", "went back"):
        raise typer.Exit(_REFUSED)


def _verdict_words(report: dict[str, Any]) -> str:
    """The verdict in words; its JSON values stay as they were."""
    verdict = str(report["verdict"])
    return {"went back": "rolled back", "reverted": "rolled back"}.get(verdict, verdict)


def _failed(report: dict[str, Any]) -> dict[str, Any] | None:
    return next((c for c in report["checks"] if not c["passed"] and not c["forced"]), None)


def _sentence(report: dict[str, Any]) -> str:
    colour = "green" if report["verdict"] in ("accepted", "passed", "went back") else "bold red"
    failed = _failed(report)
    words = f"[{colour}]{_verdict_words(report)}[/]" + (f" by {failed['name']}" if failed else "")
    words += f": {report['serves']} serves"
    if report["verdict"] in ("accepted", "went back") and report["first_frame"] is not None:
        words += f" since frame {report['first_frame']}"
    return words


def _table(progress: dict[str, Any]) -> RenderableType:
    """A line for each check; the limit of one that failed is below its figure."""
    from rich.markup import escape
    from rich.table import Table

    title = f"swap {progress['number']}: {escape(progress['old'])} → {escape(progress['new'])}"
    table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("figure")
    for check in progress["checks"]:
        word = "passed" if check["passed"] else "failed, forced" if check["forced"] else "failed"
        figure = escape(check["figure"]) + ("" if check["passed"] else f"\n[dim]expected: {escape(check['limit'])}[/]")
        table.add_row(check["name"], f"[{_COLOURS[word]}]{word}[/]", figure)
    if progress["doing"] and progress["doing"] not in {c["name"] for c in progress["checks"]}:
        table.add_row(progress["doing"], "[cyan]running[/]", "")
    return table


def _class_table(check: dict[str, Any]) -> RenderableType:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, title=f"{check['name']}, boxes per class")
    table.title_justify = "left"
    table.add_column("class")
    for heading in ("old model", "matched", "new model"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in check["classes"][:20]:
        share = f" ({row['found_again'] / row['old_boxes']:.0%})" if row["old_boxes"] else ""
        matched = f"{row['found_again']}{share}"
        table.add_row(escape(row["name"]), str(row["old_boxes"]), matched, str(row["new_boxes"]))
    return table


def _show_history(app: App, json_: bool) -> None:
    import json
    from datetime import datetime

    from rich.markup import escape

    reports = app.ask("history")["reports"]
    if json_:
        typer.echo(json.dumps(reports, indent=2, ensure_ascii=False))
        return
    console = _console()
    if not reports:
        console.print("no swaps in this app yet")
        return
    for report in reports:
        when = datetime.fromtimestamp(report["began_unix_s"]).strftime("%Y-%m-%d %H:%M:%S")
        failed = _failed(report)
        head = f"{report['number']:>3}  {when}  {report['old']} → {report['new']}"
        console.print(escape(head), highlight=False, soft_wrap=True)
        text = escape(f": {failed['figure']}") if failed else ""
        console.print(f"     {_sentence(report)}{text}", highlight=False)


def _console() -> Console:
    from edgevision.cli.terminal import Terminal

    return Terminal()
