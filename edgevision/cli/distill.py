"""``edgevision distill``: the teaching line, from a camera's frames to a compact model of your own in the store."""

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

app = CommandGroup(
    help="Teach a compact model: a big one labels, a small one learns, is quantised, measured and put in the store.",
    no_args_is_help=True,
)


@app.command()
def collect(
    source: Annotated[str, typer.Option(help="As for `edgevision run`: camera, stream, clip, folder, scene://.")],
    out: Annotated[Path, typer.Option(help="Folder; pictures go to its images/.")],
    most: Annotated[int | None, typer.Option(min=1, help="Keep at most so many, the most doubtful.")] = None,
    model: Annotated[str | None, typer.Option(help="Prefer frames about which this model is in doubt.")] = None,
    against: Annotated[str | None, typer.Option(help="And those on which this model disagrees with --model.")] = None,
    only_doubtful: Annotated[bool, typer.Option("--only-doubtful", help="Keep no others.")] = False,
    every: Annotated[
        int | None, typer.Option(min=1, help="Look at one frame in so many; by default an even spread.")
    ] = None,
    sharp: Annotated[float, typer.Option(help="Sharper than this share of the frames before it, 0-1.")] = 0.5,
    png: Annotated[bool, typer.Option("--png", help="PNG in place of JPEG.")] = False,
    threads: Threads = None,
) -> None:
    """Keep frames worth labelling: sharp, unlike those kept, and where models doubt. Goes on where it stopped."""
    from edgevision.capture import open_source
    from edgevision.cli import distill_console
    from edgevision.errors import UsageError
    from edgevision.training.labelling.frame_selection import Collector, CollectSettings, check_settings
    from edgevision.training.labelling.frame_selection import collect as collect_frames
    from edgevision.training.labelling.uncertainty import load_doubter

    if (against or only_doubtful) and model is None:
        raise UsageError("--against and --only-doubtful: need a --model whose doubts are meant")
    settings = CollectSettings(most, every, sharp, only_doubtful, ".png" if png else ".jpg")
    check_settings(settings)
    doubters = [load_doubter(m, threads) if m else None for m in (model, against)]
    with open_source(source) as opened, distill_console.progress("collecting") as tell:
        report = collect_frames(opened, source, Collector(out, settings, *doubters), tell)
    distill_console.collect_table(report)
    if report.note:
        distill_console.say(report.note)
    distill_console.say(f"next: edgevision distill label --images {out} --teacher MODEL --out {out}")


@app.command()
def label(
    images: Annotated[Path, typer.Option(help="A folder of pictures.")],
    out: Annotated[Path, typer.Option(help="Data folder: made, or gone on with.")],
    teacher: Teacher,
    prompts: Prompts = None,
    sure: Sure = "0.45",
    doubt: Doubt = "0.25",
    mirror: Mirror = True,
    labels: Annotated[
        Path | None, typer.Option(help="Labels that people made, to be kept; YOLO's or COCO's layouts.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Where labelling runs: local, or ray.")] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="For ray: so many processes. Default: one a core.")] = None,
    address: Annotated[
        str | None, typer.Option(help="For ray: a cluster that runs. Default: one of its own, on this machine.")
    ] = None,
    threads: Threads = None,
    allow_upload: Annotated[
        bool, typer.Option("--allow-upload", help="For foundation:api: send every picture to another machine.")
    ] = False,
) -> None:
    """Label pictures by one or more teachers. Goes on where it stopped; broken pictures are counted, not fatal."""
    from edgevision.cli import distill_console
    from edgevision.training.labelling.auto_label import label_folder
    from edgevision.training.labelling.ensemble import engine_named

    run = engine_named(engine, workers, address)
    teachers, settings = teaching_of(teacher, prompts, sure, doubt, mirror, threads, allow_upload)
    with distill_console.progress("labelling") as tell:
        report = label_folder(images, out, teachers, settings, people=labels, engine=run, progress=tell)
    distill_console.label_table(report)
    if report.failed and report.failed == report.asked:
        distill_console.say("not one picture was labelled")
        raise typer.Exit(1)


app.command()(review)


@app.command()
def split(
    data: Annotated[Path, typer.Argument(help="A data folder.")],
    val: Annotated[float, typer.Option(help="Share of pictures to validate on.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Which groups validate.")] = 0,
) -> None:
    """Divide a data folder's pictures to train and to validate on, near-duplicates together."""
    from edgevision.cli import distill_console
    from edgevision.datasets.split import split_folder

    with distill_console.progress("looking for near-duplicates") as tell:
        report = split_folder(data, None, val, seed, tell)
    counts = ", ".join(f"{count} {part}" for part, count in sorted(report.counts.items()))
    distill_console.say(f"{counts}; {report.groups} groups of pictures that look alike, none of them in two parts")
    if report.note:
        distill_console.say(report.note)


@app.command("import")
def import_(
    place: Annotated[Path, typer.Argument(help="What another tool exported: YOLO's or COCO's layouts.")],
    out: Annotated[Path, typer.Option(help="Data folder to put it in.")],
    classes: Annotated[str | None, typer.Option(help="Names for YOLO's numbers, with commas between.")] = None,
) -> None:
    """Take in labels of CVAT, Label Studio, FiftyOne, Roboflow, Ultralytics or COCO."""
    from edgevision.cli import distill_console
    from edgevision.datasets.convert import import_data

    with distill_console.progress("importing") as tell:
        counts = import_data(place, out, names_in(classes), tell)
    distill_console.say(f"{out}: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count))


@app.command()
def write(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    layout: Annotated[str, typer.Option("--format", help="yolo or coco.")] = "yolo",
) -> None:
    """Write labels for another tool, as YOLO text or COCO JSON; doubtful boxes are left out."""
    from edgevision.cli import distill_console
    from edgevision.datasets.convert import export_data

    counts = export_data(data, out, layout)
    distill_console.say(f"{out}: " + ", ".join(f"{count} {part}" for part, count in counts.items()))


app.command()(train)
app.command()(mean)
app.command()(export)
app.command()(evaluate)
app.command()(head)
app.command("all")(all_)
