"""COCO JSON written: a data folder's own form, with all that we keep of an image, and a dataset for other tools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgevision import __version__
from edgevision.datasets.annotations import SPLITS, Box, LabelledData, PictureLabels, box_from, box_values
from edgevision.datasets.storage import link_or_copy, unused_name, write_whole
from edgevision.datasets.yolo_writer import within_part


def write_coco(data: LabelledData, to: Path) -> dict[str, int]:
    """Write ``annotations/instances_SPLIT.json`` and ``images/SPLIT``; doubtful boxes are left out."""
    counts: dict[str, int] = {}
    for split in (*SPLITS, ""):
        part = [p for p in data.usable if (p.labels.split if p.labels.split in SPLITS else "") == split]
        if not part:
            continue
        name = split or "default"
        told = []
        taken: dict[str, object] = {}
        for picture in part:
            file = unused_name(within_part(picture.labels.file), picture.path, taken)
            link_or_copy(picture.path, to / "images" / name / file)
            kept = tuple(b for b in picture.labels.boxes if b.weight > 0)
            told.append(replace(picture.labels, file=file, boxes=kept, faint=(), rejected=()))
        (to / "annotations").mkdir(parents=True, exist_ok=True)
        values = coco_values(data.classes, told, {})
        write_whole(to / "annotations" / f"instances_{name}.json", json.dumps(values, ensure_ascii=False))
        counts[name] = len(part)
    return counts


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
    if has_parent_category(categories) and 0 not in used:
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


def has_parent_category(categories: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the first category, of id 0, is Roboflow's name of the project, under which the others are."""
    if len(categories) < 2 or categories[0]["id"] not in (0, "0"):
        return False
    return all(c.get("supercategory") in (categories[0]["name"], "none", None) for c in categories[1:])
