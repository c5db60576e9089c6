"""``edgevision run``: wire a source, a detector and sinks together, and run the loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgevision.cli.display import Display, choose_display

if TYPE_CHECKING:
    from contextlib import ExitStack

    from edgevision.deployment.report import Progress
    from edgevision.detectors.foundation.base import FoundationDetector
    from edgevision.detectors.onnx_detector import OnnxDetector
    from edgevision.interfaces import Controls, Detector, Sink


_SOURCE = "0, /dev/video0, csi://0, rtsp://…, http(s)://…, a video, an image, a folder or glob of images, scene://"
_SEEN, _DETECTION, _OUTPUT, _CAMERA, _SPEED = "Display", "Detection", "Output", "Camera", "Speed"
_SWAP = "Another model while it runs"
_FOUNDATION = "Foundation models (--model foundation:NAME)"


def run(
    source: Annotated[
        str | None, typer.Option(help=f"{_SOURCE}. By default the first camera found, else the built-in scene.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A model's name, the path of an .onnx file, or foundation:NAME.")
    ] = "person",
    conf: Annotated[
        float | None, typer.Option(help="Least score, 0-1. By default the model's own.", rich_help_panel=_DETECTION)
    ] = None,
    iou: Annotated[
        float | None, typer.Option(help="Overlap over which the lesser box goes, 0-1.", rich_help_panel=_DETECTION)
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Only these classes, with commas between.", rich_help_panel=_DETECTION)
    ] = None,
    imgsz: Annotated[
        int | None,
        typer.Option(help="Input side in px, where the model leaves it open.", rich_help_panel=_DETECTION),
    ] = None,
    then: Annotated[
        str | None,
        typer.Option(help="A second model, of `distill head`: which kind each box is.", rich_help_panel=_DETECTION),
    ] = None,
    track: Annotated[
        bool | None, typer.Option("--track/--no-track", help="Follow objects over time.", rich_help_panel=_DETECTION)
    ] = None,
    display: Annotated[
        Display, typer.Option(help="auto: a window where there is a screen, else a page.", rich_help_panel=_SEEN)
    ] = Display.AUTO,
    host: Annotated[str, typer.Option(help="Address of the page.", rich_help_panel=_SEEN)] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port of the page; by default 8080 or the next free.", rich_help_panel=_SEEN)
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the drawn video to this file.", rich_help_panel=_OUTPUT)
    ] = None,
    json_: Annotated[
        str | None, typer.Option("--json", help="Write JSON lines to this file, or - .", rich_help_panel=_OUTPUT)
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    duration: Annotated[float | None, typer.Option(min=0, help="Stop after so many seconds.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads for one inference.", rich_help_panel=_SPEED)
    ] = None,
    streams: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Frames inferred at once. By default 1 when live.", rich_help_panel=_SPEED),
    ] = None,
    detect_every: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Detect on each Nth frame only; on the others boxes follow their motion (--track).",
            rich_help_panel=_SPEED,
        ),
    ] = 1,
    width: Annotated[int | None, typer.Option(min=1, help="Ask the camera for it.", rich_help_panel=_CAMERA)] = None,
    height: Annotated[int | None, typer.Option(min=1, help="Ask the camera for it.", rich_help_panel=_CAMERA)] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.01, help="Ask the camera for it; play a file at it.", rich_help_panel=_CAMERA),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Swap when the model's folder gets another version.", rich_help_panel=_SWAP),
    ] = False,
    control: Annotated[
        bool, typer.Option(help="Let `edgevision swap` reach this app, on this machine only.", rich_help_panel=_SWAP)
    ] = True,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TEXT",
            help="What to look for: a file, or 'person: a person, a worker; helmet: a hard hat'.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="A folder, a hub id, or random (latency only). By default the library fetches its own.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.", rich_help_panel=_FOUNDATION)] = "auto",
    ask: Annotated[
        str, typer.Option(help="Ask a language model for boxes or presence.", rich_help_panel=_FOUNDATION)
    ] = "boxes",
    allow_upload: Annotated[
        bool,
        typer.Option("--allow-upload", help="foundation:api may send frames away.", rich_help_panel=_FOUNDATION),
    ] = False,
    api_url: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible endpoint, https://HOST/v1; its key in $EDGEVISION_API_KEY.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = None,
    api_model: Annotated[
        str | None, typer.Option(help="The model's name at that endpoint.", rich_help_panel=_FOUNDATION)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
) -> None:
    """Run a detector on a camera, a stream or files, and show or write what it finds.

    Keys in window and page: q or Esc quits, space pauses, s saves a snapshot.
    """
    import os
    from contextlib import ExitStack

    if not verbose:
        # OpenCV warns on every retry of a lost camera, which is reported in our own words.
        os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    from edgevision.cli.console import announce, configure_logging, run_loop
    from edgevision.cli.foundation_options import FoundationLoader
    from edgevision.cli.opening import default_streams, detect_every_words, open_for_run, size_words
    from edgevision.detectors.foundation import is_foundation
    from edgevision.errors import UsageError
    from edgevision.interfaces import Controls
    from edgevision.pipeline.memory import keep_freed_memory

    configure_logging(verbose)
    keep_freed_memory()
    chosen, why = choose_display(display)
    controls = Controls()
    with ExitStack() as stack:
        sinks: list[Sink] = []
        # What can be refused without a camera or a model is refused first.
        foundation = FoundationLoader(
            prompts=prompts,
            weights=weights,
            device=device,
            ask=ask,
            allow_upload=allow_upload,
            api_url=api_url,
            api_model=api_model,
            min_score=conf,
            threads=threads,
        )
        tracking = detect_every > 1 if track is None else track
        if detect_every > 1 and not tracking:
            raise UsageError(
                "--no-track leaves nothing that predicts boxes between detections: leave it out, or --detect-every 1"
            )
        foundation.check(model, iou=iou, classes=classes, imgsz=imgsz, streams=streams, watch=watch)
        _add_files(stack, sinks, save, json_, controls)
        opened = stack.enter_context(open_for_run(source, width, height, fps))
        # A foundation model takes one frame at a time.
        lanes = 1 if is_foundation(model) else streams or default_streams(opened)

        from edgevision.deployment.app import App
        from edgevision.deployment.candidate import CandidateFactory, LoadOptions
        from edgevision.deployment.model_watcher import ModelWatch, WatchThread, swap_in
        from edgevision.deployment.swapper import Swapper
        from edgevision.detectors.registry import load_detector
        from edgevision.pipeline.loop import Pipeline
        from edgevision.pipeline.tracking_stage import tracker_for
        from edgevision.sinks.render import Renderer
        from edgevision.sinks.snapshot import SnapshotWriter
        from edgevision.web.control_endpoint import ControlEndpoint

        names = [c.strip() for c in classes.split(",") if c.strip()] if classes else None
        changes = ModelWatch(model) if watch else None
        detector: OnnxDetector | FoundationDetector
        if is_foundation(model):
            detector = stack.enter_context(foundation(model))
            stack.callback(foundation.account, detector, announce)
            announce(detector.mode)
        else:
            detector = load_detector(
                model,
                min_score=conf,
                iou_threshold=iou,
                only_classes=names,
                side_px=imgsz,
                threads=threads,
                lanes=lanes,
            )
        served: Detector = detector
        second: OnnxDetector | None = None
        if then is not None:
            from edgevision.detectors.cascade import SecondStage

            second = load_detector(then, threads=threads)
            served, lanes = SecondStage(detector, second), 1
        announce(f"{served.name} on {opened.info.name}, {size_words(opened)}")
        tracker = tracker_for(detector, opened.info) if tracking else None
        if detect_every > 1:
            announce(detect_every_words(detect_every, opened.info))
        browser = None
        if chosen is Display.WINDOW:
            from edgevision.sinks.window import WindowSink

            sinks.insert(0, stack.enter_context(WindowSink(controls)))
        elif chosen is Display.BROWSER:
            from edgevision.sinks.browser import BrowserSink

            browser = stack.enter_context(BrowserSink())
            sinks.insert(0, browser)
        writer = SnapshotWriter()
        pipeline = Pipeline(
            opened,
            served,
            tracker=tracker,
            renderer=Renderer(),
            sinks=sinks,
            controls=controls,
            snapshot=lambda picture, result: announce(f"snapshot saved: {writer.write(picture, result)}"),
            streams=lanes,
            detect_every=detect_every,
        )
        options = LoadOptions(
            min_score=conf,
            iou_threshold=iou,
            only_classes=tuple(names or ()),
            side_px=imgsz,
            threads=threads,
            lanes=lanes,
            track=tracking,
        )
        door: ControlEndpoint | None = None

        def told(progress: Progress) -> None:
            if progress.report is not None:
                announce(f"swap: {progress.report.sentence()}")
            if door is not None:
                door.told(progress)

        candidate = CandidateFactory(options, detector, foundation).candidate
        if second is not None:
            from edgevision.deployment.candidate import followed

            alone, after = candidate, second
            candidate = lambda model: followed(alone(model), after)  # noqa: E731
        running = App(pipeline, Swapper(pipeline, candidate, told=told))
        page = None
        if browser is not None:
            from edgevision.web import ControlApi, LivePage

            api = ControlApi(running.swapper, lambda: pipeline.status) if control else None
            page = stack.enter_context(LivePage(browser, controls, host=host, port=port, api=api))
            announce(f"{why}live page at {page.url}")
        if control:
            door = stack.enter_context(ControlEndpoint(running, page))
        if changes is not None:
            stack.enter_context(WatchThread(changes, lambda: swap_in(running, model, announce), announce))
        run_loop(running, frames, duration)


def _add_files(stack: ExitStack, sinks: list[Sink], save: Path | None, json_: str | None, controls: Controls) -> None:
    if save is not None:
        from edgevision.sinks.video_file import VideoFileSink

        sinks.append(stack.enter_context(VideoFileSink(save)))
    if json_ is not None:
        from edgevision.sinks.json_lines import JsonLinesSink

        # Last, so that the publish time it writes covers the others.
        sinks.append(stack.enter_context(JsonLinesSink(json_, controls)))
