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
from edgevision.cli.outputs import Output, check_folder, check_outputs


def train(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA...", help="Datasets: folders of this program, YOLO, COCO or VOC."),
    ],
    student: Student,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    val: Annotated[Path | None, typer.Option(help="Validation set, in place of DATA's own.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run.")] = False,
    epochs: Epochs = None,
    side: Side = None,
    init: Init = None,
    soft: Soft = None,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Train a student by a recipe; writes checkpoint, log and curves after each epoch.

    Examples:

        edgevision distill train data --student person --out run
        torchrun --nproc-per-node 2 -m edgevision distill train data \\
            --student person --out run
    """
    from edgevision.cli import distill_console
    from edgevision.training.train import train_student, usual_workers

    check_outputs([Output("--out", out, ())], {"DATA": data, "--val": val})
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
    distill_console.say(
        f"{made}; log and curves are in the same folder; next: edgevision distill export {out} --name NAME --int8"
    )


def mean(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a checkpoint in it.")],
    others: Annotated[
        list[str],
        typer.Option(
            "--with", metavar="NET=SHARE", help="Other weights and their share, such as person=0.35. Repeatable."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Checkpoint to write. Default: RUN/mean.pt.")] = None,
) -> None:
    """Average a run's weights with related checkpoints, such as the one it started from.

    Example:

        edgevision distill mean run --with person=0.35
    """
    from edgevision.cli import distill_console
    from edgevision.training.extras import need_train

    need_train("averaging students")
    from edgevision.training.checkpoints import LAST
    from edgevision.training.weight_averaging import mean_with, shares_in

    target = out or (run if run.is_dir() else run.parent) / "mean.pt"
    shares = shares_in(others)
    nets = [run / LAST if run.is_dir() else run, *(Path(place) / LAST for place, _ in shares)]
    check_folder("--out", target.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    check_outputs([Output("--out", target)], {"RUN": nets, "--with": [place for place, _ in shares]})
    mean_with(run, shares, target, distill_console.say)
    distill_console.say(f"next: edgevision distill export {target} --name NAME --int8")


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a checkpoint.")],
    name: Annotated[str, typer.Option(help="Name of the model.")],
    int8: Annotated[bool, typer.Option("--int8", help="Quantise to int8: several times as fast on a CPU.")] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Store float weights in 16 bits: half the file size, the same speed.")
    ] = False,
    calibrate: Annotated[Path | None, typer.Option(help="Images that calibrate int8. Default: the run's own.")] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset to measure on, in place of the run's own.")] = None,
    out: Annotated[Path | None, typer.Option(help="Model folder. Default: among your models.")] = None,
    version: Annotated[str, typer.Option(help="Version of the model, shown as name@version.")] = "1",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unknown",
    origin: Annotated[list[str] | None, typer.Option(help="Source of the data with its licence. Repeatable.")] = None,
    conf: Annotated[float, typer.Option(min=0, max=1, help="Score threshold stored in the model.")] = 0.3,
    classes: Annotated[
        str | None, typer.Option(help="Comma-separated class names, if the checkpoint has none.")
    ] = None,
    side: Side = None,
    pictures: Annotated[
        str, typer.Option(help="Images on the card: data, scene (if the data may not be republished) or none.")
    ] = "data",
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Accept an int8 model that loses over 1.5 points of AP50.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of that name.")] = False,
) -> None:
    """Export a run as a model: ONNX with preprocessing inside, golden checks, figures and a card.

    Example:

        edgevision distill export run --name walkers --int8
    """
    from edgevision.cli import distill_console
    from edgevision.detectors.registry import user_models_folder
    from edgevision.errors import UsageError
    from edgevision.training.export.export import export_any
    from edgevision.training.export.model_card import ModelCardFields
    from edgevision.training.export.options import ExportOptions

    if int8 and half:
        raise UsageError("--int8 --half: expected one of them: int8 weights are smaller than 16 bits already")
    if pictures not in ("data", "scene", "none"):
        raise UsageError(f"--pictures: expected data, scene or none, got {pictures!r}")
    fields = ModelCardFields(
        name,
        version,
        licence,
        conf,
        data=tuple(origin or ()),
        pictures=pictures,
        allow_loss=allow_loss,
        replace=replace,
    )
    target = out or user_models_folder() / name
    check_outputs([Output("--out", target, ())], {"RUN": run, "--data": data, "--calibrate": calibrate})
    shipped = export_any(
        run,
        target,
        fields,
        ExportOptions(int8, half, calibrate, data, tuple(names_in(classes) or ()), side),
        distill_console.say,
    )
    distill_console.say(f"{shipped.manifest.label}: {shipped.ms:.1f} ms on one thread, in {shipped.folder}")


def evaluate(
    model: Annotated[str, typer.Argument(help="Model name or path, or foundation:NAME.")],
    data: Annotated[Path, typer.Option(help="Dataset: this program's folder, YOLO, COCO or VOC.")],
    teacher: Annotated[list[str] | None, typer.Option(help="Teacher to compare with. Repeatable.")] = None,
    baseline: Annotated[list[str] | None, typer.Option(help="Model to compare with. Repeatable.")] = None,
    part: Annotated[
        str, typer.Option("--split", help="Part: val, train, test or all. Default: val if there is one.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the precision-recall curve, the worst images and JSON.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of one inference.")] = 1,
) -> None:
    """Measure a model on a dataset: AP by class and size with intervals, compared with other models.

    Example:

        edgevision distill evaluate walkers --data data --out figures
    """
    import json

    from edgevision.cli import distill_console
    from edgevision.datasets.dataset import read_data
    from edgevision.evaluation.contact_sheet import write_sheets
    from edgevision.evaluation.evaluate import evaluate as measure
    from edgevision.evaluation.evaluate import load_to_measure, of_part

    files = ("evaluation.json", "precision-recall.svg")
    check_outputs([None if out is None else Output("--out", out, files)], {"--data": data, "MODEL": model})
    read = read_data(data)
    for sentence in read.report.sentences():
        distill_console.say(sentence)
    held = of_part(read, part)
    names = [model, *(teacher or ()), *(baseline or ())]
    detectors = [load_to_measure(n, held.classes, threads) for n in names]
    with distill_console.progress("measuring") as tell:
        evaluation = measure(detectors, held, progress=tell)
    if json_:
        typer.echo(json.dumps(evaluation.as_json(), indent=2, ensure_ascii=False))
    else:
        distill_console.evaluation_table(evaluation)
    if out is not None:
        write_sheets(evaluation, out)
        distill_console.say(f"evaluation.json, precision-recall.svg and the worst images are in {out}")
