"""Labelled images as other tools write them: YOLO text, COCO JSON, Pascal VOC XML, and our own data folder.

A layout is known by its files, never by its name; README.md in this folder describes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgevision.capture.images import SUFFIXES, read_image
from edgevision.datasets.annotations import LabelledData, Picture
from edgevision.datasets.archive import is_zip
from edgevision.datasets.class_names import NAME_FILES
from edgevision.datasets.coco import CocoFolder
from edgevision.datasets.coco_files import CocoFile, find_coco, is_coco, read_json, split_of
from edgevision.datasets.data_folder import DataFolder, is_data_folder
from edgevision.datasets.data_yaml import read_data_yaml
from edgevision.datasets.file_tree import IMAGE_FOLDERS, LABEL_FOLDERS, SPLIT_WORDS, files_below, images_below
from edgevision.datasets.found_image import FoundImage, Layout, read_found
from edgevision.datasets.other_layouts import way_from
from edgevision.datasets.reading_report import ReadingReport
from edgevision.datasets.voc import VocFolder, is_voc
from edgevision.datasets.yolo import YoloFolder, looks_like_yolo
from edgevision.errors import SourceBroken, UsageError
from edgevision.types import ProgressCallback

VALIDATION = "validation"
"""The part to measure on: val, else test, else all."""


def read_data(
    place: Path,
    classes: Sequence[str] | None = None,
    *,
    part: str = "",
    limit: int | None = None,
    unnamed: Sequence[str] | None = None,
    report: ReadingReport | None = None,
    progress: ProgressCallback | None = None,
) -> LabelledData:
    """Read labelled images. An image whose labels cannot be used is in it with ``status`` failed; the report says why.

    ``classes`` names YOLO's numbers in place of the files' own names, ``unnamed`` where no file does. ``part`` reads
    one part only (`VALIDATION`, or its name), ``limit`` so many images at most, evenly spread. Raises `UsageError`
    for what is no labelled data, or cannot be read as a whole.
    """
    report = ReadingReport() if report is None else report
    try:
        return _read(place.expanduser(), classes, part, limit, unnamed, report, progress)
    except OSError as exc:
        raise UsageError(f"{place}: cannot be read: {exc.strerror or exc}") from exc


def _read(
    place: Path,
    classes: Sequence[str] | None,
    part: str,
    limit: int | None,
    unnamed: Sequence[str] | None,
    report: ReadingReport,
    progress: ProgressCallback | None,
) -> LabelledData:
    if place.is_dir() and is_data_folder(place):
        return _own(place, part, limit, report)
    layout, name = _layout(place, classes, unnamed, report)
    found = layout.images()
    if not found:
        raise UsageError(f"{place}: expected images beside its labels, found none; export it with its images")
    chosen = _spread(_of_part(found, part, report, place), limit, report, place)
    return LabelledData(str(place), layout.classes, read_found(layout, chosen, report, progress), name, report)


def _layout(
    place: Path, classes: Sequence[str] | None, unnamed: Sequence[str] | None, report: ReadingReport
) -> tuple[Layout, str]:
    """The dataset at a place, and what it is called. Raises `UsageError` where there is none that is read."""
    if place.is_file():
        return _layout_of_file(place, classes, unnamed, report)
    if not place.is_dir():
        raise UsageError(f"{place}: expected a folder of labelled images, found nothing; check the path")
    inner = _only_folder(place)
    if inner is not None:
        report.add("selection", place, f"holds one folder, {inner.name}, which is read")
        return _layout(inner, classes, unnamed, report)
    given = looks_like_yolo(place, report)
    coco = find_coco(place, report)
    if not isinstance(given, bool):
        yolo = YoloFolder(place, given, classes, report, unnamed) if not coco or given is not None else None
        if yolo is not None and (yolo.labelled or not coco):
            for file in coco:
                report.add("other files", file.path, "is not read, since YOLO's labels are there")
            return yolo, "YOLO"
    if coco:
        return CocoFolder(coco, place, report), "COCO"
    if is_voc(place):
        return VocFolder(place, classes, report), "Pascal VOC"
    raise UsageError(_not_known(place))


def _layout_of_file(
    place: Path, classes: Sequence[str] | None, unnamed: Sequence[str] | None, report: ReadingReport
) -> tuple[Layout, str]:
    suffix = place.suffix.lower()
    if suffix == ".json":
        values = read_json(place, report)
        if not is_coco(values):
            way = way_from(place)
            raise UsageError(
                f"{place}: expected COCO JSON (categories, images, annotations)" + (f"; {way}" if way else "")
            )
        root = place.parent.parent if place.parent.name.lower() in ("annotations", "labels") else place.parent
        return CocoFolder([CocoFile(place, split_of(place, root), values)], root, report), "COCO"
    if suffix in (".yaml", ".yml"):
        return YoloFolder(place.parent, read_data_yaml(place, report), classes, report, unnamed), "YOLO"
    if is_zip(place):
        raise UsageError(f"{place}: a zip is read by `edgevision distill import {place} --out DATA`; name DATA then")
    if suffix == ".xml" and (way := way_from(place)):
        raise UsageError(f"{place}: {way}")
    raise UsageError(_not_known(place))


def _not_known(place: Path) -> str:
    way = way_from(place)
    if way:
        return f"{place}: expected labels of YOLO, COCO or Pascal VOC; {way}"
    images = len(images_below(place)) if place.is_dir() else 0
    return (
        f"{place}: expected labelled images, found {images} images and no labels: no data.yaml, labels/, "
        "annotations/*.json, _annotations.coco.json or .xml"
    )


def _only_folder(place: Path) -> Path | None:
    """The one folder in a place that holds no more than it and some texts: what an archive has at its top."""
    entries = [p for p in place.iterdir() if not p.name.startswith((".", "__MACOSX"))]
    folders = [p for p in entries if p.is_dir()]
    texts = all(p.suffix.lower() in ("", ".txt", ".md", ".pdf", ".html") for p in entries if p.is_file())
    if len(folders) != 1 or not texts or any(p.name.lower() in NAME_FILES for p in entries):
        return None
    name = folders[0].name.lower()
    is_part = name in (*SPLIT_WORDS, *IMAGE_FOLDERS, *LABEL_FOLDERS, "annotations", "obj_train_data")
    return None if is_part else folders[0]


def _own(place: Path, part: str, limit: int | None, report: ReadingReport) -> LabelledData:
    """Our own data folder: its images are not decoded, since it keeps their sizes."""
    own = DataFolder(place, write=False)
    pictures = [Picture(own.path(p), p) for p in sorted(own.pictures.values(), key=lambda p: p.file)]
    found = [FoundImage(p.path, p.labels, None) for p in pictures]
    kept = {f.labels.file for f in _spread(_of_part(found, part, report, place), limit, report, place)}
    read = tuple(_sized(p) for p in pictures if p.labels.file in kept)
    for picture in read:
        status, text = picture.labels.status, picture.labels.error
        if status == "new":
            report.add("no labels", picture.path, "has no labels", picture.path)
        elif status == "failed":
            report.add("image unreadable", picture.path, text or "failed before", picture.path)
    return LabelledData(str(place), own.classes, read, "edgevision", report)


def _sized(picture: Picture) -> Picture:
    labels = picture.labels
    if labels.status in ("failed", "new") or min(labels.width_px, labels.height_px) > 0:
        return picture
    try:
        height, width = read_image(picture.path).shape[:2]
    except SourceBroken as exc:
        return replace(picture, labels=replace(labels, status="failed", error=str(exc)))
    return replace(picture, labels=replace(labels, width_px=width, height_px=height))


def _of_part(found: list[FoundImage], part: str, report: ReadingReport, place: Path) -> list[FoundImage]:
    if not part:
        return found
    splits = {f.labels.split for f in found}
    wanted = next((s for s in ("val", "test") if s in splits), "") if part == VALIDATION else part
    if not wanted:
        return found
    chosen = [f for f in found if f.labels.split == wanted]
    if len(chosen) < len(found):
        report.add("selection", place, f"its part {wanted} is read: {len(chosen)} of {len(found)} images")
    return chosen


def _spread(found: list[FoundImage], limit: int | None, report: ReadingReport, place: Path) -> list[FoundImage]:
    """At most ``limit`` labelled ones, evenly over the set: sets are often ordered by where they come from."""
    if limit is None or len(found) <= limit:
        return found
    report.add("selection", place, f"{limit} of {len(found)} images are read, evenly spread")
    return [found[int(k * len(found) / limit)] for k in range(limit)]


def pictures_under(folder: Path) -> tuple[Path, list[Path]]:
    """The folder that names count from, and the picture files below it in order. Raises `UsageError`."""
    if folder.is_file():
        raise UsageError(
            f"--images: expected a folder, got the file {folder}; frames of a clip: edgevision distill collect"
        )
    root = folder / "images" if (folder / "images").is_dir() else folder
    files = sorted(p for p in files_below(root) if p.suffix.lower() in SUFFIXES)
    if not files:
        raise UsageError(f"--images: expected pictures in {folder}, found none: check the path")
    return root, files
