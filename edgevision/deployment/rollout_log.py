"""What a swap's trial found so far: its checks, told as they finish, and whether someone has stopped it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from edgevision.deployment.abandonable import Abandoned, Value, abandonable
from edgevision.deployment.gates import Gates
from edgevision.deployment.report import Check, Progress, SwapReport, Verdict
from edgevision.evaluation.agreement import Agreement


class Refused(Exception):
    """A gate that is not forced has failed."""


class RolloutLog:
    """One trial's checks and its report. `cancel` from any thread; all else from the trial's."""

    def __init__(
        self,
        old: str,
        new: str,
        gates: Gates,
        number: int,
        clock: Callable[[], float],
        tell: Callable[[Progress], None],
    ) -> None:
        """``old`` and ``new`` are models' names, ``clock`` counts seconds, ``tell`` hears of every step."""
        self.report = SwapReport(old, new, Verdict.REFUSED, (), None, 0.0, number, time.time())
        self.doing = ""
        """The step under way."""
        self._force, self._clock, self._tell = gates.force, clock, tell
        self._began_s = clock()
        self._checks: list[Check] = []
        self._cancelled = threading.Event()
        self._why_cancelled = ""
        self._noting = threading.Lock()
        self._stop_noted = False

    @property
    def took_ms(self) -> float:
        """How long the step under way has taken."""
        return (self._clock() - self._began_s) * 1e3

    def begin(self, name: str) -> None:
        """Another step. Raises `Refused` where someone has stopped the trial."""
        self.doing, self._began_s = name, self._clock()
        self.stop_if_cancelled()
        self._tell_progress()

    def check(self, name: str, passed: bool, figure: str, limit: str, agreement: Agreement | None = None) -> None:
        """Keep a check's outcome. Raises `Refused` where it failed and is not forced."""
        forced = not passed and name in self._force
        classes = agreement.differences() if agreement is not None else ()
        self._note(Check(name, passed, figure, limit, forced, self.took_ms, classes))
        if not passed and not forced:
            raise Refused

    def broke(self, error: BaseException) -> None:
        """The step under way ended in an error that no gate speaks of."""
        figure = f"{type(error).__name__}: {error}"
        self._note(Check(self.doing, False, figure, "no errors", False, self.took_ms))

    def cancel(self, why: str) -> None:
        """End the trial as if a gate had failed."""
        self._why_cancelled = self._why_cancelled or why
        self._cancelled.set()

    def stop_if_cancelled(self) -> None:
        """Raises `Refused` where someone has stopped the trial."""
        if self._cancelled.is_set():
            with self._noting:
                noted, self._stop_noted = self._stop_noted, True
            if noted:
                raise Refused
            self.check("person", False, self._why_cancelled, "no one to stop it")

    def unless_cancelled(self, call: Callable[[], Value]) -> Value:
        """``call()``, left behind where someone stops the trial meanwhile, which raises `Refused`."""
        try:
            return abandonable(call, self._cancelled)
        except Abandoned:
            self.stop_if_cancelled()
            raise Refused from None

    def rest(self, seconds: float) -> None:
        """Wait for so long, or until the trial is stopped, which raises `Refused`."""
        self._cancelled.wait(seconds)
        self.stop_if_cancelled()

    def ended(self, verdict: Verdict) -> SwapReport:
        """The whole report."""
        self.report = replace(self.report, verdict=verdict, checks=tuple(self._checks))
        return self.report

    def _note(self, check: Check) -> None:
        self._checks.append(check)
        self._tell_progress()

    def _tell_progress(self) -> None:
        report = self.report
        self._tell(Progress(report.number, report.old, report.new, self.doing, tuple(self._checks)))
