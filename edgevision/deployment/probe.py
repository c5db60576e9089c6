"""Loading and first running a model that nobody vouches for, in a child process with bounds on memory and time.

A graph can hang for ever, ask for any amount of memory, or bring onnxruntime down. None of that may happen to the
process that shows a camera. The two talk in lines of JSON: what comes from the child is data, never objects.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import psutil

from edgevision.detectors.manifest import Manifest
from edgevision.detectors.onnx_session import TensorInfo
from edgevision.errors import ModelInvalid

_MOST_ANSWER_BYTES = 4 << 20
_LOOK_S = 0.05
_START = """import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
if hasattr(os, "nice"): os.nice(int(sys.argv[2]))
from edgevision.deployment.probe_child import answer
answer()"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an unknown model may use."""

    load_and_first_run_s: float = 8.0
    memory_mib: int = 3072
    """Beside six times the file's size, which loading a large but honest file may take."""
    start_s: float = 60.0
    """For the child itself to start, before it sees the model: only an overloaded machine takes long."""
    niceness: int = 0
    """How far the child stands back for others (POSIX): beside a running loop it is not to take its cores."""


@dataclass(frozen=True, slots=True)
class Described:
    """A graph as its loaded session shows it: the `Graph` that families look at."""

    where: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    metadata: dict[str, str]
    opset: int
    inputs_with_values: int
    """Weights listed among the inputs, as old exporters did."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a model did on pictures made for the purpose: noise, flat grey, gradients."""

    median_ms: float
    detections: tuple[int, ...]
    """On each picture, over the manifest's threshold."""
    samples: tuple[tuple[float, ...], ...]
    """Some of each output's numbers at fixed places, for comparing two forms of one graph."""
    silent: bool
    """Nothing at all came out: possible for a head that holds back what it is not sure of."""


class Probe:
    """One model in a child process. Use as a context manager; the child is gone after it.

    Every method raises `ModelInvalid`, with a sentence, for what makes the model unfit.
    """

    def __init__(self, path: Path, where: str = "", limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.where = where or str(path)
        self._limits = limits
        self._memory_mib = limits.memory_mib + 6 * (path.stat().st_size >> 20)
        self._path = path
        self._left_s = limits.load_and_first_run_s
        self._load_s = 0.0
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # Numeric libraries reserve memory for every core: one thread keeps the bound meaningful.
        quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path), str(self._limits.niceness)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | quiet,
        )
        threading.Thread(target=self._listen, args=(self._process,), name="probe", daemon=True).start()
        try:
            within = f"{self._limits.start_s:g} s of starting the process that tries models"
            self._wait(self._process, self._limits.start_s, within, "the machine is overloaded")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def load(self) -> Described:
        """Check the file's bytes, then load it; again, where the file has been rewritten since."""
        began = time.monotonic()
        got = self._ask({"do": "load", "path": str(self._path), "where": self.where, "memory_mib": self._memory_mib})
        self._load_s = time.monotonic() - began
        with self._reading():
            return Described(
                self.where,
                tuple(_info(i) for i in got["inputs"]),
                tuple(_info(o) for o in got["outputs"]),
                {str(k): str(v) for k, v in got["metadata"].items()},
                int(got["opset"]),
                int(got["inputs_with_values"]),
            )

    def run_once(self, shape: tuple[int, ...]) -> tuple[TensorInfo, ...]:
        """Run on noise of that shape: the outputs, no dimension of them open any more."""
        got = self._ask({"do": "run_once", "shape": list(shape)})
        # A slow but honest model gets, for what follows, time in proportion to what its first run took.
        with self._reading():
            self._left_s = max(self._left_s, 2 * self._load_s + 12 * float(got["run_s"]))
            return tuple(_info(o) for o in got["outputs"])

    def try_out(self, manifest: Manifest) -> Trial:
        """Run the whole way from pictures to detections, and look at what comes out."""
        got = self._ask({"do": "try_out", "manifest": manifest.model_dump(mode="json")})
        with self._reading():
            return Trial(
                float(got["median_ms"]),
                tuple(int(n) for n in got["detections"]),
                tuple(tuple(float(v) for v in row) for row in got["samples"]),
                bool(got["silent"]),
            )

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        try:
            while line := process.stdout.readline(_MOST_ANSWER_BYTES):
                self._answers.put(line)
        except (OSError, ValueError):  # closed under us: the probe is over
            pass
        self._answers.put(b"")

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None:
            raise RuntimeError("a probe is used inside its with statement")
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            pass  # it has died; the answer's end says so
        began = time.monotonic()
        within = f"{self._limits.load_and_first_run_s:g} s of loading and running it"
        why = "a loop without end, or a model far too slow for a camera"
        line = self._wait(process, self._left_s, within, why)
        self._left_s -= time.monotonic() - began
        with self._reading():
            got = json.loads(line)
            if "error" not in got:
                return cast(dict[str, Any], got)
        raise ModelInvalid(str(got["error"]))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """A model that took its process over may answer anything."""
        try:
            yield
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as exc:
            raise ModelInvalid(
                f"{self.where}: gave no readable answer when it was tried; it is not safe to use"
            ) from exc

    def _wait(self, process: subprocess.Popen[bytes], within_s: float, within: str, why: str) -> bytes:
        began = time.monotonic()
        while True:
            try:
                line = self._answers.get(timeout=_LOOK_S)
                break
            except queue.Empty:
                pass
            if time.monotonic() - began > within_s:
                raise ModelInvalid(f"{self.where}: expected an answer within {within}, got none: {why}")
            with contextlib.suppress(psutil.Error):
                if psutil.Process(process.pid).memory_info().rss > self._memory_mib << 20:
                    raise self._too_large()
        if line:
            return line
        code = process.wait()
        raise ModelInvalid(
            f"{self.where}: brought the process that tried it down ({_ending(code)}): damaged, or in need of more than "
            f"{self._memory_mib} MiB"
        )

    def _too_large(self) -> ModelInvalid:
        return ModelInvalid(f"{self.where}: needs more than {self._memory_mib} MiB of memory to run; expected less")


def _info(value: Any) -> TensorInfo:
    return TensorInfo(str(value[0]), tuple(None if d is None else int(d) for d in value[1]), str(value[2]))


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
