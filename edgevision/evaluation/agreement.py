"""Agreement of two detectors on the same frames, class by class: what share of one's boxes the other finds too.

One matching (`matching.hits`) and one count; a swap's shadow and watch checks, the bench report and the search for
doubtful frames each sum it up for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgevision.evaluation.matching import hits
from edgevision.types import Detections

SURE_MARGIN = 0.1
"""Boxes this far over the serving model's own threshold are expected of the other model."""
_TOLD = 4
"""Classes named one by one in a sentence; a model of eighty would fill a page."""


@dataclass(slots=True)
class ClassCount:
    """Boxes of one class over all frames seen."""

    old: int = 0
    found_again: int = 0
    new: int = 0


@dataclass(slots=True)
class Agreement:
    """Counts over frames. Only classes that both know, by name, are compared."""

    old_classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    frames: int = 0
    counts: dict[str, ClassCount] = field(default_factory=dict)

    @property
    def shared(self) -> tuple[str, ...]:
        return tuple(c for c in self.old_classes if c in self.new_classes)

    def add(self, old: Detections, new: Detections, sure_score: float) -> None:
        """One frame: what each found in it."""
        self.frames += 1
        for name in self._present(old, new):
            mine = old.select((old.class_ids == self.old_classes.index(name)) & (old.scores >= sure_score))
            theirs = new.select(new.class_ids == self.new_classes.index(name))
            count = self.counts.setdefault(name, ClassCount())
            count.old += len(mine)
            count.new += len(theirs)
            count.found_again += int(hits(theirs.boxes, theirs.scores, mine.boxes).sum())

    def _present(self, old: Detections, new: Detections) -> list[str]:
        """Classes that both know and one has found here."""
        found = {self.old_classes[k] for k in old.class_ids.tolist() if 0 <= k < len(self.old_classes)}
        found |= {self.new_classes[k] for k in new.class_ids.tolist() if 0 <= k < len(self.new_classes)}
        return sorted(found.intersection(self.old_classes, self.new_classes))

    @property
    def old_boxes(self) -> int:
        return sum(c.old for c in self.counts.values())

    @property
    def new_boxes(self) -> int:
        return sum(c.new for c in self.counts.values())

    @property
    def found_again(self) -> float:
        """Share of the old model's confident boxes that the new one finds too, 0-1; 1 if there were none."""
        return sum(c.found_again for c in self.counts.values()) / self.old_boxes if self.old_boxes else 1.0

    def differences(self) -> tuple[ClassDifference, ...]:
        """Per class, the most frequent first."""
        rows = [ClassDifference(name, c.old, c.found_again, c.new) for name, c in self.counts.items()]
        return tuple(sorted(rows, key=lambda r: (-r.old_boxes - r.new_boxes, r.name)))

    def __str__(self) -> str:
        rows = self.differences()
        parts = [f"{r.name} {r.found_again}/{r.old_boxes} matched, {r.new_boxes} boxes" for r in rows[:_TOLD]]
        if len(rows) > _TOLD:
            parts.append(f"{len(rows) - _TOLD} more classes")
        return f"{self.frames} frames: {'; '.join(parts) or 'no boxes'}"


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """Agreement of two models on one class, on the same frames."""

    name: str
    old_boxes: int
    """Confident boxes of the old model."""
    found_again: int
    """Those that the new model has too, IoU at least 0.5."""
    new_boxes: int
    """All boxes that the new model shows."""
