"""``edgevision distill``: the teaching line, from a camera's frames to a compact model of your own in the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgevision.cli.distill_head import head
from edgevision.cli.distill_review import review

if TYPE_CHECKING:
    from edgevision.distill.label_settings import LabelSettings
    from edgevision.distill.recipe import Recipe
    from edgevision.distill.teachers import TeacherSpec

app = typer.Typer(
    help="Teach a compact model: a big one labels, a small one learns, is quantised, measured and put in the store.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Data = Annotated[Path, typer.Argument(metavar="DATA", help="A data folder of ours, or YOLO's or COCO's layouts.")]
_Teacher = Annotated[
    list[str],
    typer.Option("--teacher", help="A model, MODEL*WEIGHT, or foundation:NAME. Repeat it: several are fused."),
]
_Prompts = Annotated[
    str | None,
    typer.Option(metavar="TEXT|FILE", help="'person: a person, a worker; helmet: a hard hat'. Default: all classes."),
]
_Sure = Annotated[str, typer.Option(help="Score from which a box is an object: 0.45, or '0.45, helmet=0.5'.")]
_Doubt = Annotated[str, typer.Option(help="Score from which a box is doubtful; under it, background.")]
_Mirror = Annotated[bool, typer.Option(help="Ask teachers for the mirror image too.")]
_Threads = Annotated[int | None, typer.Option(min=1, max=256, help="Threads.")]
_Student = Annotated[str, typer.Option("--student", help="A shipped recipe's name, or a recipe's .toml file.")]
_Epochs = Annotated[int | None, typer.Option(min=1, help="The recipe in so many epochs.")]
_Side = Annotated[int | None, typer.Option(min=32, help="Input side in px, a multiple of 32.")]
_Workers = Annotated[int | None, typer.Option(min=0, help="Processes that make samples; by default one a core.")]
_Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps. By default a GPU where there is one.")]
_Init = Annotated[str | None, typer.Option(help="Begin from a run, its checkpoint, or a model of ours: person.")]
_Soft = Annotated[str | None, typer.Option(help="boxes, scores or dense: overrules the recipe's soft targets.")]


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
    threads: _Threads = None,
) -> None:
    """Keep frames worth labelling: sharp, unlike those kept, and where models doubt. Goes on where it stopped."""
    from edgevision.capture import open_source
    from edgevision.distill import show
    from edgevision.distill.collect import Collector, CollectSettings, check_settings
    from edgevision.distill.collect import collect as collect_frames
    from edgevision.distill.doubt import load_doubter
    from edgevision.errors import UsageError

    if (against or only_doubtful) and model is None:
        raise UsageError("--against and --only-doubtful: need a --model whose doubts are meant")
    settings = CollectSettings(most, every, sharp, only_doubtful, ".png" if png else ".jpg")
    check_settings(settings)
    doubters = [load_doubter(m, threads) if m else None for m in (model, against)]
    with open_source(source) as opened, show.progress("collecting") as tell:
        report = collect_frames(opened, source, Collector(out, settings, *doubters), tell)
    show.collect_table(report)
    if report.note:
        show.say(report.note)
    show.say(f"next: edgevision distill label --images {out} --teacher MODEL --out {out}")


@app.command()
def label(
    images: Annotated[Path, typer.Option(help="A folder of pictures.")],
    out: Annotated[Path, typer.Option(help="Data folder: made, or gone on with.")],
    teacher: _Teacher,
    prompts: _Prompts = None,
    sure: _Sure = "0.45",
    doubt: _Doubt = "0.25",
    mirror: _Mirror = True,
    labels: Annotated[
        Path | None, typer.Option(help="Labels that people made, to be kept; YOLO's or COCO's layouts.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Where labelling runs: local, or ray.")] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="For ray: so many processes. Default: one a core.")] = None,
    address: Annotated[
        str | None, typer.Option(help="For ray: a cluster that runs. Default: one of its own, on this machine.")
    ] = None,
    threads: _Threads = None,
    allow_upload: Annotated[
        bool, typer.Option("--allow-upload", help="For foundation:api: send every picture to another machine.")
    ] = False,
) -> None:
    """Label pictures by one or more teachers. Goes on where it stopped; broken pictures are counted, not fatal."""
    from edgevision.distill import show
    from edgevision.distill.label import label_folder
    from edgevision.distill.labeller import engine_named

    run = engine_named(engine, workers, address)
    teachers, settings = _teaching(teacher, prompts, sure, doubt, mirror, threads, allow_upload)
    with show.progress("labelling") as tell:
        report = label_folder(images, out, teachers, settings, people=labels, engine=run, progress=tell)
    show.label_table(report)
    if report.failed and report.failed == report.asked:
        show.say("not one picture was labelled")
        raise typer.Exit(1)


app.command()(review)


@app.command()
def split(
    data: Annotated[Path, typer.Argument(help="A data folder.")],
    val: Annotated[float, typer.Option(help="Share of pictures to validate on.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Which groups validate.")] = 0,
) -> None:
    """Divide a data folder's pictures to train and to validate on, near-duplicates together."""
    from edgevision.distill import show
    from edgevision.distill.split import split_folder

    with show.progress("looking for near-duplicates") as tell:
        report = split_folder(data, None, val, seed, tell)
    counts = ", ".join(f"{count} {part}" for part, count in sorted(report.counts.items()))
    show.say(f"{counts}; {report.groups} groups of pictures that look alike, none of them in two parts")
    if report.note:
        show.say(report.note)


