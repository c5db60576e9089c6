"""Labels of one image: as arrays for measuring (`Annotations`), and with all that a data folder keeps of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.images import read_image
from edgevision.datasets.reading_report import ReadingReport
from edgevision.errors import UsageError

_NONE_IGNORED = np.zeros(0, bool)


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """N labels of one image, as arrays; with ``scores`` also detections that are compared with labels.

    Raises ValueError on construction where an array has another shape or type than stated.
    """

    boxes: NDArray[np.float32]
    """(N, 4) x1, y1, x2, y2 in pixels of the image."""
    class_ids: NDArray[np.int64]
    """(N,) index into the dataset's classes."""
    ignored: NDArray[np.bool_] = field(default_factory=lambda: _NONE_IGNORED)
    """(N,) regions that count neither as found nor as missed: crowds, doubtful labels. Left out: False for each."""
    scores: NDArray[np.float32] | None = None
    """(N,) in 0-1, or None for labels."""

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.ignored is _NONE_IGNORED:
            object.__setattr__(self, "ignored", np.zeros(count, bool))
        wanted = {"boxes": ((count, 4), "float32"), "class_ids": ((count,), "int64"), "ignored": ((count,), "bool")}
        if self.scores is not None:
            wanted["scores"] = ((count,), "float32")
        for name, (shape, kind) in wanted.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != kind:
                raise ValueError(f"{name}: expected {kind} {shape}, got {array.dtype} {array.shape}")

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Annotations:
        """No labels."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))

    @classmethod
    def from_rows(cls, rows: NDArray[np.float32]) -> Annotations:
        """Of rows (N, 6): class, x1, y1, x2, y2 px, weight; weight 0 is ignored."""
        return cls(rows[:, 1:5].astype(np.float32), rows[:, 0].astype(np.int64), rows[:, 5] <= 0)

    def select(self, index: NDArray[Any]) -> Annotations:
        """Those that ``index`` names: a boolean mask (N,) or integer indices (K,)."""
        scores = None if self.scores is None else self.scores[index]
        return Annotations(self.boxes[index], self.class_ids[index], self.ignored[index], scores)

    def renumbered(self, numbers: NDArray[np.int64]) -> Annotations:
        """With ``numbers[class]`` in place of each class; those whose number is negative are left out."""
        ids = numbers[self.class_ids]
        return Annotations(self.boxes, ids, self.ignored, self.scores).select(ids >= 0)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on disk and what is said of it."""

    path: Path
    labels: PictureLabels
    pixels: NDArray[np.uint8] | None = None
    """(H, W, 3) BGR where it is decoded already."""

    def read(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR. Raises `SourceBroken`."""
        return read_image(self.path) if self.pixels is None else self.pixels


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Pictures with labels, from whatever layout. Those that cannot be read are there with ``status`` failed."""

    place: str
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    layout: str = ""
    report: ReadingReport = field(default_factory=ReadingReport)
    """What its reader noticed: labels left out, images without labels, and why."""

    @property
    def name(self) -> str:
        """The place as a card may say it: without what only this machine's folders are called."""
        return short_name(self.place)

    def of_split(self, split: str) -> LabelledData:
        """Only that part."""
        return replace(self, pictures=tuple(p for p in self.pictures if p.labels.split == split))

    @property
    def empty_labels(self) -> int:
        """Label files with nothing in them: the picture is taken to show none of the classes."""
        return self.report.counts["nothing"]

    @property
    def splits(self) -> set[str]:
        return {p.labels.split for p in self.pictures}

    @property
    def usable(self) -> tuple[Picture, ...]:
        """Those with labels: neither failed nor still without."""
        return tuple(p for p in self.pictures if p.labels.status not in ("failed", "new"))

    def usable_or_refused(self) -> tuple[Picture, ...]:
        """Those with labels. Raises `UsageError`, with the first reason, where there is none."""
        if self.usable:
            return self.usable
        failed = sum(p.labels.status == "failed" for p in self.pictures)
        why = self.report.first_failure()
        told = f"{len(self.pictures)} without labels" if not failed else f"{failed} that cannot be used ({why})"
        raise UsageError(f"{self.place}: expected labelled images, found {told}")

    def refuse_failed(self) -> None:
        """Raises `UsageError` with the first reason where an image cannot be used: for who wants all or nothing."""
        failed = [p for p in self.pictures if p.labels.status == "failed"]
        if failed:
            more = f" ({len(failed)} images in all)" if len(failed) > 1 else ""
            raise UsageError(f"{self.report.first_failure() or failed[0].labels.error}{more}; mend it or take it out")


def people_labelled(pictures: Iterable[Picture]) -> bool:
    """Whether people drew or looked at all labels; else a figure of accuracy is in part agreement with a teacher."""
    return all(p.labels.status == "done" or all(b.by == "person" for b in p.labels.boxes) for p in pictures)


def short_name(place: str) -> str:
    """The last two names of a path: ``data/person``."""
    return "/".join(Path(place).parts[-2:]) if place.startswith(("/", ".", "~")) or ":" in place[:3] else place


STATUSES = ("new", "labelled", "failed", "review", "done")
"""``new``: not labelled yet. ``review``: labelled, with doubts a person should look at. ``done``: a person has."""
SPLITS = ("train", "val", "test")
_BOX_FIELDS = ("boxes", "faint", "rejected")


@dataclass(frozen=True, slots=True)
class Box:
    """One labelled object."""

    class_id: int
    corners: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the picture."""
    score: float = 1.0
    weight: float = 1.0
    """How much it teaches: 1 as a person's label does, 0 a region that teaches neither object nor background."""
    by: str = "person"
    """``person``, or the teachers that saw it."""


@dataclass(frozen=True, slots=True)
class PictureLabels:
    """One picture of a data folder."""

    file: str
    """Path under the folder's pictures, with forward slashes."""
    width_px: int = 0
    height_px: int = 0
    status: str = "new"
    boxes: tuple[Box, ...] = ()
    faint: tuple[Box, ...] = ()
    """What the teacher saw under the threshold of doubt: no label, but soft targets are made of it."""
    rejected: tuple[Box, ...] = ()
    """What the teacher saw and a person said is no object: it teaches nothing, and may be brought back."""
    teacher: str = ""
    doubts: tuple[str, ...] = ()
    """Why a person should look."""
    split: str = ""
    group: int = -1
    """Pictures that look alike share one; -1 where that was not asked."""
    error: str = ""

    def rows(self, least_score: float | None = None) -> NDArray[np.float32]:
        """Labels (M, 6) as training takes them: class, x1, y1, x2, y2 px, weight. ``least_score`` adds faint ones.

        With ``least_score`` a teacher's box weighs what it scored, from there on (soft targets).
        """
        boxes = self.boxes
        if least_score is not None:
            # Where a person has looked, what the teacher only suspected is background.
            faint = self.faint if self.status != "done" else ()
            soft = [replace(b, weight=b.score) for b in (*boxes, *faint) if b.by != "person"]
            boxes = (*(b for b in boxes if b.by == "person"), *(b for b in soft if b.score >= least_score))
        return np.array([[b.class_id, *b.corners, b.weight] for b in boxes], np.float32).reshape(-1, 6)

    def annotations(self) -> Annotations:
        """The labels as arrays; those of no weight are ignored regions."""
        return Annotations.from_rows(self.rows())


def box_values(box: Box) -> list[Any]:
    """[class, x1, y1, x2, y2, score, weight, by]"""
    return [box.class_id, *(round(v, 2) for v in box.corners), round(box.score, 4), round(box.weight, 4), box.by]


def box_from(values: list[Any]) -> Box:
    class_id, x1, y1, x2, y2, score, weight, by = values
    return Box(int(class_id), (x1, y1, x2, y2), score, weight, by)


def journal_values(labels: PictureLabels) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(labels, name) for name in PictureLabels.__slots__}
    return values | {name: [box_values(b) for b in getattr(labels, name)] for name in _BOX_FIELDS}


def from_journal_values(values: dict[str, Any]) -> PictureLabels:
    boxes = {name: tuple(box_from(v) for v in values.get(name, ())) for name in _BOX_FIELDS}
    return PictureLabels(**values | boxes | {"doubts": tuple(values["doubts"])})


@dataclass(frozen=True, slots=True)
class ScoreThresholds:
    """How a teacher's scores are read."""

    sure: float = 0.45
    """From here on a box is an object."""
    doubt: float = 0.25
    """From here to ``sure`` it is left out of the lesson."""
    full: float = 0.65
    """From here on it teaches as much as a person's label; under it, in proportion."""

    def weight(self, score: float) -> float:
        """How much a box of this score teaches, 0-1."""
        return min(score / self.full, 1.0) if score >= self.sure else 0.0
