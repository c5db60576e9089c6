"""The command line: one file a command. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from edgevision.cli import bench, distill, models
from edgevision.cli.command import CommandGroup
from edgevision.cli.decide import decide
from edgevision.cli.doctor.command import doctor
from edgevision.cli.run import run
from edgevision.cli.safe_stream import guard_streams
from edgevision.cli.swap import swap

app = CommandGroup(
    name="edgevision",
    help="""Real-time object detection: a camera frame goes in, boxes come out, more than 30 times a second.

    Examples:

        edgevision run                     # detect on the first camera
        edgevision bench                   # is it real time on this machine?
        edgevision swap best               # exchange the model while it runs
        edgevision doctor                  # check the installation""",
    no_args_is_help=True,
)
app.command()(run)
app.command()(swap)
app.command()(decide)
app.command()(doctor)
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")
app.add_typer(distill.app, name="distill")


def _show_version(asked: bool) -> None:
    if asked:
        from edgevision import __version__

        typer.echo(f"edgevision {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _run_defaults() -> dict[str, str | int]:
    """Read only for `run`, so that help stays fast."""
    if sys.argv[1:2] != ["run"] or {"-h", "--help"} & set(sys.argv):
        return {}
    from edgevision.cli.defaults import run_defaults

    return run_defaults(sys.argv[2:])


def main() -> None:
    """Run a command; whatever goes wrong is one line on stderr and an exit code that is not 0."""
    guard_streams()
    if logging.lastResort is not None:  # warnings of the library, in commands that set up no logging
        logging.lastResort.setFormatter(logging.Formatter("edgevision: %(levelname)s: %(message)s"))
    try:
        app(default_map={"run": _run_defaults()})
    except Exception as exc:
        from edgevision.cli.last_resort import sentence_of

        text, code = sentence_of(exc)
        typer.echo(f"edgevision: {text}", err=True)
        sys.exit(code)
