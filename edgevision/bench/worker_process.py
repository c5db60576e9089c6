"""A contender in a process of its own: nobody else's memory, threads or caches are in its figures.

The parent writes one JSON line and reads one back. While another contender is measured, this process waits in a read
and costs nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any, NoReturn

import numpy as np

from edgevision import errors
from edgevision.bench.contender import Contender, ContenderSpec
from edgevision.bench.image_sets import FrameSet
from edgevision.bench.predict import at_cadence
from edgevision.bench.records import Block, ContenderRecord
from edgevision.errors import EdgeVisionError, ModelFailed
from edgevision.types import Detections

_CLOSE_S = 3.0


class Worker:
    """The parent's side: a `Contender` elsewhere, with the time its first result took."""

    def __init__(
        self, wanted: ContenderSpec, address: str, shared: bool = False, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Start a process and have it give a first result on the first frame of ``address``.

        Raises what loading raises there, as if it were here; `ModelFailed` where the process dies.
        """
        self.name = wanted.model
        environment = {**os.environ, "OPENCV_LOG_LEVEL": os.environ.get("OPENCV_LOG_LEVEL", "ERROR")}
        # In a session of its own, so that Ctrl-C comes to us alone and what was measured is kept.
        apart: dict[str, Any] = {"creationflags": 0x200} if sys.platform == "win32" else {"start_new_session": True}
        began = clock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgevision.bench.worker_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
            **apart,
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
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)

    def _block(self, what: str, address: str, seconds: float, frames: int | None, number: int, **more: Any) -> Block:
        values = self._ask(what, address=address, seconds=seconds, frames=frames, number=number, **more)
        return Block.model_validate(values)

    def _ask(self, what: str, **details: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError as exc:
            raise ModelFailed(self._died()) from exc
        if not line:
            raise ModelFailed(self._died())
        answer = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["error"], ModelFailed)
            # `MissingExtra` makes its sentence itself from other parts.
            raised = EdgeVisionError.__new__(kind if issubclass(kind, EdgeVisionError) else ModelFailed)
            EdgeVisionError.__init__(raised, answer["message"])
            raise raised
        return answer["value"]

    def _died(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        code = self._process.returncode
        memory = "; the machine may be short of memory" if code in (-9, 137) else ""
        return f"{self.name}: its process ended with exit code {code} while it was measured{memory}"


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


def _serve(requests: IO[str], answers: IO[str]) -> None:
    """The child's side: answer until nobody asks any more."""
    subject: Contender | None = None
    for line in requests:
        request = json.loads(line)
        what = request.pop("do")
        try:
            if what == "load":
                subject = Contender(ContenderSpec(**request["wanted"]), shared=request["shared"])
                subject.first_result(request["address"])
                value: Any = subject.describe().model_dump(mode="json")
            elif subject is None:
                raise ModelFailed("expected to load a contender first")
            else:
                value = _do(subject, what, request)
            answer = {"value": value}
        except EdgeVisionError as exc:
            answer = {"error": type(exc).__name__, "message": str(exc)}
        except MemoryError:
            answer = {"error": "ModelFailed", "message": "the machine has too little memory for it"}
        except Exception as exc:
            answer = {"error": "ModelFailed", "message": f"{type(exc).__name__}: {str(exc)[:300]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _do(subject: Contender, what: str, request: dict[str, Any]) -> Any:
    if what == "alone":
        return subject.run_alone(**request).model_dump(mode="json")
    if what == "loop":
        return subject.run_loop(**request).model_dump(mode="json")
    if what == "memory":
        return subject.peak_rss_mib()
    values = request["frame_set"]
    frame_set = FrameSet(**{**values, "files": tuple(values["files"])})
    found = subject.find(frame_set, request["seconds"], request["min_score"], request["detect_every"])
    return [(d.boxes.tolist(), d.scores.tolist(), d.class_ids.tolist()) for d in found]


def _main() -> NoReturn:
    from edgevision.pipeline.memory import keep_freed_memory

    # What libraries print must not land among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # As `edgevision run` does it.
    keep_freed_memory()
    sys.setswitchinterval(0.0005)
    _serve(sys.stdin, answers)
    os._exit(0)  # a library's threads may not let us go


if __name__ == "__main__":
    _main()
