"""Ray in a process of its own, which ends with the job.

A process that has talked to Ray is not safe afterwards: after `ray.shutdown` a client of the ended cluster stays in it,
and ends the whole process a minute later ("GCS has been unavailable", exit 1), whatever it does by then.
"""

from __future__ import annotations

import contextlib
import importlib.util
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Any

from edgevision import errors
from edgevision.detectors.load import TeacherSpec
from edgevision.errors import EdgeVisionError, MissingExtra
from edgevision.training.labelling.ensemble import Labelling, Task
from edgevision.training.labelling.settings import LabelSettings


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
    yield from from_a_process(tasks, (teachers, settings, workers, address))


_END_S = 20.0
_CHILD = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from edgevision.training.labelling.ray_worker import serve
serve()"""


def from_a_process(tasks: Iterable[Any], rest: tuple[Any, ...]) -> Iterator[Any]:
    """What ``engine_ray.label_here_on_ray(tasks, *rest)`` gives, from a child process. Raises what that raises."""
    import json

    listed = list(tasks)
    command = [sys.executable, "-c", _CHILD, json.dumps(sys.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        feeder = threading.Thread(target=_feed, args=(child.stdin, listed, rest), daemon=True)
        feeder.start()
        try:
            while True:
                try:
                    kind, value = pickle.load(child.stdout)
                except (EOFError, pickle.UnpicklingError):
                    raise EdgeVisionError(
                        "Ray's process ended early; what it gave is kept: call again, or use --engine local"
                    ) from None
                if kind == "end":
                    break
                if kind == "error":
                    raise _error(*value)
                yield value
        finally:
            _end(child)


def _feed(to: IO[bytes], tasks: list[Any], rest: tuple[Any, ...]) -> None:
    with contextlib.suppress(BrokenPipeError, OSError), to:
        pickle.dump((rest, len(tasks)), to)
        for task in tasks:
            pickle.dump(task, to)


def _error(name: str, message: str) -> EdgeVisionError:
    """The same error here, whatever its class asks for when it is made."""
    kind = getattr(errors, name, EdgeVisionError)
    error: EdgeVisionError = kind.__new__(kind)
    error.args = (message,)
    return error


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdout is not None:
        child.stdout.close()
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.kill()
