"""``--engine ray``: labelling as a Ray Data job, in processes of this machine or of a cluster.

Each worker loads the teachers once and labels with the same pure function as the in-process engine, on one thread; the
answers come back one by one to the caller, who alone writes. On a cluster, pictures and models are read where a worker
runs: they must lie at the same path there, in a shared folder for example.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import IO, Any

import psutil

from edgevision.concurrency import usable_cores
from edgevision.detectors.load import TeacherSpec
from edgevision.errors import EdgeVisionError, MissingExtra, UsageError
from edgevision.training.labelling.ensemble import Labeller, Labelling, Task, label_task
from edgevision.training.labelling.settings import LabelSettings

_OBJECT_STORE_BYTES = 100 * 2**20
"""Paths go in and boxes come out, never pixels: Ray's own default is a third of the machine's memory."""
_TASKS_A_JOB = 50_000
"""A job knows all its tasks at once; with a million pictures it is several jobs, one after the other."""
_MOST_TASKS_A_BLOCK = 16
"""Answers come back, and are on disk, a block at a time: what a kill costs. More would save little time."""
_KNOCK_S = 5.0
_HOMES = "ev-ray-"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_enable_metrics_collection": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Off Linux, Ray by itself binds to loopback only, and to every address where this is on, as it always is on Linux."""


def label_here_on_ray(
    tasks: Iterable[Task],
    teachers: tuple[TeacherSpec, ...],
    settings: LabelSettings,
    workers: int | None,
    address: str | None,
) -> Iterator[tuple[Task, Labelling]]:
    """The same, connected to Ray from this very process, which must do nothing else afterwards."""
    given = tuple(_for_anywhere(t) for t in teachers)
    with _cluster(workers or usable_cores(), address) as cores:
        left = iter(tasks)
        while part := list(islice(left, _TASKS_A_JOB)):
            yield from _job(part, given, settings, workers or cores)


def _for_anywhere(spec: TeacherSpec) -> TeacherSpec:
    """One thread a worker, and a path that does not depend on where a worker stands."""
    there = Path(spec.model)
    return replace(spec, threads=spec.threads or 1, model=str(there.absolute()) if there.exists() else spec.model)


@contextmanager
def _cluster(workers: int, address: str | None) -> Iterator[int]:
    """Connect to ``address``, or start a small cluster that ends with this. Gives its number of cores."""
    if address is not None:
        _knock(address)
    ours = _QUIET if address is not None else _QUIET | _ON_LOOPBACK | _own_token()
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)  # before Ray is imported: it reads them then
    home: Path | None = None
    import ray

    try:
        try:
            if address is not None:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                # A short path: the names of Ray's sockets must fit in 107 characters.
                _clear_up_after_the_killed()
                home = Path(tempfile.mkdtemp(prefix=f"{_HOMES}{os.getpid()}-"))
                ray.init(
                    address="local",
                    num_cpus=workers,
                    num_gpus=0,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=str(home),
                )
        except (ConnectionError, ValueError, RuntimeError, TimeoutError, OSError) as exc:
            raise _not_begun(address, exc) from exc
        _hush()
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        ray.shutdown()
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@cache
def _own_token() -> dict[str, str]:
    """Without one, Ray would leave its own in the home folder. It reads the first of a process, and knows no second."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}


def _clear_up_after_the_killed() -> None:
    """What a killed process left behind: its Ray ended with it, its marks and the folder of its sockets did not."""
    for left in Path(tempfile.gettempdir()).glob(f"{_HOMES}*-*"):
        pid = left.name.removeprefix(_HOMES).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _knock(address: str) -> None:
    """Ray itself waits two minutes for a cluster that is not there. Raises `UsageError`."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "//" in host:
        return  # "auto", or a scheme of Ray's own
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()
    except (OSError, OverflowError) as exc:
        raise _not_begun(address, exc) from exc


def _not_begun(address: str | None, exc: BaseException) -> EdgeVisionError:
    told = " ".join(str(exc).split())[:200]
    if address is None:
        return EdgeVisionError(f"Ray did not start on this machine ({told}): try fewer --workers, or --engine local")
    return UsageError(
        f"--address: expected a Ray cluster at {address}, found none ({told}): see that it runs, and that "
        "RAY_AUTH_MODE and RAY_AUTH_TOKEN are those it was started with"
    )


