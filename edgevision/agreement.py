"""How far two detectors say the same of the same frames, class by class."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgevision.detections import Detections
from edgevision.score import match

SAME_IOU = 0.5
SURE_MARGIN = 0.1
"""Boxes this far over the serving model's own threshold are sure enough to be missed."""


@dataclass(slots=True)
class ClassCount:
    """Boxes of one class over all frames seen."""

    old: int = 0
    """Of the old model, sure ones."""
    found_again: int = 0
    """Of those, how many the new one has too, IoU at least 0.5."""
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
        for name in self.shared:
            mine = old.select((old.class_ids == self.old_classes.index(name)) & (old.scores >= sure_score))
            theirs = new.select(new.class_ids == self.new_classes.index(name))
            count = self.counts.setdefault(name, ClassCount())
            count.old += len(mine)
            count.new += len(theirs)
            count.found_again += int(match(theirs.boxes, theirs.scores, mine.boxes, SAME_IOU).sum())

    @property
    def old_boxes(self) -> int:
        return sum(c.old for c in self.counts.values())

    @property
    def new_boxes(self) -> int:
        return sum(c.new for c in self.counts.values())

    @property
    def found_again(self) -> float:
        """Share of the old model's sure boxes that the new one finds too, 0-1; 1 where there were none."""
        return sum(c.found_again for c in self.counts.values()) / self.old_boxes if self.old_boxes else 1.0

    def __str__(self) -> str:
        parts = [f"{name} {c.found_again}/{c.old} found again, {c.new} in all" for name, c in self.counts.items()]
        return f"{self.frames} frames: {'; '.join(parts) or 'no class in common'}"
