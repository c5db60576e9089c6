"""YOLO's folders read: text files beside the images, or in ``labels`` beside ``images``, and their ``data.yaml``.

Read are the layouts of Ultralytics, Roboflow, CVAT (Darknet), Label Studio, FiftyOne, labelImg and supervision.
`edgevision.datasets.yolo_rows` reads the rows, `edgevision.datasets.yolo_writer` writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from edgevision.capture.images import SUFFIXES
from edgevision.datasets.annotations import Box, PictureLabels
from edgevision.datasets.class_names import NAME_FILES, check_names, find_yaml, named_in_files, names_above
from edgevision.datasets.data_yaml import DataYaml
from edgevision.datasets.file_tree import (
    IMAGE_FOLDERS,
    LABEL_FOLDERS,
    FileTree,
    data_root,
    files_below,
    without_image_folder,
)
from edgevision.datasets.found_image import FoundImage, Sizes
from edgevision.datasets.reading_report import LabelError, ReadingReport, place_and_text
from edgevision.datasets.safe_names import safe_name
from edgevision.datasets.text_encoding import read_text
from edgevision.datasets.yolo_parts import Member, members_of
from edgevision.datasets.yolo_rows import Row, RowFormat, boxes_of, rows_of
from edgevision.errors import UsageError


class YoloFolder:
    """A YOLO dataset whose images are found and whose labels are not read yet."""

    def __init__(
        self,
        root: Path,
        given: DataYaml | None,
        classes: Sequence[str] | None,
        report: ReadingReport,
        unnamed: Sequence[str] | None = None,
    ) -> None:
        """``given`` is its ``data.yaml``; ``classes`` are names that stand in for the files' own, ``unnamed`` those
        for a dataset that has none.

        Raises `UsageError` where its classes have no names.
        """
        self._root, self._report, self._tree = root, report, FileTree()
        self._given, self.classes = _names(root, given, classes, unnamed, report)
        check_names(self.classes, root if self._given is None else self._given.path, report)
        self._home = data_root(root)
        self._members = members_of(root, given, self._tree, report)
        self._labels = {m.path: self._label_file(m.path) for m in self._members}
        self._report_orphans()
        self._rows: dict[Path, list[Row] | LabelError] = {}
        self._format = RowFormat()

    @property
    def labelled(self) -> bool:
        """Whether any image has a label file."""
        return any(file is not None for file in self._labels.values())

    def images(self) -> list[FoundImage]:
        """All images, in order of their parts and names."""
        return [self._found(member) for member in self._members]

    def prepare(self, images: Sequence[FoundImage], sizes: Sizes) -> None:
        """Read the rows of these images' label files, and decide from all of them what the rows hold."""
        for image in images:
            file = self._labels.get(image.path)
            if file is None:
                continue
            try:
                self._rows[file] = rows_of(read_text(file, self._report), file)
            except LabelError as exc:
                self._rows[file] = exc
            except UsageError as exc:
                self._rows[file] = LabelError("bad text", *place_and_text(exc, file))
        stated = self._given.keypoint_shape if self._given is not None else None
        self._format = RowFormat.of((r for rows in self._rows.values() if isinstance(rows, list) for r in rows), stated)

    def _found(self, member: Member) -> FoundImage:
        path = member.path
        if path.is_relative_to(self._root):
            file = without_image_folder(PurePosixPath(path.relative_to(self._root).as_posix()))
        else:
            file = f"{member.split}/{path.name}" if member.split else path.name
        label = self._labels[path]
        boxes = None if label is None else partial(self._boxes, label, path)
        return FoundImage(path, PictureLabels(safe_name(file)[0], split=member.split), boxes, member.listed)

    def _boxes(self, file: Path, image: Path, size_wh: tuple[int, int]) -> tuple[Box, ...]:
        rows = self._rows[file]
        if isinstance(rows, LabelError):
            raise rows
        if not rows:
            self._report.add("nothing", file, "is empty", image)
        return boxes_of(rows, self._format, len(self.classes), size_wh, image, self._report)

    def _label_file(self, image: Path) -> Path | None:
        """An image's labels: ``images`` made ``labels`` in its path, beside it, or in a ``labels`` near it."""
        names = (f"{image.stem}.txt", f"{image.name}.txt")
        for folder in self._label_folders(image):
            for name in names:
                file = self._tree.child(folder, name)
                if file is not None and file.name not in NAME_FILES and file.is_file():
                    return file
        return None

    def _label_folders(self, image: Path) -> list[Path]:
        folder, least = image.parent, len(self._home.parts)
        places: list[Path] = []
        parts = folder.parts
        for k in range(len(parts) - 1, least - 1, -1):
            if parts[k].casefold() in IMAGE_FOLDERS:
                for name in LABEL_FOLDERS:
                    labels = self._tree.child(Path(*parts[:k]), name)
                    inner = None if labels is None else self._tree.below(labels, "/".join(parts[k + 1 :]))
                    places += [] if inner is None else [inner]
        places.append(folder)
        inside = [folder, folder.parent] if folder != self._home else [folder]
        for place in (*inside, self._home):
            labels = self._tree.child(place, LABEL_FOLDERS[0]) if len(place.parts) >= least else None
            if labels is not None and labels.is_dir():
                relative = folder.relative_to(place).as_posix() if folder.is_relative_to(place) else "."
                inner = self._tree.below(labels, relative)
                places += [labels] if inner is None else [inner, labels]
        return list(dict.fromkeys(places))

    def _report_orphans(self) -> None:
        """Label files whose image is not there, and those that two images share."""
        used = Counter(file for file in self._labels.values() if file is not None)
        for file, count in used.items():
            if count > 1:
                self._report.add("unclear row", file, f"is the label file of {count} images of that name")
        image_folders = {m.path.parent for m in self._members}
        parts = {m.split for m in self._members}
        for file in files_below(self._root):
            if file.suffix.lower() != ".txt" or file in used or file.name.lower() in NAME_FILES:
                continue
            in_labels = any(p.casefold() in LABEL_FOLDERS for p in file.relative_to(self._root).parts[:-1])
            if (in_labels or file.parent in image_folders) and _holds_rows(file):
                where = "in the parts that are read" if parts - {""} else "there"
                self._report.add("orphan", file, f"has labels, and no image of its name is {where}")


