"""A run, from its options to its end: open a source, load a detector, build the app, serve."""

from __future__ import annotations

from contextlib import ExitStack

from edgevision.cli.console import announce, configure_logging, live_is_complete, run_loop
from edgevision.cli.outputs import check_outputs
from edgevision.cli.run_control import start_control
from edgevision.cli.run_events import open_events, outlines_of
from edgevision.cli.run_model import open_detector, refuse_early, usable_workers
from edgevision.cli.run_options import RunOptions
from edgevision.cli.run_source import (
    SilenceLines,
    choose_display,
    default_workers,
    describe_interval,
    describe_source,
    open_run_source,
)
from edgevision.cli.tokens import take_token
from edgevision.deployment.app import App
from edgevision.deployment.model_watcher import ModelWatch
from edgevision.deployment.swapper import Swapper
from edgevision.interfaces import Controls
from edgevision.pipeline.loop import Pipeline
from edgevision.pipeline.memory import keep_freed_memory
from edgevision.pipeline.tracking_stage import tracker_for
from edgevision.sinks import open_sinks
from edgevision.sinks.render import Renderer
from edgevision.sinks.snapshot import SnapshotWriter


def run_app(options: RunOptions) -> None:
    """Serve until the source ends, a limit is reached, or a person or a signal says stop. Raises `EdgeVisionError`."""
    configure_logging(options.verbose)
    keep_freed_memory()
    token = take_token(options.token)
    # What can be refused without a camera or a model is refused first.
    refuse_early(options)
    events = open_events(options)
    check_outputs(options.outputs, options.inputs)
    display, why_page = choose_display(options.display)
    controls, snapshots = Controls(), SnapshotWriter()
    with ExitStack() as stack:
        written = open_sinks(options.written, controls, stack)
        source = stack.enter_context(open_run_source(options, written))
        stack.enter_context(live_is_complete(source.info))
        watch = ModelWatch(options.model) if options.watch_folder else None
        workers = usable_workers(options, default_workers(source.info))
        detector, candidates = open_detector(options, source.info, workers, stack)
        announce(f"{detector.name} on {describe_source(source.info)}")
        if options.detect_every > 1:
            announce(describe_interval(options.detect_every, source.info))
        sinks = [*open_sinks([(display.value, None)], controls, stack), SilenceLines(source), *written]
        pipeline = Pipeline(
            source,
            detector,
            tracker=tracker_for(detector, source.info) if options.tracking else None,
            renderer=Renderer(outlines_of(events)),
            sinks=sinks,
            controls=controls,
            snapshot=lambda picture, result: announce(f"snapshot saved: {snapshots.write(picture, result)}"),
            events=events,
            workers=workers,
            detect_every=options.detect_every,
        )
        app = App(pipeline, Swapper(pipeline, candidates.candidate))
        start_control(app, options, sinks, stack, token=token, why_page=why_page, watch=watch)
        run_loop(app, options.frames, options.seconds)
