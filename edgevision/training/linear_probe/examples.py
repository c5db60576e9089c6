"""The handful of examples: whole pictures in a folder a kind, or cut-outs of labelled boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.images import SUFFIXES, read_image
from edgevision.datasets.dataset import read_data
from edgevision.detectors.cascade import cut_out
from edgevision.errors import SourceError, UsageError

LEAST = 2
"""Examples of a kind: one to learn from and one to check with."""


@dataclass(slots=True)
class Examples:
    """Pictures and their kinds, read."""

    kinds: tuple[str, ...]
    pictures: list[NDArray[np.uint8]]
    """(H, W, 3) uint8 BGR, any size."""
    kind_ids: list[int]
    groups: list[str]
    """The file each came from: cut-outs of one picture are alike, and never both learnt from and checked with."""
    left_out: list[str]
    """Files that could not be read, with why."""

    def counts(self) -> dict[str, int]:
        return {name: self.kind_ids.count(k) for k, name in enumerate(self.kinds)}


def read_examples(place: Path) -> Examples:
    """Examples of ``place``: ``place/KIND/*.jpg`` and the like, or a data folder of ours, YOLO's or COCO's.

    Raises `UsageError` where there are fewer than two kinds, or fewer than two examples of one.
    """
    if not place.is_dir() and not place.is_file():
        raise UsageError(f"{place}: expected a folder with a folder of images per class, found nothing")
    folders = _kind_folders(place)
    examples = Examples((), [], [], [], [])
    if folders:
        examples.kinds = tuple(f.name for f in folders)
        for kind, folder in enumerate(folders):
            for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
                _add(examples, path, [(kind, None)])
    else:
        data = read_data(place)
        examples.kinds = data.classes
        examples.left_out += [p.labels.error for p in data.pictures if p.labels.status == "failed"]
        for picture in data.pictures:
            wanted = [(b.class_id, np.array(b.corners, np.float32)) for b in picture.labels.boxes if b.weight > 0]
            if wanted:
                _add(examples, picture.path, wanted)
    counts = examples.counts()
    thin = [f"{name} ({n})" for name, n in counts.items() if n < LEAST]
    if len(counts) < 2 or thin:
        told = f"too few of {', '.join(thin)}" if thin else f"{len(counts)} kind"
        raise UsageError(f"{place}: expected two classes and {LEAST} examples of each at least, found {told}")
    return examples


def _kind_folders(place: Path) -> list[Path]:
    if not place.is_dir() or (place / "images").is_dir() or (place / "labels").is_dir():
        return []
    found = [f for f in sorted(place.iterdir()) if f.is_dir() and any(_pictures(f))]
    return found if not any(place.glob("*.json")) and not any(place.glob("*.yaml")) else []


def _pictures(folder: Path) -> Iterator[Path]:
    return (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def _add(examples: Examples, path: Path, wanted: Sequence[tuple[int, NDArray[np.float32] | None]]) -> None:
    try:
        pixels = read_image(path)
    except SourceError as exc:
        examples.left_out.append(str(exc))
        return
    for kind, box in wanted:
        examples.pictures.append(pixels if box is None else cut_out(pixels, box))
        examples.kind_ids.append(kind)
        examples.groups.append(str(path))
