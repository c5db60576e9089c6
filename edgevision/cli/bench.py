"""``edgevision bench``: measure, compare, report, tune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgevision.cli.bench_options import BenchOptions, Flashed
from edgevision.cli.command import CommandGroup, takes
from edgevision.cli.outputs import Output

if TYPE_CHECKING:
    from edgevision.bench.contender import ContenderSpec
    from edgevision.bench.records import BenchRun
    from edgevision.bench.schedule import Progress

app = CommandGroup(
    help="""Measure models on your frames: the whole loop and inference alone, side by side, in turns.

    Without options: the bundled model on a bundled clip and on the built-in scene as a live camera, with a foundation
    model as baseline if the extra is installed. Ctrl-C ends it and shows the results so far.

    Examples:

        edgevision bench                                 # under 2 minutes
        edgevision bench --source clip.mp4 --data labelled/ --out result/
        edgevision bench --model mine.onnx --baseline yoloe""",
    invoke_without_command=True,
)

_RUNS = "run.json of `edgevision bench --out`."


@app.callback()
@takes(BenchOptions)
def bench(context: typer.Context, options: BenchOptions) -> None:
    """Measure models on your frames."""
    if context.invoked_subcommand is not None:
        return
    from edgevision.cli.bench_console import progress_bar, show_run
    from edgevision.cli.bench_contenders import contenders_of
    from edgevision.cli.console import announce
    from edgevision.cli.outputs import check_outputs
    from edgevision.errors import UsageError

    check_outputs([_report_in(options.out, "run.json")], options.inputs)
    contenders, notes = contenders_of(options)
    if options.glass:
        from edgevision.cli.bench_glass import run_glass

        run = run_glass(contenders[0], options.source, options.display, options.host, options.port)
    elif (options.display, options.host, options.port) != (Flashed.AUTO, "127.0.0.1", None):
        raise UsageError("--display, --host and --port need --glass")
    else:
        with progress_bar() as progress:
            run = _measure(contenders, notes, options, progress)
    show_run(run)
    if options.out is not None:
        for path in _write(run, options.out):
            announce(f"wrote {path}")


@app.command("compare")
def compare_runs(
    a: Annotated[Path, typer.Argument(help=_RUNS)],
    b: Annotated[Path, typer.Argument(help="Second run.json, measured under the same conditions.")],
    allow: Annotated[
        list[str] | None, typer.Option(help="Condition that may differ: machine, clip, threads, … Repeatable.")
    ] = None,
) -> None:
    """Compare two runs: how many times B is as fast as A, with intervals.

    Refuses runs that were measured under different conditions.

    Example:

        edgevision bench compare before/run.json after/run.json
    """
    from edgevision.bench import compare, read_run
    from edgevision.cli.bench_console import show_comparison

    show_comparison(compare(read_run(a), read_run(b), allow or ()))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help=_RUNS)],
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.md.")] = Path(),
    answers: Annotated[
        Path | None, typer.Option(help="Answers as for `edgevision decide --answers`; adds a recommendation.")
    ] = None,
) -> None:
    """Write a report of one or more runs: one self-contained HTML page, and Markdown.

    Example:

        edgevision bench report a/run.json b/run.json --out report/
    """
    from edgevision.bench import read_run
    from edgevision.bench.report import write_report
    from edgevision.cli.console import announce
    from edgevision.cli.outputs import check_outputs

    check_outputs([_report_in(out)], {"RUN": runs, "--answers": answers})
    read = [read_run(path) for path in runs]
    decision = "", ""
    if answers is not None:
        from edgevision.bench.decide import read_answers
        from edgevision.bench.decide.page import sections

        decision = sections(read_answers(answers), read)
    for path in write_report(read, out, decision):
        announce(f"wrote {path}")


@app.command()
def tune(
    budget_ms: Annotated[str, typer.Option(metavar="MS", help="Time budget per frame: 33 (ms), or 30fps.")] = "33",
    model: Annotated[
        list[str] | None, typer.Option(help="Model to consider. Repeatable. Default: all that find --classes.")
    ] = None,
    classes: Annotated[str, typer.Option(help="Comma-separated list of classes that the models must find.")] = "person",
    source: Annotated[str | None, typer.Option(help="Source to run on. Default: the bundled clip.")] = None,
    data: Annotated[Path | None, typer.Option(help="Labelled dataset (YOLO, COCO, VOC or ours), for accuracy.")] = None,
    engine: Annotated[
        str, typer.Option(help="Inference engine: onnxruntime, openvino, or auto (times the installed ones first).")
    ] = "auto",
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds for each setting; close ones get more, within two minutes.")
    ] = 2.0,
    write: Annotated[
        bool, typer.Option("--write", help="Store the result as the default of `edgevision run`.")
    ] = False,
) -> None:
    """Find the most accurate setting within a time budget: model, engine, input size, threads, workers, --detect-every.

    Example:

        edgevision bench tune --budget-ms 33 --data labelled/ --write
    """
    from edgevision.bench.image_sets import data_set
    from edgevision.bench.tuning import defaults_file, parse_budget_ms, tune_settings, write_defaults
    from edgevision.bench.tuning_candidates import models_finding
    from edgevision.cli.bench_console import progress_bar, show_tuning
    from edgevision.cli.console import announce
    from edgevision.cli.outputs import check_folder
    from edgevision.deployment.engine_trial import choose_and_keep
    from edgevision.detectors.engines import AUTO, check_engine, installed_engines
    from edgevision.errors import UsageError

    if engine != AUTO:
        check_engine(engine)
    limit_ms = parse_budget_ms(budget_ms)
    if data is not None:
        data_set(data)  # what is wrong with it is said before anything is measured
    if write:
        check_folder("--write", defaults_file().parent)
    wanted = [name.strip() for name in classes.split(",") if name.strip()]
    models = model or models_finding(wanted)
    if not models:
        raise UsageError(f"--classes: expected classes that an installed model finds, got {classes!r}")
    if engine == AUTO and len(installed_engines()) > 1:
        for name in models:
            announce(f"{name}: {choose_and_keep(name).chosen} is the fastest engine that agrees")
    with progress_bar() as progress:
        tuning = tune_settings(
            models, limit_ms, source=source, data=data, seconds=seconds, engine=engine, progress=progress
        )
    show_tuning(tuning)
    if write and tuning.best is not None:
        announce(f"wrote {write_defaults(tuning.best)}")
    if tuning.best is None:
        raise typer.Exit(1)


def _measure(contenders: list[ContenderSpec], notes: list[str], options: BenchOptions, progress: Progress) -> BenchRun:
    from edgevision.bench.benchmark import ROUNDS, Bench, default_clips
    from edgevision.bench.records import Settings
    from edgevision.bench.sustained import parse_duration_s

    minutes_s = parse_duration_s(options.sustained) if options.sustained is not None else None
    if options.data is not None:
        from edgevision.bench.image_sets import data_set

        data_set(options.data)  # what is wrong with it is said before anything is measured
    settings = Settings(seconds=options.seconds, rounds=ROUNDS, frames=options.frames, streams=options.workers)
    run = Bench(settings, progress=progress)
    try:
        for address in options.source or default_clips():
            run.add_clip(address)
        for note in notes:
            run.note(note)
        run.measure_idle()
        for wanted in contenders:
            run.add_worker(wanted)
        run.measure(options.data, sustained_s=minutes_s)
        return run.result()
    finally:
        run.close()


def _report_in(folder: Path | None, *more: str) -> Output | None:
    return None if folder is None else Output("--out", folder, ("report.html", "report.md", *more))


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
