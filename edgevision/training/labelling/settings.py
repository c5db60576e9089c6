"""How pictures are labelled: which classes, and from which score a teacher's box is an object, a doubt, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edgevision.datasets.annotations import ScoreThresholds
from edgevision.detectors.foundation import is_foundation
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.load import TeacherSpec, load_teacher
from edgevision.errors import UsageError


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Plain values: they travel to other processes."""

    wanted: Prompts
    trust: ScoreThresholds = field(default_factory=ScoreThresholds)
    class_trust: tuple[tuple[str, ScoreThresholds], ...] = ()
    """Where a class has thresholds of its own."""
    mirror: bool = True
    """Ask each teacher for the mirror image too."""
    keep: float = 0.05
    """What scores less is forgotten; from here to doubt it is kept for soft targets."""

    def trust_of(self, class_id: int) -> ScoreThresholds:
        return dict(self.class_trust).get(self.wanted.classes[class_id], self.trust)


def settings_from(
    teachers: Sequence[TeacherSpec], prompts: str | None, sure: str = "0.45", doubt: str = "0.25", mirror: bool = True
) -> LabelSettings:
    """Settings from what a person typed. Without ``prompts``, all classes of the teachers. Raises `UsageError`."""
    if prompts is not None:
        wanted = Prompts.given(prompts)
    elif any(is_foundation(t.model) for t in teachers):
        raise UsageError("--prompts: expected words for a foundation model, as in 'person: a person, a worker'")
    else:
        known = [load_teacher(t, Prompts.default(), 0.5).classes for t in teachers]
        wanted = Prompts.of_classes(dict.fromkeys(c for classes in known for c in classes))
    usual_sure, sure_of = _thresholds("--conf", sure, 0.45)
    usual_doubt, doubt_of = _thresholds("--review-conf", doubt, 0.25)
    base = _trust(usual_sure, min(usual_doubt, usual_sure))
    unknown = (sure_of.keys() | doubt_of.keys()) - set(wanted.classes)
    if unknown:
        raise UsageError(
            f"--conf, --review-conf: expected one of {', '.join(wanted.classes)}, got {', '.join(sorted(unknown))}"
        )
    own = []
    for name in wanted.classes:
        if name in sure_of or name in doubt_of:
            from_here = sure_of.get(name, base.sure)
            own.append((name, _trust(from_here, doubt_of.get(name, min(base.doubt, from_here)))))
    for name, trust in own:
        if trust.doubt > trust.sure:
            raise UsageError(f"--review-conf: expected at most --conf for {name}, got {trust.doubt} and {trust.sure}")
    return LabelSettings(wanted, base, tuple(own), mirror)


def _trust(sure: float, doubt: float) -> ScoreThresholds:
    return replace(ScoreThresholds(), sure=sure, doubt=doubt, full=max(ScoreThresholds().full, sure))


def _thresholds(option: str, text: str, usual: float) -> tuple[float, dict[str, float]]:
    """``0.45, helmet=0.5``: the one for all, and those of single classes."""
    own: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = part.rpartition("=")
        try:
            number = float(value)
            if not 0 <= number <= 1:
                raise ValueError
        except ValueError:
            raise UsageError(
                f"{option}: expected 0.45 or '0.45, class=0.5' with scores from 0 to 1, got {part!r}"
            ) from None
        if equals:
            own[name.strip()] = number
        else:
            usual = number
    return usual, own
