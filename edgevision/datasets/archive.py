"""Zip archives of datasets, unpacked into a folder of ours: nothing outside it, no links, and not without end."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgevision.datasets.reading_report import ReadingReport
from edgevision.datasets.safe_names import safe_name
from edgevision.errors import UsageError

MOST_BYTES = 64 << 30
MOST_FILES = 2_000_000
MOST_RATIO = 200
"""Of unpacked to packed bytes of all files together: images hardly shrink, a bomb does."""
_FREE_BYTES = 64 << 20
_CHUNK = 1 << 20


@contextmanager
def unpacked(place: Path, report: ReadingReport, beside: Path | None = None) -> Iterator[Path]:
    """The folder of a dataset: ``place`` itself, or where a zip is unpacked, which is taken away at the end.

    ``beside`` is a folder on the disk to unpack to. Raises `UsageError` for an archive that is damaged, encrypted, or
    too large.
    """
    if not is_zip(place):
        yield place
        return
    where = next((p for p in (beside, *(beside.parents if beside else ())) if p is not None and p.is_dir()), None)
    with tempfile.TemporaryDirectory(prefix=".edgevision-zip-", dir=where) as scratch:
        folder = Path(scratch) / (place.stem or "dataset")
        folder.mkdir()
        _unpack(place, folder, report)
        report.unpacked = str(folder), str(place)
        try:
            yield folder
        except UsageError as exc:
            raise UsageError(report.shown(exc)) from exc


def is_zip(place: Path) -> bool:
    """Whether it is a file that is called a zip, or is one."""
    return place.is_file() and (place.suffix.lower() == ".zip" or zipfile.is_zipfile(place))


def _unpack(place: Path, folder: Path, report: ReadingReport) -> None:
    try:
        with zipfile.ZipFile(place) as archive:
            _check(archive, place, folder)
            left = MOST_BYTES
            for entry in archive.infolist():
                left -= _unpack_one(archive, entry, place, folder, report, left)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, ValueError, OSError) as exc:
        raise UsageError(f"{place}: expected a zip archive, it cannot be unpacked: {exc}") from exc
    except RuntimeError as exc:  # what zipfile raises for a password
        raise UsageError(f"{place}: the archive needs a password; unpack it and name the folder") from exc


def _check(archive: zipfile.ZipFile, place: Path, folder: Path) -> None:
    entries = archive.infolist()
    stated, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    if len(entries) > MOST_FILES or stated > MOST_BYTES:
        raise UsageError(
            f"{place}: expected at most {MOST_FILES} files and {MOST_BYTES >> 30} GiB, got {len(entries)} and "
            f"{stated / 2**30:.1f} GiB; unpack it and name the folder"
        )
    if stated > _FREE_BYTES and stated > MOST_RATIO * max(packed, 1):
        raise UsageError(f"{place}: {packed} bytes would unpack to {stated}: a damaged or hostile archive")
    free = shutil.disk_usage(folder).free
    if stated + _FREE_BYTES > free:
        raise UsageError(f"{place}: unpacks to {stated >> 20} MiB, and {free >> 20} MiB are free")


def _unpack_one(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path, folder: Path, report: ReadingReport, left: int
) -> int:
    """Bytes written. The stated size is not trusted."""
    if entry.is_dir() or "__MACOSX" in entry.filename:
        return 0
    name = _name(entry)
    if stat.S_ISLNK(entry.external_attr >> 16):
        report.add("name", place, f"{name[:80]!r} is a link, and is not unpacked")
        return 0
    try:
        inside, led_out = safe_name(name)
    except ValueError:
        report.add("name", place, f"{name[:80]!r} is no file name, and is not unpacked")
        return 0
    if led_out:
        report.add("name", place, f"{name[:80]!r} leads out of the archive, and is not unpacked")
        return 0
    target = folder / inside
    if target.exists():
        report.add("name", place, f"{name[:80]!r} is in the archive twice; the first is kept")
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(entry) as source, target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > min(left, entry.file_size):
                raise UsageError(f"{place}: {name[:80]} is larger than the archive says: damaged or hostile")
            file.write(chunk)
    return written


def _name(entry: zipfile.ZipInfo) -> str:
    """Windows writes names in its own code page, which zipfile reads as cp437: tried are UTF-8 and Chinese."""
    if entry.flag_bits & 0x800 or entry.filename.isascii():
        return entry.filename
    for encoding in ("utf-8", "gb18030"):
        try:
            return entry.filename.encode("cp437").decode(encoding)
        except UnicodeError:
            continue
    return entry.filename
