"""``edgevision run``: open a source, load a detector, build the app, and serve until it ends."""

from __future__ import annotations

from edgevision.cli.command import takes
from edgevision.cli.run_options import RunOptions


@takes(RunOptions)
def run(options: RunOptions) -> None:
    """Detect objects in a camera, a stream or files, live; show, save or print the detections.

    Keys in window and page: q or Esc quits, space pauses, s saves a snapshot.

    Examples:

        edgevision run                                   # the first camera
        edgevision run --source rtsp://user:password@camera/stream --track
        edgevision run --source clip.mp4 --save drawn.mp4 --json found.jsonl
        edgevision run --model foundation:owlv2 --prompts "helmet: a hard hat"
    """
    import os
    from contextlib import ExitStack

    if not options.verbose:
        # OpenCV warns on every retry of a lost camera, which is reported in our own words. It reads this on import.
        os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    from edgevision.cli.console import announce, configure_logging, live_is_complete, run_loop
    from edgevision.cli.outputs import check_outputs
    from edgevision.cli.run_control import start_control
    from edgevision.cli.run_events import open_events, outlines_of
    from edgevision.cli.run_model import open_detector, refuse_early, usable_workers
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
