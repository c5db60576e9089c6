"""YOLO text labels and their data.yaml: read from the layouts that tools write, and written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.images import is_image, read_image
from edgevision.datasets.annotations import _SPLIT_WORDS, SPLITS, Box, LabelledData, Picture, PictureLabels, _within
from edgevision.datasets.storage import link_or_copy
from edgevision.datasets.yolo_names import names_in_yaml, splits_in_yaml
from edgevision.errors import SourceBroken, UsageError

_YAML = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
_NAMES = ("classes.txt", "obj.names", "names.txt")


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
