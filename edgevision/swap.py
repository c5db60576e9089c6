"""Swap a model while the loop runs: load, warm up, check beside the serving one, exchange, watch, and go back.

All a swap knows of a model is that it is a `Detector`: a foundation model can be swapped for a compact one and back.
The old model serves until every gate is passed, and again as soon as one fails.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from edgevision.agreement import SURE_MARGIN, Agreement
from edgevision.detections import Detections
from edgevision.errors import EdgeVisionError, ModelError, UsageError
from edgevision.result import Result
from edgevision.slot import Slot
from edgevision.stages import Detector, Loop
from edgevision.swap_report import Check, SwapReport, Verdict

GATES = ("latency", "shadow", "accuracy", "watch")
"""Those that `force` may name. Loading cannot be forced."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What a new model must show."""

    budget_ms: float | None = None
    """p90 of one detection beside the serving loop; by default a live source's frame period, else no limit."""
    latency_runs: int = 20
    shadow_frames: int = 60
    """Live frames on which both models are compared; 0 leaves it out."""
    found_again: float = 0.7
    """Least share of the old model's sure boxes that the new one must find too."""
    flood: float = 4.0
    """A model that finds so many times the old one's boxes is fed wrongly."""
    enough_boxes: int = 10
    """Under so many sure boxes of the old model, agreement says nothing and is not held against anyone."""
    min_ap: float | None = None
    """Least AP50 by ``measure_ap``."""
    watch_s: float = 5.0
    """After the exchange; 0 leaves it out."""
    patience_s: float = 20.0
    """How long to wait for frames to check on."""
    force: frozenset[str] = field(default_factory=frozenset)
    dry_run: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.force) - set(GATES)
        if unknown:
            raise UsageError(f"force: expected one of {', '.join(GATES)}, got {', '.join(sorted(unknown))}")


class Refused(Exception):
    """A gate that is not forced has failed."""


