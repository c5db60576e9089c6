"""``edgevision distill head``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def head(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A folder per class, or a dataset whose boxes are cut out.")
    ],
    name: Annotated[str, typer.Option(help="Name of the model.")],
    features: Annotated[str, typer.Option(help="Feature network: dinov2, dinov3 or clip.")] = "dinov2",
    weights: Annotated[
        str | None, typer.Option(help="Weights of the feature network: a hub id, a folder, or random.")
    ] = None,
    version: Annotated[str, typer.Option(help="Version of the model, shown as name@version.")] = "1",
    out: Annotated[Path | None, typer.Option(help="Model folder. Default: among your models.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of that name.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, max=256, help="Threads of one inference.")] = None,
) -> None:
    """Fit a classifier on frozen features from a handful of examples: classify frames or detected objects.

    Examples:

        edgevision distill head classes/ --name helmets   # classes/NAME/*.jpg
        edgevision run --model person --then helmets
    """
    from edgevision.cli.console import announce
    from edgevision.cli.outputs import Output, check_outputs
    from edgevision.detectors.registry import user_models_folder
    from edgevision.training.linear_probe.examples import read_examples
    from edgevision.training.linear_probe.fit import fit, package

    target = out or user_models_folder() / name
    check_outputs([Output("--out", target, ())], {"DATA": data, "--weights": weights})
    examples = read_examples(data)
    for reason in examples.left_out:
        announce(f"left out: {reason}")
    made = fit(features, weights, examples, name, version=version, threads=threads, say=announce)
    package(made, target, replace)
    typer.echo(f"{made.manifest.label} in {target}")
    if made.manifest.accuracy:
        typer.echo(
            f"accuracy {made.accuracy:.3f} ({made.low:.3f} to {made.high:.3f}), {made.manifest.accuracy[0].data}"
        )
        for kind, (right, count) in made.by_kind.items():
            typer.echo(f"  {kind}: {right} of {count}")
    else:
        typer.echo("random weights: latency only")
    typer.echo(
        f"on the frame: edgevision run --model {name}    after a detector: edgevision run --model person --then {name}"
    )
