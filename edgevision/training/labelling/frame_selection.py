"""``distill collect``: frames worth labelling, from any source: sharp, unlike those kept, and where models doubt.

A frame is *sharp* where the variance of its Laplacian is over the middle of the frames before it: a measure of the
clip itself, since an absolute one depends on camera and lens. It is *new* where its hash differs from every kept one,
or some part of the picture does: a person who walks through a room changes a few blocks of it and hardly the hash. It
is *doubtful* where the running model's scores lie about its threshold, or two models disagree.

Every frame that is kept is on disk, with its reasons, before the next is read; a second run goes on after the last.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.images import read_image
from edgevision.datasets.near_duplicates import distance, picture_hash
from edgevision.errors import SourceBroken, UsageError
from edgevision.evaluation.plots import write_picture
from edgevision.interfaces import Detector, Source
from edgevision.training.labelling.uncertainty import doubts_in

Progress = Callable[[int, int, str], None]
_SHARP_WINDOW = 300
_NEW_BITS = 10
_NEW_BLOCK = 14.0
"""Grey levels by which some block of the picture must differ from the same block of the nearest kept frame."""
_OTHER_SCENE = 255.0
_LOOKS_A_FRAME = 6
"""Frames looked at for each that is to be kept: half are not sharp, most of the rest alike."""


@dataclass(frozen=True, slots=True)
class CollectSettings:
    most: int | None = None
    """Frames to keep at most; a more doubtful or newer one then takes the place of the least."""
    every: int | None = None
    """Look at one frame in so many; by default all, and of a clip that is longer than needed an even spread."""
    sharp_share: float = 0.5
    """Of the frames before it, the share that a frame must be sharper than."""
    only_doubtful: bool = False
    suffix: str = ".jpg"


@dataclass(frozen=True, slots=True)
class SelectedFrame:
    """A frame on disk, and why."""

    file: str
    frame: int
    source: str
    sharpness: float
    hash: int
    change: float
    """Grey levels by which its most changed block differs from the nearest kept frame's; 255 for another scene."""
    doubt: float
    """Sum over boxes of how near they lie to the threshold, and of disagreements."""
    reasons: tuple[str, ...]


@dataclass(slots=True)
class CollectReport:
    seen: int = 0
    skipped: int = 0
    """Seen by an earlier run."""
    blurred: int = 0
    alike: int = 0
    certain: int = 0
    """Left out because no model doubted."""
    kept: list[SelectedFrame] = field(default_factory=list)
    lesser: int = 0
    """Left out because better ones fill the number already."""
    replaced: int = 0
    note: str = ""

    def rows(self) -> list[tuple[str, int]]:
        rows = [
            ("frames seen before", self.skipped),
            ("frames looked at", self.seen),
            ("not sharp enough", self.blurred),
            ("like one that is kept", self.alike),
            ("without doubts", self.certain),
            ("less worth than those kept", self.lesser),
            ("replaced by better ones", self.replaced),
            ("kept in all", len(self.kept)),
            ("of those uncertain", sum(k.doubt > 0 for k in self.kept)),
        ]
        return [(name, count) for name, count in rows if count or name in ("frames looked at", "kept in all")]


