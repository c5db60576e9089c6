"""``edgevision bench``: measure, compare, report, tune."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgevision.cli.command import CommandGroup

if TYPE_CHECKING:
    from edgevision.bench.contender import ContenderSpec
    from edgevision.bench.records import BenchRun
    from edgevision.bench.schedule import Progress

app = CommandGroup(
    help="Is it real time, and would a foundation model be? Measure, compare runs, make a report, tune.",
    invoke_without_command=True,
)

_RUNS = "A run.json that `edgevision bench --out` wrote."
_MODEL, _SPEED, _OUTPUT, _MODES = "Models", "How", "Output", "Other measurements"


class Flashed(StrEnum):
    AUTO = "auto"
    WINDOW = "window"
    BROWSER = "browser"


@app.callback()
def bench(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model's name or .onnx file; repeat for several. By default person.", rich_help_panel=_MODEL
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Foundation models, with commas between: owlv2,yoloe,smolvlm.", rich_help_panel=_MODEL),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="Of --against: random (true latency, no accuracy), hub (downloads), or a folder. "
            "NAME@FOLDER in --against is for one of them.",
            rich_help_panel=_MODEL,
        ),
    ] = "random",
    prompts: Annotated[
        str | None,
        typer.Option(help="What foundation models look for: a file, or 'class: words; …'.", rich_help_panel=_MODEL),
    ] = None,
    allow_upload: Annotated[
        bool, typer.Option("--allow-upload", help="Frames may go to an API (--against api).", rich_help_panel=_MODEL)
    ] = False,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="A clip, folder, camera, stream or scene://; repeat. By default a bundled clip and the scene."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled images (YOLO or COCO), for accuracy. The scene knows its own.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="About so many frames each, instead of --seconds.", rich_help_panel=_SPEED)
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="For each model, way and source.", rich_help_panel=_SPEED)
    ] = 6.0,
    threads: Annotated[
        str | None, typer.Option(help="For one inference; 1,2 measures both.", rich_help_panel=_SPEED)
    ] = None,
    streams: Annotated[int, typer.Option(min=1, max=64, help="Frames inferred at once.", rich_help_panel=_SPEED)] = 1,
    detect_every: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="The loop detects on each Nth frame only.", rich_help_panel=_SPEED),
    ] = 1,
    sustained: Annotated[
        str | None,
        typer.Option(help="10m: the loop for so long, fps against heat and clock.", rich_help_panel=_MODES),
    ] = None,
    glass: Annotated[
        bool,
        typer.Option(
            "--glass", help="Flash the screen, see it through --source: screen to result.", rich_help_panel=_MODES
        ),
    ] = False,
    display: Annotated[
        Flashed,
        typer.Option(
            help="Of --glass: what flashes. auto: a window where there is a screen, else a page.",
            rich_help_panel=_MODES,
        ),
    ] = Flashed.AUTO,
    host: Annotated[
        str, typer.Option(help="Address of that page; 0.0.0.0 lets a phone show it.", rich_help_panel=_MODES)
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of that page; by default 8080 or the next free.", rich_help_panel=_MODES
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write run.json, report.html and report.md into this folder.", rich_help_panel=_OUTPUT),
    ] = None,
) -> None:
    """Measure models on your frames: the whole loop and inference alone, side by side, in turns.

    Without arguments: the bundled model on a bundled clip and on the built-in scene as a live camera, under 2 minutes.
    Ctrl-C ends it and shows what was measured so far.
    """
    if context.invoked_subcommand is not None:
        return
    from edgevision.cli.bench_console import progress_bar, show_run
    from edgevision.cli.console import announce
    from edgevision.errors import UsageError

    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"{out}: expected a folder to write into, found a file")
    contenders, notes = _contenders(model, against, weights, prompts, threads, streams, detect_every, allow_upload)
    if glass:
        from edgevision.cli.bench_glass import run_glass

        run = run_glass(contenders[0], source, display, host, port)
    elif (display, host, port) != (Flashed.AUTO, "127.0.0.1", None):
        raise UsageError("--display, --host and --port say what --glass flashes: give them with --glass")
    else:
        with progress_bar() as progress:
            run = _measure(contenders, notes, source, data, seconds, frames, sustained, streams, progress)
    show_run(run)
    if out is not None:
        for path in _write(run, out):
            announce(f"wrote {path}")


@app.command("compare")
def compare_runs(
    a: Annotated[Path, typer.Argument(help=_RUNS)],
    b: Annotated[Path, typer.Argument(help="Another, measured under the same conditions.")],
    allow: Annotated[
        list[str] | None, typer.Option(help="Compare although this differs: machine, clip, threads …; repeat.")
    ] = None,
) -> None:
    """How many times faster B is than A, with intervals. Refuses runs that were not measured alike."""
    from edgevision.bench import compare, read_run
    from edgevision.cli.bench_console import show_comparison

    show_comparison(compare(read_run(a), read_run(b), allow or ()))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help=_RUNS)],
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.md.")] = Path(),
    decide: Annotated[
        Path | None, typer.Option(help="Answers as for `edgevision decide --answers`: adds what to build.")
    ] = None,
) -> None:
    """One page of figures: HTML that needs nothing else, and Markdown."""
    from edgevision.bench import read_run
    from edgevision.bench.report import write_report
    from edgevision.cli.console import announce

    read = [read_run(path) for path in runs]
    decision = "", ""
    if decide is not None:
        from edgevision.bench.decide import read_answers
        from edgevision.bench.decide.page import sections

        decision = sections(read_answers(decide), read)
    for path in write_report(read, out, decision):
        announce(f"wrote {path}")


@app.command()
def tune(
    budget: Annotated[str, typer.Option(help="Time for a frame: 33ms, or 30fps.")] = "33ms",
    model: Annotated[list[str] | None, typer.Option(help="Models to choose from; repeat. By default person.")] = None,
    source: Annotated[str | None, typer.Option(help="What it will run on. By default the bundled clip.")] = None,
    data: Annotated[Path | None, typer.Option(help="Labelled images (YOLO or COCO), for accuracy.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each setting.")] = 4.0,
    write: Annotated[bool, typer.Option("--write", help="Make it what `edgevision run` does by default.")] = False,
) -> None:
    """The most accurate setting that holds a time budget here: model, input size, threads, streams, --detect-every."""
    from edgevision.bench.tuning import parse_budget_ms, tune_settings, write_defaults
    from edgevision.cli.bench_console import progress_bar, show_tuning
    from edgevision.cli.console import announce

    budget_ms = parse_budget_ms(budget)
    with progress_bar() as progress:
        tuning = tune_settings(
            model or ["person"], budget_ms, source=source, data=data, seconds=seconds, progress=progress
        )
    show_tuning(tuning)
    if write and tuning.best is not None:
        announce(f"wrote {write_defaults(tuning.best)}")
    if tuning.best is None:
        raise typer.Exit(1)


def _contenders(
    models: list[str] | None,
    against: str | None,
    weights: str,
    prompts: str | None,
    threads: str | None,
    streams: int,
    detect_every: int,
    allow_upload: bool,
) -> tuple[list[ContenderSpec], list[str]]:
    """Who is measured, and what to say about who is not."""
    from edgevision.bench.contender import ContenderSpec, float_twin
    from edgevision.detectors.foundation import PREFIX, foundation_kind
    from edgevision.errors import UsageError

    counts: list[int | None] = [None]
    if threads is not None:
        words = [w.strip() for w in threads.split(",")]
        if not all(w.isdecimal() and 1 <= int(w) <= 256 for w in words):
            raise UsageError(f"--threads: expected numbers from 1 to 256 with commas between, got {threads!r}")
        counts = [int(w) for w in words]
    names, notes = list(models or []), []
    if detect_every > 1:
        notes.append(f"The loop's times are of all frames: 1 of {detect_every} is detected, and takes longer.")
    if not names:
        names = ["person"]
        twin = float_twin("person")
        if twin is not None:
            names.append(twin)
        else:
            notes.append("No float twin of person is here (a model named person-float): int8 alone was measured.")
    every = detect_every
    wanted = [
        ContenderSpec(name, threads=count, streams=streams, detect_every=every, prompts=prompts)
        for name in names
        for count in counts
    ]
    chosen = None if weights == "hub" else weights
    for name in (n.strip() for n in (against or "").split(",")):
        if not name:
            continue
        full = name if name.startswith(PREFIX) else PREFIX + name
        foundation_kind(full)
        wanted += [
            ContenderSpec(
                full, threads=count, detect_every=every, weights=chosen, prompts=prompts, allow_upload=allow_upload
            )
            for count in counts
        ]
    return wanted, notes


def _measure(
    contenders: list[ContenderSpec],
    notes: list[str],
    sources: list[str] | None,
    data: Path | None,
    seconds: float,
    frames: int | None,
    sustained: str | None,
    streams: int,
    progress: Progress,
) -> BenchRun:
    from edgevision.bench.benchmark import ROUNDS, Bench, default_clips
    from edgevision.bench.records import Settings
    from edgevision.bench.sustained import parse_duration_s

    minutes_s = parse_duration_s(sustained) if sustained is not None else None
    if data is not None:
        from edgevision.bench.image_sets import data_set

        data_set(data)  # what is wrong with it is said before anything is measured
    settings = Settings(seconds=seconds, rounds=ROUNDS, frames=frames, streams=streams)
    run = Bench(settings, progress=progress)
    try:
        for address in sources or default_clips():
            run.add_clip(address)
        for note in notes:
            run.note(note)
        run.measure_idle()
        for wanted in contenders:
            run.add_worker(wanted)
        run.measure(data, sustained_s=minutes_s)
        return run.result()
    finally:
        run.close()


def _write(run: BenchRun, folder: Path) -> list[Path]:
    from edgevision.bench import figures, write_run
    from edgevision.bench.report import write_report
    from edgevision.errors import EdgeVisionError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise EdgeVisionError(f"{folder}: cannot be made: {exc.strerror or exc}; name another folder") from exc
    write_run(run, folder / "run.json", [f.as_json() for f in figures(run)])
    return [folder / "run.json", *write_report([run], folder)]
