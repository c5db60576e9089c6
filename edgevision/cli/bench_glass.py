"""``edgevision bench --glass``: something to flash, a camera that sees it, and the time between."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from edgevision.bench.clips import describe_clip
from edgevision.bench.glass import measure_glass
from edgevision.bench.machine import commit, describe_machine
from edgevision.bench.run import BenchRun, Glass, Settings
from edgevision.bench.subject import Subject, Wanted
from edgevision.cli.bench_show import announce
from edgevision.controls import Controls
from edgevision.detections import Detections
from edgevision.errors import UsageError
from edgevision.frame import Frame, SourceInfo
from edgevision.result import Result, StageTimes
from edgevision.stages import Sink, Status

_SCREEN_WH = (1280, 720)
_LOOK_S = 8.0
FLASHES = 40


def run_glass(wanted: Wanted, sources: list[str] | None) -> BenchRun:
    """Flash a window, or a page where there is none, before the camera ``sources`` names, else the first one.

    Raises `UsageError` for a source that is not live, and what opening it raises.
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
    subject = Subject(wanted)
    contender = subject.describe()
    with ExitStack() as stack:
        stack.callback(subject.close)
        sink, shown_by, pump_s = _screen(stack)
        source = stack.enter_context(open_source(address))
        announce(f"flashing {shown_by}: point the camera at it; it takes about {round(_LOOK_S + FLASHES * 0.6)} s")
        show = flasher(sink)
        _hold(show, pump_s)
        found, missed = measure_glass(source, subject.detector, show, flashes=FLASHES)
    glass = Glass(
        contender=contender.label,
        shown_by=shown_by.split(" at ", 1)[0],
        latencies_ms=tuple(found),
        flashes=len(found) + missed,
        seen=len(found),
        camera_fps=clip.fps,
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


def _screen(stack: ExitStack) -> tuple[Sink, str, float]:
    """What flashes: a window, else a page on this machine, and how long to wait until it is in sight."""
    from edgevision.publish.window import WindowSink, why_no_window

    if why_no_window() is None:
        return stack.enter_context(WindowSink(Controls(), "edgevision bench --glass", probe=False)), "a window", _LOOK_S
    from edgevision.publish.browser import BrowserSink
    from edgevision.web import LivePage

    browser = stack.enter_context(BrowserSink())
    page = stack.enter_context(LivePage(browser, Controls()))
    return browser, f"the page at {page.url}", _LOOK_S


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