class Swapper:
    """Swaps models of one running loop, one at a time; keeps what happened. Safe from any thread but the loop's."""

    def __init__(
        self,
        loop: Loop,
        load: Callable[[str], Detector],
        *,
        measure_ap: Callable[[Detector], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``load`` makes a checked detector of a name or raises `ModelError`."""
        self._loop, self._load, self._measure_ap, self._clock = loop, load, measure_ap, clock
        self._lock = threading.Lock()
        self._history: tuple[SwapReport, ...] = ()
        self._previous: Detector | None = None

    @property
    def history(self) -> tuple[SwapReport, ...]:
        """Every swap so far, oldest first."""
        return self._history

    def swap(self, name: str, gates: Gates | None = None) -> SwapReport:
        """Load ``name``, hold it against ``gates``, and let it serve if it passes. Blocks until decided.

        A failed gate is a verdict in the report, never an exception. Raises `UsageError` while another swap is under
        way.
        """
        if not self._lock.acquire(blocking=False):
            raise UsageError("another swap is under way: wait for its report")
        try:
            report = _Swap(self._loop, self._clock, gates or Gates(), self._measure_ap).run(name, self._load)
            if report.replaced is not None:
                self._previous = report.replaced
            self._history += (report.report,)
            return report.report
        finally:
            self._lock.release()

    def revert(self) -> str:
        """Let the model before the last exchange serve again, at once; returns its name."""
        with self._lock:
            if self._previous is None:
                raise UsageError("there is no model to go back to: nothing was swapped yet")
            current, back = self._loop.detector, self._previous
            self._loop.exchange(back)
            self._previous = current
            return back.name


@dataclass(frozen=True, slots=True)
class _Outcome:
    report: SwapReport
    replaced: Detector | None


class _Swap:
    """One swap."""

    def __init__(
        self,
        loop: Loop,
        clock: Callable[[], float],
        gates: Gates,
        measure_ap: Callable[[Detector], float] | None,
    ) -> None:
        self._loop, self._clock, self._gates, self._measure_ap = loop, clock, gates, measure_ap
        self._checks: list[Check] = []
        self._old = loop.detector
        self._recent: Slot[Result] = Slot(1, newest_wins=True)
        self._first_frame: int | None = None
        self._failure: BaseException | None = None

    def run(self, name: str, load: Callable[[str], Detector]) -> _Outcome:
        report = SwapReport(self._old.name, name, Verdict.REFUSED, ())
        stop = self._loop.observe(self._keep)
        try:
            began = self._clock()
            new = self._loaded(name, load)
            report = replace(report, new=new.name, load_ms=(self._clock() - began) * 1e3)
            self._latency(new)
            self._shadow(new)
            self._accuracy(new)
            if self._gates.dry_run:
                return self._outcome(report, Verdict.PASSED)
            self._exchange(new)
            try:
                self._watch(new)
            except Refused:
                self._loop.exchange(self._old)
                return self._outcome(report, Verdict.REVERTED)
            # Only now is the old one out of reach as a fallback, and its memory free.
            self._loop.exchange(new)
            return self._outcome(report, Verdict.ACCEPTED, self._old)
        except Refused:
            return self._outcome(report, Verdict.REFUSED)
        finally:
            stop()
            self._recent.close()

    def _keep(self, result: Result) -> None:
        self._recent.put(result)

    def _outcome(self, report: SwapReport, verdict: Verdict, replaced: Detector | None = None) -> _Outcome:
        done = replace(report, verdict=verdict, checks=tuple(self._checks), first_frame=self._first_frame)
        return _Outcome(done, replaced)

    def _check(self, name: str, passed: bool, figure: str, limit: str) -> None:
        forced = not passed and name in self._gates.force
        self._checks.append(Check(name, passed, figure, limit, forced))
        if not passed and not forced:
            raise Refused

    def _loaded(self, name: str, load: Callable[[str], Detector]) -> Detector:
        try:
            new = load(name)
            picture = self._next().frame.pixels
            for _ in range(3):
                new.detect(picture)
        except EdgeVisionError as exc:
            self._check("load", False, str(exc), "a model that loads and runs")
            raise
        self._check("load", True, new.name, "a model that loads and runs")
        return new

    def _next(self) -> Result:
        """The newest result of the serving loop."""
        try:
            return self._recent.take(self._gates.patience_s)
        except TimeoutError:
            self._check(
                "frames", False, f"no frame in {self._gates.patience_s:g} s", "frames to check on: is the source lost?"
            )
            raise Refused from None

    def _run(self, new: Detector, result: Result, gate: str) -> tuple[Detections, float]:
        """Detections of the new model on a result's frame, and the ms they took."""
        began = time.perf_counter()
        try:
            found = new.detect(result.frame.pixels)
        except ModelError as exc:
            self._check(gate, False, str(exc), "no errors")
            return Detections.empty(), 0.0
        return found, (time.perf_counter() - began) * 1e3

    def _latency(self, new: Detector) -> None:
        budget_ms = self._gates.budget_ms
        result = self._next()
        info = result.frame.source
        if budget_ms is None and info.live and info.fps:
            budget_ms = 1e3 / info.fps
        took = [self._run(new, result, "latency")[1] for _ in range(self._gates.latency_runs)]
        p90 = float(np.percentile(took, 90))
        figure = f"p50 {statistics.median(took):.1f} ms, p90 {p90:.1f} ms beside the serving loop"
        limit = "any: a file waits" if budget_ms is None else f"p90 of at most {budget_ms:.1f} ms"
        self._check("latency", budget_ms is None or p90 <= budget_ms, figure, limit)

    def _shadow(self, new: Detector) -> None:
        if self._gates.shadow_frames == 0:
            return
        agreement = Agreement(self._old.classes, new.classes)
        for _ in range(self._gates.shadow_frames):
            result = self._next()
            found, _ = self._run(new, result, "shadow")
            agreement.add(result.detections, found, _sure_score(self._old))
        self._judge("shadow", agreement)

    def _judge(self, gate: str, agreement: Agreement) -> None:
        gates = self._gates
        told = agreement.old_boxes >= gates.enough_boxes
        alike = agreement.found_again >= gates.found_again
        flooded = agreement.new_boxes > gates.flood * max(agreement.old_boxes, gates.enough_boxes)
        limit = f"at least {gates.found_again:.0%} found again, at most {gates.flood:g} times the boxes"
        if not told:
            limit += f" (too few boxes to compare: {agreement.old_boxes})"
        figure = f"{agreement.found_again:.0%} found again in {agreement}"
        self._check(gate, (alike or not told) and not (flooded and agreement.shared), figure, limit)

    def _accuracy(self, new: Detector) -> None:
        if self._gates.min_ap is None:
            return
        if self._measure_ap is None:
            raise UsageError("a least AP needs labelled images to measure it on: name them with --data")
        ap = self._measure_ap(new)
        self._check("accuracy", ap >= self._gates.min_ap, f"AP50 {ap:.3f}", f"AP50 of at least {self._gates.min_ap}")

    def _exchange(self, new: Detector) -> None:
        served = threading.Event()

        def see(result: Result) -> None:
            if result.model == new.name and self._first_frame is None:
                self._first_frame = result.frame.index
                served.set()

        stop = self._loop.observe(see)
        self._loop.exchange(new, guarded=True, on_failure=self._failed)
        reached = served.wait(self._gates.patience_s)
        stop()
        if not reached and self._failure is None:
            self._loop.exchange(self._old)
            self._check("exchange", False, f"no result in {self._gates.patience_s:g} s", "a result of the new model")

    def _failed(self, error: BaseException) -> None:
        self._failure = error

    def _watch(self, new: Detector) -> None:
        """The new model serves; the old one looks at what it is shown, and answers for every frame that fails."""
        agreement = Agreement(self._old.classes, new.classes)
        end = self._clock() + self._gates.watch_s
        while self._failure is None and self._clock() < end:
            result = self._next()
            if result.model != new.name:
                continue
            old = self._old.detect(result.frame.pixels)
            agreement.add(old, result.detections, _sure_score(self._old))
        if self._failure is not None:
            self._check("watch", False, str(self._failure), "no errors")
        if self._gates.watch_s > 0:
            self._judge("watch", agreement)


def _sure_score(detector: Detector) -> float:
    return float(getattr(detector, "min_score", 0.3)) + SURE_MARGIN
