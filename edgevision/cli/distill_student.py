"""``edgevision distill train``, ``mean``, ``export`` and ``evaluate``: a student from its recipe to its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevision.cli.distill_options import (
    Device,
    Epochs,
    Init,
    Side,
    Soft,
    Student,
    Threads,
    Workers,
    names_in,
    recipe_of,
)


def train(
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Data folders, or YOLO's or COCO's layouts.")],
    student: Student,
    out: Annotated[Path, typer.Option(help="Folder of this run.")],
    val: Annotated[Path | None, typer.Option(help="Validate on these in place of DATA's own part.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this run stopped.")] = False,
    epochs: Epochs = None,
    side: Side = None,
    init: Init = None,
    soft: Soft = None,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Train a student by a recipe. Checkpoint, log and curves after each epoch; under torchrun on several processes."""
    from edgevision.cli import distill_console
    from edgevision.training.train import train_student, usual_workers

    recipe = recipe_of(student, epochs, side, init, soft)
    with distill_console.progress("training") as tell:
        made = train_student(
            data,
            recipe,
            out,
            validation=val,
            resume=resume,
            workers=usual_workers() if workers is None else workers,
            threads=threads,
            device=device,
            say=distill_console.say,
            progress=tell,
        )
    distill_console.say(f"{made}; log and curves beside it; next: edgevision distill export {out} --name NAME --int8")


def mean(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a checkpoint in it.")],
    others: Annotated[
        list[str],
        typer.Option("--with", metavar="NET=SHARE", help="What else is in the mean: person=0.35. Repeat it."),
    ],
    out: Annotated[Path | None, typer.Option(help="Checkpoint to write; by default RUN/mean.pt.")] = None,
) -> None:
    """Average a run's weights with kin of it, such as the model it began from: often better than either."""
    from edgevision.cli import distill_console
    from edgevision.training.extras import need_train

    need_train("averaging students")
    from edgevision.training.weight_averaging import mean_with, shares_in

    target = out or (run if run.is_dir() else run.parent) / "mean.pt"
    mean_with(run, shares_in(others), target, distill_console.say)
    distill_console.say(f"next: edgevision distill export {target} --name NAME --int8")


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a checkpoint.")],
    name: Annotated[str, typer.Option(help="What the model is to be called.")],
    int8: Annotated[bool, typer.Option("--int8", help="Quantise: several times as fast on a CPU.")] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Keep a float model's weights in 16 bits: half the file, the same time.")
    ] = False,
    calibrate: Annotated[
        Path | None, typer.Option(help="Pictures that int8's ranges are taken from; by default the run's own.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Measure on these in place of the run's own.")] = None,
    out: Annotated[Path | None, typer.Option(help="The model's folder; by default among your models.")] = None,
    version: Annotated[str, typer.Option(help="Shown with every result, as name@version.")] = "1",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "unknown",
    origin: Annotated[list[str] | None, typer.Option(help="A source of the data with its licence. Repeat it.")] = None,
    score: Annotated[float, typer.Option(min=0, max=1, help="The model's own threshold.")] = 0.3,
    classes: Annotated[str | None, typer.Option(help="Names, where the checkpoint does not say them.")] = None,
    side: Side = None,
    pictures: Annotated[
        str, typer.Option(help="What the card shows: data; scene, where those may not be republished; none.")
    ] = "data",
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Ship int8 even if it loses over 1.5 points AP50.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of that name.")] = False,
) -> None:
    """Make a model of the store from a run: ONNX with its front inside, golden checks, measured, with a card."""
    from edgevision.cli import distill_console
    from edgevision.detectors.registry import user_models_folder
    from edgevision.errors import UsageError
    from edgevision.training.export.export import export_any
    from edgevision.training.export.model_card import ModelCardFields

    if int8 and half:
        raise UsageError("--int8 --half: expected one of them: int8 weights are smaller than 16 bits already")
    if pictures not in ("data", "scene", "none"):
        raise UsageError(f"--pictures: expected data, scene or none, got {pictures!r}")
    wish = ModelCardFields(
        name,
        version,
        licence,
        score,
        data=tuple(origin or ()),
        pictures=pictures,
        allow_loss=allow_loss,
        replace=replace,
    )
    shipped = export_any(
        run,
        out or user_models_folder() / name,
        wish,
        int8=int8,
        half=half,
        calibrate=calibrate,
        data=data,
        classes=names_in(classes),
        side_px=side,
        say=distill_console.say,
    )
    distill_console.say(f"{shipped.manifest.label}: {shipped.ms:.1f} ms on one thread, in {shipped.folder}")


def evaluate(
    model: Annotated[str, typer.Argument(help="A model's name or path, or foundation:NAME.")],
    data: Annotated[Path, typer.Option(help="Labelled pictures: ours, YOLO's or COCO's layouts.")],
    teacher: Annotated[list[str] | None, typer.Option(help="Set against this teacher. May be repeated.")] = None,
    against: Annotated[list[str] | None, typer.Option(help="Set against this model. May be repeated.")] = None,
    part: Annotated[
        str, typer.Option("--split", help="val, train, test or all; by default val where there is one.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for curve, worst pictures and JSON.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads.")] = 1,
) -> None:
    """Measure a model on labelled pictures: AP by class and size with intervals, beside others. Needs no extra."""
    import json

    from edgevision.cli import distill_console
    from edgevision.datasets.dataset import read_data
    from edgevision.evaluation.contact_sheet import write_sheets
    from edgevision.evaluation.evaluate import evaluate as measure
    from edgevision.evaluation.evaluate import load_to_measure, of_part

    held = of_part(read_data(data), part)
    names = [model, *(teacher or ()), *(against or ())]
    detectors = [load_to_measure(n, held.classes, threads) for n in names]
    with distill_console.progress("measuring") as tell:
        evaluation = measure(detectors, held, progress=tell)
    if json_:
        typer.echo(json.dumps(evaluation.as_json(), indent=2, ensure_ascii=False))
    else:
        distill_console.evaluation_table(evaluation)
    if out is not None:
        write_sheets(evaluation, out)
        distill_console.say(f"evaluation.json, precision-recall.png and the worst pictures in {out}")
