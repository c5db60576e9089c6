"""What is known of one picture of a data folder, and its COCO form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision import __version__

STATUSES = ("new", "labelled", "failed", "review", "done")
"""``new``: not labelled yet. ``review``: labelled, with doubts a person should look at. ``done``: a person has."""
SPLITS = ("train", "val", "test")
_BOX_FIELDS = ("boxes", "faint", "rejected")


@dataclass(frozen=True, slots=True)
class Box:
    """One labelled object."""

    class_id: int
    corners: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the picture."""
    score: float = 1.0
    weight: float = 1.0
    """How much it teaches: 1 as a person's label does, 0 a region that teaches neither object nor background."""
    by: str = "person"
    """``person``, or the teachers that saw it."""


@dataclass(frozen=True, slots=True)
class PictureLabels:
    """One picture of a data folder."""

    file: str
    """Path under the folder's pictures, with forward slashes."""
    width_px: int = 0
    height_px: int = 0
    status: str = "new"
    boxes: tuple[Box, ...] = ()
    faint: tuple[Box, ...] = ()
    """What the teacher saw under the threshold of doubt: no label, but soft targets are made of it."""
    rejected: tuple[Box, ...] = ()
    """What the teacher saw and a person said is no object: it teaches nothing, and may be brought back."""
    teacher: str = ""
    doubts: tuple[str, ...] = ()
    """Why a person should look."""
    split: str = ""
    group: int = -1
    """Pictures that look alike share one; -1 where that was not asked."""
    error: str = ""

    def rows(self, least_score: float | None = None) -> NDArray[np.float32]:
        """Labels (M, 6) as training takes them: class, x1, y1, x2, y2 px, weight. ``least_score`` adds faint ones.

        With ``least_score`` a teacher's box weighs what it scored, from there on (soft targets).
        """
        boxes = self.boxes
        if least_score is not None:
            # Where a person has looked, what the teacher only suspected is background.
            faint = self.faint if self.status != "done" else ()
            soft = [replace(b, weight=b.score) for b in (*boxes, *faint) if b.by != "person"]
            boxes = (*(b for b in boxes if b.by == "person"), *(b for b in soft if b.score >= least_score))
        return np.array([[b.class_id, *b.corners, b.weight] for b in boxes], np.float32).reshape(-1, 6)


def coco_values(
    classes: tuple[str, ...], pictures: Iterable[PictureLabels], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """COCO's JSON; what COCO has no word for stands in keys that its readers skip."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, labels in enumerate(sorted(pictures, key=lambda p: p.file), 1):
        image: dict[str, Any] = {
            "id": number,
            "file_name": labels.file,
            "width": labels.width_px,
            "height": labels.height_px,
        }
        own = {"status": labels.status, "teacher": labels.teacher, "split": labels.split, "error": labels.error}
        image |= {k: v for k, v in own.items() if v}
        if labels.doubts:
            image["doubts"] = list(labels.doubts)
        if labels.group >= 0:
            image["group"] = labels.group
        for name in ("faint", "rejected"):
            if boxes_beside := getattr(labels, name):
                image[name] = [box_values(b) for b in boxes_beside]
        images.append(image)
        for box in labels.boxes:
            x1, y1, x2, y2 = box.corners
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": box.class_id + 1,
                    "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                    "area": round((x2 - x1) * (y2 - y1), 2),
                    "iscrowd": 0,
                    "score": round(box.score, 4),
                    "weight": round(box.weight, 4),
                    "by": box.by,
                }
            )
    return {
        "info": {"description": f"made by edgevision {__version__} distill", "settings": dict(settings)},
        "licenses": [],
        "categories": [{"id": k + 1, "name": n} for k, n in enumerate(classes)],
        "images": images,
        "annotations": annotations,
    }


def from_coco_values(values: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, PictureLabels]]:
    """Classes and pictures of COCO JSON, ours or another's. Raises KeyError, TypeError, ValueError."""
    categories = sorted(values["categories"], key=lambda c: c["id"])
    used = {a["category_id"] for a in values.get("annotations", ())}
    # Roboflow writes a category 0 that names the project and labels nothing.
    if len(categories) > 1 and categories[0]["id"] == 0 and 0 not in used and _is_parent(categories):
        categories = categories[1:]
    number = {c["id"]: k for k, c in enumerate(categories)}
    boxes: dict[Any, list[Box]] = {}
    for a in values.get("annotations", ()):
        if not a.get("bbox"):
            continue
        x, y, w, h = (float(v) for v in a["bbox"])
        weight = 0.0 if a.get("iscrowd") else float(a.get("weight", 1.0))
        box = Box(number[a["category_id"]], (x, y, x + w, y + h), float(a.get("score", 1.0)), weight)
        boxes.setdefault(a["image_id"], []).append(replace(box, by=a.get("by", "person")))
    pictures: dict[str, PictureLabels] = {}
    for image in values["images"]:
        file = str(image["file_name"]).replace("\\", "/")
        pictures[file] = PictureLabels(
            file=file,
            width_px=int(image.get("width") or 0),
            height_px=int(image.get("height") or 0),
            status=image.get("status", "done"),
            boxes=tuple(boxes.get(image["id"], ())),
            faint=tuple(box_from(v) for v in image.get("faint", ())),
            rejected=tuple(box_from(v) for v in image.get("rejected", ())),
            teacher=image.get("teacher", ""),
            doubts=tuple(image.get("doubts", ())),
            split=image.get("split", ""),
            group=image.get("group", -1),
            error=image.get("error", ""),
        )
    return tuple(str(c["name"]) for c in categories), pictures


def _is_parent(categories: list[Any]) -> bool:
    return all(c.get("supercategory") in (categories[0]["name"], "none", None) for c in categories[1:])


def box_values(box: Box) -> list[Any]:
    """[class, x1, y1, x2, y2, score, weight, by]"""
    return [box.class_id, *(round(v, 2) for v in box.corners), round(box.score, 4), round(box.weight, 4), box.by]


def box_from(values: list[Any]) -> Box:
    class_id, x1, y1, x2, y2, score, weight, by = values
    return Box(int(class_id), (x1, y1, x2, y2), score, weight, by)


def journal_values(labels: PictureLabels) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(labels, name) for name in PictureLabels.__slots__}
    return values | {name: [box_values(b) for b in getattr(labels, name)] for name in _BOX_FIELDS}


def from_journal_values(values: dict[str, Any]) -> PictureLabels:
    boxes = {name: tuple(box_from(v) for v in values.get(name, ())) for name in _BOX_FIELDS}
    return PictureLabels(**values | boxes | {"doubts": tuple(values["doubts"])})
