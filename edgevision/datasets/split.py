"""``distill split``: which pictures of a data folder train and which validate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgevision.capture.images import read_image
from edgevision.datasets.annotations import Picture, PictureLabels
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.dataset import pictures_under
from edgevision.datasets.near_duplicates import picture_hash, split_alike
from edgevision.errors import SourceBroken, UsageError
from edgevision.types import ProgressCallback


@dataclass(frozen=True, slots=True)
class SplitReport:
    counts: dict[str, int]
    groups: int
    broken: int
    note: str


def split_folder(
    folder: Path,
    classes: Sequence[str] | None = None,
    val_share: float = 0.15,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> SplitReport:
    """Divide a data folder into train and val, near-duplicates together. With ``classes`` it may be a folder that
    nobody has labelled yet. A part that a picture has already (from an import, say) is not changed.

    Raises `UsageError` where there are too few pictures.
    """
    if not 0 < val_share < 1:
        raise UsageError(f"--val: expected a share between 0 and 1, got {val_share}")
    with DataFolder(folder, classes) as data:
        known = {p.relative_to(data.pictures_folder).as_posix() for p in pictures_under(folder)[1]} | set(data.pictures)
        files = sorted(known)
        hashes, readable, broken = [], [], 0
        for number, file in enumerate(files, 1):
            try:
                hashes.append(picture_hash(read_image(data.pictures_folder / file)))
                readable.append(file)
            except SourceBroken:
                broken += 1
            if progress is not None:
                progress(number, len(files), file)
        if len(readable) < 2:
            raise UsageError(f"{folder}: expected at least 2 readable images, found {len(readable)}")
        split = split_alike(hashes, val_share, seed)
        settled = _settled(data.pictures)
        for file, group, part in zip(readable, split.groups.tolist(), split.parts, strict=True):
            labels = data.pictures.get(file, PictureLabels(file))
            if file not in settled and (labels.split, labels.group) != (part, group):
                data.pictures[file] = replace(labels, split=part, group=group)
        counts = Counter(p.split for p in data.pictures.values() if p.split)
    return SplitReport(dict(counts), len(set(split.groups.tolist())), broken, split.note)


def _settled(pictures: dict[str, PictureLabels]) -> set[str]:
    """Pictures whose part came with them: those are in no group of ours."""
    return {p.file for p in pictures.values() if p.split and p.group < 0}


def split_in_memory(pictures: Sequence[Picture], val_share: float = 0.15) -> tuple[list[Picture], str]:
    """The same for pictures of another tool's folder, which is not written to."""
    readable, hashes = [], []
    for picture in pictures:
        try:
            hashes.append(picture_hash(read_image(picture.path)))
            readable.append(picture)
        except SourceBroken:
            continue
    split = split_alike(hashes, val_share)
    divided = [Picture(p.path, replace(p.labels, split=part)) for p, part in zip(readable, split.parts, strict=True)]
    return divided, split.note
