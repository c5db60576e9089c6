"""A contender in a process of its own: nobody else's memory, threads or caches are in its figures.

While another contender is measured, this process waits in a read and costs nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any, NoReturn

import numpy as np

from edgevision.bench.contender import Contender, ContenderSpec
from edgevision.bench.image_sets import FrameSet
from edgevision.bench.predict import at_cadence
from edgevision.bench.records import Block, ContenderRecord
from edgevision.child_process import BadReply, ChildEnded, ChildProcess, answer_requests
from edgevision.errors import ModelFailed
from edgevision.types import Detections


class Worker:
    """The parent's side: a `Contender` elsewhere, with the time its first result took."""

    def __init__(
        self, wanted: ContenderSpec, address: str, shared: bool = False, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Start a process and have it give a first result on the first frame of ``address``.

        Raises what loading raises there, as if it were here; `ModelFailed` where the process dies.
        """
        self.name = wanted.model
        began = clock()
        # In a session of its own: Ctrl-C comes to us alone, and what was measured is kept.
        self._child = ChildProcess(
            "edgevision.bench.worker_process",
            environment={"OPENCV_LOG_LEVEL": os.environ.get("OPENCV_LOG_LEVEL", "ERROR")},
            own_session=True,
        )
        try:
            self.contender = ContenderRecord.model_validate_json(
                json.dumps(self._ask("load", wanted=asdict(wanted), address=address, shared=shared))
            )
        except BaseException:
            self.close()
            raise
        self.cold_start_ns = clock() - began

    def describe(self) -> ContenderRecord:
        return self.contender

    def run_alone(self, address: str, seconds: float, frames: int | None, number: int) -> Block:
        return self._block("alone", address, seconds, frames, number)

    def run_loop(
        self, address: str, seconds: float, frames: int | None, number: int, detect_every: int | None = None
    ) -> Block:
        return self._block("loop", address, seconds, frames, number, detect_every=detect_every)

    def find(
        self, frame_set: FrameSet, seconds: float, min_score: float | None, detect_every: int | None = None
    ) -> list[Detections]:
        asked = {"seconds": seconds, "min_score": min_score, "detect_every": detect_every}
        rows = self._ask("find", frame_set=asdict(frame_set), **asked)
        return [
            Detections(
                np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(ids, np.int64)
            )
            for boxes, scores, ids in rows
        ]

    def peak_rss_mib(self) -> float:
        return float(self._ask("memory"))

    def close(self) -> None:
        """End the process, at once."""
        self._child.close()

    def _block(self, what: str, address: str, seconds: float, frames: int | None, number: int, **more: Any) -> Block:
        values = self._ask(what, address=address, seconds=seconds, frames=frames, number=number, **more)
        return Block.model_validate(values)

    def _ask(self, what: str, **details: Any) -> Any:
        try:
            return self._child.ask({"do": what, **details})
        except ChildEnded as exc:
            memory = "; the machine may be short of memory" if exc.code in (-9, 137) else ""
            raise ModelFailed(
                f"{self.name}: its process ended with exit code {exc.code} while it was measured{memory}"
            ) from None
        except BadReply as exc:
            raise ModelFailed(f"{self.name}: its process gave no readable answer while it was measured") from exc


class Sparing:
    """A worker's model in a loop that detects on one of ``detect_every`` frames: another contender in its process.

    A process for each would hold the same model again and again: on a small machine, more than there is memory for.
    """

    def __init__(self, worker: Worker, detect_every: int) -> None:
        self._worker, self._every = worker, detect_every

    def describe(self) -> ContenderRecord:
        return at_cadence(self._worker.describe(), self._every)

    def run_alone(self, address: str, seconds: float, frames: int | None, number: int) -> Block:
        return self._worker.run_alone(address, seconds, frames, number)

    def run_loop(self, address: str, seconds: float, frames: int | None, number: int) -> Block:
        return self._worker.run_loop(address, seconds, frames, number, self._every)

    def find(self, frame_set: FrameSet, seconds: float, min_score: float | None) -> list[Detections]:
        return self._worker.find(frame_set, seconds, min_score, self._every)

    def peak_rss_mib(self) -> float:
        return self._worker.peak_rss_mib()

    def close(self) -> None:
        """Nothing: the process is its worker's to end."""


def _do(contender: Contender, what: str, request: dict[str, Any]) -> Any:
    if what == "alone":
        return contender.run_alone(**request).model_dump(mode="json")
    if what == "loop":
        return contender.run_loop(**request).model_dump(mode="json")
    if what == "memory":
        return contender.peak_rss_mib()
    values = request["frame_set"]
    frame_set = FrameSet(**{**values, "files": tuple(values["files"])})
    found = contender.find(frame_set, request["seconds"], request["min_score"], request["detect_every"])
    return [(d.boxes.tolist(), d.scores.tolist(), d.class_ids.tolist()) for d in found]


def main(replies: IO[bytes]) -> NoReturn:
    """The child's side: load a contender, then measure it as asked."""
    from edgevision.pipeline.memory import keep_freed_memory

    # As `edgevision run` does it.
    keep_freed_memory()
    sys.setswitchinterval(0.0005)
    contender: Contender | None = None

    def answer(request: dict[str, Any]) -> Any:
        nonlocal contender
        what = request.pop("do")
        if what == "load":
            contender = Contender(ContenderSpec(**request["wanted"]), shared=request["shared"])
            contender.first_result(request["address"])
            return contender.describe().model_dump(mode="json")
        if contender is None:
            raise ModelFailed("expected to load a contender first")
        return _do(contender, what, request)

    answer_requests(replies, answer)
    os._exit(0)  # a library's threads may not let us go