@app.command("import")
def import_(
    place: Annotated[Path, typer.Argument(help="What another tool exported: YOLO's or COCO's layouts.")],
    out: Annotated[Path, typer.Option(help="Data folder to put it in.")],
    classes: Annotated[str | None, typer.Option(help="Names for YOLO's numbers, with commas between.")] = None,
) -> None:
    """Take in labels of CVAT, Label Studio, FiftyOne, Roboflow, Ultralytics or COCO."""
    from edgevision.distill import show
    from edgevision.distill.exchange import import_data

    with show.progress("importing") as tell:
        counts = import_data(place, out, _names(classes), tell)
    show.say(f"{out}: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count))


@app.command()
def write(
    data: _Data,
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    layout: Annotated[str, typer.Option("--format", help="yolo or coco.")] = "yolo",
) -> None:
    """Write labels for another tool, as YOLO text or COCO JSON; doubtful boxes are left out."""
    from edgevision.distill import show
    from edgevision.distill.exchange import export_data

    counts = export_data(data, out, layout)
    show.say(f"{out}: " + ", ".join(f"{count} {part}" for part, count in counts.items()))


@app.command()
def train(
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Data folders, or YOLO's or COCO's layouts.")],
    student: _Student,
    out: Annotated[Path, typer.Option(help="Folder of this run.")],
    val: Annotated[Path | None, typer.Option(help="Validate on these in place of DATA's own part.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this run stopped.")] = False,
    epochs: _Epochs = None,
    side: _Side = None,
    init: _Init = None,
    soft: _Soft = None,
    workers: _Workers = None,
    threads: _Threads = None,
    device: _Device = None,
) -> None:
    """Train a student by a recipe. Checkpoint, log and curves after each epoch; under torchrun on several processes."""
    from edgevision.distill import show
    from edgevision.distill.train import train_student, usual_workers

    recipe = _recipe(student, epochs, side, init, soft)
    with show.progress("training") as tell:
        made = train_student(
            data,
            recipe,
            out,
            validation=val,
            resume=resume,
            workers=usual_workers() if workers is None else workers,
            threads=threads,
            device=device,
            say=show.say,
            progress=tell,
        )
    show.say(f"{made}; log and curves beside it; next: edgevision distill export {out} --name NAME --int8")


@app.command()
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
    side: _Side = None,
    pictures: Annotated[
        str, typer.Option(help="What the card shows: data; scene, where those may not be republished; none.")
    ] = "data",
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Ship int8 even if it loses over 1.5 points AP50.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of that name.")] = False,
) -> None:
    """Make a model of the store from a run: ONNX with its front inside, golden checks, measured, with a card."""
    from edgevision.distill import show
    from edgevision.distill.line import export_any
    from edgevision.distill.product import Wish
    from edgevision.errors import UsageError
    from edgevision.store import user_models_folder

    if int8 and half:
        raise UsageError("--int8 --half: expected one of them: int8 weights are smaller than 16 bits already")
    if pictures not in ("data", "scene", "none"):
        raise UsageError(f"--pictures: expected data, scene or none, got {pictures!r}")
    wish = Wish(
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
        classes=_names(classes),
        side_px=side,
        say=show.say,
    )
    show.say(f"{shipped.manifest.label}: {shipped.ms:.1f} ms on one thread, in {shipped.folder}")


