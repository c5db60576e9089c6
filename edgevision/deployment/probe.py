"""Loading and first running a model that nobody vouches for, in a child process with bounds on memory and time.

A graph can hang for ever, ask for any amount of memory, or bring onnxruntime down. None of that may happen to the
process that shows a camera.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import psutil

from edgevision.child_process import BadReply, ChildEnded, ChildProcess, NoReply
from edgevision.detectors.manifest import Manifest
from edgevision.detectors.onnx_session import TensorInfo
from edgevision.errors import EdgeVisionError, ModelInvalid, ModelNotFound
from edgevision.interfaces import ContextManaged

_MOST_ANSWER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What an unknown model may use."""

    load_and_first_run_s: float = 8.0
    memory_mib: int = 3072
    """Beside six times the file's size, which loading a large but honest file may take."""
    take_s: float = 60.0
    """For reading the file itself: two gigabytes from a slow card."""
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


class Probe(ContextManaged):
    """One model in a child process. Use as a context manager; the child is gone after it.

    Every method raises `ModelInvalid`, with a sentence, for what makes the model unfit.
    """

    def __init__(self, path: Path, where: str = "", limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.where = where or str(path)
        self._limits = limits
        self._memory_mib = limits.memory_mib
        self._path = path
        self._left_s = limits.load_and_first_run_s
        self._load_s = 0.0
        self._child: ChildProcess | None = None

    def __enter__(self) -> Self:
        # Numeric libraries reserve memory for every core: one thread keeps the bound meaningful.
        self._child = ChildProcess(
            "edgevision.deployment.probe_child",
            environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            niceness=self._limits.niceness,
            most_reply_bytes=_MOST_ANSWER_BYTES,
        )
        try:
            within = f"{self._limits.start_s:g} s of starting the process that tries models"
            with self._translated(within, "the machine is overloaded"):
                self._child.wait_ready(self._limits.start_s, self._check_memory)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End the child. Idempotent."""
        if self._child is not None:
            self._child.close()

    def take(self, source: Path, most_bytes: int) -> str:
        """Have the child copy a file that nobody vouches for to the probe's path; its SHA-256.

        Raises `ModelNotFound`, and `ModelInvalid` for what is no regular file, too large, or not read in time.
        """
        request = {"do": "take", "path": str(source), "to": str(self._path), "most_bytes": most_bytes}
        within = f"{self._limits.take_s:g} s of reading it"
        with self._translated(within, "on a drive that does not answer"):
            assert self._child is not None
            got = self._child.ask(request, self._limits.take_s, self._check_memory)
        with self._reading():
            if got["missing"]:
                raise ModelNotFound(f"{self.where}: no such file")
            return str(got["sha256"])

    def load(self) -> Described:
        """Check the file's bytes, then load it; again, where the file has been rewritten since."""
        began = time.monotonic()
        self._memory_mib = self._limits.memory_mib + 6 * (self._path.stat().st_size >> 20)
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

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._child is None:
            raise RuntimeError("a probe is used inside its with statement")
        began = time.monotonic()
        within = f"{self._limits.load_and_first_run_s:g} s of loading and running it"
        with self._translated(within, "a loop without end, or a model far too slow for a camera"):
            got = self._child.ask(request, self._left_s, self._check_memory)
        self._left_s -= time.monotonic() - began
        return cast(dict[str, Any], got)

    @contextlib.contextmanager
    def _translated(self, within: str, why: str) -> Iterator[None]:
        """What became of the child, as a sentence about the model."""
        try:
            yield
        except ModelInvalid:
            raise
        except NoReply:
            raise ModelInvalid(f"{self.where}: expected an answer within {within}, got none: {why}") from None
        except ChildEnded as exc:
            raise ModelInvalid(
                f"{self.where}: brought the process that tried it down ({exc}): damaged, or in need of more than "
                f"{self._memory_mib} MiB"
            ) from None
        except BadReply as exc:
            raise self._unreadable() from exc
        except EdgeVisionError as exc:
            raise ModelInvalid(str(exc)) from exc

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """A model that took its process over may answer anything."""
        try:
            yield
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as exc:
            raise self._unreadable() from exc

    def _unreadable(self) -> ModelInvalid:
        return ModelInvalid(f"{self.where}: gave no readable answer when it was tried; it is not safe to use")

    def _check_memory(self) -> None:
        assert self._child is not None
        with contextlib.suppress(psutil.Error):
            if psutil.Process(self._child.pid).memory_info().rss > self._memory_mib << 20:
                raise ModelInvalid(
                    f"{self.where}: needs more than {self._memory_mib} MiB of memory to run; expected less"
                )


def _info(value: Any) -> TensorInfo:
    return TensorInfo(str(value[0]), tuple(None if d is None else int(d) for d in value[1]), str(value[2]))
