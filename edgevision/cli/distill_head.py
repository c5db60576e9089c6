"""``edgevision distill head``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def head(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A folder a kind, or labelled boxes to cut out.")],
    name: Annotated[str, typer.Option(help="Of the model in the store.")],
    features: Annotated[str, typer.Option(help="dinov2, dinov3 or clip.")] = "dinov2",
    weights: Annotated[str | None, typer.Option(help="A hub id, a folder, or random.")] = None,
    version: Annotated[str, typer.Option(help="Of the model.")] = "1",
    out: Annotated[Path | None, typer.Option(help="Folder; by default in the user's store.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a model of that name.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, max=256, help="Threads.")] = None,
) -> None:
    """Fit a light head on frozen features of a handful of examples: which kind a frame or a found thing is."""
    from edgevision.cli.console import announce
    from edgevision.detectors.registry import user_models_folder
    from edgevision.training.linear_probe.examples import read_examples
    from edgevision.training.linear_probe.fit import fit, ship

    examples = read_examples(data)
    for reason in examples.left_out:
        announce(f"left out: {reason}")
    target = out or user_models_folder() / name
    made = fit(features, weights, examples, name, version=version, threads=threads, say=announce)
    ship(made, target, replace)
    typer.echo(f"{made.manifest.label} in {target}")
    if made.manifest.accuracy:
        typer.echo(
            f"accuracy {made.accuracy:.3f} ({made.low:.3f} to {made.high:.3f}), {made.manifest.accuracy[0].data}"
        )
        for kind, (right, count) in made.by_kind.items():
            typer.echo(f"  {kind}: {right} of {count}")
    else:
        typer.echo("random weights: its speed is true, its answers are not")
    typer.echo(
        f"on the frame: edgevision run --model {name}    after a detector: edgevision run --model person --then {name}"
    )
