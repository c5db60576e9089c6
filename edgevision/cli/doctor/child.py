"""Python code tried in a process of its own, which may crash or hang without taking us along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the child ended."""

    answer: Any
    """What it gave as JSON in its last line, or None."""
    failure: str = ""
    """Why there is no answer: its last words, its signal, or that it was stopped."""


def try_in_child(code: str, *arguments: str, limit_s: float, environment: dict[str, str] | None = None) -> Outcome:
    """Run code that prints one line of JSON at its end, stopped after ``limit_s``."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
    )
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        try:
            # A process stuck inside a driver does not die even of this; its pipes are then left to it.
            process.communicate(timeout=1.0)
        except subprocess.TimeoutExpired:
            pass
        return Outcome(None, f"no answer within {limit_s:.0f} s")
    if process.returncode < 0:
        return Outcome(None, f"crashed with {_signal_name(-process.returncode)}")
    lines = out.strip().splitlines()
    if process.returncode == 0 and lines:
        try:
            return Outcome(json.loads(lines[-1]))
        except ValueError:
            return Outcome(None, f"answered {lines[-1][:200]!r}")
    words = [line.strip() for line in err.strip().splitlines() if line.strip()]
    return Outcome(None, words[-1][:500] if words else f"exit code {process.returncode}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
