"""A dataset written as YOLO text: ``images/SPLIT``, ``labels/SPLIT`` and ``data.yaml``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import yaml

from edgevision.datasets.annotations import SPLITS, LabelledData, PictureLabels
from edgevision.datasets.file_tree import SPLIT_WORDS
from edgevision.datasets.storage import link_or_copy, unused_name


def write_yolo(data: LabelledData, to: Path, copy: bool = True) -> dict[str, int]:
    """Write usable images and their labels; doubtful boxes are left out. Images by split.

    Two images that would get one name in a split get two; so do images whose names differ in the suffix only, which
    would share a label file.
    """
    counts: dict[str, int] = {}
    taken: dict[str, object] = {}
    for picture in data.usable:
        labels = picture.labels
        split = labels.split if labels.split in SPLITS else "train"
        file = unused_name(f"{split}/{within_part(labels.file)}", picture.path, taken)
        if copy:
            link_or_copy(picture.path, to / "images" / file)
        text = (to / "labels" / file).with_suffix(".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("".join(f"{line}\n" for line in _rows(labels)), encoding="utf-8")
        counts[split] = counts.get(split, 0) + 1
    values = {"path": str(to.resolve()), **{s: f"images/{s}" for s in SPLITS if s in counts}}
    values.setdefault("val", "images/train")
    named = {**values, "names": dict(enumerate(data.classes))}
    (to / "data.yaml").write_text(yaml.safe_dump(named, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return counts


def within_part(file: str) -> str:
    """An image's path in the folder of its part: ``train/a.png`` of another tool is ``a.png`` there."""
    path = PurePosixPath(file)
    return "/".join(path.parts[1:]) if len(path.parts) > 1 and path.parts[0] in SPLIT_WORDS else file


def _rows(labels: PictureLabels) -> list[str]:
    lines = []
    for box in labels.boxes:
        if box.weight > 0:
            (x1, y1, x2, y2), w, h = box.corners, labels.width_px, labels.height_px
            shares = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
            lines.append(f"{box.class_id} " + " ".join(f"{v:.6f}" for v in shares))
    return lines
