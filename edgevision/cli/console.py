"""Running the loop from the command line: signals, limits, and the summary at the end."""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from edgevision.cli.terminal import Terminal

if TYPE_CHECKING:
    from edgevision.deployment.app import App
    from edgevision.pipeline.metrics import Percentiles, Summary
from edgevision.types import SourceInfo

SWITCH_S = 0.0005
"""Python hands its lock on after 5 ms by default: as long as a whole inference."""


def announce(text: str) -> None:
    """One line for the person at the terminal, on stderr: stdout belongs to JSON lines."""
    sys.stderr.write(f"edgevision: {text}\n")
    sys.stderr.flush()


def configure_logging(verbose: bool) -> None:
    """Warnings (with ``verbose`` everything of ours) as single lines on stderr."""
    logging.basicConfig(format="edgevision: %(levelname)s: %(message)s", level=logging.WARNING, stream=sys.stderr)
    if verbose:
        logging.getLogger("edgevision").setLevel(logging.DEBUG)


def run_loop(app: App, frames: int | None, seconds: float | None) -> None:
    """Run until the source ends, a limit is reached, or a person or a signal says stop; then say how it went.

    Raises `typer.Exit` with 130 or 143 where a signal cut a file short: what was written of it is not the whole.
    """
    began: float | None = None
    count = 0
    switch = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        with stop_on_signal(app.controls.quit) as received:
            for _ in app.results():
                count += 1
                began = began or time.monotonic()
                if count == frames or (seconds is not None and time.monotonic() - began >= seconds):
                    break
            else:
                if received and not app.source.live:
                    raise typer.Exit(128 + received[0])
    finally:
        sys.setswitchinterval(switch)
        if count:
            show_summary(app.summary())
        else:
            announce("no frame was shown")


class AtOnceError(KeyboardInterrupt):
    """Ctrl-C for the second time."""


@contextmanager
def live_is_complete(source: SourceInfo) -> Iterator[None]:
    """A live source has no end to be cut off from: stopped before its first result too, the command exits with 0."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as exc:
        by_signal = isinstance(exc, KeyboardInterrupt) or exc.code == 128 + signal.SIGTERM
        if source.live and by_signal and not isinstance(exc, AtOnceError):
            raise typer.Exit(0) from None
        raise


@contextmanager
def stop_on_signal(stop: Callable[[], object]) -> Iterator[list[int]]:
    """SIGINT and SIGTERM call ``stop``, which ends things in order; a second SIGINT ends them at once.

    Gives the list of the signals that came.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise AtOnceError
        received.append(number)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_summary(summary: Summary) -> None:
    """The run in figures, as a table on stderr."""
    table = Table(title=None, box=None, pad_edge=False, header_style="bold")
    table.add_column("ms")
    for name in ("p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for stage, percentiles in summary.stages.items():
        table.add_row(stage, *_cells(percentiles))
    table.add_row("age at publish", *_cells(summary.age), style="bold")
    console = Terminal(stderr=True, highlight=False, soft_wrap=True)
    fps = "–" if math.isnan(summary.fps) else f"{summary.fps:.1f}"
    cpu = "–" if math.isnan(summary.cpu_percent) else f"{summary.cpu_percent:.0f} % of one core"
    frames = f"{summary.frames} frames" + (f" ({summary.predicted} of them predicted)" if summary.predicted else "")
    console.print(
        f"{frames}, {fps} fps (unique frames through the whole loop), {summary.dropped} dropped, "
        f"CPU {cpu}, peak RSS {summary.peak_rss_mib:.0f} MiB"
    )
    console.print(table)


def _cells(percentiles: Percentiles) -> list[str]:
    return [f"{value:.2f}" for value in (percentiles.p50, percentiles.p95, percentiles.p99)]
