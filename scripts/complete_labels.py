"""A data folder in which people labelled some images completely: what the teacher adds there, and what is held out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from edgevision.capture.images import read_image
from edgevision.datasets.annotations import PictureLabels
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.near_duplicates import picture_hash, split_alike

HELD_OUT = 0.06


def settle(folder: Path, complete: Collection[str]) -> dict[str, int]:
    """Mark the images of ``complete`` as labelled by people, and hold out groups of near-duplicates.

    Where people labelled every object, a box that only the teacher has is neither object nor background: an object that
    the labels call difficult, a crowd, or an error. Of a group that is held out, completely labelled images validate
    and the others are in no part. Returns how many images each part has.
    """
    counts = {"train": 0, "val": 0, "test": 0}
    with DataFolder(folder) as data:
        files = sorted(f for f, p in data.pictures.items() if p.status != "failed")
        split = split_alike([picture_hash(read_image(data.pictures_folder / f)) for f in files], HELD_OUT, seed=15)
        for file, group, part in zip(files, split.groups.tolist(), split.parts, strict=True):
            labels = data.pictures[file]
            if file in complete:
                labels = labelled_completely(labels)
            elif part == "val":
                part = "test"
            counts[part] += 1
            data.put(replace(labels, split=part, group=group))
    return counts


def labelled_completely(labels: PictureLabels) -> PictureLabels:
    """The same with the teacher's own boxes as regions that teach nothing."""
    boxes = tuple(b if b.by == "person" else replace(b, weight=0.0, by="person") for b in labels.boxes)
    return replace(labels, status="done", boxes=boxes, faint=(), doubts=())
