"""What a new model must show before it serves, and how one is handed over to be checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgevision.errors import UsageError
from edgevision.evaluation.agreement import Agreement

GATES = ("golden", "latency", "shadow", "accuracy", "watch")
"""Those that `force` may name. What comes before them, the file and its loading, cannot be forced."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What a new model must show. Raises `UsageError` for what cannot be meant."""

    budget_ms: float | None = None
    """p90 of one detection beside the serving loop; by default a live source's frame period, else no limit."""
    latency_runs: int = 20
    shadow_frames: int = 60
    """Live frames on which both models are compared; 0 leaves it out."""
    found_again: float = 0.7
    """Least share of the old model's sure boxes that the new one must find too."""
    flood: float = 4.0
    """A model that finds so many times the old one's boxes is fed wrongly."""
    enough_boxes: int = 10
    """Under so many sure boxes of the old model, agreement says nothing and is not held against anyone."""
    min_ap: float | None = None
    """Least AP50 on ``data``."""
    data: str | None = None
    """A folder of labelled pictures."""
    watch_s: float = 5.0
    """After the exchange; 0 leaves it out."""
    patience_s: float = 20.0
    """How long to wait for frames to check on."""
    force: frozenset[str] = field(default_factory=frozenset)
    dry_run: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.force) - set(GATES)
        if unknown:
            raise UsageError(f"force: expected one of {', '.join(GATES)}, got {', '.join(sorted(unknown))}")
        if (self.min_ap is None) != (self.data is None):
            raise UsageError("a least AP and the labelled pictures to measure it on go together: give both")
        if self.min_ap is not None and not 0 <= self.min_ap <= 1:
            raise UsageError(f"min-ap: expected a number from 0 to 1, got {self.min_ap:g}")
        if self.budget_ms is not None and not self.budget_ms > 0:
            raise UsageError(f"budget: expected milliseconds above 0, got {self.budget_ms:g}")
        if not 0 <= self.shadow_frames <= 100_000:
            raise UsageError(f"shadow: expected 0 to 100000 frames, got {self.shadow_frames}")
        if not 0 <= self.watch_s <= 86_400:
            raise UsageError(f"watch: expected 0 to 86400 s, got {self.watch_s:g}")


_ASKED: dict[str, tuple[type, ...]] = {
    "budget_ms": (int, float, type(None)),
    "shadow_frames": (int,),
    "min_ap": (int, float, type(None)),
    "data": (str, type(None)),
    "watch_s": (int, float),
    "dry_run": (bool,),
}
"""What may be asked from outside, and as what."""


def gates_from(values: Mapping[str, Any]) -> Gates:
    """Gates as JSON gives them. Raises `UsageError`."""
    asked = dict(values)
    force = asked.pop("force", [])
    if not isinstance(force, list) or not all(isinstance(name, str) for name in force):
        raise UsageError(f"force: expected a list of checks' names, got {force!r}")
    for name, value in asked.items():
        kinds = _ASKED.get(name)
        if kinds is None:
            raise UsageError(f"gates: unknown key {name!r}; known are {', '.join(_ASKED)}, force")
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UsageError(f"gates: {name} cannot be {value!r}")
    return Gates(**asked, force=frozenset(force))


def judge_latency(took_ms: Sequence[float], budget_ms: float | None) -> tuple[bool, str, str]:
    """Whether it is fast enough, the figure, and the limit."""
    limit = "any: a file waits" if budget_ms is None else f"p90 of at most {budget_ms:.1f} ms"
    if not took_ms:
        return True, "no run", limit
    p50_ms, p90_ms = np.percentile(took_ms, (50, 90))
    return budget_ms is None or bool(p90_ms <= budget_ms), f"p50 {p50_ms:.1f} ms, p90 {p90_ms:.1f} ms", limit


def judge_agreement(agreement: Agreement, gates: Gates) -> tuple[bool, str, str]:
    """Whether two models agree well enough, the figure, and the limit."""
    told = agreement.old_boxes >= gates.enough_boxes
    alike = agreement.found_again >= gates.found_again
    flooded = agreement.new_boxes > gates.flood * max(agreement.old_boxes, gates.enough_boxes)
    limit = f"at least {gates.found_again:.0%} found again, at most {gates.flood:g} times the boxes"
    if not told and agreement.shared:
        limit += f" (too few boxes to compare: {agreement.old_boxes})"
    if not agreement.shared:
        return True, f"{agreement.frames} frames: no class in common, so nothing to compare", limit
    figure = f"{agreement.found_again:.0%} found again in {agreement}"
    return (alike or not told) and not flooded, figure, limit
