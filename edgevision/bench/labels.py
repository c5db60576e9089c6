"""Reading labelled images: YOLO's folders and COCO's JSON.

YOLO: images, and for each a text file of the same name with ``class cx cy w h`` lines in shares of the picture, in the
same folder or with ``images`` in the path replaced by ``labels``. Names of classes come from ``data.yaml`` (or any
other .yaml with ``names``) or ``classes.txt``, in the folder or up to two above it. COCO: a .json with ``images``,
``annotations`` and ``categories``, beside the images or in ``annotations/``.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgevision.capture.images import SUFFIXES
from edgevision.datasets.annotations import Annotations
from edgevision.errors import UsageError

Pairs = list[tuple[Path, Annotations]]


def read_labels(folder: Path) -> tuple[tuple[str, ...], Pairs]:
    """(class names, [(image, its boxes in pixels)]), sorted by name. Raises `UsageError`."""
    folder = folder.expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: expected a folder of labelled images, found {'a file' if folder.exists() else 'nothing'}"
        )
    for file in sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")]):
        values = _json(file)
        if isinstance(values, dict) and {"images", "annotations", "categories"} <= values.keys():
            return _coco(values, file, folder)
    return _yolo(folder)


def _yolo(folder: Path) -> tuple[tuple[str, ...], Pairs]:
    root = folder / "images" if (folder / "images").is_dir() else folder
    pictures = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    pairs: Pairs = []
    most = -1
    for path in pictures:
        label = _label_file(path)
        if label is None:
            continue
        rows = _rows(label)
        size = _size_wh(path)
        centres, sides = rows[:, 1:3] * size, rows[:, 3:5] * size
        boxes = np.concatenate([centres - sides / 2, centres + sides / 2], 1).astype(np.float32)
        ids = rows[:, 0].astype(np.int64)
        most = max(most, int(ids.max(initial=-1)))
        pairs.append((path, Annotations(boxes, ids)))
    if not pairs:
        raise UsageError(
            f"{folder}: expected YOLO's text files or a COCO .json, found {len(pictures)} images and no labels"
        )
    names = _names(folder)
    if names is None:
        raise UsageError(
            f"{folder}: the labels' classes have no names; put a data.yaml with names, or a classes.txt, there"
        )
    if most >= len(names):
        raise UsageError(f"{folder}: labels go up to class {most}, but only {len(names)} names are given")
    return names, pairs


def _label_file(picture: Path) -> Path | None:
    """An image without a label file is not labelled; one with an empty file holds nothing."""
    beside = picture.with_suffix(".txt")
    if beside.is_file():
        return beside
    parts = list(picture.parts)
    for k in range(len(parts) - 2, -1, -1):
        if parts[k] == "images":
            other = Path(*parts[:k], "labels", *parts[k + 1 :]).with_suffix(".txt")
            return other if other.is_file() else None
    return None


def _rows(path: Path) -> Any:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(w) for w in words]
        except ValueError:
            values = []
        if len(values) >= 7 and len(values) % 2 == 1:
            # A polygon, as for segmentation: its extent is its box.
            x, y = values[1::2], values[2::2]
            values = [values[0], (min(x) + max(x)) / 2, (min(y) + max(y)) / 2, max(x) - min(x), max(y) - min(y)]
        if len(values) != 5 or values[0] < 0 or values[0] != int(values[0]):
            raise UsageError(f"{path}, line {number}: expected class, cx, cy, w, h, got {line.strip()[:60]!r}")
        rows.append(values)
    return np.array(rows, np.float64).reshape(-1, 5)


def _size_wh(path: Path) -> tuple[int, int]:
    # No way to the size alone that reads every format: reduced decoding is the cheapest that turns as EXIF says.
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UsageError(f"{path}: cannot be read as an image; take it out of the set")
    return pixels.shape[1], pixels.shape[0]


def _names(folder: Path) -> tuple[str, ...] | None:
    for place in (folder, folder.parent, folder.parent.parent):
        for file in [place / "data.yaml", place / "data.yml", *sorted(place.glob("*.yaml"))]:
            if file.is_file() and (names := _yaml_names(file.read_text(encoding="utf-8", errors="replace"))):
                return names
        plain = place / "classes.txt"
        if plain.is_file():
            return tuple(line.strip() for line in plain.read_text(encoding="utf-8").splitlines() if line.strip())
    return None


def _yaml_names(text: str) -> tuple[str, ...] | None:
    """``names`` of a data.yaml: a list or a numbered table, on one line or on several."""
    found = re.search(r"^names:[ \t]*(.*)$", text, re.MULTILINE)
    if found is None:
        return None
    rest = text[found.start(1) :]
    if found[1].strip().startswith(("[", "{")):
        closing = "]" if found[1].strip()[0] == "[" else "}"
        inner = rest.strip()[1 : rest.strip().index(closing)]
        entries = [e.strip() for e in inner.replace("\n", " ").split(",") if e.strip()]
    else:
        entries = []
        for line in rest.splitlines()[1:]:
            if not re.match(r"\s*(-|\d+\s*:|['\"]?\d)", line):
                if line.strip() and not line.strip().startswith("#"):
                    break
                continue
            entries.append(re.sub(r"^\s*-\s*", "", line).strip())
    return tuple(_unquoted(re.sub(r"^\d+\s*:\s*", "", e)) for e in entries) or None


def _unquoted(text: str) -> str:
    text = text.split(" #")[0].strip()
    if text[:1] in "'\"" and text[-1:] == text[:1]:
        try:
            return str(ast.literal_eval(text))
        except (SyntaxError, ValueError):
            return text[1:-1]
    return text


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise UsageError(f"{file}: expected COCO's JSON, but it cannot be read: {exc}") from exc


def _coco(values: dict[str, Any], file: Path, folder: Path) -> tuple[tuple[str, ...], Pairs]:
    try:
        categories = {int(c["id"]): str(c["name"]) for c in values["categories"]}
        order = {number: k for k, number in enumerate(categories)}
        by_image: dict[int, list[tuple[int, list[float]]]] = {int(i["id"]): [] for i in values["images"]}
        for a in values["annotations"]:
            if not a.get("iscrowd"):
                by_image[int(a["image_id"])].append((order[int(a["category_id"])], [float(v) for v in a["bbox"]]))
        named = [(int(i["id"]), str(i["file_name"])) for i in values["images"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise UsageError(f"{file}: expected COCO's JSON, but {exc!r} is missing or wrong in it") from exc
    pairs: Pairs = []
    for number, name in sorted(named, key=lambda one: one[1]):
        places = [base / name for base in (file.parent, folder, folder / "images", file.parent.parent / "images")]
        path = next((p for p in places if p.is_file()), None)
        if path is None:
            raise UsageError(f"{file}: names the image {name}, which is in none of {folder} and {folder / 'images'}")
        boxes = np.array([box for _, box in by_image[number]], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        ids = np.array([k for k, _ in by_image[number]], np.int64)
        pairs.append((path, Annotations(boxes, ids)))
    if not pairs:
        raise UsageError(f"{file}: expected images in it, found none")
    return tuple(categories.values()), pairs
