"""``edgevision models engines``: which inference engine runs a model fastest on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgevision.detectors.engine_choice import EngineChoice


def engines(
    model: Annotated[str, typer.Argument(help="Model name, or the path of its folder or .onnx file.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Time a model in every installed engine, and let `--engine auto` take the fastest that agrees.

    An engine agrees where its boxes are onnxruntime's within 1 px of the input and 0.02 of score on the model's golden
    images. The outcome is kept for this machine and these versions.

    Example:

        edgevision models engines person
    """
    from edgevision.deployment.engine_trial import choose_and_keep
    from edgevision.detectors.engines import ENGINES, installed_engines

    choice = choose_and_keep(model)
    if json_:
        typer.echo(json.dumps(asdict(choice), indent=2, ensure_ascii=False))
        return
    show_choice(choice)
    missing = [f"pip install 'edgevision[{ENGINES[n].extra}]'" for n in ENGINES if n not in installed_engines()]
    if missing:
        typer.echo(f"not installed: {', '.join(missing)}")


def show_choice(choice: EngineChoice) -> None:
    """One line an engine on standard output, and what ``auto`` takes."""
    for time in choice.times:
        took = "not timed" if time.median_ms is None else f"{time.median_ms:.2f} ms"
        mark = "*" if time.engine == choice.chosen else " "
        typer.echo(f"{mark} {time.engine:12s} {time.provider or '-':22s} {took:>10s}  {time.note}")
    typer.echo(f"--engine auto takes {choice.chosen}")
