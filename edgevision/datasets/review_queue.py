"""In which order a person looks at pictures: the doubtful first, then scores nearest the threshold, then the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgevision.datasets.annotations import Box, PictureLabels, ScoreThresholds

_TURN = {"review": 0, "labelled": 1, "new": 2, "failed": 3, "done": 4}
_DISAGREEMENT = ("teachers disagree", " on one object")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which score a box is an object: for every class, and for those that have their own."""

    sure: float
    sure_of: Mapping[str, float]

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Thresholds:
        """Those a data folder was labelled by; the usual ones where it does not say."""
        trust, own = settings.get("trust"), settings.get("class_trust")
        sure = _number(trust, ScoreThresholds().sure)
        return cls(sure, {str(k): _number(v, sure) for k, v in (own if isinstance(own, dict) else {}).items()})

    def margin(self, box: Box, classes: tuple[str, ...]) -> float:
        """How far a teacher's score is from its threshold; infinite for a person's box."""
        if box.by == "person":
            return math.inf
        return abs(box.score - self.sure_of.get(classes[box.class_id], self.sure))


def picture_order(
    pictures: Iterable[PictureLabels], classes: tuple[str, ...], thresholds: Thresholds
) -> list[PictureLabels]:
    """Pictures by how much a person's look is worth.

    With doubts first, of those where teachers disagree first, then the one with the most doubts; then by the box whose
    score is nearest its threshold; those that nobody labelled yet, failed or were reviewed come last.
    """

    def turn(labels: PictureLabels) -> tuple[int, int, int, float, str]:
        waiting = labels.status == "review"
        disagree = sum(any(word in d for word in _DISAGREEMENT) for d in labels.doubts) if waiting else 0
        nearest = min((thresholds.margin(b, classes) for b in labels.boxes), default=math.inf)
        return _TURN[labels.status], -disagree, -len(labels.doubts) if waiting else 0, nearest, labels.file

    return sorted(pictures, key=turn)


def _number(values: Any, usual: float) -> float:
    sure = values.get("sure") if isinstance(values, dict) else None
    return float(sure) if isinstance(sure, int | float) else usual
