"""``edgevision distill``: collect, label, review, split, train, export and evaluate a compact model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevision.cli.command import CommandGroup
from edgevision.cli.distill_all import all_
from edgevision.cli.distill_head import head
from edgevision.cli.distill_options import Data, Doubt, Mirror, Prompts, Sure, Teacher, Threads, names_in, teaching_of
from edgevision.cli.distill_review import review
from edgevision.cli.distill_student import evaluate, export, mean, train
from edgevision.cli.outputs import Output, check_outputs

app = CommandGroup(
    help="""Train a compact model: a large model labels, a compact one learns, is quantised, measured and installed.

    Example:

        edgevision distill all --source clip.mp4 --teacher picodet_s_416 \\
            --prompts person --student person --name walkers --out line""",
    no_args_is_help=True,
)


@app.command()
def collect(
    source: Annotated[str, typer.Option(help="Camera, stream, clip, folder or scene://, as in `edgevision run`.")],
    out: Annotated[Path, typer.Option(help="Dataset folder; frames are written to its images/.")],
    most: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of frames; the most uncertain are kept.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Prefer frames on which this model is uncertain.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Prefer frames on which this model disagrees with --model.")
    ] = None,
    only_doubtful: Annotated[bool, typer.Option("--only-doubtful", help="Keep uncertain frames only.")] = False,
    every: Annotated[int | None, typer.Option(min=1, help="Consider one frame in N. Default: an even spread.")] = None,
    sharp: Annotated[
        float, typer.Option(help="Sharpness: keep frames sharper than this share of earlier ones, 0-1.")
    ] = 0.5,
    png: Annotated[bool, typer.Option("--png", help="Write PNG instead of JPEG.")] = False,
    rotate: Annotated[
        int, typer.Option(metavar="DEGREES", help="Turn frames clockwise by 90, 180 or 270 degrees, as in `run`.")
    ] = 0,
    flip: Annotated[bool, typer.Option("--flip", help="Mirror frames left to right, after --rotate.")] = False,
    threads: Threads = None,
) -> None:
    """Collect frames worth labelling: sharp, new, and where models are uncertain. The same command resumes.

    Examples:

        edgevision distill collect --source clip.mp4 --out data --most 500
        edgevision distill collect --source 0 --out data --model person
    """
    from edgevision.capture import open_source
    from edgevision.cli import distill_console
    from edgevision.errors import UsageError
    from edgevision.training.labelling.frame_selection import Collector, CollectSettings, check_settings
    from edgevision.training.labelling.frame_selection import collect as collect_frames
    from edgevision.training.labelling.uncertainty import load_doubter

    if (baseline or only_doubtful) and model is None:
        raise UsageError("--baseline and --only-doubtful need --model: the model whose uncertainty is measured")
    settings = CollectSettings(most, every, sharp, only_doubtful, ".png" if png else ".jpg")
    check_settings(settings)
    check_outputs([Output("--out", out / "images", ())], {"--source": source})
    doubters = [load_doubter(m, threads) if m else None for m in (model, baseline)]
    with open_source(source, rotate=rotate, flip=flip) as opened, distill_console.progress("collecting") as tell:
        report = collect_frames(opened, source, Collector(out, settings, *doubters), tell)
    distill_console.collect_table(report)
    if report.note:
        distill_console.say(report.note)
    distill_console.say(f"next: edgevision distill label --images {out} --teacher MODEL --out {out}")


@app.command()
def label(
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    out: Annotated[Path, typer.Option(help="Dataset folder: new, or one to continue.")],
    teacher: Teacher,
    prompts: Prompts = None,
    sure: Sure = "0.45",
    doubt: Doubt = "0.25",
    mirror: Mirror = True,
    labels: Annotated[Path | None, typer.Option(help="Manual labels to keep, in a YOLO or COCO layout.")] = None,
    engine: Annotated[str, typer.Option(help="Where labelling runs: local or ray.")] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes (ray). Default: one per core.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Address of a running cluster (ray). Default: a new one on this machine.")
    ] = None,
    threads: Threads = None,
    allow_upload: Annotated[
        bool, typer.Option("--allow-upload", help="Allow foundation:api to send every image to another machine.")
    ] = False,
) -> None:
    """Label images with one or more teachers. The same command resumes; broken images are counted and reported.

    Examples:

        edgevision distill label --images photos --out data \\
            --teacher picodet_s_416 --prompts "person; car"
        edgevision distill label --images photos --out data \\
            --teacher foundation:owlv2 --prompts "helmet: a hard hat"
    """
    from edgevision.cli import distill_console
    from edgevision.training.labelling.auto_label import label_folder
    from edgevision.training.labelling.ensemble import engine_named

    check_outputs([Output("--out", out, ())], {})
    run = engine_named(engine, workers, address)
    teachers, settings = teaching_of(teacher, prompts, sure, doubt, mirror, threads, allow_upload)
    with distill_console.progress("labelling") as tell:
        report = label_folder(images, out, teachers, settings, people=labels, engine=run, progress=tell)
    distill_console.label_table(report)
    if report.failed and report.failed == report.asked:
        distill_console.say("no image was labelled")
        raise typer.Exit(1)


app.command()(review)


@app.command()
def split(
    data: Annotated[Path, typer.Argument(help="Dataset folder.")],
    val: Annotated[float, typer.Option(help="Share of images in the validation set.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Random seed of the split.")] = 0,
) -> None:
    """Split a dataset into training and validation set; near-duplicates stay together.

    Example:

        edgevision distill split data --val 0.2
    """
    from edgevision.cli import distill_console
    from edgevision.datasets.split import split_folder

    with distill_console.progress("looking for near-duplicates") as tell:
        report = split_folder(data, None, val, seed, tell)
    counts = ", ".join(f"{count} {part}" for part, count in sorted(report.counts.items()))
    distill_console.say(f"{counts}; {report.groups} groups of near-duplicates, each in one part")
    if report.note:
        distill_console.say(report.note)


@app.command("import")
def import_(
    place: Annotated[
        Path, typer.Argument(help="Export of another tool: a folder, zip or file of YOLO, COCO or Pascal VOC.")
    ],
    out: Annotated[Path, typer.Option(help="Dataset folder to write; what it holds already stays.")],
    classes: Annotated[str | None, typer.Option(help="Comma-separated class names for YOLO's numbers.")] = None,
) -> None:
    """Import labels of CVAT, Label Studio, FiftyOne, Roboflow, Ultralytics, COCO or Pascal VOC.

    Example:

        edgevision distill import roboflow-export --out data
    """
    from edgevision.cli import data_console, distill_console
    from edgevision.datasets.convert import import_data
    from edgevision.datasets.reading_report import ReadingReport
    from edgevision.errors import UsageError

    check_outputs([Output("--out", out, ("labels.json",))], {"PLACE": place})
    report = ReadingReport()
    try:
        with distill_console.progress("importing") as tell:
            summary = import_data(place, out, names_in(classes), tell, report)
    except UsageError:
        data_console.remarks(report)
        raise
    data_console.summary_table(summary)
    distill_console.say(f"{out}: " + ", ".join(f"{count} {status}" for status, count in summary.statuses.items()))


@app.command()
def check(
    place: Annotated[Path, typer.Argument(help="Dataset: a folder, zip or file of YOLO, COCO, Pascal VOC or ours.")],
    classes: Annotated[str | None, typer.Option(help="Comma-separated class names for YOLO's numbers.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with the images in question to this file.")] = None,
) -> None:
    """Check a dataset without importing it: labels, images, near-duplicates, class balance.

    The exit code is 1 where an image cannot be used, or a label is left out or changed.

    Example:

        edgevision distill check roboflow-export --html check.html
    """
    import json
    from contextlib import ExitStack

    from edgevision.cli import data_console, distill_console
    from edgevision.datasets.archive import unpacked
    from edgevision.datasets.check import check_read
    from edgevision.datasets.check_page import check_page
    from edgevision.datasets.dataset import read_data
    from edgevision.datasets.reading_report import ReadingReport
    from edgevision.datasets.storage import write_whole

    check_outputs([None if html is None else Output("--html", html)], {"PLACE": place})
    report = ReadingReport()
    with ExitStack() as stack:
        folder = stack.enter_context(unpacked(place, report))
        tell = stack.enter_context(distill_console.progress("reading"))
        checked = check_read(read_data(folder, names_in(classes), report=report, progress=tell))
        page = check_page(checked) if html is not None else ""
    if json_:
        typer.echo(json.dumps(checked.as_json(), indent=2, ensure_ascii=False))
    else:
        data_console.check_table(checked)
    if html is not None:
        write_whole(html, page)
        distill_console.say(f"page: {html}")
    if not checked.sound:
        raise typer.Exit(1)


@app.command()
def write(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    layout: Annotated[str, typer.Option("--format", help="Layout: yolo or coco.")] = "yolo",
) -> None:
    """Export labels for another tool, as YOLO text or COCO JSON; uncertain boxes are left out.

    Example:

        edgevision distill write data --out yolo-data --format yolo
    """
    from edgevision.cli import data_console, distill_console
    from edgevision.datasets.convert import export_data
    from edgevision.datasets.reading_report import ReadingReport

    check_outputs([Output("--out", out, ())], {"DATA": data})
    report = ReadingReport()
    counts = export_data(data, out, layout, report)
    data_console.remarks(report)
    distill_console.say(f"{out}: " + ", ".join(f"{count} {part}" for part, count in counts.items()))


app.command()(train)
app.command()(mean)
app.command()(export)
app.command()(evaluate)
app.command()(head)
app.command("all")(all_)
