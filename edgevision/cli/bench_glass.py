"""``edgevision bench --glass``: something to flash, a camera that sees it, and the time between."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from edgevision.bench.clips import describe_clip
from edgevision.bench.contender import Contender, ContenderSpec
from edgevision.bench.glass_to_glass import measure_glass
from edgevision.bench.machine import commit, describe_machine
from edgevision.bench.records import BenchRun, Glass, Settings
from edgevision.cli.console import announce
from edgevision.errors import SinkError, UsageError
from edgevision.interfaces import Controls, Sink
from edgevision.types import Detections, Frame, Result, SourceInfo, StageTimes, Status

if TYPE_CHECKING:
    from edgevision.web.flash_page import FlashPage

_SCREEN_WH = (1280, 720)
_LOOK_S = 8.0
"""To point the camera."""
FLASHES = 40


def run_glass(
    wanted: ContenderSpec,
    sources: list[str] | None,
    display: str = "auto",
    host: str = "127.0.0.1",
    port: int | None = None,
) -> BenchRun:
    """Flash what ``display`` says before the camera that ``sources`` names, else the first one.

    ``display``: ``window``, ``browser`` (a page, at ``host`` and ``port``), or ``auto``: a page where no window can be.
    Raises `UsageError` for a source that is not live, `SinkError` for a window that cannot be opened and a page that
    cannot be served or that is closed meanwhile, and what opening the source raises.
    """
    from datetime import UTC, datetime

    from edgevision import __version__
    from edgevision.capture import first_camera, open_source

    if sources is not None and len(sources) > 1:
        raise UsageError(f"--glass: expected one camera as --source, got {len(sources)}")
    address = sources[0] if sources else first_camera()
    if address is None:
        raise UsageError("--glass needs a camera that sees the screen, and found none: plug one in or give --source")
    clip = describe_clip(address)
    if not clip.live:
        raise UsageError(
            f"--glass needs a camera that sees the screen, and {clip.name} is a recording: give --source 0"
        )
    subject = Contender(wanted)
    contender = subject.describe()
    with ExitStack() as stack:
        stack.callback(subject.close)
        no_window = _why_no_window(display)
        page: FlashPage | None = None
        # The camera is opened once someone is there: it may take them a while, and its light is on.
        if no_window is None:
            from edgevision.sinks.window import WindowSink

            window = stack.enter_context(WindowSink(Controls(), "edgevision bench --glass", probe=False))
            show = flasher(window)
            announce(f"flashing a window: {_instructions()}")
            _hold(show, _LOOK_S)
        else:
            from edgevision.web.flash_page import FlashPage

            page = stack.enter_context(FlashPage(host, port))
            show = page.show
            announce(f"{no_window}open the page that flashes, where the camera can see it: {page.url}")
            if page.exposure is not None:
                announce(page.exposure)
            _await(page)
        source = stack.enter_context(open_source(address))
        found, missed = measure_glass(source, subject.detector, show, flashes=FLASHES)
    glass = Glass(
        contender=contender.label,
        shown_by="a window" if page is None else "a page",
        latencies_ms=tuple(found),
        flashes=len(found) + missed,
        seen=len(found),
        camera_fps=clip.fps,
        answers_ms=page.answers_ms if page is not None else (),
    )
    return BenchRun(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        edgevision=__version__,
        commit=commit(),
        machine=describe_machine(),
        settings=Settings(seconds=FLASHES * 0.55, rounds=1),
        clips=(clip,),
        contenders=(contender,),
        glass=(glass,),
    )


def _why_no_window(display: str) -> str | None:
    """None where a window is to flash; else why not, as the beginning of a line, or empty where a page was asked for.

    Raises `SinkError` where a window was asked for and cannot be.
    """
    if display == "browser":
        return ""
    from edgevision.sinks.window import why_no_window

    reason = why_no_window()
    if reason is None:
        return None
    reason = reason.split(":", 1)[0]
    if display == "window":
        raise SinkError(f"{reason}: give --display browser to flash a page")
    return f"{reason}; "


def _instructions() -> str:
    return f"point the camera at it; it begins in {_LOOK_S:g} s and takes about {round(FLASHES * 0.6)} s"


def _await(page: FlashPage) -> None:
    """Until a browser has had the page open for long enough to point the camera at it."""
    while True:
        announce("waiting until a browser has it open (Ctrl-C ends it)")
        page.wait_until_open()
        announce(f"the page is open: {_instructions()}")
        if page.stays_open(_LOOK_S):
            return
        announce("the page was closed or hidden")


def flasher(sink: Sink) -> Callable[[bool], None]:
    """What makes a sink's picture light or dark, published as any result is."""
    width, height = _SCREEN_WH
    info = SourceInfo("bench --glass", width, height, None, True)
    pictures = {light: np.full((height, width, 3), 255 if light else 0, np.uint8) for light in (False, True)}
    count = 0

    def show(light: bool) -> None:
        nonlocal count
        frame = Frame(pictures[light], count, time.monotonic_ns(), info)
        result = Result(frame, Detections.empty(), StageTimes(), "flash", ())
        sink.publish(result, pictures[light], Status("running", model="flash", source=info.name))
        count += 1

    return show


def _hold(show: Callable[[bool], None], seconds: float) -> None:
    """Time to open the page and to point the camera, with something to point it at."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        show(True)
        time.sleep(0.1)
