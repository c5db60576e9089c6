"""``distill import`` and ``distill write``: labels from other tools, and to them."""

from __future__ import annotations

import filecmp
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from edgevision.datasets.annotations import Box, LabelledData, Picture
from edgevision.datasets.archive import unpacked
from edgevision.datasets.coco_format import write_coco
from edgevision.datasets.data_folder import DataFolder, is_data_folder
from edgevision.datasets.dataset import read_data
from edgevision.datasets.reading_report import ReadingReport
from edgevision.datasets.storage import link_or_copy
from edgevision.datasets.yolo_writer import write_yolo
from edgevision.errors import UsageError
from edgevision.types import ProgressCallback


@dataclass(slots=True)
class ImportSummary:
    """What came of an import."""

    layout: str
    classes: tuple[str, ...]
    statuses: Counter[str] = field(default_factory=Counter)
    """Images by status: ``done`` with labels, ``new`` without, ``failed`` those that cannot be used."""
    labels: Counter[str] = field(default_factory=Counter)
    """By class."""
    ignored: int = 0
    """Labels that are regions to ignore: crowds, difficult ones."""
    nothing: int = 0
    """Images that are labelled and show none of the classes."""
    report: ReadingReport = field(default_factory=ReadingReport)

    @classmethod
    def of(cls, data: LabelledData) -> ImportSummary:
        """Of data that is read, whether it is imported or not."""
        summary = cls(data.layout, data.classes, report=data.report)
        for picture in data.pictures:
            summary.add(picture, data.classes)
        return summary

    @property
    def images(self) -> int:
        return sum(self.statuses.values())

    @property
    def usable(self) -> int:
        """Images with labels, empty ones included."""
        return self.images - self.statuses["failed"] - self.statuses["new"]

    def add(self, picture: Picture, classes: Sequence[str]) -> None:
        labels = picture.labels
        self.statuses[labels.status] += 1
        if labels.status in ("failed", "new"):
            return
        self.nothing += not labels.boxes
        for box in labels.boxes:
            if box.weight > 0:
                self.labels[classes[box.class_id]] += 1
            else:
                self.ignored += 1


def import_data(
    place: Path,
    out: Path,
    classes: Sequence[str] | None = None,
    progress: ProgressCallback | None = None,
    report: ReadingReport | None = None,
) -> ImportSummary:
    """Take another tool's images and labels into a data folder, images linked, which may hold some already.

    What people drew is ``done``. Classes are matched by name. An image that the folder has already is taken anew; one
    of the same name and other bytes gets another name. Raises `UsageError` where there is nothing to import.
    """
    report = ReadingReport() if report is None else report
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: expected a folder to import into, got a file")
    with unpacked(place, report, out.parent.resolve()) as folder:
        if is_data_folder(out) and out.resolve() == folder.resolve():
            raise UsageError(f"{out}: is to be imported into itself; name another --out")
        data = read_data(folder, classes, report=report, progress=progress)
        data.usable_or_refused()
        summary = ImportSummary.of(data)
        known = (out / "labels.json").exists() or (out / "labels.journal.jsonl").exists()
        with DataFolder(out, None if known else data.classes) as into:
            numbers = into.add_classes(data.classes)
            taken: dict[str, Path] = {}
            for picture in data.pictures:
                _take(picture, into, numbers, taken, report)
    return summary


def _take(
    picture: Picture, into: DataFolder, numbers: Sequence[int], taken: dict[str, Path], report: ReadingReport
) -> None:
    """Put one image and its labels into a folder."""
    labels = picture.labels
    file = _free_name(picture, into, taken)
    if file != labels.file:
        report.add("renamed", picture.path, f"{labels.file} is another image here; this one is called {file}")
    taken[file.casefold()] = picture.path
    before = into.pictures.get(file)
    if before is not None and before.boxes and before.boxes != _renumbered(labels.boxes, numbers):
        report.add("replaced", into.path(before), f"had {len(before.boxes)} labels, and has {len(labels.boxes)} now")
    if labels.status != "failed":
        link_or_copy(picture.path, into.pictures_folder / file)
    elif before is not None:
        return  # the folder's own labels are better than none
    into.put(
        replace(
            labels,
            file=file,
            boxes=_renumbered(labels.boxes, numbers),
            faint=_renumbered(labels.faint, numbers),
            rejected=_renumbered(labels.rejected, numbers),
        )
    )


def _renumbered(boxes: Sequence[Box], numbers: Sequence[int]) -> tuple[Box, ...]:
    return tuple(replace(b, class_id=numbers[b.class_id]) for b in boxes)


def _free_name(picture: Picture, into: DataFolder, taken: dict[str, Path]) -> str:
    """The image's name; with its part before it, or a few digits of its hash, where another image has that name."""
    labels = picture.labels
    tries = [labels.file]
    if labels.split and not labels.file.startswith(f"{labels.split}/"):
        tries.append(f"{labels.split}/{labels.file}")
    for file in tries:
        if _is_free(file, picture, into, taken):
            return file
    path = PurePosixPath(labels.file)
    digest = hashlib.sha256(picture.path.read_bytes() if picture.path.is_file() else str(picture.path).encode())
    for digits in range(8, 65):
        file = str(path.with_name(f"{path.stem}-{digest.hexdigest()[:digits]}{path.suffix}"))
        if _is_free(file, picture, into, taken):
            return file
    raise UsageError(f"{picture.path}: is listed several times under one name")


def _is_free(file: str, picture: Picture, into: DataFolder, taken: dict[str, Path]) -> bool:
    """Whether no image has that name, or this same one has."""
    first = taken.get(file.casefold())
    if first is not None:
        return first == picture.path
    there = into.pictures_folder / file
    if not there.exists():
        return True
    return picture.path.is_file() and there.is_file() and filecmp.cmp(there, picture.path, shallow=False)


def export_data(place: Path, out: Path, layout: str, report: ReadingReport | None = None) -> dict[str, int]:
    """Write a dataset as ``yolo`` or ``coco``; images by part. Raises `UsageError`."""
    if layout not in ("yolo", "coco"):
        raise UsageError(f"--format: expected yolo or coco, got {layout!r}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is not empty; name a new folder")
    data = read_data(place, report=report)
    data.usable_or_refused()
    return write_yolo(data, out) if layout == "yolo" else write_coco(data, out)
