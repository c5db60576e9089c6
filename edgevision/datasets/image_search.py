"""Finds the images that a file of labels names: where layouts have them, then by name anywhere below the dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from edgevision.datasets.file_tree import SPLIT_WORDS, FileTree, images_below, split_in
from edgevision.datasets.found_image import FoundImage
from edgevision.datasets.reading_report import ReadingReport

_FOLDERS = ("", "images", "data", "JPEGImages")


class ImageSearch:
    """Looks below one dataset's folder, and nowhere else."""

    def __init__(self, root: Path, report: ReadingReport) -> None:
        self._root, self._report, self._tree = root, report, FileTree()
        self._everywhere: dict[str, list[Path]] | None = None

    def find(self, name: str, labels: Path, split: str) -> Path | None:
        """The image ``name`` (a safe relative path) of the file ``labels``, or None."""
        names = dict.fromkeys((name, unquote(name), PurePosixPath(name).name))
        folders = self._folders(labels, split)
        for wanted in names:
            for base in dict.fromkeys((labels.parent, self._root)):
                for folder in folders:
                    path = self._tree.below(base, f"{folder}/{wanted}" if folder else wanted)
                    if path is not None and path.is_file():
                        return path
        return self._anywhere(name, labels, split)

    def report_shared(self, images: Sequence[FoundImage]) -> None:
        """Remark on images that two different names were found to be."""
        for path, names in self._shared(images).items():
            text = f"fits {len(names)} names ({', '.join(sorted(names))[:120]}): none of them is used"
            self._report.add("ambiguous name", path, text, path)

    def without_shared(self, images: Sequence[FoundImage]) -> list[FoundImage]:
        """The images, those that `report_shared` remarks on as missing; one that stands in two parts once."""
        shared = self._shared(images)
        kept: dict[tuple[Path, str], FoundImage] = {}
        for image in images:
            name = image.labels.file
            if image.path in shared:
                image = replace(image, path=self._root / name, missing=f"{self._root}: {name}")
            before = kept.setdefault((image.path, name), image)
            if before is not image:
                text = f"is in {before.labels.split or 'one file'} and in {image.labels.split or 'another'}"
                self._report.add("two parts", image.path, f"{text}; the labels of the first are kept", image.path)
        return list(kept.values())

    @staticmethod
    def _shared(images: Sequence[FoundImage]) -> dict[Path, set[str]]:
        names: dict[Path, set[str]] = defaultdict(set)
        for image in images:
            if not image.missing:
                names[image.path].add(image.labels.file)
        return {path: many for path, many in names.items() if len(many) > 1}

    @staticmethod
    def _folders(labels: Path, split: str) -> list[str]:
        words = [w for w, s in SPLIT_WORDS.items() if s == split] if split else []
        stem = labels.stem.removeprefix("instances_").removeprefix("person_keypoints_")
        inner = [*_FOLDERS, stem, f"images/{stem}", *words, *(f"images/{w}" for w in words)]
        return [*inner, *(f"{w}/images" for w in words)]

    def _anywhere(self, name: str, labels: Path, split: str) -> Path | None:
        if self._everywhere is None:
            self._everywhere = defaultdict(list)
            for path in images_below(self._root):
                self._everywhere[path.name.casefold()].append(path)
        found = self._everywhere.get(PurePosixPath(name).name.casefold(), [])
        if len(found) > 1:
            ends = [p for p in found if p.as_posix().casefold().endswith(f"/{name.casefold()}")]
            found = ends or found
        if len(found) > 1 and split:
            found = [p for p in found if split_in(p.relative_to(self._root).parts[:-1]) == split] or found
        if len(found) > 1:
            self._report.add("ambiguous name", labels, f"{name} fits {len(found)} images: none of them is used")
            return None
        return found[0] if found else None
