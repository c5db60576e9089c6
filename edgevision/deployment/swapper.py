"""Swap a model while the loop runs: look at it, load, warm up, check beside the serving one, exchange, watch, go back.

All a swap knows of a model is that it is a `Detector`: a foundation model can be swapped for a compact one and back.
The old model serves until every gate is passed, and again as soon as one fails.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from edgevision.deployment.candidate import Candidate
from edgevision.deployment.gates import Gates
from edgevision.deployment.report import Progress, SwapReport, Verdict
from edgevision.deployment.rollout import Rollout
from edgevision.errors import UsageError
from edgevision.interfaces import Detector, Loop
from edgevision.pipeline.memory import give_back_freed_memory

_KEPT_REPORTS = 200
"""A loop may run for months and be swapped by a script: what is kept of it is bounded."""


class Swapper:
    """Swaps models of one running loop, one at a time; keeps what happened. Safe from any thread but the loop's."""

    def __init__(
        self,
        loop: Loop,
        find: Callable[[str], Candidate],
        *,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[Progress], None] | None = None,
    ) -> None:
        """``find`` gives a candidate of a name, without looking at it yet. ``told`` is the first that `listen` has
        called."""
        self._loop, self._find, self._clock = loop, find, clock
        self._listeners: tuple[Callable[[Progress], None], ...] = () if told is None else (told,)
        self._lock = threading.Lock()
        self._history: deque[SwapReport] = deque(maxlen=_KEPT_REPORTS)
        self._previous: Detector | None = None
        self._trial: Rollout | None = None
        self._running: Future[SwapReport] | None = None
        self._progress: Progress | None = None
        self._count = 0

    @property
    def history(self) -> tuple[SwapReport, ...]:
        """The last 200 swaps, oldest first."""
        return tuple(self._history)

    @property
    def progress(self) -> Progress | None:
        """How far the swap under way has come, or how the last one ended."""
        return self._progress

    def listen(self, listener: Callable[[Progress], None]) -> None:
        """Have ``listener`` called at every step of each swap, in the swap's thread."""
        self._listeners += (listener,)

    def report(self, number: int) -> SwapReport | None:
        """That of one swap; None where it is not decided, or long ago."""
        return next((r for r in self._history if r.number == number), None)

    def swap(self, name: str, gates: Gates | None = None) -> SwapReport:
        """Hold the model ``name`` against ``gates``, and let it serve if it passes. Blocks until decided.

        A failed gate is a verdict in the report, never an exception. Raises `UsageError` while another swap is under
        way, and where it would block the loop's own thread.
        """
        if self._loop.in_own_thread:
            raise UsageError(
                "a swap needs a running loop, so the thread that runs the loop cannot wait for it: use start_swap, or "
                "another thread"
            )
        return self.start(name, gates).result()

    def start(self, name: str, gates: Gates | None = None) -> Future[SwapReport]:
        """`swap` in a thread of its own; the report is the future's result. Raises `UsageError` as `swap` does."""
        if not self._lock.acquire(blocking=False):
            raise UsageError("another swap is running: wait for its report")
        self._count += 1
        done: Future[SwapReport] = Future()
        # Not to be cancelled through the future: `revert` says how a swap is stopped in order.
        done.set_running_or_notify_cancel()
        self._running = done
        self._trial = trial = Rollout(self._loop, name, gates or Gates(), self._count, self._clock, self._tell)
        # Whoever asks from now on hears of this one, not of the last.
        self._progress = Progress(self._count, self._loop.detector.name, name, "manifest", ())
        threading.Thread(target=self._run, args=(trial, done), name="swap", daemon=True).start()
        return done

    def revert(self) -> SwapReport:
        """Let the model before the last exchange serve again, at once; a swap under way is stopped instead.

        Raises `UsageError` where there is nothing to go back to.
        """
        if self._loop.in_own_thread:
            raise UsageError("the thread that runs the loop cannot wait for it: revert from another thread")
        trial, running = self._trial, self._running
        if trial is not None and running is not None:
            trial.cancel("stopped by the user")
            report = running.result()
            if report.verdict is not Verdict.ACCEPTED:
                return report
        with self._lock:
            if self._previous is None:
                raise UsageError("no previous model: nothing was swapped yet")
            self._count += 1
            gates = Gates(shadow_frames=0, watch_s=0)
            trial = Rollout(self._loop, self._previous.name, gates, self._count, self._clock, self._tell)
            current = self._loop.detector
            report = trial.go_back(self._previous)
            if report.verdict is Verdict.ROLLED_BACK_BY_USER:
                self._previous = current
            self._history.append(report)
            self._tell(Progress(report.number, report.old, report.new, "", report.checks, report))
            return report

    def close(self) -> None:
        """Stop a swap under way; the loop is about to end. Does not wait."""
        trial = self._trial
        if trial is not None:
            trial.cancel("the loop ends")

    def _run(self, trial: Rollout, done: Future[SwapReport]) -> None:
        try:
            report, replaced = trial.run(self._find)
            if replaced is not None:
                self._previous = replaced
            self._history.append(report)
        except BaseException as exc:
            self._trial = self._running = None
            self._lock.release()
            done.set_exception(exc)
            return
        # A model has gone, the refused one or the one before the last.
        del trial, replaced
        self._trial = self._running = None
        give_back_freed_memory()
        self._lock.release()
        # Told last: who hears of the end may ask for the next swap.
        self._tell(Progress(report.number, report.old, report.new, "", report.checks, report))
        done.set_result(report)

    def _tell(self, progress: Progress) -> None:
        self._progress = progress
        for listener in self._listeners:
            listener(progress)
