"""Ray's own process: `ray_engine` starts it, and gets labels back from it one by one.

Each worker loads the teachers once and labels with the same pure function as the in-process engine, on one thread; the
answers come back to the caller, who alone writes. On a cluster, images and models are read where a worker runs: they
must lie at the same path there, in a shared folder for example.
"""

from __future__ import annotations

import os
import pickle
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from edgevision.child_process import pack_error, unpack_error
from edgevision.concurrency import usable_cores
from edgevision.detectors.load import TeacherSpec
from edgevision.errors import EdgeVisionError
from edgevision.training.labelling.ensemble import Labeller, Labelling, Task, label_task
from edgevision.training.labelling.ray_cluster import HOMES, RayCluster
from edgevision.training.labelling.settings import LabelSettings

_TASKS_A_JOB = 50_000
"""A job knows all its tasks at once; with a million images it is several jobs, one after the other."""
_MOST_TASKS_A_BLOCK = 16
"""Answers come back, and are on disk, a block at a time: what a kill costs. More would save little time."""


def main(replies: IO[bytes]) -> None:
    """The child: a job and its tasks from stdin, answers to ``replies``."""
    (teachers, settings, workers, address), count = pickle.load(sys.stdin.buffer)
    tasks = (pickle.load(sys.stdin.buffer) for _ in range(count))
    last: tuple[str, Any] = ("end", None)
    try:
        for pair in _label(tasks, teachers, settings, workers, address):
            _send(replies, ("one", pair))
    except (BrokenPipeError, KeyboardInterrupt):
        return  # the parent is gone
    except EdgeVisionError as exc:
        last = ("error", pack_error(exc))
    with suppress(BrokenPipeError):
        _send(replies, last)


def _send(replies: IO[bytes], message: tuple[str, Any]) -> None:
    pickle.dump(message, replies)
    replies.flush()


def _label(
    tasks: Iterable[Task],
    teachers: tuple[TeacherSpec, ...],
    settings: LabelSettings,
    workers: int | None,
    address: str | None,
) -> Iterator[tuple[Task, Labelling]]:
    given = tuple(_for_anywhere(t) for t in teachers)
    with RayCluster(workers or usable_cores(), address) as cluster:
        left = iter(tasks)
        while part := list(islice(left, _TASKS_A_JOB)):
            yield from _job(part, given, settings, workers or cluster.cores)


def _for_anywhere(spec: TeacherSpec) -> TeacherSpec:
    """One thread a worker, and a path that does not depend on where a worker stands."""
    there = Path(spec.model)
    return replace(spec, threads=spec.threads or 1, model=str(there.absolute()) if there.exists() else spec.model)


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
        fn_constructor_args=(teachers, settings, f"{HOMES}{os.getpid()}-{secrets.token_hex(4)}"),
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
                    raise unpack_error(answer)
                yield tasks[number], answer
    except RayError as exc:
        raise EdgeVisionError(
            f"the Ray job failed ({_told(exc)}): the labels so far are kept; the same command resumes"
        ) from exc


def _told(exc: BaseException) -> str:
    """The reason at the bottom of what Ray wraps around it."""
    while (inner := getattr(exc, "cause", None) or exc.__cause__) is not None:
        exc = inner
    lines = [line for line in str(exc).splitlines() if line.strip()]
    return f"{type(exc).__name__}: {lines[-1].strip()[:300]}" if lines else type(exc).__name__


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
        self._refusal: dict[str, Any] | None = None
        try:
            self._labeller = Labeller(teachers, settings)
        except EdgeVisionError as exc:
            self._refusal = pack_error(exc)

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
