"""What a person says of labelled pictures: each word on disk before it is answered, none over a newer one.

`Review` knows no page and no key: it gives pictures in the order that a look is worth most, and takes what was made of
them. A picture's revision is a digest of all that is known of it, so that whoever saw something else, in a second tab
or before a restart, is told so in place of overwriting it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2

from edgevision.capture.images import MOST_BYTES, SUFFIXES, read_image
from edgevision.datasets.annotations import STATUSES, Box, PictureLabels, box_from, box_values, journal_values
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.review_queue import Thresholds, picture_order
from edgevision.errors import EdgeVisionError, SourceBroken, UsageError
from edgevision.regular_file import read_regular

_SHOWN_AS_IT_IS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_EXIF = (b"Exif\0\0", b"eXIf", b"EXIF")
"""How it begins in JPEG, PNG and WebP."""
_MOST_BYTES_AS_IT_IS = 12_000_000
_MOST_BOXES = 2000
LEAST_SIDE_PX = 1.0


class StaleRevision(EdgeVisionError):
    """Somebody else's word is newer."""


class Review:
    """A data folder under review. Not for several threads at once. Raises `UsageError` where there are no pictures."""

    def __init__(self, data: DataFolder) -> None:
        self._data = data
        root = data.pictures_folder
        found = (p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()) if root.is_dir() else ()
        # Pictures that no command has labelled yet may be labelled here.
        self._new = {p.relative_to(root).as_posix() for p in found} - data.pictures.keys()
        if not self._new and not data.pictures:
            raise UsageError(f"{data.folder}: expected images in images/, found none")
        self._thresholds = Thresholds.of_settings(data.settings)
        self._reviewed: set[str] = set()

    @property
    def reviewed_now(self) -> int:
        """Pictures that were said to be done since it was opened."""
        return len(self._reviewed)

    def counts(self) -> dict[str, int]:
        """Pictures by status."""
        counts = self._data.count()
        counts["new"] += len(self._new)
        return counts

    def left(self) -> int:
        """Pictures that no person has looked at yet; without those that cannot be read."""
        return sum(n for status, n in self.counts().items() if status not in ("done", "failed"))

    def queue(self) -> dict[str, Any]:
        """Classes, thresholds and all pictures in the order to look at them, as the page wants them."""
        everything = (*self._data.pictures.values(), *map(PictureLabels, self._new))
        ordered = picture_order(everything, self._data.classes, self._thresholds)
        return {
            "name": self._data.folder.resolve().name,
            "classes": list(self._data.classes),
            "sure": self._thresholds.sure,
            "sure_of": dict(self._thresholds.sure_of),
            "pictures": [[p.file, p.status] for p in ordered],
            "counts": self.counts(),
        }

    def state(self, file: str) -> dict[str, Any]:
        """All that is known of one picture, and its revision. Raises `UsageError` where there is no such picture."""
        labels = self._labels(file)
        error = labels.error
        if not error and not labels.width_px:
            try:
                labels = self._sized(labels)
            except SourceBroken as exc:
                error = str(exc)
        return {
            "file": labels.file,
            "width_px": labels.width_px,
            "height_px": labels.height_px,
            "status": labels.status,
            "boxes": [box_values(b) for b in labels.boxes],
            "faint": [box_values(b) for b in labels.faint],
            "rejected": [box_values(b) for b in labels.rejected],
            "doubts": list(labels.doubts),
            "teacher": labels.teacher,
            "split": labels.split,
            "error": error,
            "revision": _revision(self._labels(file)),
        }

    def put(self, file: str, revision: str, word: Mapping[str, Any]) -> dict[str, Any]:
        """Take what a person says of a picture; on disk when this returns. Gives the new state.

        ``word`` has ``status``, ``boxes``, ``faint`` and ``rejected``, boxes as `box_values` writes them. Raises
        `StaleRevision` where ``revision`` is not that of what is known now, `UsageError` for what cannot be meant,
        `SourceBroken` where the picture cannot be read, and `EdgeVisionError` where it cannot be written.
        """
        known = self._labels(file)
        if revision != _revision(known):
            raise StaleRevision(f"{file} was changed elsewhere since this page showed it")
        sized = known if known.width_px else self._sized(known)
        status = word.get("status")
        if status not in STATUSES or (status == "failed" != known.status):
            raise UsageError(f"status: expected one of new, labelled, review, done, got {status!r}")
        boxes, faint, rejected = (self._boxes(word, k, sized) for k in ("boxes", "faint", "rejected"))
        labels = replace(sized, status=status, boxes=boxes, faint=faint, rejected=rejected)
        if status == "done":
            labels = replace(labels, boxes=tuple(map(_confirmed, boxes)), error="")
        try:
            self._data.put(labels)
        except OSError as exc:
            raise EdgeVisionError(f"{self._data.folder}: cannot be written to: {exc.strerror or exc}") from exc
        self._new.discard(file)
        if status == "done":
            self._reviewed.add(file)
        else:
            self._reviewed.discard(file)
        return self.state(file)

    def picture(self, file: str) -> tuple[bytes, str]:
        """A picture as a browser shows it upright, and its media type. Raises `UsageError`, `SourceBroken`."""
        path = self._path(file)
        kind = _SHOWN_AS_IT_IS.get(path.suffix.lower())
        if kind is not None:
            try:
                data = read_regular(path, MOST_BYTES)
            except OSError as exc:
                raise SourceBroken(f"{file}: cannot be read: {exc.strerror or exc}") from exc
            # What EXIF turns, browsers and OpenCV do not all turn alike; labels are of what OpenCV sees.
            if len(data) < _MOST_BYTES_AS_IT_IS and not any(mark in data for mark in _EXIF):
                return data, kind
        done, encoded = cv2.imencode(".jpg", read_image(path), [cv2.IMWRITE_JPEG_QUALITY, 92])
        if not done:
            raise SourceBroken(f"{file}: cannot be shown")
        return encoded.tobytes(), "image/jpeg"

    def _labels(self, file: str) -> PictureLabels:
        known = self._data.pictures.get(file)
        if known is None:
            if file not in self._new:
                raise UsageError(f"there is no image {file[:200]!r} in this data folder")
            known = PictureLabels(file)
        return known

    def _path(self, file: str) -> Path:
        path = self._data.path(self._labels(file))
        # A labels.json of somebody else's may name any file of this machine.
        if Path(file).is_absolute() or Path(file).drive or ".." in Path(file).parts:
            raise UsageError(f"{file!r} lies outside this data folder")
        return path

    def _sized(self, labels: PictureLabels) -> PictureLabels:
        height, width = read_image(self._path(labels.file)).shape[:2]
        return replace(labels, width_px=width, height_px=height)

    def _boxes(self, word: Mapping[str, Any], key: str, labels: PictureLabels) -> tuple[Box, ...]:
        values = word.get(key)
        if not isinstance(values, list) or len(values) > _MOST_BOXES:
            raise UsageError(f"{key}: expected a list of at most {_MOST_BOXES} boxes")
        read = (_box(v, key, labels, len(self._data.classes)) for v in values)
        return tuple(b for b in read if b is not None)