class Collector:
    """What is kept in one folder, and the judgement of the next frame."""

    def __init__(
        self, folder: Path, settings: CollectSettings, model: Detector | None = None, other: Detector | None = None
    ) -> None:
        """``model`` is the running model; ``other`` one that it is set against. Both give scores under threshold."""
        self.folder, self.settings, self.model, self.other = folder / "images", settings, model, other
        self._journal_path = folder / "collected.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.report = CollectReport()
        self._sharp: deque[float] = deque(maxlen=_SHARP_WINDOW)
        self._thumbs: dict[str, NDArray[np.float32]] = {}
        self._kept: dict[str, SelectedFrame] = {}
        self.last: dict[str, int] = {}
        """The last frame of each source that was judged."""
        self._read()
        self._journal = self._journal_path.open("a", encoding="utf-8")

    def close(self) -> None:
        self.report.kept = list(self._kept.values())
        self._journal.close()

    @property
    def count(self) -> int:
        """Frames that are kept now."""
        return len(self._kept)

    def take(self, pixels: NDArray[np.uint8], frame: int, source: str) -> SelectedFrame | None:
        """Judge one frame, and keep it where it is worth labelling."""
        self.report.seen += 1
        sharpness = round(sharpness_of(pixels), 3)
        before = sorted(self._sharp)
        self._sharp.append(sharpness)
        kept: SelectedFrame | None = None
        if before and sharpness < before[int(len(before) * self.settings.sharp_share * 0.999)]:
            self.report.blurred += 1
        else:
            kept = self._judge(pixels, frame, source, sharpness)
        seen = {"seen": frame, "source": source, "sharpness": sharpness}
        self._note(seen, sync=kept is not None or frame % 50 == 0)
        self.last[source] = frame
        return kept

    def _judge(self, pixels: NDArray[np.uint8], frame: int, source: str, sharpness: float) -> SelectedFrame | None:
        own, thumb = picture_hash(pixels), thumbnail(pixels)
        change = self._change(own, thumb)
        if change == 0:
            self.report.alike += 1
            return None
        doubt, reasons = doubts_in(pixels, self.model, self.other)
        if doubt == 0 and self.settings.only_doubtful:
            self.report.certain += 1
            return None
        most = self.settings.most
        if most is not None and len(self._kept) >= most:
            least = min(self._kept.values(), key=lambda k: (k.doubt, k.change, -k.frame))
            if (doubt, change) <= (least.doubt, least.change):
                self.report.lesser += 1
                return None
            self._drop(least)
        name = f"{_safe(source)}-{frame:06d}{self.settings.suffix}"
        words = ("sharp", "new: another scene" if change >= _OTHER_SCENE else f"new: a part changed by {change:.0f}")
        told = (*words, *reasons)
        kept = SelectedFrame(name, frame, source, sharpness, own, round(change, 1), round(doubt, 3), told)
        write_picture(self.folder / name, pixels)
        self._kept[name], self._thumbs[name] = kept, thumb
        self._note({"kept": asdict(kept)}, sync=True)
        return kept

    def _change(self, own: int, thumb: NDArray[np.float32]) -> float:
        """How far the picture is from the nearest kept one, in grey levels of its most changed block; 0 where alike."""
        if not self._kept:
            return _OTHER_SCENE
        names = list(self._kept)
        hashes = np.array([self._kept[n].hash for n in names], np.uint64)
        if int(distance(hashes, np.uint64(own)).min()) > _NEW_BITS:  # type: ignore[arg-type]
            return _OTHER_SCENE
        blocks = np.abs(np.stack([self._thumbs[n] for n in names]) - thumb).max(axis=(1, 2))
        least = float(blocks.min())
        return least if least >= _NEW_BLOCK else 0.0

    def _drop(self, kept: SelectedFrame) -> None:
        self._note({"dropped": kept.file}, sync=True)
        (self.folder / kept.file).unlink(missing_ok=True)
        del self._kept[kept.file], self._thumbs[kept.file]
        self.report.replaced += 1

    def _note(self, values: dict[str, object], sync: bool) -> None:
        self._journal.write(json.dumps(values, ensure_ascii=False) + "\n")
        if sync:
            self._journal.flush()
            os.fsync(self._journal.fileno())

    def _read(self) -> None:
        """What an earlier run left."""
        if not self._journal_path.exists():
            return
        for line in self._journal_path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                values = json.loads(line)
                if "kept" in values:
                    kept = SelectedFrame(**values["kept"] | {"reasons": tuple(values["kept"]["reasons"])})
                    self._kept[kept.file] = kept
                elif "dropped" in values:
                    self._kept.pop(values["dropped"], None)
                else:
                    self.last[values["source"]] = int(values["seen"])
                    self._sharp.append(float(values["sharpness"]))
            except (ValueError, TypeError, KeyError):
                continue  # the line in work when the process was killed
        for name in list(self._kept):
            try:
                picture = read_image(self.folder / name)
            except SourceBroken:
                del self._kept[name]
                continue
            self._thumbs[name] = thumbnail(picture)


def collect(source: Source, name: str, collector: Collector, progress: Progress | None = None) -> CollectReport:
    """Judge a source's frames from the first that was not judged yet, until it ends or enough are kept (live).

    A file that is damaged gives what can be read, and `CollectReport.note` says so.
    """
    report, settings = collector.report, collector.settings
    live = source.info.live
    start = -1 if live else collector.last.get(name, -1)
    total = source.info.frame_count or 0
    spread = total // (settings.most * _LOOKS_A_FRAME) if settings.most and not live else 1
    every = settings.every or max(1, spread)
    try:
        while True:
            frame = source.read()
            if frame is None:
                break
            if frame.index <= start:
                report.skipped += 1
                continue
            if frame.index % every:
                continue
            collector.take(frame.pixels, frame.index, name)
            if progress is not None:
                progress(frame.index + 1, total, f"{collector.count} kept")
            if live and settings.most is not None and collector.count >= settings.most:
                break
    except SourceBroken as exc:
        report.note = str(exc)
    finally:
        collector.close()
    return report


def sharpness_of(pixels: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the grey picture at 320 px width, so that sizes compare."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    scale = 320 / grey.shape[1]
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(12, 16) mean grey levels of a picture's blocks, its mean brightness taken out."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (16, 12), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(small - small.mean(), np.float32)


def _safe(source: str) -> str:
    stem = Path(source.split("?", 1)[0].rstrip("/")).stem or "source"
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in stem)[:60]


def check_settings(settings: CollectSettings) -> None:
    """Raises `UsageError`."""
    if (settings.every is not None and settings.every < 1) or (settings.most is not None and settings.most < 1):
        raise UsageError(f"--every and --most: expected at least 1, got {settings.every} and {settings.most}")
    if not 0 <= settings.sharp_share < 1:
        raise UsageError(f"--sharp: expected a share from 0 to under 1, got {settings.sharp_share}")
