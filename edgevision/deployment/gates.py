"""Checks that a candidate must pass before and after it serves: one class per gate, in one tuple.

To add a gate: a class here with a name and a `Gate.check`, its settings as fields of `Gates`, and a place in `GATES`.
The rollout, `edgevision swap`, the control API, the report and the page read both.

Nothing heavy is imported before a check runs: the command line reads the settings for its help.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from edgevision.deployment.settings import Setting, renamed, setting, settings_of
from edgevision.errors import EdgeVisionError, UsageError

if TYPE_CHECKING:
    from edgevision.deployment.gate_context import GateContext
    from edgevision.evaluation.agreement import Agreement


_OLD_NAMES = {
    "found_again": "recall_of_old",
    "flood": "max_box_ratio",
    "enough_boxes": "min_boxes",
    "patience_s": "timeout_s",
}


@renamed(**_OLD_NAMES)
@dataclass(frozen=True, slots=True)
class Gates:
    """Thresholds of all gates. Raises `UsageError` for invalid values."""

    budget_ms: float | None = setting(
        None,
        "Latency budget: p90 of one inference; default: the frame interval of a live source.",
        above=0,
        unit="milliseconds",
        option="--budget-ms",
        label="Latency budget, ms",
    )
    """p90 of one detection beside the serving loop; by default a live source's frame period, else no limit."""
    latency_runs: int = setting(
        20, "Number of inferences that latency is measured on.", low=1, high=10_000, unit="runs"
    )
    shadow_frames: int = setting(
        60, "Number of live frames on which both models are compared; 0: none.", low=0, high=100_000, unit="frames",
        option="--shadow", label="Frames compared",
    )  # fmt: skip
    """Live frames on which both models are compared; 0 skips the gate."""
    recall_of_old: float = setting(
        0.7, "Minimum share of the old model's confident boxes that the new one finds too.", low=0, high=1,
        option="--recall-of-old",
    )  # fmt: skip
    """Minimum share of the old model's confident boxes that the new one must find too."""
    max_box_ratio: float = setting(
        4.0, "Maximum number of the new model's boxes for each of the old one's.", low=0, option="--max-box-ratio"
    )
    """More boxes than this multiple of the old one's hint at wrong preprocessing."""
    min_boxes: int = setting(
        10, "Minimum number of the old model's boxes for agreement to be judged.", low=0, unit="boxes"
    )
    """With fewer confident boxes of the old model, agreement is not judged."""
    min_ap: float | None = setting(None, "Minimum AP50 on --data.", low=0, high=1, option="--min-ap")
    """Minimum AP50 on ``data``."""
    data: str | None = setting(None, "Labelled images, read by the app.", option="--data", is_path=True)
    """A labelled dataset."""
    watch_s: float = setting(
        5.0, "Watch the new model for this long; roll back on failure. 0: no watch.", low=0, high=86_400, unit="s",
        option="--watch-seconds", label="Watch for, s",
    )  # fmt: skip
    """After the exchange; 0 skips the gate."""
    timeout_s: float = setting(20.0, "Maximum wait for a frame to check on, seconds.", low=0, high=3600, unit="s")
    """Maximum wait for frames to check on."""
    force: frozenset[str] = field(default_factory=frozenset)
    """Names of gates whose failure is a warning only."""
    dry_run: bool = False
    """Check without exchanging."""

    def __post_init__(self) -> None:
        names = gate_names()
        unknown = set(self.force) - set(names)
        if unknown:
            raise UsageError(f"force: expected one of {', '.join(names)}, got {', '.join(sorted(unknown))}")
        for each in settings():
            each.check(getattr(self, each.name))
        if (self.min_ap is None) != (self.data is None):
            raise UsageError("--min-ap and --data go together: give both")


def settings() -> tuple[Setting, ...]:
    """All settings of all gates, in their order."""
    return settings_of(Gates)


