"""``--engine ray``: labelling as a Ray Data job, in processes of this machine or of a cluster.

Ray runs in a process of its own, `ray_worker`, which ends with the job. A process that has talked to Ray is not safe
afterwards: after `ray.shutdown` a client of the ended cluster stays in it, and ends the whole process a minute later
("GCS has been unavailable", exit 1), whatever it does by then.
"""

from __future__ import annotations

import contextlib
import importlib.util
import pickle
import subprocess
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Any

from edgevision.child_process import start_child, unpack_error
from edgevision.detectors.load import TeacherSpec
from edgevision.errors import EdgeVisionError, MissingExtra
from edgevision.training.labelling.ensemble import Labelling, Task
from edgevision.training.labelling.ray_cluster import environment_for
from edgevision.training.labelling.settings import LabelSettings

_END_S = 20.0


def label_on_ray(
    tasks: Iterable[Task],
    teachers: tuple[TeacherSpec, ...],
    settings: LabelSettings,
    *,
    workers: int | None = None,
    address: str | None = None,
) -> Iterator[tuple[Task, Labelling]]:
    """Label tasks in ``workers`` processes, in no order. Without ``address``, on a cluster of its own on this machine.

    Raises `MissingExtra`, what `Labeller` raises, `UsageError` where no cluster is at ``address``, and
    `EdgeVisionError` where the job fails as a whole; what was given until then is good.
    """
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra("ray", "ray", "--engine ray")
    listed = list(tasks)
    module = "edgevision.training.labelling.ray_worker"
    child = start_child(module, environment=environment_for(address), stderr=None)
    assert child.stdin is not None
    assert child.stdout is not None
    job = (teachers, settings, workers, address)
    threading.Thread(target=_feed, args=(child.stdin, job, listed), daemon=True).start()
    try:
        yield from _answers(child.stdout)
    finally:
        _end(child)


def _feed(to: IO[bytes], job: tuple[Any, ...], tasks: list[Task]) -> None:
    with contextlib.suppress(BrokenPipeError, OSError), to:
        pickle.dump((job, len(tasks)), to)
        for task in tasks:
            pickle.dump(task, to)


def _answers(replies: IO[bytes]) -> Iterator[tuple[Task, Labelling]]:
    """What `ray_worker.main` sends, until it says that this was all."""
    while True:
        try:
            kind, value = pickle.load(replies)
        except (EOFError, pickle.UnpicklingError):
            raise EdgeVisionError(
                "Ray's process ended early; what it gave is kept: call again, or use --engine local"
            ) from None
        if kind == "end":
            return
        if kind == "error":
            raise unpack_error(value)
        yield value


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdout is not None:
        child.stdout.close()
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
