"""COCO JSON read: of COCO itself, Roboflow, CVAT, Label Studio, FiftyOne, Datumaro, supervision.

`coco_files` finds the files, `coco_boxes` makes boxes of annotations, `coco_format` has our own form and writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from edgevision.datasets.annotations import STATUSES, Box, PictureLabels
from edgevision.datasets.box_check import ROUNDING_PX, checked_box
from edgevision.datasets.coco_boxes import corners_of
from edgevision.datasets.coco_files import CocoFile
from edgevision.datasets.coco_format import has_parent_category
from edgevision.datasets.found_image import FoundImage, Sizes
from edgevision.datasets.image_search import ImageSearch
from edgevision.datasets.reading_report import LabelError, ReadingReport, all_or_error
from edgevision.datasets.safe_names import safe_name
from edgevision.errors import UsageError

_ALIKE = 0.02
"""Two scales of one image that differ by less are one: sizes are whole pixels."""


class CocoFolder:
    """A COCO dataset of one or several files, its images found."""

    def __init__(self, files: Sequence[CocoFile], root: Path, report: ReadingReport) -> None:
        """Raises `UsageError` where a file's categories or images cannot be read."""
        self.classes: tuple[str, ...] = ()
        self._images: list[FoundImage] = []
        self._sets: list[_CocoSet] = []
        search = ImageSearch(root, report)
        for file in files:
            one = _CocoSet(file, self.classes, report)
            self.classes = one.classes
            self._sets.append(one)
            self._images += one.images(search)
        search.report_shared(self._images)
        self._images = search.without_shared(self._images)

    def images(self) -> list[FoundImage]:
        """All images, in the order of their names."""
        return sorted(self._images, key=lambda i: i.labels.file)

    def prepare(self, images: Sequence[FoundImage], sizes: Sizes) -> None:
        """See which labels were drawn at another size than their image has."""
        paths = {image.path for image in images}
        for one in self._sets:
            one.compare_sizes(paths, sizes)


