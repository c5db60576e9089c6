"""One swap: a candidate held against its gates beside the serving model, exchanged, watched, taken back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgevision.concurrency import BoundedQueue, Closed
from edgevision.deployment.candidate import Candidate, PreloadCheck
from edgevision.deployment.gates import Gates, judge_agreement, judge_latency
from edgevision.deployment.report import Progress, SwapReport, Verdict
from edgevision.deployment.rollout_log import Refused, RolloutLog
from edgevision.errors import EdgeVisionError, ModelError
from edgevision.evaluation.agreement import SURE_MARGIN, Agreement
from edgevision.interfaces import Detector, Loop, shown_score
from edgevision.types import Detections, Result

_log = logging.getLogger(__name__)

_REST = 1.5
"""After each run of the new model, so many times as long the loop has both cores: on two cores full speed beside it
would take a third of the loop's frames."""
_LONGEST_REST_S = 1.0
_LOOK_S = 0.1
_WINDOW_S = 2.0
"""What is watched is judged so often: a model that breaks down late is not covered by how well it began."""
_WARM_UP_RUNS = 3


class Rollout:
    """One swap, from candidate to verdict. `cancel` from any thread; all else from one."""

    def __init__(
        self,
        loop: Loop,
        name: str,
        gates: Gates,
        number: int,
        clock: Callable[[], float],
        tell: Callable[[Progress], None],
    ) -> None:
        self._loop, self._gates, self._clock = loop, gates, clock
        self._old = loop.detector
        self._record = RolloutLog(self._old.name, name, gates, number, clock, tell)
        self._recent: BoundedQueue[Result] = BoundedQueue(1, newest_wins=True)
        self._failure: BaseException | None = None
        self._awaited: str | None = None
        self._served = threading.Event()
        self._last_old_s = self._first_new_s = 0.0
        self._budget_ms: float | None = gates.budget_ms

    def cancel(self, why: str) -> None:
        """End it as if a gate had failed."""
        self._record.cancel(why)

    def run(self, find: Callable[[str], Candidate]) -> tuple[SwapReport, Detector | None]:
        """The report, and the model that was replaced for good, where one was."""
        verdict, exchanged = Verdict.REFUSED, False
        stop = self._loop.observe(self._keep)
        try:
            self._record.begin("manifest")
            candidate = find(self._record.report.new)
            for step in candidate.before:
                self._look(step)
            new = self._load(candidate)
            self._warm_up(new)
            if candidate.golden is not None:
                golden = candidate.golden
                self._look(
                    PreloadCheck("golden", "its own pictures seen as when they were recorded", lambda: golden(new))
                )
            self._latency(new)
            self._shadow(new)
            self._accuracy(new, candidate)
            if self._gates.dry_run:
                verdict = Verdict.PASSED
            else:
                exchanged = True
                self._exchange(new, guarded=True)
                verdict = Verdict.ROLLED_BACK
                self._watch(new)
                # Only now is the old one out of reach as a fallback, and its memory free.
                self._loop.exchange(new)
                self._look_for_errors()
                verdict = Verdict.ACCEPTED
        except Refused:
            pass
        except Exception as exc:
            # Of a foreign detector, or a fault of ours: the camera goes on either way.
            _log.exception("swap to %s: %s failed", self._record.report.new, self._record.doing)
            self._record.broke(exc)
        finally:
            if exchanged and verdict is not Verdict.ACCEPTED:
                self._loop.exchange(self._old)
            stop()
            self._recent.close()
        return self._record.ended(verdict), self._old if verdict is Verdict.ACCEPTED else None

    def go_back(self, to: Detector) -> SwapReport:
        """Let ``to``, that served before, serve again without a check."""
        stop = self._loop.observe(self._keep)
        try:
            self._exchange(to, guarded=False)
            return self._record.ended(Verdict.ROLLED_BACK_BY_USER)
        except Refused:
            return self._record.ended(Verdict.REFUSED)
        finally:
            stop()
            self._recent.close()

    def _keep(self, result: Result) -> None:
        """Each published result, in the loop's thread."""
        if not self._served.is_set():
            if result.model == self._awaited and not result.predicted:
                self._first_new_s = time.monotonic()
                self._record.report = replace(self._record.report, first_frame=result.frame.index)
                self._served.set()
            else:
                self._last_old_s = time.monotonic()
        # A predicted result says nothing of what a model sees in its frame, or how long it takes.
        if not result.predicted:
            self._recent.put(result)

    # The file, and the model by itself.

    def _look(self, step: PreloadCheck) -> None:
        self._record.begin(step.name)
        try:
            figure = step.look()
        except EdgeVisionError as exc:
            self._record.check(step.name, False, str(exc), step.limit)
        else:
            self._record.check(step.name, True, figure, step.limit)

    def _load(self, candidate: Candidate) -> Detector:
        self._record.begin("load")
        limit = "a model that loads"
        try:
            new = candidate.load()
        except EdgeVisionError as exc:
            self._record.check("load", False, str(exc), limit)
            raise
        self._record.report = replace(self._record.report, new=new.name, load_ms=self._record.took_ms)
        # Results say by their model's name alone whose they are.
        different = new.name != self._old.name
        figure = f"{new.name} in {self._record.took_ms:.0f} ms"
        self._record.check(
            "load", different, figure if different else f"{new.name} serves already", limit + ", and another"
        )
        return new

    def _warm_up(self, new: Detector) -> None:
        self._record.begin("warm-up")
        picture, limit = self._next().frame.pixels, "a model that runs on a frame of this source"
        try:
            took_ms = [self._timed(new, picture)[1] for _ in range(_WARM_UP_RUNS)]
        except ModelError as exc:
            self._record.check("warm-up", False, str(exc), limit)
        else:
            self._record.check("warm-up", True, f"first run {took_ms[0]:.1f} ms, last {took_ms[-1]:.1f} ms", limit)

    # Beside the serving loop.

    def _next(self) -> Result:
        """The newest detected result of the serving loop."""
        deadline_s = self._clock() + self._gates.patience_s
        figure = f"no frame in {self._gates.patience_s:g} s"
        while self._clock() < deadline_s:
            self._record.stop_if_cancelled()
            try:
                return self._recent.take(_LOOK_S)
            except (TimeoutError, Closed):
                if self._loop.ended:
                    figure = "the loop has ended"
                    break
        self._record.check("frames", False, figure, "frames to check on: is the source lost, or the loop paused?")
        raise Refused

    def _timed(self, detector: Detector, pixels: NDArray[np.uint8]) -> tuple[Detections, float]:
        """Detections and the ms they took; then a rest."""
        began = time.perf_counter()
        found = detector.detect(pixels)
        took_s = time.perf_counter() - began
        self._rest(took_s)
        return found, took_s * 1e3

    def _rest(self, worked_s: float) -> None:
        """Let the loop keep its pace."""
        self._record.rest(min(_REST * worked_s, _LONGEST_REST_S))

    def _run(self, new: Detector, result: Result, gate: str) -> tuple[Detections, float]:
        """What the new model shows on a result's frame, and the ms it took."""
        try:
            found, took_ms = self._timed(new, result.frame.pixels)
        except ModelError as exc:
            self._record.check(gate, False, str(exc), "no errors")
            return Detections.empty(), 0.0
        return found.select(found.scores >= shown_score(new)), took_ms

    def _latency(self, new: Detector) -> None:
        self._record.begin("latency")
        result = self._next()
        info = result.frame.source
        if self._budget_ms is None and info.live and info.fps:
            self._budget_ms = 1e3 / info.fps
        took = []
        for _ in range(self._gates.latency_runs):
            took.append(self._run(new, result, "latency")[1])
            self._record.stop_if_cancelled()
        fits, figure, limit = judge_latency(took, self._budget_ms)
        self._record.check("latency", fits, f"{figure} beside the serving loop", limit)

    def _shadow(self, new: Detector) -> None:
        if self._gates.shadow_frames == 0:
            return
        self._record.begin("shadow")
        agreement = Agreement(self._old.classes, new.classes)
        for _ in range(self._gates.shadow_frames):
            result = self._next()
            found, _ = self._run(new, result, "shadow")
            agreement.add(result.detections, found, self._sure_score)
        self._record.check("shadow", *judge_agreement(agreement, self._gates), agreement)

    @property
    def _sure_score(self) -> float:
        return shown_score(self._old) + SURE_MARGIN

    def _accuracy(self, new: Detector, candidate: Candidate) -> None:
        if self._gates.min_ap is None or self._gates.data is None:
            return
        self._record.begin("accuracy")
        limit = f"AP50 of at least {self._gates.min_ap:g}"
        if candidate.measure_ap is None:
            self._record.check("accuracy", False, "cannot be measured here", limit)
            return
        try:
            ap, words = candidate.measure_ap(new, self._gates.data, self._rest)
        except EdgeVisionError as exc:
            self._record.check("accuracy", False, str(exc), limit)
        else:
            self._record.check("accuracy", ap >= self._gates.min_ap, f"AP50 {ap:.3f} {words}", limit)

    # In its place.

    def _exchange(self, new: Detector, guarded: bool) -> None:
        self._record.begin("exchange")
        self._awaited = new.name
        self._loop.exchange(new, guarded=guarded, on_failure=self._failed if guarded else None)
        deadline_s = self._clock() + self._gates.patience_s
        while not self._served.wait(_LOOK_S):
            if self._failure is not None or self._loop.ended or self._clock() >= deadline_s:
                break
        limit = "a result of the new model"
        if self._served.is_set():
            after = f", {(self._first_new_s - self._last_old_s) * 1e3:.0f} ms after the last"
            gap = after if self._last_old_s else ""
            self._record.check("exchange", True, f"frame {self._record.report.first_frame}{gap}", limit)
            return
        why = f"no result in {self._gates.patience_s:g} s" if self._failure is None else str(self._failure)
        self._record.check("exchange", False, "the loop has ended" if self._loop.ended else why, limit)

    def _failed(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def _look_for_errors(self) -> None:
        if self._failure is not None:
            self._record.check("watch", False, str(self._failure), "no errors")

    def _watch(self, new: Detector) -> None:
        """The new model serves; the old one looks at what it is shown, and answers for every frame that fails."""
        if self._gates.watch_s == 0:
            return
        self._record.begin("watch")
        whole = Agreement(self._old.classes, new.classes)
        window = Agreement(self._old.classes, new.classes)
        took_ms: list[float] = []
        began_s = window_began_s = self._clock()
        while self._failure is None and self._clock() < began_s + self._gates.watch_s:
            result = self._next()
            if result.model != new.name:
                continue
            times = result.times
            took_ms.append((times.preprocess + times.infer + times.decode) / 1e6)
            old, _ = self._timed(self._old, result.frame.pixels)
            for agreement in (whole, window):
                agreement.add(old, result.detections, self._sure_score)
            if self._clock() >= window_began_s + _WINDOW_S and window.old_boxes >= self._gates.enough_boxes:
                if not judge_agreement(window, self._gates)[0]:
                    break
                window, window_began_s = Agreement(self._old.classes, new.classes), self._clock()
        self._look_for_errors()
        judged = judge_agreement(window, self._gates)
        seen = whole if judged[0] else window
        alike, figure, limit = judge_agreement(seen, self._gates)
        fits, latency, budget = judge_latency(took_ms, self._budget_ms)
        self._record.check("watch", alike and fits, f"{latency}; {figure}", f"{budget}; {limit}", seen)
