"""The app: a pipeline, and a swapper that changes its model while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

from edgevision.deployment.candidate import CandidateFactory
from edgevision.deployment.gates import Gates
from edgevision.deployment.report import SwapReport
from edgevision.deployment.swapper import Swapper
from edgevision.interfaces import Controls, Detector, Source, Tracker
from edgevision.pipeline.loop import Pipeline
from edgevision.pipeline.metrics import Summary
from edgevision.types import Result, SourceInfo, Status


class App:
    """A running loop whose model can be swapped: iterate it for results; swap and revert from other threads."""

    def __init__(self, pipeline: Pipeline, swapper: Swapper | None = None) -> None:
        """By default candidates are loaded with the options of the detector that serves (`CandidateFactory.like`)."""
        self.pipeline = pipeline
        self.swapper = swapper or Swapper(pipeline, CandidateFactory.like(pipeline.detector).candidate)
        pipeline.call_at_end(self.swapper.close)

    def __iter__(self) -> Iterator[Result]:
        return self.results()

    def results(self) -> Iterator[Result]:
        """Run the loop: `Pipeline.results`."""
        return self.pipeline.results()

    def swap(self, model: str | Path, gates: Gates | None = None) -> SwapReport:
        """Let the model of that name or path serve, if it passes its checks next to the one that serves now.

        Blocks until decided, so call it from another thread than the one that runs the loop, which uses
        `start_swap`. A model that fails is a verdict in the report, not an exception. Raises `UsageError` while
        another swap is under way.
        """
        return self.swapper.swap(str(model), gates)

    def start_swap(self, model: str | Path, gates: Gates | None = None) -> Future[SwapReport]:
        """Start `swap` in a thread of its own, from any thread; the report is the future's result."""
        return self.swapper.start(str(model), gates)

    def revert(self) -> SwapReport:
        """Let the previous model serve again, at once; stops a swap that is under way. Raises `UsageError`."""
        return self.swapper.revert()

    def exchange(
        self, detector: Detector, guarded: bool = False, on_failure: Callable[[BaseException], None] | None = None
    ) -> None:
        """Let another detector serve from the next frame on, without any check: `Pipeline.exchange`."""
        self.pipeline.exchange(detector, guarded, on_failure)

    def observe(self, observer: Callable[[Result], None]) -> Callable[[], None]:
        """Call ``observer`` with each published result, in the loop's thread. Returns a function that ends it."""
        return self.pipeline.observe(observer)

    @property
    def detector(self) -> Detector:
        """The detector that serves now."""
        return self.pipeline.detector

    @property
    def source(self) -> SourceInfo:
        """What its source says of itself."""
        return self.pipeline.source

    @property
    def controls(self) -> Controls:
        return self.pipeline.controls

    @property
    def status(self) -> Status:
        """How the loop is doing. Safe from any thread."""
        return self.pipeline.status

    @property
    def ended(self) -> bool:
        """Whether the loop has ended: no result will come any more."""
        return self.pipeline.ended

    def summary(self) -> Summary:
        """What the run did so far."""
        return self.pipeline.summary()


def run(
    source: Source,
    detector: Detector,
    *,
    tracker: Tracker | None = None,
    workers: int | None = None,
    detect_every: int = 1,
    streams: int | None = None,
) -> App:
    """An app to iterate: one result a frame of ``source``; of a live source the newest frames, of a file all.

    While it runs, `App.start_swap` changes its model. ``workers`` frames (by default 1) are inferred at once;
    ``streams`` is the old name of ``workers``; ``detect_every``: see `Pipeline`. Leaving the loop early stops its
    threads; the source stays the caller's to close.
    """
    return App(Pipeline(source, detector, tracker=tracker, workers=workers, detect_every=detect_every, streams=streams))