@app.command()
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

    from edgevision.distill import show
    from edgevision.distill.evaluate import evaluate as measure
    from edgevision.distill.evaluate import load_to_measure, of_part
    from edgevision.distill.formats import read_data
    from edgevision.distill.sheets import write_sheets

    held = of_part(read_data(data), part)
    names = [model, *(teacher or ()), *(against or ())]
    detectors = [load_to_measure(n, held.classes, threads) for n in names]
    with show.progress("measuring") as tell:
        evaluation = measure(detectors, held, progress=tell)
    if json_:
        typer.echo(json.dumps(evaluation.as_json(), indent=2, ensure_ascii=False))
    else:
        show.evaluation_table(evaluation)
    if out is not None:
        write_sheets(evaluation, out)
        show.say(f"evaluation.json, precision-recall.png and the worst pictures in {out}")


app.command()(head)


@app.command("all")
def all_(
    source: Annotated[str, typer.Option(help="A folder of pictures, a clip, or any source of `edgevision run`.")],
    out: Annotated[Path, typer.Option(help="Folder of the whole line; what is done in it is not done again.")],
    name: Annotated[str, typer.Option(help="What the model is to be called.")],
    teacher: _Teacher,
    student: _Student = "person",
    prompts: _Prompts = None,
    labels: Annotated[Path | None, typer.Option(help="Labels that people made, to be kept.")] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Frames to collect at most.")] = None,
    sure: _Sure = "0.45",
    doubt: _Doubt = "0.25",
    mirror: _Mirror = True,
    epochs: _Epochs = None,
    side: _Side = None,
    init: _Init = None,
    soft: _Soft = None,
    workers: _Workers = None,
    threads: _Threads = None,
    device: _Device = None,
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "unknown",
    int8: Annotated[bool, typer.Option(help="Ship int8.")] = True,
    allow_loss: Annotated[bool, typer.Option("--allow-loss", help="Even if int8 loses over 1.5 points AP50.")] = False,
    swap: Annotated[bool, typer.Option(help="Swap it into the running app, behind the swap's gates.")] = True,
) -> None:
    """The whole line, from frames to a model of yours that runs: each step is resumed where it was stopped."""
    from edgevision.distill import show
    from edgevision.distill.line import Line, run_line
    from edgevision.distill.product import Wish
    from edgevision.distill.train import usual_workers

    teachers, settings = _teaching(teacher, prompts, sure, doubt, mirror, threads, False)
    line = Line(
        source=source,
        folder=out,
        teachers=teachers,
        settings=settings,
        recipe=_recipe(student, epochs, side, init, soft),
        wish=Wish(name, licence=licence, recipe=Path(student).stem, allow_loss=allow_loss, replace=True),
        people=labels,
        most=most,
        int8=int8,
        workers=usual_workers() if workers is None else workers,
        threads=threads,
        device=device,
    )
    label_ = run_line(line, show)
    if not swap:
        show.say(f"swap it into a running app: edgevision swap {name}")
        return
    _swap_in(label_, name)


def _swap_in(label_: str, name: str) -> None:
    """Into the app that runs, where one does."""
    from edgevision.cli.running import running_apps
    from edgevision.distill import show

    if len(running_apps()) != 1:
        show.say(f"{label_} is among your models; swap it into a running app: edgevision swap {name}")
        return
    from edgevision.cli.swap import swap as swap_model

    swap_model(name)


def _names(text: str | None) -> list[str] | None:
    return [n.strip() for n in text.split(",") if n.strip()] if text else None


def _recipe(student: str, epochs: int | None, side: int | None, init: str | None, soft: str | None) -> Recipe:
    from edgevision.distill.recipe import read_recipe, softened

    recipe = read_recipe(student)
    if side is not None:
        recipe = recipe.sized(side)
    if epochs is not None:
        recipe = recipe.lasting(epochs)
    if init is not None:
        recipe = recipe.model_copy(update={"init": init})
    return recipe if soft is None else softened(recipe, soft)


def _teaching(
    teacher: list[str],
    prompts: str | None,
    sure: str,
    doubt: str,
    mirror: bool,
    threads: int | None,
    allow_upload: bool,
) -> tuple[tuple[TeacherSpec, ...], LabelSettings]:
    from edgevision.distill.label_settings import settings_from
    from edgevision.distill.teachers import parse_teacher

    specs = tuple(parse_teacher(t, threads, allow_upload) for t in teacher)
    return specs, settings_from(specs, prompts, sure, doubt, mirror)
