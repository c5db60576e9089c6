"""Pascal VOC read: one XML file an image, of VOC itself, Roboflow, CVAT, labelImg, Label Studio, FiftyOne,
Datumaro and supervision, and the old LabelMe's.

Corners are taken as they stand. VOC counts pixels from 1, most tools from 0: a box can be one pixel off.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from edgevision.datasets.annotations import Box, PictureLabels
from edgevision.datasets.box_check import checked_box
from edgevision.datasets.class_names import check_names
from edgevision.datasets.file_tree import files_below, images_below, split_in, without_image_folder
from edgevision.datasets.found_image import FoundImage, Sizes
from edgevision.datasets.reading_report import LabelError, ReadingReport, all_or_error, place_and_text
from edgevision.datasets.safe_names import safe_name
from edgevision.datasets.text_encoding import read_text
from edgevision.datasets.xml_file import Element, read_xml
from edgevision.errors import UsageError

_AXIS = re.compile(r"[xy]\d*$")
_MASKS = ("segmentationclass", "segmentationobject", "masks")


class VocFolder:
    """A VOC dataset, its XML files read and its images found."""

    def __init__(self, root: Path, classes: Sequence[str] | None, report: ReadingReport) -> None:
        self._root, self._report = root, report
        self._splits = _image_sets(root, report)
        self._elements = {path: element for path in xml_files(root) if (element := _annotation(path)) is not None}
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in images_below(root):
            self._by_stem[path.stem.casefold()].append(path)
        names = {o.value("name") for e in self._elements.values() if isinstance(e, Element) for o in e.all("object")}
        self.classes: tuple[str, ...] = tuple(classes) if classes else tuple(sorted(names - {""}))
        check_names(self.classes, root, report)
        self._xml_of: dict[Path, Path] = {}
        self._images = [self._found(xml) for xml in self._elements]
        labelled = {image.path for image in self._images}
        for path in (p for many in self._by_stem.values() for p in many if p not in labelled and not _is_mask(p)):
            self._images.append(FoundImage(path, self._labels(path), None))

    def images(self) -> list[FoundImage]:
        """All images, in order of their names."""
        return sorted(self._images, key=lambda i: i.labels.file)

    def prepare(self, images: Sequence[FoundImage], sizes: Sizes) -> None:
        """Remark on images whose size is another than their XML says."""
        for image in images:
            xml, own = self._xml_of.get(image.path), sizes.get(image.path)
            element = self._elements.get(xml) if xml is not None else None
            size = element.first("size") if isinstance(element, Element) else None
            if own is None or size is None:
                continue
            stated = (size.value("width"), size.value("height"))
            if stated not in (("", ""), ("0", "0"), (str(own[0]), str(own[1]))):
                text = f"says {stated[0][:12]} × {stated[1][:12]}, the image has {own[0]} × {own[1]}, which counts"
                self._report.add("size", f"{xml}:{size.line}", text, image.path)

    def _found(self, xml: Path) -> FoundImage:
        path = self._image_of(xml)
        place = path or xml.with_suffix(".jpg")
        if path is not None and path in self._xml_of:
            text = f"is of the same image as {self._xml_of[path]}, whose labels are kept"
            self._report.add("orphan", xml, text, path)
            return FoundImage(xml, self._labels(xml), None, str(xml))
        self._xml_of[place] = xml
        return FoundImage(place, self._labels(place), partial(self._boxes, xml, place), "" if path else str(xml))

    def _image_of(self, xml: Path) -> Path | None:
        """By the XML file's own name, else by the file name in it."""
        element = self._elements[xml]
        named = element.value("filename") if isinstance(element, Element) else ""
        own = self._nearest(xml.stem, xml)
        if not named:
            return own
        try:
            name, led_out = safe_name(named)
        except ValueError:
            return own
        if led_out:
            self._report.add("name", xml, f"{named[:80]!r} is taken as {name}")
        stem = PurePosixPath(name).stem
        if own is not None and stem.casefold() != xml.stem.casefold() and self._nearest(stem, xml) is not None:
            self._report.add("name", xml, f"says filename {name[:80]!r}; the image of its own name is taken", own)
        return own or self._nearest(stem, xml)

    def _nearest(self, stem: str, xml: Path) -> Path | None:
        """The image of that name with the longest way in common, folders of images and labels left aside."""
        found = self._by_stem.get(stem.casefold(), [])
        ranked = sorted(((_common(p.parent, xml.parent), p) for p in found), key=lambda r: -r[0])
        if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
            self._report.add("ambiguous name", xml, f"{stem} fits {len(ranked)} images: none of them is used")
            return None
        return ranked[0][1] if ranked else None

    def _labels(self, image: Path) -> PictureLabels:
        relative = PurePosixPath(image.relative_to(self._root).as_posix())
        split = split_in(relative.parts[:-1]) or self._splits.get(image.stem, "")
        return PictureLabels(safe_name(without_image_folder(relative))[0], split=split)

    def _boxes(self, xml: Path, image: Path, size_wh: tuple[int, int]) -> tuple[Box, ...]:
        element = self._elements[xml]
        if not isinstance(element, Element):
            raise element
        objects = [o for o in element.all("object") if o.value("deleted") != "1"]
        if not objects:
            self._report.add("nothing", xml, "has no object", image)
        boxes = all_or_error(objects, lambda one: self._box(one, f"{xml}:{one.line}", image, size_wh))
        return tuple(box for box in boxes if box is not None)

    def _box(self, element: Element, place: str, image: Path, size_wh: tuple[int, int]) -> Box | None:
        name = element.value("name")
        if name not in self.classes:
            raise LabelError("unknown class", place, f"expected the name of a class, got {name[:60]!r}")
        checked = checked_box(_corners(element, place), size_wh, place, image, self._report)
        if checked is None:
            return None
        # VOC's own evaluation leaves what is marked difficult out.
        weight = 0.0 if element.value("difficult") in ("1", "true", "True") else 1.0
        return Box(self.classes.index(name), checked, 1.0, weight)


