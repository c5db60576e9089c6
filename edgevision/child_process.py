"""A child process that answers requests: what may hang, crash or eat memory, or is to be measured alone, runs there.

Both sides talk in lines of JSON: what comes from the child is data, never objects. An error of ours that is raised in
the child is raised here again (`pack_error`, `unpack_error`).
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import IO, Any

from edgevision import errors
from edgevision.errors import EdgeVisionError, ModelFailed
from edgevision.interfaces import ContextManaged

_LOOK_S = 0.05
_CLOSE_S = 3.0
_PARENT_LOOK_S = 1.0
# -P: a json.py in the folder that the user stands in is not the one that is meant.
_START = """import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
if hasattr(os, "nice"): os.nice(int(sys.argv[2]))
from edgevision.child_process import run_main
run_main(sys.argv[3])"""


class ChildEnded(Exception):
    """The child is gone, and gave no reply. ``code`` is its exit code, negative for a signal."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        super().__init__(f"signal {-code}" if code is not None and code < 0 else f"exit {code}")


class NoReply(Exception):
    """The child gave no reply in time."""


class BadReply(ValueError):
    """The child's reply is not one of this protocol: something took its process over."""


def start_child(
    module: str,
    *,
    environment: Mapping[str, str] | None = None,
    niceness: int = 0,
    own_session: bool = False,
    stderr: int | None = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Run ``MODULE.main(replies)`` in a new interpreter with this one's ``sys.path``, its stdin and stdout as pipes.

    ``niceness`` is how far it stands back for others (POSIX). ``own_session``: Ctrl-C comes to the parent alone.
    """
    apart: dict[str, Any] = {}
    if own_session:
        apart = {"creationflags": 0x200} if sys.platform == "win32" else {"start_new_session": True}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _START, json.dumps(sys.path), str(niceness), module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, **(environment or {})},
        **apart,
    )


class ChildProcess(ContextManaged):
    """The parent's side of `answer_requests`. The child is gone once this is closed. For one thread."""

    def __init__(
        self,
        module: str,
        *,
        environment: Mapping[str, str] | None = None,
        niceness: int = 0,
        own_session: bool = False,
        most_reply_bytes: int = -1,
    ) -> None:
        self._ready = False
        self._process = start_child(module, environment=environment, niceness=niceness, own_session=own_session)
        self._most_reply_bytes = most_reply_bytes
        self._replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name=f"replies of {module}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, within_s: float | None = None, look: Callable[[], None] = lambda: None) -> None:
        """Wait until the child can take requests; as `ask` else."""
        self._reply(within_s, look)
        self._ready = True

    def ask(
        self, request: Mapping[str, Any], within_s: float | None = None, look: Callable[[], None] = lambda: None
    ) -> Any:
        """The child's reply. With ``within_s``, ``look`` is called some times a second meanwhile.

        Raises the `EdgeVisionError` that the child raised, `ChildEnded`, `NoReply` after ``within_s``, `BadReply`, and
        what ``look`` raises.
        """
        assert self._process.stdin is not None
        if not self._ready:
            self.wait_ready(within_s, look)
        with suppress(OSError):  # it has died: the end of its replies says so
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        return self._reply(within_s, look)

    def close(self) -> None:
        """End the child, at once. Idempotent."""
        self._process.kill()
        # A process stuck inside a driver does not die even of this; it is then left to itself.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := self._process.stdout.readline(self._most_reply_bytes):
                self._replies.put(line)
        except (OSError, ValueError):  # closed under us
            pass
        self._replies.put(b"")

    def _reply(self, within_s: float | None, look: Callable[[], None]) -> Any:
        line = self._replies.get() if within_s is None else self._line(within_s, look)
        if not line:
            self._replies.put(b"")  # whoever asks again is told the same
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_S)
            raise ChildEnded(self._process.returncode)
        try:
            reply = json.loads(line)
            if "value" in reply:
                return reply["value"]
            error = unpack_error(reply)
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise BadReply(f"expected a reply in JSON, got {line[:60]!r}") from exc
        raise error

    def _line(self, within_s: float, look: Callable[[], None]) -> bytes:
        deadline = time.monotonic() + within_s
        while True:
            with suppress(queue.Empty):
                return self._replies.get(timeout=_LOOK_S)
            if time.monotonic() > deadline:
                raise NoReply
            look()


def run_main(module: str) -> None:
    """In the child: ``MODULE.main`` is given the way out for its replies; what else is printed goes to stderr."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # before the import: libraries print then too
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), name="parent watch", daemon=True).start()
    import_module(module).main(replies)


def _end_with_parent(parent: int) -> None:
    """End this process soon after its parent: an endless model would go on for good, with nothing left to stop it.

    Not by PR_SET_PDEATHSIG, which follows the thread that started the child, not its process.
    """
    while os.getppid() == parent:
        time.sleep(_PARENT_LOOK_S)
    os._exit(1)


def answer_requests(replies: IO[bytes], answer: Callable[[dict[str, Any]], Any]) -> None:
    """The child's side: ``answer`` each request until the parent closes the pipe.

    An error that ``answer`` raises is the reply; one that is not ours is a `ModelFailed` with its type and words.
    """
    _write(replies, {"value": None})  # ready
    for line in sys.stdin.buffer:
        try:
            reply = {"value": answer(json.loads(line))}
        except EdgeVisionError as exc:
            reply = pack_error(exc)
        except MemoryError:
            reply = pack_error(ModelFailed("the machine has too little memory for it"))
        except Exception as exc:
            reply = pack_error(ModelFailed(f"{type(exc).__name__}: {str(exc)[:300]}"))
        _write(replies, reply)


def _write(replies: IO[bytes], reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def pack_error(error: EdgeVisionError) -> dict[str, Any]:
    """An error as plain values, to be made again elsewhere: not all survive pickling."""
    return {"error": type(error).__name__, "message": str(error)}


def unpack_error(values: Mapping[str, Any]) -> EdgeVisionError:
    """The error that `pack_error` was given, whatever its class asks for when it is made. Raises KeyError."""
    kind = getattr(errors, str(values["error"]), EdgeVisionError)
    if not (isinstance(kind, type) and issubclass(kind, EdgeVisionError)):
        kind = EdgeVisionError
    error: EdgeVisionError = kind.__new__(kind)
    error.args = (str(values["message"]),)
    return error
