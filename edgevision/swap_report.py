"""What a swap did, check by check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    ACCEPTED = "accepted"
    """The new model serves, and was watched."""
    REFUSED = "refused"
    """A check failed before the exchange; the old model served all along."""
    REVERTED = "reverted"
    """It served, a check of the watch failed, and the old model serves again."""
    PASSED = "passed"
    """A dry run: every check passed, and nothing was exchanged."""


@dataclass(frozen=True, slots=True)
class Check:
    """One gate."""

    name: str
    """``load``, ``warm-up``, ``latency``, ``shadow``, ``accuracy`` or ``watch``."""
    passed: bool
    figure: str
    """What was measured, with its unit."""
    limit: str
    """What was asked for."""
    forced: bool = False
    """It failed, and the user had said to go on."""


@dataclass(frozen=True, slots=True)
class SwapReport:
    """From one model to another: what was checked, and which serves now."""

    old: str
    new: str
    verdict: Verdict
    checks: tuple[Check, ...]
    first_frame: int | None = None
    """Index of the first frame that the new model served; None where it never did."""
    load_ms: float = 0.0
    """Loading and warming up, beside the serving loop."""

    @property
    def failed(self) -> Check | None:
        """The check that decided against the new model."""
        return next((c for c in self.checks if not c.passed and not c.forced), None)

    def sentence(self) -> str:
        """The outcome in one line."""
        failed = self.failed
        if failed is None:
            end = "every check passed" if self.verdict is Verdict.PASSED else f"serves since frame {self.first_frame}"
            return f"{self.new} in place of {self.old}: {self.verdict}, {end}"
        return (
            f"{self.new} in place of {self.old}: {self.verdict} by {failed.name}: {failed.figure}, "
            f"expected {failed.limit}; {self.old} serves"
        )
