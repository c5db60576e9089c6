"""``distill import`` and ``distill write``: labels from other tools, and to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgevision.datasets.coco import write_coco
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.dataset import read_data
from edgevision.datasets.storage import link_or_copy
from edgevision.datasets.yolo import write_yolo
from edgevision.errors import UsageError
from edgevision.types import ProgressCallback


def import_data(
    place: Path, out: Path, classes: Sequence[str] | None = None, progress: ProgressCallback | None = None
) -> dict[str, int]:
    """Take another tool's pictures and labels into a data folder, pictures linked; pictures by status.

    What people drew is ``done``. A picture that is in the folder already is taken anew. Raises `UsageError`.
    """
    data = read_data(place, classes)
    taken: dict[str, str] = {}
    with DataFolder(out, data.classes) as folder:
        for number, picture in enumerate(data.pictures, 1):
            file = picture.labels.file
            # Parts of one set may use a name twice: `train/1.jpg` and `valid/1.jpg`.
            if taken.setdefault(file, str(picture.path)) != str(picture.path):
                file = f"{picture.labels.split or 'more'}/{file}"
                taken[file] = str(picture.path)
            if picture.labels.status != "failed":
                link_or_copy(picture.path, folder.pictures_folder / file)
            folder.put(replace(picture.labels, file=file))
            if progress is not None:
                progress(number, len(data.pictures), file)
        return folder.count()


def export_data(place: Path, out: Path, layout: str) -> dict[str, int]:
    """Write a data folder as ``yolo`` or ``coco``; pictures by part. Raises `UsageError`."""
    if layout not in ("yolo", "coco"):
        raise UsageError(f"--format: expected yolo or coco, got {layout!r}")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty; name a new folder")
    data = read_data(place)
    if not data.usable:
        raise UsageError(f"{place}: expected labelled pictures, found none")
    return write_yolo(data, out) if layout == "yolo" else write_coco(data, out)
