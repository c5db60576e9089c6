"""Layouts that are known and not read, with the way from each to one that is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from edgevision.datasets.coco_files import read_json
from edgevision.datasets.file_tree import files_below
from edgevision.datasets.xml_file import Element, read_xml
from edgevision.errors import UsageError

_MOST_FILES = 40
_MOST_BYTES = 200 << 20


@dataclass(frozen=True, slots=True)
class Known:
    """One layout."""

    name: str
    way: str
    fits: Callable[[Any], bool]
    """Looks at parsed JSON, or at an `Element`."""


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else None


def _has(values: Any, *keys: str) -> bool:
    return isinstance(values, dict) and all(k in values for k in keys)


def _values_have(values: Any, *keys: str) -> bool:
    return isinstance(values, dict) and bool(values) and all(_has(v, *keys) for v in list(values.values())[:3])


_AS_COCO = "export again as COCO or YOLO"
JSON_LAYOUTS = (
    Known("Datumaro", "datum convert -if datumaro -f coco -- --save-media", lambda v: _has(v, "items", "categories")),
    Known("Label Studio's JSON", "export as YOLO with images, or COCO with images",
          lambda v: _has(_first(v), "data") and isinstance(_first(v)["data"], dict)),
    Known("Label Studio's JSON-MIN", "export as YOLO with images, or COCO with images",
          lambda v: _has(_first(v), "annotator")),
    Known("LabelMe", "pip install labelme2coco, then labelme2coco FOLDER", lambda v: _has(v, "shapes", "imagePath")),
    Known("CreateML", _AS_COCO, lambda v: _has(_first(v), "image", "annotations")),
    Known("VGG Image Annotator", "in VIA: Annotation, Export Annotations (COCO format)",
          lambda v: _has(v, "_via_img_metadata") or _values_have(v, "regions", "filename")),
    Known("Supervisely", "in Supervisely: the app Export to COCO", lambda v: _has(v, "objects", "size")),
    Known("COCO results", "give the file of annotations, which lists the images",
          lambda v: _has(_first(v), "image_id", "category_id", "bbox")),
    Known("Labelbox", "convert with labelbox's SDK to COCO", lambda v: _has(_first(v), "data_row")),
    Known("BDD100K", "python -m bdd100k.label.to_coco", lambda v: _has(_first(v), "name", "labels")),
    Known("FiftyOne", "dataset.export(dataset_type=fo.types.COCODetectionDataset)", lambda v: _has(v, "samples")),
    Known("Segment Anything's", "datum convert -if segment_anything -f coco_instances -- --save-media",
          lambda v: _has(v, "image", "annotations")),
    Known("COCO captions, stuff or panoptic", "give instances_*.json", lambda v: _has(v, "images", "annotations")),
)  # fmt: skip
XML_LAYOUTS = (
    Known("CVAT's XML", "in CVAT: Export task dataset, COCO 1.0 or Ultralytics YOLO Detection, with Save images",
          lambda v: isinstance(v, Element) and v.tag == "annotations"),
    Known("dlib's XML", _AS_COCO, lambda v: isinstance(v, Element) and v.tag == "dataset"),
)  # fmt: skip
_SUFFIXES = {
    ".tfrecord": ("TFRecord", _AS_COCO),
    ".record": ("TFRecord", _AS_COCO),
    ".csv": ("a table (CSV)", _AS_COCO),
    ".parquet": ("Parquet", _AS_COCO),
    ".ndjson": ("NDJSON", _AS_COCO),
    ".jsonl": ("JSON lines", _AS_COCO),
    ".mat": ("MATLAB", _AS_COCO),
    ".tar": ("a tar archive", "unpack it and name the folder"),
    ".gz": ("a packed archive", "unpack it and name the folder"),
    ".tgz": ("a tar archive", "unpack it and name the folder"),
    ".7z": ("a 7z archive", "unpack it and name the folder"),
    ".rar": ("a RAR archive", "unpack it and name the folder"),
}


TEXT_LAYOUTS = (
    ("KITTI", "datum convert -if kitti -f coco_instances -- --save-media", re.compile(r"[A-Za-z_]+( -?[\d.]+){14,15}")),
    ("MOT", "datum convert -if mot_seq_gt -f coco_instances -- --save-media", re.compile(r"\d+(, ?-?[\d.]+){5,9}")),
    ("DOTA", "from ultralytics.data.converter import convert_dota_to_yolo_obb",
     re.compile(r"(-?[\d.]+ ){8}[A-Za-z][\w-]* \d")),
    ("a list of labels, not a row of numbers a label", "export again as COCO or YOLO",
     re.compile(r"\S+\.(?:jpe?g|png)[ ,](-?[\d.]+[ ,]){4}", re.IGNORECASE)),
)  # fmt: skip
"""Name, way and what the first line of a text file looks like."""


def way_from(place: Path) -> str:
    """A sentence that names the layout of a file or a folder and the way to one that is read; nothing if unknown."""
    files = [place] if place.is_file() else list(islice(files_below(place), 100 * _MOST_FILES))
    looked = 0
    for path in sorted(files, key=lambda p: (len(p.parts), p.name)):
        suffix = path.suffix.lower()
        if suffix in (".json", ".xml") and looked < _MOST_FILES:
            looked += 1
            known = _known(path)
            if known is not None:
                return f"{path.name} is {known.name}, which is not read: {known.way}"
    for path in [p for p in files if p.suffix.lower() == ".txt"][:_MOST_FILES]:
        line = _first_line(path)
        for name, way, pattern in TEXT_LAYOUTS:
            if pattern.match(line):
                return f"{path.name} is {name}, which is not read: {way}"
    for path in files:
        if path.suffix.lower() in _SUFFIXES:
            name, way = _SUFFIXES[path.suffix.lower()]
            return f"{path.name} is {name}, which is not read: {way}"
    return ""


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return next((line for line in islice(file, 5) if line.strip() and ":" not in line), "")[:500]
    except OSError:
        return ""


def _known(path: Path) -> Known | None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        xml = path.suffix.lower() == ".xml"
        values = read_xml(path) if xml else read_json(path)
    except (UsageError, OSError):
        return None
    return next((k for k in (XML_LAYOUTS if xml else JSON_LAYOUTS) if k.fits(values)), None)
