"""What a reader of labels noticed: no label is lost, moved or invented without a remark here, with file and line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

_Item = TypeVar("_Item")
_Label = TypeVar("_Label")
Effect = Literal["image failed", "label left out", "label changed", "note"]
"""What a remark means: the whole image is not used, one label is left out, one label is not as written, or neither."""
MOST_REMARKS = 1000
"""Kept of one reason; all are counted."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is remarked on."""

    effect: Effect
    words: str
    """Of several: ``labels with impossible numbers``."""


REASONS: dict[str, Reason] = {
    "image unreadable": Reason("image failed", "image files that cannot be read"),
    "image missing": Reason("image failed", "labels that name an image that is not there"),
    "bad text": Reason("image failed", "label files that cannot be read"),
    "bad row": Reason("image failed", "labels that are not in the format"),
    "bad number": Reason("image failed", "labels with impossible numbers"),
    "unknown class": Reason("image failed", "labels of a class that has no name"),
    "outside": Reason("image failed", "labels outside their image"),
    "no box": Reason("image failed", "labels without a box or an outline"),
    "no size": Reason("label left out", "labels of no width or height"),
    "repeated": Reason("label left out", "labels written twice under one image"),
    "with its image": Reason("label left out", "sound labels of images that are not used for another label"),
    "orphan": Reason("label left out", "labels of an image that is not listed or not there"),
    "clipped": Reason("label changed", "labels clipped to their image"),
    "scaled": Reason("label changed", "images whose labels were drawn at another size, and are scaled"),
    "key points": Reason("note", "rows read as a box with key points"),
    "unclear row": Reason("note", "rows that can be read in two ways"),
    "size": Reason("note", "images whose size is another than the labels say"),
    "no labels": Reason("note", "images without labels: not labelled yet"),
    "nothing": Reason("note", "images with an empty label file: they show none of the classes"),
    "missing part": Reason("note", "parts of the dataset that are not there"),
    "two parts": Reason("note", "images in two parts of the dataset"),
    "name": Reason("note", "file names that lead out of the folder: only their last part is used"),
    "ambiguous name": Reason("note", "file names that fit several images"),
    "renamed": Reason("note", "images that got another name, since theirs is taken"),
    "replaced": Reason("note", "images that were here already, and whose labels were replaced"),
    "merged": Reason("note", "images listed twice, their labels merged"),
    "encoding": Reason("note", "files that are not UTF-8"),
    "class names": Reason("note", "remarks on class names"),
    "other files": Reason("note", "label files that are not read"),
    "selection": Reason("note", "remarks on which images are read"),
}


@dataclass(frozen=True, slots=True)
class Remark:
    """One of them."""

    reason: str
    """A key of `REASONS`."""
    place: str
    """File, with line or number of the entry where there is one."""
    text: str
    image: str = ""
    """Path of the image, where it is about one."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class LabelError(ValueError):
    """A label that cannot be used, for which its whole image is left out: it would be taught as background."""

    def __init__(self, reason: str, place: str, text: str) -> None:
        super().__init__(f"{place}: {text}")
        self.reason, self.place, self.text = reason, place, text
        self.others = 0
        """Sound labels of the image, which are left out with it."""
        self.more: list[LabelError] = []
        """What else is wrong with the image's labels."""


def all_or_error(items: Iterable[_Item], read: Callable[[_Item], _Label]) -> list[_Label]:
    """Each item read. Raises the first `LabelError` after all items were looked at, with the others in it."""
    read_well: list[_Label] = []
    errors: list[LabelError] = []
    for item in items:
        try:
            read_well.append(read(item))
        except LabelError as exc:
            errors.append(exc)
    if errors:
        errors[0].others, errors[0].more = len(read_well), errors[1:]
        raise errors[0]
    return read_well


@dataclass(slots=True)
class ReadingReport:
    """Remarks, counted by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    remarks: list[Remark] = field(default_factory=list)
    unpacked: tuple[str, str] = ("", "")
    """Of an archive: the folder that it was unpacked to, and its own path, which messages name instead."""

    def shown(self, text: object) -> str:
        """A message, with the archive's path in place of the folder's."""
        folder, archive = self.unpacked
        return str(text).replace(folder, archive) if folder else str(text)

    def add(self, reason: str, place: object, text: str, image: object = "", times: int = 1) -> None:
        """Count a remark, and keep it where there are not too many of its reason yet."""
        assert reason in REASONS, reason
        if self.counts[reason] < MOST_REMARKS:
            self.remarks.append(Remark(reason, self.shown(place), _one_line(self.shown(text)), str(image)))
        self.counts[reason] += times

    def of(self, reason: str) -> list[Remark]:
        """Kept remarks of one reason."""
        return [r for r in self.remarks if r.reason == reason]

    def by_effect(self, effect: Effect) -> Iterator[tuple[str, int]]:
        """(reason, count) of those that have this effect, in the order of `REASONS`."""
        return ((name, self.counts[name]) for name, r in REASONS.items() if r.effect == effect and self.counts[name])

    def sentences(self) -> list[str]:
        """One a reason, with its count and its first place; images that only have no labels are left to tables."""
        quiet = ("no labels", "nothing")
        found = []
        for name, count in self.counts.items():
            first = next(iter(self.of(name)), None)
            if name not in quiet and count and first is not None:
                found.append(f"{REASONS[name].words}: {count} (first: {first})")
        return found

    def first_failure(self) -> str:
        """The first remark for which an image failed, or nothing."""
        return next((str(r) for r in self.remarks if REASONS[r.reason].effect == "image failed"), "")

    def as_json(self) -> dict[str, Any]:
        """Counts by reason and every remark that is kept."""
        return {
            "counts": dict(self.counts),
            "remarks": [
                {"reason": r.reason, "effect": REASONS[r.reason].effect, "place": r.place, "text": r.text}
                | ({"image": r.image} if r.image else {})
                for r in self.remarks
            ],
        }


def place_and_text(error: Exception, path: object) -> tuple[str, str]:
    """A message ``path:4: text`` as its place and its text."""
    match = re.match(rf"({re.escape(str(path))}(?::\d+)?): *(.*)", str(error), re.DOTALL)
    return (match[1], match[2]) if match else (str(path), str(error))


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:299] + "…"
