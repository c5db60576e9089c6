"""The files below a dataset's folder, looked up without regard to case, and the words that mean a part of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgevision.capture.images import SUFFIXES

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "train2017": "train",
    "val2017": "val",
    "test2017": "test",
}
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
LABEL_FOLDERS = ("labels", "label")
_SKIPPED = ("__MACOSX", ".git", "@eaDir")


class FileTree:
    """Folders as they are asked for, each listed once."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def child(self, folder: Path, name: str) -> Path | None:
        """The entry of that name: as written, else the first that differs in case only."""
        names = self._names(folder).get(name.casefold())
        return None if not names else folder / (name if name in names else names[0])

    def below(self, folder: Path, relative: str) -> Path | None:
        """The entry of a relative path with forward slashes, which may hold no ``..``."""
        place: Path | None = folder
        for part in PurePosixPath(relative).parts:
            place = None if place is None or part in ("..", "/") else self.child(place, part)
        return place

    def _names(self, folder: Path) -> dict[str, list[str]]:
        listed = self._listed.get(folder)
        if listed is None:
            listed = self._listed[folder] = {}
            try:
                entries = sorted(os.listdir(folder))  # noqa: PTH208 - a million names, none of them needed as a Path
            except (OSError, ValueError):
                entries = []
            for name in entries:
                listed.setdefault(name.casefold(), []).append(name)
        return listed


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in order; links to folders are followed, each folder once."""
    seen: set[Path] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = Path(place).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if f not in _SKIPPED)
        yield from (Path(place) / name for name in sorted(files) if not name.startswith("._"))


def images_below(folder: Path) -> list[Path]:
    """Files below a folder that are called images."""
    return [p for p in files_below(folder) if p.suffix.lower() in SUFFIXES]


def split_in(parts: tuple[str, ...]) -> str:
    """The part of a dataset that folders' names say, the innermost first; nothing where none does."""
    return next((SPLIT_WORDS[p.casefold()] for p in reversed(parts) if p.casefold() in SPLIT_WORDS), "")


def data_root(folder: Path) -> Path:
    """The folder of the dataset of which ``folder`` is a part: that above ``images/val`` or ``valid/images``."""
    place = folder
    for _ in range(3):
        if place.name.casefold() not in (*SPLIT_WORDS, *IMAGE_FOLDERS) or place.parent == place:
            break
        place = place.parent
    return place


def without_image_folder(file: PurePosixPath) -> str:
    """``train/images/a.png`` and ``images/train/a.png`` are ``train/a.png``."""
    parts = list(file.parts)
    where = next((k for k, p in enumerate(parts[:-1]) if p.casefold() in IMAGE_FOLDERS), None)
    if where is not None:
        del parts[where]
    return "/".join(parts)
