"""The cost of each pattern at the user's scale: simple sums with their inputs, so that they can be checked."""

from __future__ import annotations

from dataclasses import dataclass

from edgevision.bench.decide.answers import Answers
from edgevision.bench.decide.evidence import Evidence
from edgevision.bench.decide.patterns import Pattern

HOUR_MS = 3_600_000
UNKNOWN_FRAMES = 100_000
CUSTOM_MS = 10.0
FOUNDATION_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in ``currency``. The defaults are round guesses."""

    currency: str = "EUR"
    machine_hour: float = 0.10
    person_hour: float = 40.0
    label_s: float = 20.0
    """Seconds to label one image."""
    review_share: float = 0.1
    """Share of a teacher's images that are reviewed by hand."""
    label_pictures: int = 1000
    train_hours: float = 8.0
    api_frame: float = 0.001
    """One answer of a model behind an API."""
    scene_hours: float = 40.0
    """Hours of work to build scenes that generate images."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one pattern; ``sums`` gives the calculation of both figures."""

    pattern: Pattern
    once: float
    a_month: float
    sums: str


def costs(answers: Answers, evidence: Evidence, prices: Prices) -> tuple[Cost, ...]:
    """Each pattern's cost at ``frames_month``, or at 100 000 frames if that is unknown."""
    frames = answers.frames_month if answers.frames_month is not None else float(UNKNOWN_FRAMES)
    custom, foundation = evidence.best("compact"), evidence.best("foundation")
    custom_ms = 1e3 / custom.fps if custom else CUSTOM_MS
    foundation_ms = 1e3 / foundation.fps if foundation else FOUNDATION_MS
    running = frames * custom_ms / HOUR_MS * prices.machine_hour
    big = frames * foundation_ms / HOUR_MS * prices.machine_hour
    api = frames * prices.api_frame
    label_hour = prices.person_hour * prices.label_s / 3600
    by_hand = prices.label_pictures * label_hour
    pictures = max(answers.unlabelled or 0, prices.label_pictures)
    taught = pictures * (prices.review_share * label_hour + foundation_ms / HOUR_MS * prices.machine_hour)
    train = prices.train_hours * prices.machine_hour
    at = f"{frames:,.0f} frames a month"
    runs = f"{at} × {custom_ms:.1f} ms of machine time"
    review = f"{pictures:,} images labelled by a teacher, {prices.review_share:.0%} reviewed, "
    review += f"{prices.train_hours:g} h training"
    hand = f"{prices.label_pictures:,} images × {prices.label_s:g} s of labelling, {prices.train_hours:g} h training"
    features = evidence.best("foundation", boxes=False)
    features_ms = 1e3 / features.fps if features else FOUNDATION_MS
    own = f"{at} × {foundation_ms:.0f} ms of machine time (behind an API: {api:,.2f} {prices.currency} a month)"
    return (
        Cost(Pattern.CUSTOM, by_hand + train, running, f"{hand}; {runs}"),
        Cost(Pattern.FOUNDATION, 0.0, big, own),
        Cost(Pattern.LABELLER, taught + train, running, f"{review}; {runs}"),
        Cost(Pattern.DISTILLATION, taught + 2 * train, running, f"{review}, twice for soft targets; {runs}"),
        Cost(Pattern.BOOTSTRAP, big + taught + train, running, f"a first month of {own}; then {review}; {runs}"),
        Cost(
            Pattern.LIGHT_HEAD,
            (answers.labels or 50) * label_hour,
            frames * features_ms / HOUR_MS * prices.machine_hour,
            f"a handful of labels; {at} × {features_ms:.0f} ms of machine time",
        ),
        Cost(
            Pattern.SYNTHETIC,
            prices.scene_hours * prices.person_hour + train,
            running,
            f"{prices.scene_hours:g} h building scenes, {prices.train_hours:g} h training; {runs}",
        ),
    )
