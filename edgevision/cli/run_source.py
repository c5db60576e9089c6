"""Where the frames of ``edgevision run`` come from, and where they are shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from edgevision.capture import first_camera, open_source
from edgevision.capture.redact import hide_credentials
from edgevision.cli.console import announce
from edgevision.cli.run_options import Display, RunOptions
from edgevision.concurrency import usable_cores
from edgevision.interfaces import Sink, Source
from edgevision.pipeline.detection_interval import usable
from edgevision.sinks.null import NothingSink
from edgevision.types import Result, SourceInfo, Status

SILENT_S = 2.0


def choose_display(asked: Display) -> tuple[Display, str]:
    """Window, page or nothing; and, where it was not asked for by name, why."""
    if asked is not Display.AUTO:
        return asked, ""
    from edgevision.sinks.window import why_no_window

    reason = why_no_window()
    if reason is None:
        return Display.WINDOW, ""
    return Display.BROWSER, f"{reason.split(':', 1)[0]}; "


def open_run_source(options: RunOptions, sinks: Sequence[Sink] = ()) -> Source:
    """The source that was asked for, else the first camera, else the built-in scene.

    Where it gives no first frame for 2 s, the terminal and ``sinks`` hear of it while it is waited for.
    """
    spec = options.source if options.source is not None else first_camera()
    if spec is None:
        spec = "scene://"
        announce("no camera found (`edgevision doctor` looks closer): showing the built-in scene")
    with _patience(hide_credentials(spec), sinks):
        return open_source(
            spec,
            width_px=options.width,
            height_px=options.height,
            fps=options.fps,
            rotate=options.rotate,
            flip=options.flip,
        )


@contextmanager
def _patience(name: str, sinks: Sequence[Sink]) -> Iterator[None]:
    """Say after `SILENT_S` that nothing has come yet."""

    def say() -> None:
        detail = f"{name} gave no frame for {SILENT_S:g} s"
        announce(f"{detail}; waiting for its first")
        for sink in sinks:
            sink.notice(Status("lost", detail, age_ms=SILENT_S * 1e3, source=name))

    timer = threading.Timer(SILENT_S, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


class SilenceLines(NothingSink):
    """Tells the person at the terminal once when a live source falls silent, and when its frames come again.

    A source that knows more than that, the end of a connection for one, says so by itself: `Source.trouble`.
    """

    def __init__(self, source: Source, say: Callable[[str], None] = announce) -> None:
        self._source, self._say = source, say
        self._silent = False

    def notice(self, status: Status) -> None:
        if status.state == "lost" and not self._silent and self._source.trouble is None:
            self._silent = True
            self._say(f"{status.detail}; waiting for the next")

    def publish(self, result: Result, picture: NDArray[np.uint8] | None, status: Status) -> None:
        if self._silent:
            self._silent = False
            self._say(f"{status.source} gives frames again")


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
        return "--detect-every has no effect: these images have no capture times; set a rate with --fps"
    return f"detecting on 1 of {every} frames; on the others boxes are predicted from their tracks' motion"
