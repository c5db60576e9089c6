"""Labelled pictures as other tools write them, and back: YOLO text and COCO JSON.

Read are the layouts of Ultralytics, Roboflow, CVAT, Label Studio, FiftyOne and COCO itself; a layout is told by its
files, never by its name. Written are the two that all of those import.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgevision.capture.images import SUFFIXES
from edgevision.datasets.annotations import LabelledData, Picture
from edgevision.datasets.coco import _coco, _coco_files
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.yolo import _NAMES, _YAML, _yolo
from edgevision.errors import UsageError


def read_data(place: Path, classes: Sequence[str] | None = None) -> LabelledData:
    """Read labelled pictures. ``classes`` names YOLO's numbers where no file does. Raises `UsageError`."""
    if place.is_file() and place.suffix == ".json":
        return _coco([(place, "")], place.parent, "COCO")
    if place.is_file() and place.suffix in (".yaml", ".yml"):
        return _yolo(place.parent, place, classes)
    if not place.is_dir():
        raise UsageError(f"{place}: expected a folder of labelled pictures, a COCO .json or a YOLO data.yaml")
    if (place / "labels.json").exists() or (place / "labels.journal.jsonl").exists():
        if (place / "data").is_dir() and not (place / "images").is_dir():
            return _coco([(place / "labels.json", "")], place, "FiftyOne COCO")
        own = DataFolder(place, write=False)
        pictures = tuple(Picture(own.path(p), p) for p in sorted(own.pictures.values(), key=lambda p: p.file))
        return LabelledData(str(place), own.classes, pictures, "edgevision")
    if coco := _coco_files(place):
        return _coco(coco, place, "COCO")
    yaml = next((place / n for n in _YAML if (place / n).exists()), None)
    if yaml or (place / "labels").is_dir() or any((place / n).exists() for n in _NAMES):
        return _yolo(place, yaml, classes)
    raise UsageError(
        f"{place}: expected labelled pictures, found no labels.json, data.yaml, labels/, annotations/*.json or "
        "_annotations.coco.json in it"
    )


def pictures_under(folder: Path) -> tuple[Path, list[Path]]:
    """The folder that names count from, and the picture files below it in order. Raises `UsageError`."""
    if folder.is_file():
        raise UsageError(
            f"--images: expected a folder, got the file {folder}; frames of a clip: edgevision distill collect"
        )
    root = folder / "images" if (folder / "images").is_dir() else folder
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise UsageError(f"--images: expected pictures in {folder}, found none: check the path")
    return root, files