def _box(values: Any, key: str, labels: PictureLabels, classes: int) -> Box | None:
    """A box as the page sent it, cut to its picture; None where nothing is left of it. Raises `UsageError`."""
    try:
        box = box_from(values)
        numbers = [float(v) for v in (*box.corners, box.score, box.weight)]
        if not (isinstance(values[0], int) and isinstance(box.by, str) and all(map(math.isfinite, numbers))):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{key}: expected [class, x1, y1, x2, y2, score, weight, by], got {values!r:.80}") from None
    if not 0 <= box.class_id < classes:
        raise UsageError(f"{key}: expected a class from 0 to {classes - 1}, got {box.class_id}")
    if not (0 <= box.score <= 1 and 0 <= box.weight <= 1):
        raise UsageError(f"{key}: expected a score and a weight from 0 to 1, got {box.score:g} and {box.weight:g}")
    x1, y1, x2, y2 = numbers[:4]
    wide, high = labels.width_px, labels.height_px
    x1, x2 = (round(min(max(v, 0.0), wide), 2) for v in (x1, x2))
    y1, y2 = (round(min(max(v, 0.0), high), 2) for v in (y1, y2))
    if x2 - x1 < LEAST_SIDE_PX or y2 - y1 < LEAST_SIDE_PX:
        return None
    return Box(box.class_id, (x1, y1, x2, y2), round(box.score, 4), round(box.weight, 4), box.by[:200])


def _confirmed(box: Box) -> Box:
    """A box of a picture that a person found right: an object without reserve, or a region that nobody can tell."""
    return replace(box, weight=1.0 if box.weight > 0 else 0.0, by="person")


def _revision(labels: PictureLabels) -> str:
    text = json.dumps(journal_values(labels), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
