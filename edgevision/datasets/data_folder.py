"""What is known of each picture of a data folder, and the folder itself: COCO JSON that survives a kill.

``DATA/images`` holds the pictures and ``DATA/labels.json`` all that is said of them. While a command works, every
picture it has done is one line of ``DATA/labels.journal.jsonl``, on disk before the next is begun; the journal is
folded into the JSON when the folder is closed, or opened again. A kill at any moment loses the picture in work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from edgevision.datasets.annotations import STATUSES, PictureLabels, from_journal_values, journal_values
from edgevision.datasets.class_mapping import same_class
from edgevision.datasets.coco_format import coco_values, from_coco_values
from edgevision.datasets.storage import write_whole
from edgevision.errors import EdgeVisionError, UsageError
from edgevision.regular_file import MOST_LABEL_BYTES, parse_json, read_regular_text

_FOLD_AFTER = 4000
"""Journal lines after which it is folded in: replaying it must stay a matter of a second."""


def is_data_folder(folder: Path) -> bool:
    """Whether a folder is ours: others write a labels.json too, FiftyOne for one."""
    if (folder / "labels.journal.jsonl").exists():
        return True
    try:
        with (folder / "labels.json").open(encoding="utf-8", errors="replace") as file:
            return "made by edgevision" in file.read(4096)
    except OSError:
        return False


class DataFolder:
    """A data folder, open. Use as a context manager; one writer at a time."""

    def __init__(self, folder: Path, classes: Iterable[str] | None = None, *, write: bool = True) -> None:
        """Open, or with ``classes`` make, a data folder.

        Raises `UsageError` where there is none, where its classes are others, or while another process writes to it.
        """
        self.folder = folder
        self.pictures_folder = folder / "images"
        self._json, self._journal_path = folder / "labels.json", folder / "labels.journal.jsonl"
        self.pictures: dict[str, PictureLabels] = {}
        self.settings: dict[str, Any] = {}
        """How it was labelled: teachers, thresholds."""
        self._journal: IO[str] | None = None
        self._lock: IO[str] | None = None
        self._lines = 0
        wanted = tuple(classes) if classes is not None else None
        known = self._json.exists() or self._journal_path.exists()
        if not known and wanted is None:
            raise UsageError(
                f"{folder}: expected a data folder (images/ and labels.json), found no labels.json; make one with "
                "`edgevision distill label` or `edgevision distill import`"
            )
        if write:
            self.pictures_folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
        self.classes: tuple[str, ...] = wanted or ()
        if known:
            self._read()
            if wanted is not None and self.classes and wanted != self.classes:
                self.close_lock()
                raise UsageError(
                    f"{folder}: has classes {', '.join(self.classes)}, but {', '.join(wanted)} were asked for; name "
                    "another folder"
                )
            self.classes = self.classes or wanted or ()
        if write:
            self._journal = self._journal_path.open("a", encoding="utf-8")
            if self._journal.tell() or not self._json.exists():
                self.fold()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def path(self, labels: PictureLabels) -> Path:
        return self.pictures_folder / labels.file

    def put(self, labels: PictureLabels) -> None:
        """What is now known of one picture; on disk when this returns."""
        assert self._journal is not None, "opened for reading"
        self._journal.write(json.dumps(journal_values(labels), ensure_ascii=False) + "\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self.pictures[labels.file] = labels
        self._lines += 1
        if self._lines >= _FOLD_AFTER:
            self.fold()

    def add_classes(self, names: Sequence[str]) -> list[int]:
        """Number of each name among the folder's classes; those it does not have are added behind its own.

        They are on disk when this returns: labels are journalled by number.
        """
        before = self.classes
        numbers = []
        for name in names:
            number = same_class(name, self.classes)
            if number is None:
                number, self.classes = len(self.classes), (*self.classes, name)
            numbers.append(number)
        if self.classes != before:
            self.fold()
        return numbers

    def to_review(self) -> list[PictureLabels]:
        """Pictures with doubts, those with most of them first."""
        waiting = [p for p in self.pictures.values() if p.status == "review"]
        return sorted(waiting, key=lambda p: (-len(p.doubts), p.file))

    def count(self) -> dict[str, int]:
        """Pictures by status."""
        return {s: sum(p.status == s for p in self.pictures.values()) for s in STATUSES}

    def fold(self) -> None:
        """Write labels.json anew, whole, and begin an empty journal."""
        assert self._journal is not None
        values = coco_values(self.classes, self.pictures.values(), self.settings)
        write_whole(self._json, _a_line_each(values))
        # A kill between the two lines replays lines that are in already: no harm.
        self._journal.truncate(0)
        self._lines = 0

    def close(self) -> None:
        if self._journal is not None:
            self.fold()
            self._journal.close()
            self._journal_path.unlink(missing_ok=True)
            self._journal = None
        self.close_lock()

    def close_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _read(self) -> None:
        if self._json.exists():
            try:
                values = parse_json(read_regular_text(self._json, MOST_LABEL_BYTES))
                self.classes, self.pictures = from_coco_values(values)
            except (ValueError, KeyError, TypeError, OSError) as exc:
                raise EdgeVisionError(
                    f"{self._json}: expected COCO JSON, cannot be read: {exc}; restore it from a backup"
                ) from exc
            self.settings = values.get("info", {}).get("settings", {})
        if self._journal_path.exists():
            for line in read_regular_text(self._journal_path, MOST_LABEL_BYTES, errors="replace").splitlines():
                try:
                    labels = from_journal_values(parse_json(line))
                except (ValueError, KeyError, TypeError):
                    continue  # the line in work when the process was killed
                self.pictures[labels.file] = labels


def _a_line_each(values: Mapping[str, Any]) -> str:
    """JSON with one picture or object a line: quick to write for a million, and fit to be compared by lines."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    parts = []
    for key, value in values.items():
        many = isinstance(value, list) and value and isinstance(value[0], dict)
        parts.append(f"{encode(key)}: " + ("[\n" + ",\n".join(map(encode, value)) + "\n]" if many else encode(value)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _locked(folder: Path) -> IO[str]:
    """A file that only one process can hold; freed by the system however the process ends."""
    file = (folder / ".lock").open("w")
    try:
        import fcntl
    except ImportError:  # Windows: an open file cannot be replaced there, which guards the folder well enough
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise UsageError(f"{folder}: another edgevision command is writing to it; let it finish first") from exc
    return file
