"""Labelled pictures as other tools write them, and back: YOLO text and COCO JSON.

Read are the layouts of Ultralytics, Roboflow, CVAT, Label Studio, FiftyOne and COCO itself; a layout is told by its
files, never by its name. Written are the two that all of those import.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.images import is_image, read_image
from edgevision.distill.labels import DataFolder, write_whole
from edgevision.distill.picture_labels import SPLITS, Box, PictureLabels, coco_values, from_coco_values
from edgevision.distill.yolo_names import names_in_yaml, splits_in_yaml
from edgevision.errors import SourceBroken, UsageError

_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_YAML = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
_NAMES = ("classes.txt", "obj.names", "names.txt")


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
    empty_labels: int = 0
    """Label files with nothing in them: the picture is taken to show none of the classes."""

    @property
    def name(self) -> str:
        """The place as a card may say it: without what only this machine's folders are called."""
        return short_name(self.place)

    def of_split(self, split: str) -> LabelledData:
        """Only that part."""
        return replace(self, pictures=tuple(p for p in self.pictures if p.labels.split == split))

    @property
    def splits(self) -> set[str]:
        return {p.labels.split for p in self.pictures}

    @property
    def usable(self) -> tuple[Picture, ...]:
        """Those with labels: neither failed nor still without."""
        return tuple(p for p in self.pictures if p.labels.status not in ("failed", "new"))


def people_labelled(pictures: Iterable[Picture]) -> bool:
    """Whether people drew or looked at all labels; else a figure of accuracy is in part agreement with a teacher."""
    return all(p.labels.status == "done" or all(b.by == "person" for b in p.labels.boxes) for p in pictures)


def short_name(place: str) -> str:
    """The last two names of a path: ``data/person``."""
    return "/".join(Path(place).parts[-2:]) if place.startswith(("/", ".", "~")) or ":" in place[:3] else place


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


def _coco_files(place: Path) -> list[tuple[Path, str]]:
    """JSON files with the split that their place or name says."""
    roboflow = [(p, _SPLIT_WORDS.get(p.parent.name, "")) for p in sorted(place.glob("*/_annotations.coco.json"))]
    if roboflow:
        return roboflow
    if (place / "_annotations.coco.json").exists():
        return [(place / "_annotations.coco.json", "")]
    found = sorted(place.glob("annotations/*.json")) or sorted(place.glob("result.json"))
    found = [p for p in found if not p.name.startswith(("captions", "person_keypoints", "image_info"))]
    return [(p, next((s for w, s in _SPLIT_WORDS.items() if w in p.stem), "")) for p in found]


