"""One swap: a candidate is looked at, loaded, checked by the gates beside the serving model, exchanged and watched."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from edgevision.deployment import gates as table
from edgevision.deployment.candidate import Candidate, PreloadCheck
from edgevision.deployment.gate_context import LOOK_S, GateContext
from edgevision.deployment.gates import Gate, Gates
from edgevision.deployment.report import Progress, SwapReport, Verdict
from edgevision.deployment.rollout_log import Refused, RolloutLog
from edgevision.errors import EdgeVisionError, ModelError
from edgevision.frame_queue import BoundedQueue
from edgevision.interfaces import Detector, Loop
from edgevision.types import Result

_log = logging.getLogger(__name__)

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
        self._context: GateContext | None = None
        self._awaited: str | None = None
        self._served = threading.Event()
        self._last_old_s = self._first_new_s = 0.0

    def cancel(self, why: str) -> None:
        """End it as if a gate had failed."""
        self._record.cancel(why)

    def run(self, find: Callable[[str], Candidate]) -> tuple[SwapReport, Detector | None]:
        """The report, and the model that was replaced for good, where one was."""
        verdict, exchanged = Verdict.REFUSED, False
        stop = self._loop.observe(self._keep)
        try:
            context = self._prepare(find)
            for gate in table.GATES:
                if not gate.after_exchange:
                    self._pass(gate, context)
            if self._gates.dry_run:
                verdict = Verdict.PASSED
            else:
                exchanged = True
                self._exchange(context.new, guarded=True)
                verdict = Verdict.ROLLED_BACK
                for gate in table.GATES:
                    if gate.after_exchange:
                        self._pass(gate, context)
                # Only now is the old one out of reach as a fallback, and its memory free.
                self._loop.exchange(context.new)
                if context.failure is not None:
                    self._record.check("watch", False, str(context.failure), "no errors")
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

    def _prepare(self, find: Callable[[str], Candidate]) -> GateContext:
        """The file, and the model by itself: what cannot be forced."""
        self._record.begin("manifest")
        candidate = find(self._record.report.new)
        for step in candidate.before:
            self._look(step)
        new = self._load(candidate)
        self._context = context = GateContext(
            self._loop, self._old, new, candidate, self._gates, self._clock, self._record, self._recent
        )
        self._warm_up(context)
        return context

    def _look(self, step: PreloadCheck) -> None:
        self._record.begin(step.name)
        try:
            figure = self._record.unless_cancelled(step.look)
        except EdgeVisionError as exc:
            self._record.check(step.name, False, str(exc), step.limit)
        else:
            self._record.check(step.name, True, figure, step.limit)

    def _load(self, candidate: Candidate) -> Detector:
        self._record.begin("load")
        limit = "the model loads"
        try:
            new = self._record.unless_cancelled(candidate.load)
        except EdgeVisionError as exc:
            self._record.check("load", False, str(exc), limit)
            raise
        self._record.report = replace(self._record.report, new=new.name, load_ms=self._record.took_ms)
        # Results say by their model's name alone whose they are.
        different = new.name != self._old.name
        figure = f"{new.name} in {self._record.took_ms:.0f} ms"
        self._record.check(
            "load",
            different,
            figure if different else f"{new.name} serves already",
            limit + " and differs",
        )
        return new

    def _warm_up(self, context: GateContext) -> None:
        self._record.begin("warm-up")
        picture, limit = context.next_result().frame.pixels, "the model runs on a frame of this source"
        try:
            took_ms = self._record.unless_cancelled(
                lambda: [context.timed(context.new, picture)[1] for _ in range(_WARM_UP_RUNS)]
            )
        except ModelError as exc:
            self._record.check("warm-up", False, str(exc), limit)
        else:
            self._record.check("warm-up", True, f"first run {took_ms[0]:.1f} ms, last {took_ms[-1]:.1f} ms", limit)

    def _pass(self, gate: Gate, context: GateContext) -> None:
        """Let a gate judge, if it is asked. Raises `Refused` where it fails and is not forced."""
        if not gate.asked(context):
            return
        self._record.begin(gate.name)
        try:
            outcome = self._record.unless_cancelled(lambda: gate.check(context))
        except EdgeVisionError as exc:
            self._record.check(gate.name, False, str(exc), "no errors")
        else:
            self._record.check(gate.name, outcome.passed, outcome.figure, outcome.limit, outcome.agreement)

    def _exchange(self, new: Detector, guarded: bool) -> None:
        self._record.begin("exchange")
        self._awaited = new.name
        self._loop.exchange(new, guarded=guarded, on_failure=self._failed if guarded else None)
        deadline_s = self._clock() + self._gates.timeout_s
        while not self._served.wait(LOOK_S):
            self._record.stop_if_cancelled()
            if self._failure is not None or self._loop.ended or self._clock() >= deadline_s:
                break
        limit = "a result of the new model"
        if self._served.is_set():
            after = f", {(self._first_new_s - self._last_old_s) * 1e3:.0f} ms after the last"
            gap = after if self._last_old_s else ""
            self._record.check("exchange", True, f"frame {self._record.report.first_frame}{gap}", limit)
            return
        why = f"no result in {self._gates.timeout_s:g} s" if self._failure is None else str(self._failure)
        self._record.check("exchange", False, "the loop has ended" if self._loop.ended else why, limit)

    @property
    def _failure(self) -> BaseException | None:
        return None if self._context is None else self._context.failure

    def _failed(self, error: BaseException) -> None:
        """The candidate failed on a frame, in the loop's thread or a worker's."""
        if self._context is not None and self._context.failure is None:
            self._context.failure = error