def _holds_rows(file: Path) -> bool:
    try:
        rows = rows_of(read_text(file), file)
    except (LabelError, UsageError):
        return False
    return bool(rows) and all(len(r.values) >= 4 for r in rows)


def _names(
    root: Path,
    given: DataYaml | None,
    classes: Sequence[str] | None,
    unnamed: Sequence[str] | None,
    report: ReadingReport,
) -> tuple[DataYaml | None, tuple[str, ...]]:
    """The ``data.yaml`` that counts, and the names of classes, from wherever they are."""
    names = given.names if given is not None and given.names is not None else ()
    listed = named_in_files(root, report)
    if names and listed and names != listed:
        report.add("class names", root, "a names file says other class names than the YAML file, which is used")
    names = names or listed
    if not names:
        above, names = names_above(root, report)
        given = given or above
    if classes:
        if names and tuple(classes) != names:
            report.add("class names", root, f"has names of its own ({', '.join(names)[:80]}); those asked for are used")
        return given, tuple(classes)
    if not names and unnamed:
        report.add("class names", root, "names no classes: its numbers are read as the model's")
        return given, tuple(unnamed)
    if not names:
        raise UsageError(
            f"{root}: expected class names in data.yaml, classes.txt or obj.names, found none; say --classes"
        )
    return given, names


def looks_like_yolo(root: Path, report: ReadingReport) -> DataYaml | bool | None:
    """Its ``data.yaml``, None where it has labels and no such file, or False where it is no YOLO dataset."""
    given = find_yaml(root, report)
    if given is not None and (given.names is not None or given.parts):
        return given
    if any((root / name).is_file() for name in NAME_FILES):
        return None
    for file in files_below(root):
        if file.suffix.lower() == ".txt" and file.name.lower() not in NAME_FILES:
            folders = file.relative_to(root).parts[:-1]
            if any(p.casefold() in LABEL_FOLDERS for p in folders) or _image_beside(file):
                return None
    labels = FileTree().child(root, "labels")
    if labels is not None and labels.is_dir() and not any(labels.glob("*.[xj][ms]*")):
        return None
    home, tree = data_root(root), FileTree()
    above = [p for p in root.parents if p == home or home in p.parents]
    return None if any(tree.child(place, name) for place in above for name in LABEL_FOLDERS) else False


def _image_beside(file: Path) -> bool:
    return any(file.with_suffix(suffix).is_file() for suffix in SUFFIXES)
