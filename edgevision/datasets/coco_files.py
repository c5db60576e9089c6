"""Which JSON files of a folder are COCO's detections, and which are something else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevision.datasets.file_tree import SPLIT_WORDS
from edgevision.datasets.reading_report import ReadingReport
from edgevision.datasets.text_encoding import read_text
from edgevision.errors import UsageError
from edgevision.regular_file import parse_json

_PLACES = ("*.json", "annotations/*.json", "Annotations/*.json", "*/_annotations.coco.json", "*/*.json")
_OTHER_TASKS = ("stuff", "captions", "panoptic", "image_info")
"""Beginnings of COCO's own file names for what are no boxes of objects."""
MOST_FILES = 200


@dataclass(frozen=True, slots=True)
class CocoFile:
    """A COCO JSON file, parsed."""

    path: Path
    split: str
    """The part that its folder or its name says."""
    values: dict[str, Any]


def read_json(path: Path, report: ReadingReport | None = None) -> Any:
    """A JSON file in any encoding. Raises `UsageError` with the line of the fault."""
    text = read_text(path, report)
    try:
        return parse_json(text)
    except json.JSONDecodeError as exc:
        raise UsageError(f"{path}:{exc.lineno}: expected JSON: {exc.msg}; export the file again") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path}: expected JSON: {str(exc)[:120]}") from exc


def is_coco(values: Any) -> bool:
    """Whether JSON has COCO's lists. Those of detections have categories too."""
    return (
        isinstance(values, dict)
        and isinstance(values.get("images"), list)
        and isinstance(values.get("categories"), list)
    )


def find_coco(folder: Path, report: ReadingReport) -> list[CocoFile]:
    """The folder's files of detections: ``instances_*`` first, key points where they are alone; others are remarked on.

    Raises `UsageError` where a file that is called as COCO's are is damaged.
    """
    found: list[CocoFile] = []
    for path in _candidates(folder):
        if path.name.startswith(_OTHER_TASKS):
            report.add("other files", path, "holds no boxes of objects, and is not read")
            continue
        try:
            values = read_json(path, report)
        except UsageError:
            if path.name.startswith(("instances", "_annotations.coco", "person_keypoints")) or path.name in (
                "result.json",
                "labels.json",
            ):
                raise
            report.add("other files", path, "is no JSON, and is not read")
            continue
        if not is_coco(values):
            continue
        if _is_panoptic(values) or _is_captions(values):
            report.add("other files", path, "holds no boxes of objects, and is not read")
            continue
        found.append(CocoFile(path, split_of(path, folder), values))
    chosen = _preferred(found)
    for left in found:
        if left not in chosen:
            report.add("other files", left.path, f"is not read, since {chosen[0].path.name} is there")
    return chosen


def split_of(path: Path, root: Path) -> str:
    """``annotations/instances_val2017.json`` and ``valid/_annotations.coco.json`` are of the part val."""
    words = path.stem.lower().replace("-", "_").replace(".", "_").split("_")
    named = next((SPLIT_WORDS[w] for w in words if w in SPLIT_WORDS), "")
    if named:
        return named
    inner = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    return next((SPLIT_WORDS[p.lower()] for p in reversed(inner) if p.lower() in SPLIT_WORDS), "")


def _candidates(folder: Path) -> list[Path]:
    found: dict[Path, None] = {}
    for pattern in _PLACES:
        found |= dict.fromkeys(sorted(p for p in folder.glob(pattern) if p.is_file()))
    return [p for p in list(found) if not p.name.startswith("._")][:MOST_FILES]


def _preferred(found: list[CocoFile]) -> list[CocoFile]:
    instances = [f for f in found if f.path.name.startswith("instances")]
    roboflow = [f for f in found if f.path.name == "_annotations.coco.json"]
    plain = [f for f in found if not f.path.name.startswith("person_keypoints")]
    return instances or roboflow or plain or found


def _first(values: dict[str, Any]) -> dict[str, Any]:
    annotations = values.get("annotations")
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    return first if isinstance(first, dict) else {}


def _is_panoptic(values: dict[str, Any]) -> bool:
    return "segments_info" in _first(values)


def _is_captions(values: dict[str, Any]) -> bool:
    return "caption" in _first(values) and "bbox" not in _first(values)
