"""The source of ``edgevision run``: what was asked for, else the first camera, else the built-in scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgevision.interfaces import Source
    from edgevision.types import SourceInfo


def open_for_run(source: str | None, width: int | None, height: int | None, fps: float | None) -> Source:
    from edgevision.capture import open_source
    from edgevision.cli.console import announce

    if source is None:
        from edgevision.capture import first_camera

        source = first_camera()
        if source is None:
            source = "scene://"
            announce("no camera found (`edgevision doctor` looks closer): showing the built-in scene")
    return open_source(source, width_px=width, height_px=height, fps=fps)


def default_streams(source: Source) -> int:
    """One when live, for the least age; a file is done sooner with a stream a core."""
    if source.info.live:
        return 1
    from edgevision.concurrency import usable_cores

    return min(4, usable_cores())


def size_words(source: Source) -> str:
    info = source.info
    rate = f" at {info.fps:g} fps" if info.fps else ""
    return f"{info.width_px}×{info.height_px}{rate}"


def detect_every_words(every: int, source: SourceInfo) -> str:
    """What detecting on each ``every``-th frame comes to on this source."""
    from edgevision.pipeline.detection_interval import usable

    if usable(every, source) == 1:
        return (
            "--detect-every: these pictures say no times to predict boxes to, so each is detected; --fps gives a rate"
        )
    return f"detecting on 1 of {every} frames; on the others boxes are predicted from their tracks' motion"
