"""The report of a swap: its checks and its verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from edgevision.deployment import gates
from edgevision.evaluation.agreement import ClassDifference


class Verdict(StrEnum):
    """How a swap ended. The values are what JSON and logs say, so they stay as they are."""

    ACCEPTED = "accepted"
    """The new model serves, and was watched."""
    REFUSED = "refused"
    """A check failed before the exchange; the old model served all along."""
    ROLLED_BACK = "reverted"
    """The new model served, the watch failed, and the old model serves again."""
    PASSED = "passed"
    """A dry run: every check passed, and nothing was exchanged."""
    ROLLED_BACK_BY_USER = "went back"
    """The user rolled back: the previous model serves again, unchecked."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one gate, or of one step before the gates."""

    name: str
    """``manifest``, ``hash``, ``probe``, ``load``, ``warm-up``, ``exchange``, or a gate's; ``frames`` where none came
    to check on, ``person`` where a person said stop."""
    passed: bool
    figure: str
    """What was measured, with its unit."""
    limit: str
    """The requirement."""
    forced: bool = False
    """It failed, and the user had forced it."""
    took_ms: float = 0.0
    classes: tuple[ClassDifference, ...] = ()
    """Per class, if two models were compared."""

    @property
    def word(self) -> str:
        return "passed" if self.passed else "failed, forced" if self.forced else "failed"


@dataclass(frozen=True, slots=True)
class SwapReport:
    """A swap from one model to another: its checks, and the model that serves now."""

    old: str
    new: str
    verdict: Verdict
    checks: tuple[Check, ...]
    first_frame: int | None = None
    """Index of the first frame that the new model served; None where it never did."""
    load_ms: float = 0.0
    """Loading, beside the serving loop."""
    number: int = 0
    """Counts the swaps of one running app, from 1."""
    began_unix_s: float = 0.0

    @property
    def failed(self) -> Check | None:
        """The check that decided against the new model."""
        return next((c for c in self.checks if not c.passed and not c.forced), None)

    @property
    def serves(self) -> str:
        """Name of the model that serves after it."""
        return self.new if self.verdict in (Verdict.ACCEPTED, Verdict.ROLLED_BACK_BY_USER) else self.old

    def sentence(self) -> str:
        """The outcome in one line."""
        failed = self.failed
        if self.verdict is Verdict.ROLLED_BACK_BY_USER:
            return f"rolled back to {self.new} from {self.old}, as asked: serves since frame {self.first_frame}"
        if failed is None:
            end = "every check passed" if self.verdict is Verdict.PASSED else f"serves since frame {self.first_frame}"
            return f"{self.new} in place of {self.old}: {self.verdict}, {end}"
        measured = any(gate.measured for gate in gates.GATES if gate.name == failed.name)
        expected = f", expected {failed.limit}" if measured else ""
        return (
            f"{self.new} in place of {self.old}: {self.verdict} by {failed.name}: {failed.figure}{expected}; "
            f"{self.old} serves"
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict.value, "serves": self.serves, "sentence": self.sentence()}


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a swap."""

    number: int
    old: str
    new: str
    """As it was asked for, until its manifest has been read."""
    doing: str
    """The check under way; empty at the end."""
    checks: tuple[Check, ...]
    report: SwapReport | None = None
    """Once it is decided."""

    def as_json(self) -> dict[str, Any]:
        values = asdict(self)
        values["report"] = self.report.as_json() if self.report is not None else None
        return values