def _coco(files: list[tuple[Path, str]], root: Path, layout: str) -> LabelledData:
    classes: tuple[str, ...] = ()
    pictures: list[Picture] = []
    for path, split in files:
        try:
            names, labels = from_coco_values(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as exc:
            raise UsageError(f"{path}: expected COCO JSON (categories, images, annotations): {exc!r}") from exc
        merged = (*classes, *(n for n in names if n not in classes))
        turn = [merged.index(n) for n in names]
        classes = merged
        roots = _picture_roots(path, root, split)
        for one in labels.values():
            boxes = tuple(replace(b, class_id=turn[b.class_id]) for b in one.boxes)
            found = _locate(one.file, roots)
            told = replace(one, file=one.file.removeprefix("images/"), boxes=boxes, split=one.split or split)
            if found is None:
                told = replace(told, status="failed", error="the picture is not there")
            pictures.append(Picture(found or roots[0] / one.file, told))
    return LabelledData(str(root), classes, tuple(pictures), layout)


def _picture_roots(path: Path, root: Path, split: str) -> list[Path]:
    words = [w for w, s in _SPLIT_WORDS.items() if s == split] if split else []
    stem = path.stem.removeprefix("instances_")
    inner = ["", "images", "data", "JPEGImages", stem, f"images/{stem}", *words, *(f"images/{w}" for w in words)]
    return [base / part for base in dict.fromkeys((path.parent, root)) for part in inner]


def _locate(file: str, roots: Iterable[Path]) -> Path | None:
    name = file.rsplit("/", 1)[-1]
    folders = list(roots)
    for wanted in dict.fromkeys((file, name)):
        for folder in folders:
            if (folder / wanted).is_file():
                return folder / wanted
    return None


def _yolo(root: Path, yaml: Path | None, classes: Sequence[str] | None) -> LabelledData:
    names = tuple(classes) if classes else ()
    if not names and yaml is not None:
        names = names_in_yaml(yaml)
    if not names:
        listed = next((root / n for n in _NAMES if (root / n).exists()), None)
        names = tuple(filter(None, map(str.strip, listed.read_text().splitlines()))) if listed else ()
    if not names:
        raise UsageError(
            f"{root}: expected class names in data.yaml, classes.txt or obj.names, found none; say --classes"
        )
    parts = splits_in_yaml(yaml, root) if yaml is not None else []
    pictures: list[Picture] = []
    empty = 0
    for folder, split in parts or [(root, "")]:
        for path in sorted(p for p in folder.rglob("*") if is_image(p)):
            text = label_file_of(path)
            told = split or next((_SPLIT_WORDS[p] for p in path.parts[::-1] if p in _SPLIT_WORDS), "")
            relative = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
            labels = PictureLabels(relative.replace("images/", "", 1), split=told)
            try:
                height, width = read_image(path).shape[:2]
            except SourceBroken as exc:
                pictures.append(Picture(path, replace(labels, status="failed", error=str(exc))))
                continue
            empty += text.exists() and not text.read_text().strip()
            try:
                boxes = boxes_of_rows(read_yolo(text, width, height), len(names), text)
            except UsageError as exc:
                pictures.append(Picture(path, replace(labels, status="failed", error=str(exc))))
                continue
            status = "done" if text.exists() else "new"
            pictures.append(
                Picture(path, replace(labels, width_px=width, height_px=height, boxes=boxes, status=status))
            )
    if not pictures:
        raise UsageError(f"{root}: expected pictures beside its labels, found none")
    return LabelledData(str(root), names, tuple(pictures), "YOLO", empty)


def label_file_of(picture: Path) -> Path:
    """Where YOLO's tools look for the labels of a picture: the last ``images`` of its path made ``labels``."""
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def read_yolo(path: Path, width_px: int, height_px: int) -> NDArray[np.float32]:
    """A YOLO text file as (M, 6): class, xyxy px, confidence (1 where none is written). No file: none.

    A row is class, centre x, y, width, height as shares of the picture, and at times a confidence; or class and the
    corners of a polygon, which becomes its bounding box. Raises `UsageError` for another row.
    """
    rows = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            values = [float(v) for v in line.split()]
        except ValueError:
            raise UsageError(f"{path}:{number}: expected numbers, found {line[:40]!r}") from None
        if not values:
            continue
        if len(values) in (5, 6):
            x, y, w, h = values[1:5]
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        elif len(values) >= 7 and len(values) % 2:
            xs, ys = values[1::2], values[2::2]
            corners = [min(xs), min(ys), max(xs), max(ys)]
        else:
            raise UsageError(f"{path}:{number}: expected class, x, y, width, height, found {len(values)} numbers")
        rows.append([values[0], *corners, values[5] if len(values) == 6 else 1.0])
    found = np.array(rows, np.float32).reshape(-1, 6)
    found[:, 1:5] *= np.array([width_px, height_px] * 2, np.float32)
    return found


def boxes_of_rows(rows: NDArray[np.float32], classes: int, where: Path) -> tuple[Box, ...]:
    """Rows of `read_yolo` as boxes. Raises `UsageError` for a class that has no name."""
    if len(rows) and not 0 <= rows[:, 0].min() <= rows[:, 0].max() < classes:
        raise UsageError(f"{where}: expected classes 0 to {classes - 1}, found {rows[:, 0].max():g}")
    return tuple(Box(int(r[0]), (r[1], r[2], r[3], r[4]), r[5]) for r in rows.tolist())


def write_yolo(data: LabelledData, to: Path, copy: bool = True) -> dict[str, int]:
    """Write ``images/SPLIT``, ``labels/SPLIT`` and ``data.yaml``; doubtful boxes are left out. Pictures by split."""
    counts: dict[str, int] = {}
    for picture in data.usable:
        labels = picture.labels
        split = labels.split if labels.split in SPLITS else "train"
        file = Path(_within(labels.file))
        target = to / "images" / split / file
        if copy:
            link_or_copy(picture.path, target)
        text = to / "labels" / split / file.with_suffix(".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for box in labels.boxes:
            if box.weight > 0:
                (x1, y1, x2, y2), w, h = box.corners, labels.width_px, labels.height_px
                shares = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
                lines.append(f"{box.class_id} " + " ".join(f"{v:.6f}" for v in shares))
        text.write_text("".join(f"{line}\n" for line in lines))
        counts[split] = counts.get(split, 0) + 1
    names = "".join(f"  {k}: {json.dumps(n)}\n" for k, n in enumerate(data.classes))
    parts = "".join(f"{split}: images/{split}\n" for split in SPLITS if split in counts)
    if "val" not in counts:
        parts += "val: images/train\n"
    (to / "data.yaml").write_text(f"path: {json.dumps(str(to.resolve()))}\n{parts}names:\n{names}")
    return counts


def write_coco(data: LabelledData, to: Path) -> dict[str, int]:
    """Write ``annotations/instances_SPLIT.json`` and ``images/SPLIT``; doubtful boxes are left out."""
    counts: dict[str, int] = {}
    for split in (*SPLITS, ""):
        part = [p for p in data.usable if (p.labels.split if p.labels.split in SPLITS else "") == split]
        if not part:
            continue
        name = split or "default"
        told = []
        for picture in part:
            file = _within(picture.labels.file)
            link_or_copy(picture.path, to / "images" / name / file)
            kept = tuple(b for b in picture.labels.boxes if b.weight > 0)
            told.append(replace(picture.labels, file=file, boxes=kept, faint=(), rejected=()))
        (to / "annotations").mkdir(parents=True, exist_ok=True)
        values = coco_values(data.classes, told, {})
        write_whole(to / "annotations" / f"instances_{name}.json", json.dumps(values, ensure_ascii=False))
        counts[name] = len(part)
    return counts


def _within(file: str) -> str:
    """A picture's path in the folder of its part: ``train/a.png`` of another tool is ``a.png`` there."""
    first, slash, rest = file.partition("/")
    return rest if slash and first in _SPLIT_WORDS else file


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the disk can, so that a million pictures cost no space; else a copy."""
    import os
    import shutil

    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        os.link(source, fresh)
    except OSError:
        shutil.copyfile(source, fresh)
    fresh.replace(target)
