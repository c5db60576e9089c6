"""The detector of ``edgevision run``, and those that may replace it, loaded as its options say."""

from __future__ import annotations

from contextlib import ExitStack

from edgevision.cli.console import announce
from edgevision.cli.foundation_options import FoundationLoader
from edgevision.cli.run_options import RunOptions
from edgevision.deployment.candidate import CandidateFactory, LoadOptions
from edgevision.detectors.cascade import SecondStage
from edgevision.detectors.engines import AUTO, check_engine, check_placement
from edgevision.detectors.foundation import is_foundation
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.registry import find_model, load_detector, read_graph
from edgevision.detectors.zoom import MOST_LOOKS, Zoom
from edgevision.errors import UsageError
from edgevision.interfaces import Detector
from edgevision.pipeline.tracking_stage import USUAL_FPS
from edgevision.types import SourceInfo


def refuse_early(options: RunOptions) -> None:
    """What can be refused without a camera, before its light goes on.

    Raises `UsageError` for options that mean nothing together and devices that are not here, `MissingExtra` for an
    engine, `ModelError` for a file that is no model.
    """
    if options.detect_every > 1 and not options.tracking:
        raise UsageError(
            "--no-track leaves nothing that predicts boxes between detections: leave it out, or --detect-every 1"
        )
    if options.engine != AUTO:
        check_engine(options.engine)
    if not is_foundation(options.model):
        check_placement(options.device, "onnxruntime" if options.engine == AUTO else options.engine)
    for model in filter(None, (options.model, options.then)):
        if not is_foundation(model):
            read_graph(find_model(model))
    zoom_looks(options)
    if options.zoom != "off" and is_foundation(options.model):
        raise UsageError("--zoom: expected a compact model, got a foundation model: leave it out")
    foundation_loader(options).check(
        options.model,
        iou=options.iou,
        classes=options.classes,
        imgsz=options.imgsz,
        workers=options.workers,
        watch=options.watch_folder,
    )


def foundation_loader(options: RunOptions) -> FoundationLoader:
    """What loads a ``foundation:NAME``, at the start and when it is swapped in."""
    return FoundationLoader(
        prompts=options.prompts,
        weights=options.weights,
        device=options.device,
        ask=options.ask,
        allow_upload=options.allow_upload,
        api_url=options.api_url,
        api_model=options.api_model,
        min_score=options.conf,
        threads=options.threads,
    )


def usable_workers(options: RunOptions, default: int) -> int:
    """How many frames are inferred at once: a foundation model and a second stage take one at a time."""
    return 1 if is_foundation(options.model) or options.then is not None else options.workers or default


def zoom_looks(options: RunOptions) -> int | None:
    """The number of further looks that ``--zoom`` names; None for auto and off. Raises `UsageError`."""
    if options.zoom in ("auto", "off"):
        return None
    if not options.zoom.isdecimal() or not 1 <= int(options.zoom[:4]) <= MOST_LOOKS:
        raise UsageError(f"--zoom: expected auto, off or 1 to {MOST_LOOKS} further looks, got {options.zoom!r}")
    return int(options.zoom)


def zoom_for(options: RunOptions, source: SourceInfo) -> Zoom | None:
    """How detectors look further on this source; None for not at all."""
    looks = zoom_looks(options)
    if options.zoom == "off" or is_foundation(options.model):
        return None
    return Zoom(looks, 1e3 / (source.fps or USUAL_FPS), tiled=looks is not None and not source.live)


def open_detector(
    options: RunOptions, source: SourceInfo, workers: int, stack: ExitStack
) -> tuple[Detector, CandidateFactory]:
    """The detector that serves first, and the factory of its successors, which are set up as it is."""
    load = LoadOptions(
        min_score=options.conf,
        iou_threshold=options.iou,
        only_classes=options.only_classes,
        side_px=options.imgsz,
        threads=options.threads,
        lanes=workers,
        track=options.tracking,
        engine=options.engine,
        device=options.device,
    )
    foundation, zoom = foundation_loader(options), zoom_for(options, source)
    first: Detector
    if is_foundation(options.model):
        first = loaded = stack.enter_context(foundation(options.model))
        stack.callback(foundation.account, loaded, announce)
        announce(loaded.mode)
    else:
        compact = load_detector(
            options.model,
            min_score=load.min_score,
            iou_threshold=load.iou_threshold,
            only_classes=load.only_classes,
            side_px=load.side_px,
            threads=load.threads,
            lanes=workers,
            engine=load.engine,
            device=load.device,
        )
        first = compact if zoom is None else zoom(compact)
    second: OnnxDetector | None = None
    if options.then is not None:
        second = load_detector(options.then, threads=options.threads, engine=options.engine, device=options.device)
    candidates = CandidateFactory(load, first, foundation, second, zoom)
    return first if second is None else SecondStage(first, second), candidates
