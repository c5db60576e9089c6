"""What a gate sees: both models, the serving loop's results, and a gentle way to run the candidate beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.deployment.candidate import Candidate
from edgevision.deployment.gates import Gates
from edgevision.deployment.rollout_log import Refused, RolloutLog
from edgevision.evaluation.agreement import SURE_MARGIN, Agreement
from edgevision.frame_queue import BoundedQueue, Closed
from edgevision.interfaces import Detector, Loop, shown_score
from edgevision.types import Detections, Result, SourceInfo

LOOK_S = 0.1
_REST = 1.5
"""After each run of the new model, so many times as long the loop has both cores: on two cores full speed beside it
would take a third of the loop's frames."""
_LONGEST_REST_S = 1.0


@dataclass(slots=True)
class GateContext:
    """One candidate beside the loop that it is to serve. For the rollout's thread."""

    loop: Loop
    old: Detector
    new: Detector
    candidate: Candidate
    gates: Gates
    clock: Callable[[], float]
    """Seconds."""
    log: RolloutLog
    recent: BoundedQueue[Result]
    """The newest result that was detected."""
    failure: BaseException | None = None
    """The first error of the candidate since it serves."""

    @property
    def sure_score(self) -> float:
        """From this score on a box of the old model is sure enough to be missed."""
        return shown_score(self.old) + SURE_MARGIN

    def new_agreement(self) -> Agreement:
        return Agreement(self.old.classes, self.new.classes)

    def budget_ms(self, source: SourceInfo) -> float | None:
        """For one inference: what was asked for, else a live source's frame period; None for a file, which waits."""
        if self.gates.budget_ms is not None:
            return self.gates.budget_ms
        return 1e3 / source.fps if source.live and source.fps else None

    def next_result(self) -> Result:
        """The newest detected result of the serving loop. Raises `Refused` where none comes in time."""
        deadline_s = self.clock() + self.gates.timeout_s
        figure = f"no frame in {self.gates.timeout_s:g} s"
        while self.clock() < deadline_s:
            self.log.stop_if_cancelled()
            try:
                return self.recent.take(LOOK_S)
            except (TimeoutError, Closed):
                if self.loop.ended:
                    figure = "the loop has ended"
                    break
        self.log.check("frames", False, figure, "frames to check on: is the source lost, or the loop paused?")
        raise Refused

    def detect(self, result: Result) -> tuple[Detections, float]:
        """What the candidate shows on a result's frame, and the ms it took. Raises `ModelError`."""
        found, took_ms = self.timed(self.new, result.frame.pixels)
        return found.select(found.scores >= shown_score(self.new)), took_ms

    def detect_old(self, result: Result) -> Detections:
        """All that the old model finds on a result's frame."""
        return self.timed(self.old, result.frame.pixels)[0]

    def timed(self, detector: Detector, pixels: NDArray[np.uint8]) -> tuple[Detections, float]:
        """Detections and the ms they took; then a rest."""
        began = time.perf_counter()
        found = detector.detect(pixels)
        took_s = time.perf_counter() - began
        self.rest(took_s)
        return found, took_s * 1e3

    def rest(self, worked_s: float) -> None:
        """Let the loop keep its pace. Raises `Refused` where someone has stopped the rollout."""
        self.log.rest(min(_REST * worked_s, _LONGEST_REST_S))
