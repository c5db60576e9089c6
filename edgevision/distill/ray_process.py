"""Ray in a process of its own, which ends with the job.

A process that has talked to Ray is not safe afterwards: after `ray.shutdown` a client of the ended cluster stays in it,
and ends the whole process a minute later ("GCS has been unavailable", exit 1), whatever it does by then.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Any

from edgevision import errors
from edgevision.errors import EdgeVisionError

_END_S = 20.0
_CHILD = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from edgevision.distill.ray_process import serve
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


def serve() -> None:
    """The child: tasks from stdin, answers to stdout, where nobody else may write."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from edgevision.distill.engine_ray import label_here_on_ray

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
