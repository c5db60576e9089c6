"""Where the frames of ``edgevision run`` come from, and where they are shown."""

from __future__ import annotations

from edgevision.capture import first_camera, open_source
from edgevision.cli.console import announce
from edgevision.cli.run_options import Display, RunOptions
from edgevision.concurrency import usable_cores
from edgevision.interfaces import Source
from edgevision.pipeline.detection_interval import usable
from edgevision.types import SourceInfo


def choose_display(asked: Display) -> tuple[Display, str]:
    """Window, page or nothing; and, where it was not asked for by name, why."""
    if asked is not Display.AUTO:
        return asked, ""
    from edgevision.sinks.window import why_no_window

    reason = why_no_window()
    if reason is None:
        return Display.WINDOW, ""
    return Display.BROWSER, f"{reason.split(':', 1)[0]}; "


def open_run_source(options: RunOptions) -> Source:
    """The source that was asked for, else the first camera, else the built-in scene."""
    spec = options.source if options.source is not None else first_camera()
    if spec is None:
        spec = "scene://"
        announce("no camera found (`edgevision doctor` looks closer): showing the built-in scene")
    return open_source(spec, width_px=options.width, height_px=options.height, fps=options.fps)


def default_workers(source: SourceInfo) -> int:
    """One when live, for the least age; a file is done sooner with a worker a core."""
    return 1 if source.live else min(4, usable_cores())


def describe_source(info: SourceInfo) -> str:
    """Its name, size and rate."""
    rate = f" at {info.fps:g} fps" if info.fps else ""
    return f"{info.name}, {info.width_px}×{info.height_px}{rate}"


def describe_interval(every: int, source: SourceInfo) -> str:
    """What detecting on each ``every``-th frame comes to on this source."""
    if usable(every, source) == 1:
        return (
            "--detect-every: these pictures say no times to predict boxes to, so each is detected; --fps gives a rate"
        )
    return f"detecting on 1 of {every} frames; on the others boxes are predicted from their tracks' motion"