def xml_files(root: Path) -> list[Path]:
    """The XML files below a folder."""
    return [p for p in files_below(root) if p.suffix.lower() == ".xml"]


def is_voc(root: Path) -> bool:
    """Whether one of the first XML files below a folder is an annotation of one image."""
    for path in xml_files(root)[:20]:
        try:
            if read_xml(path).tag == "annotation":
                return True
        except UsageError:
            continue
    return False


def _annotation(path: Path) -> Element | LabelError | None:
    """Of one file; what is wrong with it where it is damaged; None for another tool's."""
    try:
        element = read_xml(path)
    except UsageError as exc:
        return LabelError("bad text", *place_and_text(exc, path))
    return element if element.tag == "annotation" else None


def _is_mask(image: Path) -> bool:
    """Whether it is in a folder of VOC's or LabelMe's masks, which are no images of the dataset."""
    return any(part.casefold() in _MASKS for part in image.parts[:-1])


def _common(one: Path, other: Path) -> int:
    """Folders that two ways share before they part."""
    return sum(a == b for a, b in zip(one.parts, other.parts, strict=False)) * 2 - len(one.parts)


def _corners(element: Element, place: str) -> tuple[float, ...]:
    box, turned = element.first("bndbox"), element.first("robndbox")
    if box is not None:
        return tuple(_number(box, tag, place) for tag in ("xmin", "ymin", "xmax", "ymax"))
    if turned is not None:
        x, y, w, h, angle = (_number(turned, tag, place) for tag in ("cx", "cy", "w", "h", "angle"))
        half_w = (abs(w * math.cos(angle)) + abs(h * math.sin(angle))) / 2
        half_h = (abs(w * math.sin(angle)) + abs(h * math.cos(angle))) / 2
        return x - half_w, y - half_h, x + half_w, y + half_h
    outline = element.first("polygon")
    if outline is not None:
        points = outline.all("pt") or [outline]  # the old LabelMe's <pt><x>, Roboflow's <x1><y1><x2>
        pairs = [(c.tag[0], _number(p, c.tag, place)) for p in points for c in p.children if _AXIS.match(c.tag)]
        xs, ys = [v for axis, v in pairs if axis == "x"], [v for axis, v in pairs if axis == "y"]
        if len(xs) > 2 and len(ys) > 2:
            return min(xs), min(ys), max(xs), max(ys)
    raise LabelError("no box", place, "expected a bndbox, got none")


def _number(element: Element, tag: str, place: str) -> float:
    try:
        number = float(element.value(tag))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise LabelError("bad number", place, f"{tag}: expected a number, got {element.value(tag)[:20]!r}")
    return number


def _image_sets(root: Path, report: ReadingReport) -> dict[str, str]:
    """Parts by an image's name without suffix, of ``ImageSets/Main/train.txt`` and the like."""
    splits: dict[str, str] = {}
    for part in ("test", "val", "train"):
        for file in (root / "ImageSets" / "Main" / f"{part}.txt", root / "ImageSets" / f"{part}.txt"):
            if not file.is_file():
                continue
            for line in read_text(file, report).split("\n"):
                if not line.strip():
                    continue
                stem = PurePosixPath(line.split()[0]).name.removesuffix(".jpg")
                if splits.setdefault(stem, part) != part:
                    report.add(
                        "two parts", file, f"{stem} is in {splits[stem]} and in {part}; it stays in {splits[stem]}"
                    )
    return splits
