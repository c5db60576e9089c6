"""One line of the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    """Works, but less well than it could; or something that not everyone needs is missing."""
    FAULT = "fault"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    area: str
    subject: str
    state: State
    text: str
    fix: str = ""
    """What to do: for a fault, always a command to paste or a thing to do by hand."""

    def __post_init__(self) -> None:
        if self.state is State.FAULT and not self.fix:
            raise ValueError(f"{self.subject}: a fault without its fix")
