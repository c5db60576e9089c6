"""``distill check``: what is wrong with a dataset, found without importing it.

All that its reader notices, and what only a look at all images together shows: near-duplicates across parts, labels
that are tiny or lie on each other, classes that are rare.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from edgevision.capture.images import read_image
from edgevision.datasets.annotations import LabelledData, Picture
from edgevision.datasets.convert import ImportSummary
from edgevision.datasets.dataset import read_data
from edgevision.datasets.near_duplicates import groups_of, picture_hash
from edgevision.datasets.reading_report import REASONS
from edgevision.detectors.boxes import iou
from edgevision.errors import SourceBroken
from edgevision.types import ProgressCallback

TINY_PX = 4
SAME_BOX_IOU = 0.9
"""Two labels of one class that overlap by more are one object labelled twice."""
ALIKE_BITS = 3
"""Of 64 in which images may differ that are near-duplicates; `distill split` begins with more."""
FEW_LABELS = 20
RARE_SHARE = 0.01
"""A class with fewer labels than both is called rare."""
MOST_COMPARED = 20_000
"""Images; a hash of each is compared with all others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one image or one class that someone should look at."""

    kind: str
    """A key of `KINDS`."""
    text: str
    images: tuple[Path, ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    """Labels of the first image that it is about, corners in pixels."""


KINDS: dict[str, str] = {
    "near-duplicates": "images that another part shows too: its accuracy looks better than it is",
    "tiny labels": f"images with labels under {TINY_PX} px: too small to be learnt, often a slip of the mouse",
    "overlapping duplicates": f"pairs of labels of one class that overlap by {SAME_BOX_IOU:.0%} or more",
    "one box, two classes": f"pairs of labels of two classes that overlap by {SAME_BOX_IOU:.0%} or more",
    "whole image": "images with a label of the whole image",
    "rare classes": f"classes with under {FEW_LABELS} labels, or under {RARE_SHARE:.0%} of the commonest's",
    "classes of one part": "classes that a part has no label of",
}
"""What is found, in the order in which it is shown, with words for several of it."""


@dataclass(slots=True)
class DatasetCheck:
    """What a check came to."""

    data: LabelledData
    summary: ImportSummary
    findings: list[Finding] = field(default_factory=list)
    parts: dict[str, Counter[str]] = field(default_factory=dict)
    """Labels by part and class."""
    images: Counter[str] = field(default_factory=Counter)
    """Images by part."""
    skipped: str = ""
    """What was not looked at, and why."""

    @property
    def sound(self) -> bool:
        """Whether every image can be used and no label was left out or changed."""
        return not any(REASONS[r].effect != "note" for r, count in self.data.report.counts.items() if count)

    def counts(self) -> dict[str, int]:
        """Findings by kind, those that there are."""
        counted = Counter(f.kind for f in self.findings)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    def as_json(self) -> dict[str, Any]:
        """Everything, for other programs."""
        return {
            "place": self.data.report.shown(self.data.place),
            "layout": self.data.layout,
            "sound": self.sound,
            "classes": list(self.data.classes),
            "images": self.summary.images,
            "images_by_status": dict(self.summary.statuses),
            "images_that_show_nothing": self.summary.nothing,
            "images_by_part": dict(self.images),
            "labels": sum(self.summary.labels.values()),
            "labels_by_class": {name: self.summary.labels[name] for name in self.data.classes},
            "labels_by_part": {part: dict(counts) for part, counts in self.parts.items()},
            "regions_to_ignore": self.summary.ignored,
            "reading": self.data.report.as_json(),
            "findings": [
                {"kind": f.kind, "text": f.text}
                | ({"images": [self.data.report.shown(p) for p in f.images]} if f.images else {})
                | ({"boxes": [[round(v, 1) for v in b] for b in f.boxes]} if f.boxes else {})
                for f in self.findings
            ],
            "skipped": self.skipped,
        }


def check_data(
    place: Path, classes: Sequence[str] | None = None, progress: ProgressCallback | None = None
) -> DatasetCheck:
    """Read a dataset and look at it. Nothing is written. Raises `UsageError` for what is no labelled data."""
    return check_read(read_data(place, classes, progress=progress), progress)


def check_read(data: LabelledData, progress: ProgressCallback | None = None) -> DatasetCheck:
    """Of data that is read."""
    check = DatasetCheck(data, ImportSummary.of(data))
    for picture in data.usable:
        labels = picture.labels
        check.images[labels.split] += 1
        counted = check.parts.setdefault(labels.split, Counter())
        counted.update(data.classes[b.class_id] for b in labels.boxes if b.weight > 0)
        check.findings += _of_labels(picture, data.classes)
    check.findings += _of_classes(check)
    check.findings += _near_duplicates(check, progress)
    return check


def _of_labels(picture: Picture, classes: Sequence[str]) -> Iterator[Finding]:
    labels = picture.labels
    boxes = [b for b in labels.boxes if b.weight > 0]
    tiny = tuple(b.corners for b in boxes if min(b.corners[2] - b.corners[0], b.corners[3] - b.corners[1]) < TINY_PX)
    if tiny:
        yield Finding("tiny labels", f"{len(tiny)} of {len(boxes)} labels", (picture.path,), tiny)
    whole = [b for b in boxes if _share(b.corners, labels.width_px, labels.height_px) > 0.98]
    if whole:
        names = ", ".join(classes[b.class_id] for b in whole[:3])
        yield Finding("whole image", names, (picture.path,), tuple(b.corners for b in whole))
    if len(boxes) < 2:
        return
    corners = np.array([b.corners for b in boxes], np.float32)
    overlap = iou(corners, corners)
    for i, j in zip(*np.nonzero(np.triu(overlap >= SAME_BOX_IOU, 1)), strict=True):
        one, other = boxes[int(i)], boxes[int(j)]
        same = one.class_id == other.class_id
        names = " and ".join(dict.fromkeys((classes[one.class_id], classes[other.class_id])))
        kind = "overlapping duplicates" if same else "one box, two classes"
        yield Finding(kind, f"{names}, {overlap[i, j]:.0%}", (picture.path,), (one.corners, other.corners))


def _share(corners: tuple[float, float, float, float], width_px: int, height_px: int) -> float:
    area = (corners[2] - corners[0]) * (corners[3] - corners[1])
    return area / max(width_px * height_px, 1)


def _of_classes(check: DatasetCheck) -> Iterator[Finding]:
    counts = check.summary.labels
    most = max(counts.values(), default=0)
    for name in check.data.classes:
        few = counts[name] < FEW_LABELS or counts[name] < RARE_SHARE * most
        if few and most:
            yield Finding("rare classes", f"{name}: {counts[name]} of {sum(counts.values())} labels")
    parts = {part: c for part, c in check.parts.items() if part}
    for part, name in ((p, n) for p in parts if len(parts) > 1 for n in check.data.classes):
        if not parts[part][name] and counts[name]:
            yield Finding("classes of one part", f"{part} has no {name}")


def _near_duplicates(check: DatasetCheck, progress: ProgressCallback | None) -> Iterator[Finding]:
    """Across parts only: within one they cost time and nothing else."""
    usable = check.data.usable
    if len({p.labels.split for p in usable}) < 2:
        return
    if len(usable) > MOST_COMPARED:
        check.skipped = f"near-duplicates: {len(usable)} images are more than {MOST_COMPARED}"
        return
    hashes, pictures = [], []
    for number, picture in enumerate(usable, 1):
        try:
            pixels = read_image(picture.path)
        except SourceBroken:
            continue
        # A hash of a plain surface says nothing.
        if float(pixels.std()) > 2:
            hashes.append(picture_hash(pixels))
            pictures.append(picture)
        if progress is not None:
            progress(number, len(usable), picture.labels.file)
    alike: dict[int, list[Picture]] = defaultdict(list)
    for group, picture in zip(groups_of(hashes, ALIKE_BITS).tolist(), pictures, strict=True):
        alike[group].append(picture)
    for many in alike.values():
        first: dict[str, Picture] = {}
        for picture in many:
            first.setdefault(picture.labels.split, picture)
        for one, other in combinations(first.values(), 2):
            shown = f"{one.labels.file} ({one.labels.split or 'no part'}) and {other.labels.file}"
            yield Finding("near-duplicates", f"{shown} ({other.labels.split or 'no part'})", (one.path, other.path))