class _CocoSet:
    """One file."""

    def __init__(self, file: CocoFile, classes: tuple[str, ...], report: ReadingReport) -> None:
        self._file, self._report = file, report
        self.classes = classes
        self._numbers = self._read_categories(file.values["categories"])
        self._entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """Entries of ``images`` by their id."""
        self._of_image: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        """(place, annotation) by id of the image."""
        self._names: dict[str, list[str]] = defaultdict(list)
        """Ids by file name."""
        self._read_images(file.values["images"])
        self._read_annotations(file.values.get("annotations") or [])
        self._path_ids: dict[Path, list[str]] = {}
        self._scaled: dict[Path, tuple[float, float]] = {}

    def images(self, search: ImageSearch) -> list[FoundImage]:
        found = []
        for name, ids in self._names.items():
            path = search.find(name, self._file.path, self._file.split)
            missing = "" if path else f"{self._file.path}: image {ids[0]}"
            place = path or self._file.path.parent / name
            self._path_ids[place] = ids
            labels = self._known(name, self._entries[ids[0]][0])
            found.append(FoundImage(place, labels, partial(self._boxes, ids, place), missing))
        return found

    def compare_sizes(self, paths: set[Path], sizes: Sizes) -> None:
        """Boxes that only fit the size that the file states show that its images were resized after labelling."""
        resized: dict[Path, tuple[float, float]] = {}
        proven = False
        for path, ids in self._path_ids.items():
            stated, own = self._stated_size(ids[0]), sizes.get(path)
            if path not in paths or own is None or stated is None or stated == own:
                continue
            text = f"says {stated[0]} × {stated[1]}, the image has {own[0]} × {own[1]}, which counts"
            self._report.add("size", f"{self._file.path}: image {ids[0]}", text, path)
            scale = own[0] / stated[0], own[1] / stated[1]
            if abs(scale[0] / scale[1] - 1) < _ALIKE:
                resized[path] = scale
                proven = proven or self._only_fits(ids, stated, own)
        if proven:
            self._scaled = resized

    def _only_fits(self, ids: Sequence[str], stated: tuple[int, int], own: tuple[int, int]) -> bool:
        for place, annotation in (a for key in ids for a in self._of_image.get(key, ())):
            try:
                _, _, x2, y2 = corners_of(annotation, place)
            except LabelError:
                continue
            beyond = x2 > own[0] + ROUNDING_PX or y2 > own[1] + ROUNDING_PX
            if beyond and x2 <= stated[0] + ROUNDING_PX and y2 <= stated[1] + ROUNDING_PX:
                return True
        return False

    def _boxes(self, ids: Sequence[str], path: Path, size_wh: tuple[int, int]) -> tuple[Box, ...]:
        for key in ids:
            if len({e.get("file_name") for e in self._entries[key]}) > 1:
                raise LabelError("bad row", f"{self._file.path}: image {key}", "two images have this id")
        scale = self._scaled.get(path)
        if scale is not None:
            text = f"labels are scaled by {scale[0]:.4g} to the image's own size"
            self._report.add("scaled", f"{self._file.path}: image {ids[0]}", text, path)
        listed = [entry for key in ids for entry in self._of_image.get(key, ())]
        read = all_or_error(listed, lambda e: (e[0], self._box(e[1], e[0], path, size_wh, scale or (1.0, 1.0))))
        boxes: list[Box] = []
        for place, box in read:
            if box is not None and len(ids) > 1 and box in boxes:
                self._report.add("repeated", place, "stands under another id of this image too", path)
            elif box is not None:
                boxes.append(box)
        return tuple(boxes)

    def _box(
        self, annotation: dict[str, Any], place: str, path: Path, size_wh: tuple[int, int], scale: tuple[float, float]
    ) -> Box | None:
        number = self._numbers.get(_key(annotation.get("category_id")))
        if number is None:
            raise LabelError(
                "unknown class",
                place,
                f"category {str(annotation.get('category_id'))[:40]} is in no list of categories",
            )
        x1, y1, x2, y2 = corners_of(annotation, place)
        corners = (x1 * scale[0], y1 * scale[1], x2 * scale[0], y2 * scale[1])
        checked = checked_box(corners, size_wh, place, path, self._report)
        if checked is None:
            return None
        crowd = str(annotation.get("iscrowd", 0)).strip().lower() not in ("0", "", "none", "false", "0.0")
        weight = 0.0 if crowd else _share(annotation, "weight", place)
        return Box(number, checked, _share(annotation, "score", place), weight, str(annotation.get("by") or "person"))

    def _read_categories(self, categories: list[Any]) -> dict[str, int]:
        """Number of each category's id among the classes of all files."""
        for one in categories:
            if not isinstance(one, dict) or "id" not in one or not isinstance(one.get("name"), str | int | float):
                raise UsageError(
                    f"{self._file.path}: categories: expected an id and a name for each, got {str(one)[:60]}"
                )
        ordered = sorted(categories, key=lambda c: _in_order(c["id"]))
        annotations = self._file.values.get("annotations")
        listed = annotations if isinstance(annotations, list) else []
        used = {_key(a.get("category_id")) for a in listed if isinstance(a, dict)}
        if has_parent_category(ordered) and _key(ordered[0]["id"]) not in used:
            ordered = ordered[1:]
        numbers: dict[str, int] = {}
        for one in ordered:
            name, key = str(one["name"]), _key(one["id"])
            if key in numbers and self.classes[numbers[key]] != name:
                raise UsageError(f"{self._file.path}: categories: two have the id {key[:40]}; give each its own")
            if name in [str(o["name"]) for o in ordered if _key(o["id"]) != key]:
                self._report.add("class names", self._file.path, f"two categories are called {name[:60]!r}: one class")
            if name not in self.classes:
                self.classes = (*self.classes, name)
            numbers[key] = self.classes.index(name)
        return numbers

    def _read_images(self, images: list[Any]) -> None:
        for number, entry in enumerate(images):
            place = f"{self._file.path}: image entry {number + 1}"
            if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str) or "id" not in entry:
                self._report.add("image missing", place, f"expected an id and a file_name, got {str(entry)[:60]}")
                continue
            try:
                name, led_out = safe_name(entry["file_name"])
            except ValueError as exc:
                self._report.add("image missing", place, str(exc))
                continue
            if led_out:
                self._report.add("name", place, f"{entry['file_name'][:80]!r} is taken as {name}")
            key = _key(entry["id"])
            self._entries[key].append(entry)
            if key not in self._names[name]:
                self._names[name].append(key)
                if len(self._names[name]) > 1:
                    ids = ", ".join(self._names[name])[:60]
                    self._report.add("merged", place, f"{name} stands under the ids {ids}: their labels are merged")

    def _read_annotations(self, annotations: Any) -> None:
        if not isinstance(annotations, list):
            raise UsageError(f"{self._file.path}: annotations: expected a list")
        for number, one in enumerate(annotations):
            if not isinstance(one, dict):
                self._report.add("orphan", f"{self._file.path}: annotation entry {number + 1}", "is no annotation")
                continue
            place = f"{self._file.path}: annotation {str(one.get('id', f'entry {number + 1}'))[:40]}"
            key = _key(one.get("image_id"))
            if key in self._entries:
                self._of_image[key].append((place, one))
            else:
                self._report.add("orphan", place, f"is of image {key[:40]}, which is not listed")

    def _stated_size(self, key: str) -> tuple[int, int] | None:
        entry = self._entries[key][0]
        try:
            size = int(float(entry["width"])), int(float(entry["height"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return size if min(size) > 0 else None

    def _known(self, name: str, entry: dict[str, Any]) -> PictureLabels:
        """What our own writer keeps beside COCO's keys: status, teacher, part."""
        text = {k: str(entry.get(k) or "") for k in ("status", "teacher", "split")}
        status = text["status"] if text["status"] in STATUSES[1:] and text["status"] != "failed" else "new"
        file = name.removeprefix("images/")
        labels = PictureLabels(file, status=status, teacher=text["teacher"], split=text["split"] or self._file.split)
        doubts = entry.get("doubts")
        return replace(labels, doubts=tuple(map(str, doubts))) if isinstance(doubts, list) else labels


def _key(value: Any) -> str:
    """An id as text: ``1``, ``"1"`` and ``1.0`` are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _in_order(value: Any) -> tuple[int, int, str]:
    key = _key(value)
    number = int(key) if key.lstrip("-").isdecimal() and len(key) < 19 else None
    return (0, number, "") if number is not None else (1, 0, key)


def _share(annotation: dict[str, Any], key: str, place: str) -> float:
    """A number from 0 to 1, 1 where there is none."""
    value = annotation.get(key)
    if value is None:
        return 1.0
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number <= 1:
        raise LabelError("bad number", place, f"{key}: expected a number from 0 to 1, got {str(value)[:40]}")
    return number
