"""A call that may never come back, run where it can be left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Value = TypeVar("Value")

_LOOK_S = 0.05


class Abandoned(Exception):
    """The call was left behind; its thread ends by itself, or with the program."""


def abandonable(call: Callable[[], Value], stopped: threading.Event) -> Value:
    """``call()``, in a thread of its own. Raises `Abandoned` soon after ``stopped`` is set, and what it raises.

    A file on a dead network drive, a device, a driver or a model can block for good; a thread cannot be ended.
    """
    done: Future[Value] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as exc:
            done.set_exception(exc)

    threading.Thread(target=run, name="swap step", daemon=True).start()
    while True:
        try:
            return done.result(_LOOK_S)
        except TimeoutError:
            if done.done():
                raise  # the call's own
            if stopped.is_set():
                raise Abandoned from None
