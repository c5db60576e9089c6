"""What is installed, what answers, and the exact fix for each fault.

Nothing that could crash is imported here: numpy, OpenCV, onnxruntime and cameras are tried in child processes, under a
time limit, so that a broken wheel or a hanging driver becomes a line of the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from edgevision.cli.doctor import cameras, machine, software
from edgevision.cli.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]

CHECKS: tuple[Callable[[], Iterable[Finding]], ...] = (
    software.python,
    software.packages,
    software.opencv_wheels,
    software.onnxruntime_wheels,
    software.imports,
    software.display,
    machine.processor,
    machine.storage,
    machine.page_port,
    machine.raspberry_pi,
    cameras.cameras,
)


def examine(checks: Iterable[Callable[[], Iterable[Finding]]] = CHECKS) -> list[Finding]:
    """Every check's findings, in the order of the checks; they run side by side, since most of it is waiting."""
    checks = list(checks)
    with ThreadPoolExecutor(max_workers=4) as pool:
        return [finding for findings in pool.map(_examined, checks) for finding in findings]


def _examined(check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except Exception as exc:  # one check that fails must not cost the reader the others
        what = f"this check itself failed: {type(exc).__name__}: {exc}"
        return [Finding("doctor", check.__name__, State.FAULT, what, "please report it, with this line")]