def gates_from(values: Mapping[str, Any]) -> Gates:
    """Gates as JSON gives them, under their new or old names. Raises `UsageError`."""
    asked = {_OLD_NAMES.get(name, name): value for name, value in values.items()}
    force, dry_run = asked.pop("force", []), asked.pop("dry_run", False)
    if not isinstance(force, list) or not all(isinstance(name, str) for name in force):
        raise UsageError(f"force: expected a list of checks' names, got {force!r}")
    if not isinstance(dry_run, bool):
        raise UsageError(f"gates: dry_run cannot be {dry_run!r}")
    known = [each.name for each in settings()]
    for name in asked:
        if name not in known:
            raise UsageError(f"gates: unknown key {name!r}; known are {', '.join(known)}, dry_run, force")
    return Gates(**asked, force=frozenset(force), dry_run=dry_run)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a gate."""

    passed: bool
    figure: str
    """What was measured, with its unit."""
    limit: str
    """The requirement."""
    agreement: Agreement | None = None
    """Where two models were compared: class by class."""


class Gate(ABC):
    """One requirement. Stateless: everything it needs is in the context."""

    name: ClassVar[str]
    after_exchange: ClassVar[bool] = False
    """Checks the candidate while it serves; a failure rolls back."""
    measured: ClassVar[bool] = True
    """The report shows its figure with its limit."""

    def asked(self, context: GateContext) -> bool:
        """Whether the settings and the candidate require it."""
        return True

    @abstractmethod
    def check(self, context: GateContext) -> Outcome:
        """Check the candidate. An `EdgeVisionError` of the candidate fails the gate."""


class Golden(Gate):
    """Detections on its own images match the recorded ones."""

    name = "golden"
    measured = False

    def asked(self, context: GateContext) -> bool:
        return context.candidate.golden is not None

    def check(self, context: GateContext) -> Outcome:
        assert context.candidate.golden is not None
        limit = "detections on its golden images as recorded"
        try:
            return Outcome(True, context.candidate.golden(context.new), limit)
        except EdgeVisionError as exc:
            return Outcome(False, str(exc), limit)


class Latency(Gate):
    """Latency beside the serving loop is within the budget."""

    name = "latency"

    def check(self, context: GateContext) -> Outcome:
        result = context.next_result()
        took_ms = [context.detect(result)[1] for _ in range(context.gates.latency_runs)]
        fits, figure, limit = judge_latency(took_ms, context.budget_ms(result.frame.source))
        return Outcome(fits, f"{figure} beside the serving loop", limit)


class Shadow(Gate):
    """Agreement with the serving model on the same live frames."""

    name = "shadow"

    def asked(self, context: GateContext) -> bool:
        return context.gates.shadow_frames > 0

    def check(self, context: GateContext) -> Outcome:
        agreement = context.new_agreement()
        for _ in range(context.gates.shadow_frames):
            result = context.next_result()
            agreement.add(result.detections, context.detect(result)[0], context.sure_score)
        return Outcome(*judge_agreement(agreement, context.gates), agreement)


class Accuracy(Gate):
    """AP50 on a labelled dataset."""

    name = "accuracy"

    def asked(self, context: GateContext) -> bool:
        return context.gates.min_ap is not None

    def check(self, context: GateContext) -> Outcome:
        gates = context.gates
        assert gates.min_ap is not None
        assert gates.data is not None
        limit = f"AP50 of at least {gates.min_ap:g}"
        if context.candidate.measure_ap is None:
            return Outcome(False, "cannot be measured here", limit)
        try:
            ap, words = context.candidate.measure_ap(context.new, gates.data, context.rest)
        except EdgeVisionError as exc:
            return Outcome(False, str(exc), limit)
        return Outcome(ap >= gates.min_ap, f"AP50 {ap:.3f} {words}", limit)


class Watch(Gate):
    """After the exchange: no errors, latency within the budget, agreement with the old model on the same frames."""

    name = "watch"
    after_exchange = True
    WINDOW_S: ClassVar[float] = 2.0
    """Interval of judgements: a late failure is not averaged away by a good start."""

    def asked(self, context: GateContext) -> bool:
        return context.gates.watch_s > 0

    def check(self, context: GateContext) -> Outcome:
        gates = context.gates
        whole, window = context.new_agreement(), context.new_agreement()
        took_ms: list[float] = []
        budget_ms: float | None = gates.budget_ms
        began_s = window_began_s = context.clock()
        while context.failure is None and context.clock() < began_s + gates.watch_s:
            result = context.next_result()
            if result.model != context.new.name:
                continue
            budget_ms = context.budget_ms(result.frame.source)
            times = result.times
            took_ms.append((times.preprocess + times.infer + times.decode) / 1e6)
            old = context.detect_old(result)
            for agreement in (whole, window):
                agreement.add(old, result.detections, context.sure_score)
            if context.clock() >= window_began_s + self.WINDOW_S and window.old_boxes >= gates.min_boxes:
                if not judge_agreement(window, gates)[0]:
                    break
                window, window_began_s = context.new_agreement(), context.clock()
        if context.failure is not None:
            return Outcome(False, str(context.failure), "no errors")
        seen = whole if judge_agreement(window, gates)[0] else window
        alike, figure, limit = judge_agreement(seen, gates)
        fits, latency, budget = judge_latency(took_ms, budget_ms)
        return Outcome(alike and fits, f"{latency}; {figure}", f"{budget}; {limit}", seen)


GATES: tuple[Gate, ...] = (Golden(), Latency(), Shadow(), Accuracy(), Watch())
"""In the order in which they are checked. Each may be forced; the steps before them (file, loading) may not."""


def gate_names() -> tuple[str, ...]:
    return tuple(gate.name for gate in GATES)


def judge_latency(took_ms: Sequence[float], budget_ms: float | None) -> tuple[bool, str, str]:
    """Whether latency is within the budget, the figure, and the limit."""
    import numpy as np

    limit = "none for a file" if budget_ms is None else f"p90 of at most {budget_ms:.1f} ms"
    if not took_ms:
        return True, "not measured", limit
    p50_ms, p90_ms = np.percentile(took_ms, (50, 90))
    return budget_ms is None or bool(p90_ms <= budget_ms), f"p50 {p50_ms:.1f} ms, p90 {p90_ms:.1f} ms", limit


def judge_agreement(agreement: Agreement, gates: Gates) -> tuple[bool, str, str]:
    """Whether two models agree well enough, the figure, and the limit."""
    told = agreement.old_boxes >= gates.min_boxes
    alike = agreement.found_again >= gates.recall_of_old
    flooded = agreement.new_boxes > gates.max_box_ratio * max(agreement.old_boxes, gates.min_boxes)
    limit = f"at least {gates.recall_of_old:.0%} of boxes matched, at most {gates.max_box_ratio:g} × as many boxes"
    if not told and agreement.shared:
        limit += f" (not judged: only {agreement.old_boxes} boxes)"
    if not agreement.shared:
        return True, f"{agreement.frames} frames: no class in common, nothing to compare", limit
    figure = f"{agreement.found_again:.0%} of boxes matched in {agreement}"
    return (alike or not told) and not flooded, figure, limit