def _hush() -> None:
    """Ray tells how it plans its jobs; we tell how many pictures are done."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _job(
    tasks: list[Task], teachers: tuple[TeacherSpec, ...], settings: LabelSettings, workers: int
) -> Iterator[tuple[Task, Labelling]]:
    import pyarrow as pa
    import ray
    from ray.exceptions import RayError

    workers = min(workers, len(tasks))
    size = max(1, min(_MOST_TASKS_A_BLOCK, len(tasks) // (workers * 4)))
    rows = [pickle.dumps((k, replace(t, path=t.path.absolute()))) for k, t in enumerate(tasks)]
    blocks = [pa.table({"task": rows[k : k + size]}) for k in range(0, len(rows), size)]
    answers = ray.data.from_arrow(blocks).map_batches(
        _Worker,
        fn_constructor_args=(teachers, settings, f"{_HOMES}{os.getpid()}-{secrets.token_hex(4)}"),
        compute=ray.data.ActorPoolStrategy(size=workers),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=1,
    )
    try:
        batch: Any
        for batch in answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
            for packed in batch["answer"].to_pylist():
                number, answer = pickle.loads(packed)
                if number is None:
                    raise answer.made()
                yield tasks[number], answer
    except RayError as exc:
        raise EdgeVisionError(
            f"the Ray job failed ({_told(exc)}): what was labelled is kept; give the same command to go on"
        ) from exc


def _told(exc: BaseException) -> str:
    """The reason at the bottom of what Ray wraps around it."""
    while (inner := getattr(exc, "cause", None) or exc.__cause__) is not None:
        exc = inner
    lines = [line for line in str(exc).splitlines() if line.strip()]
    return f"{type(exc).__name__}: {lines[-1].strip()[:300]}" if lines else type(exc).__name__


class _Refusal:
    """An error of a worker that could not begin. Exceptions do not all survive pickling; their words do."""

    def __init__(self, exc: EdgeVisionError) -> None:
        self._kind, self._words, self._exit_code = type(exc).__name__, str(exc), exc.exit_code

    def made(self) -> EdgeVisionError:
        import edgevision.errors

        kind = getattr(edgevision.errors, self._kind, EdgeVisionError)
        if kind is not MissingExtra:
            made: EdgeVisionError = kind(self._words)
            return made
        error = EdgeVisionError(self._words)
        error.exit_code = self._exit_code
        return error


class _Worker:
    """One process's teachers, loaded once.

    A picture may take its process down (a decoder's fault, no memory left), and Ray gives its task to the next one,
    again and again. So what is begun is marked by a file (``marks`` begins its name) for temporary ones, and unmarked
    when it is done: a picture with which two processes went down is given up.
    """

    def __init__(self, teachers: tuple[TeacherSpec, ...], settings: LabelSettings, marks: str) -> None:
        import cv2

        cv2.setNumThreads(1)
        self._marks = marks
        self._refusal: _Refusal | None = None
        try:
            self._labeller = Labeller(teachers, settings)
        except EdgeVisionError as exc:
            self._refusal = _Refusal(exc)

    def __call__(self, batch: Any) -> Any:
        import pyarrow as pa

        numbered = [pickle.loads(packed) for packed in batch["task"].to_pylist()]
        if self._refusal is not None:
            answers: list[tuple[int | None, Any]] = [(None, self._refusal)]
        else:
            with self._marked(f"{numbered[0][0]}-all") as before:
                answers = [(number, self._label(number, task, before > 0)) for number, task in numbered]
        return pa.table({"answer": pa.array(map(pickle.dumps, answers), pa.binary())})

    def _label(self, number: int, task: Task, again: bool) -> Labelling:
        if not again:
            return label_task(self._labeller, task)
        with self._marked(str(number)) as before:
            if before:
                return Labelling(error="took the process that labelled it down, twice")
            return label_task(self._labeller, task)

    @contextmanager
    def _marked(self, name: str) -> Iterator[int]:
        """How often this was begun before and not ended."""
        mark = Path(tempfile.gettempdir()) / f"{self._marks}-{name}"
        with mark.open("ab") as file:
            file.write(b".")
            before = file.tell() - 1
        yield before  # no finally: what does not come back here leaves its mark
        mark.unlink(missing_ok=True)


def serve() -> None:
    """The child: tasks from stdin, answers to stdout, where nobody else may write."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    rest, count = pickle.load(sys.stdin.buffer)
    tasks = (pickle.load(sys.stdin.buffer) for _ in range(count))
    told: tuple[str, Any] = ("end", None)
    try:
        for pair in label_here_on_ray(tasks, *rest):
            _tell(out, ("one", pair))
    except BrokenPipeError:
        return  # who asked is gone
    except KeyboardInterrupt:
        return
    except EdgeVisionError as exc:
        told = ("error", (type(exc).__name__, str(exc)))
    with contextlib.suppress(BrokenPipeError):
        _tell(out, told)


def _tell(out: IO[bytes], message: tuple[str, Any]) -> None:
    pickle.dump(message, out)
    out.flush()
