"""What a command writes: that it can be written, and that it is none of what the command reads.

Checked before anything is opened or measured: an hour of work must not end in "permission denied", and no input may be
emptied by the output that goes to the same file under another name, through a link, or through a redirected stdout.
"""

from __future__ import annotations

import contextlib
import glob
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgevision.errors import SinkError, UsageError

Place = str | os.PathLike[str]
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A file that is written, or the files that are written into a folder."""

    option: str
    path: Place
    """A file; a folder where there are ``files``; or ``-`` for standard output."""
    files: tuple[str, ...] | None = None
    """Names of what goes into the folder; empty where they are not known beforehand."""

    @property
    def targets(self) -> tuple[Place, ...]:
        """What is written over."""
        return (self.path,) if self.files is None else (self.path, *(Path(self.path) / name for name in self.files))

    def __str__(self) -> str:
        return f"{self.option} {self.path}"


def check_outputs(outputs: Iterable[Output | None], inputs: Mapping[str, Place | Iterable[Place] | None]) -> None:
    """Raises `SinkError` for an output that is an input or another output, or that cannot be written, and `UsageError`
    for a file where a folder is expected.

    ``inputs`` are what each option reads: files, folders, patterns; anything else (a camera, an address) is passed
    over. Files are the same where the system says so: by device and inode, so through hard and symbolic links too.
    """
    taken: dict[Key, str] = {}
    for option, places in inputs.items():
        for place in _each(places):
            for key in _keys_of_input(place):
                taken.setdefault(key, f"{option} {place}")
    written = [output for output in outputs if output is not None]
    for output in written:
        mine = {key: str(output) for target in output.targets for key in _keys(target)}
        other = next((taken[key] for key in mine if key in taken), None)
        if other is not None:
            what = "file" if output.files is None else "place"
            raise SinkError(f"{output} and {other} are the same {what}, and writing would destroy it: name another")
        taken |= mine
    for output in written:
        if output.files is None:
            check_file(output.option, output.path)
        else:
            check_folder(output.option, output.path)


def check_file(option: str, path: Place) -> None:
    """That a file can be written there; nothing is left of the attempt. Raises `SinkError`."""
    if str(path) == "-":
        return
    try:
        if stat.S_ISFIFO(Path(path).stat().st_mode):
            return  # opening one waits for its reader
    except OSError:
        pass
    made = not os.path.lexists(path)
    try:
        with Path(path).open("ab"):
            pass
        if made:
            Path(path).unlink()
    except (OSError, ValueError) as exc:
        raise SinkError(f"{option} {path}: cannot be written: {_reason(exc)}; name a file you may write to") from exc


def check_folder(option: str, path: Place) -> None:
    """That files can be written into a folder, which need not be there yet; nothing is left of the attempt.

    Raises `UsageError` where a file is there, `SinkError` where it cannot be written.
    """
    folder = Path(path)
    try:
        there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
        if not there.is_dir():
            raise UsageError(f"{option} {path}: expected a folder to write into, found a file: {there}")
        with contextlib.suppress(FileNotFoundError):
            folder.stat()  # of a name that is too long, not even that it is not there
    except (OSError, ValueError) as exc:
        raise SinkError(f"{option} {path}: cannot be made: {_reason(exc)}; name another folder") from exc
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix=".edgevision-"):
            pass
    except OSError as exc:
        raise SinkError(f"{option} {path}: cannot be written: {_reason(exc)}; name a folder you may write to") from exc


def _reason(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or exc)


def _each(places: Place | Iterable[Place] | None) -> Iterator[Place]:
    if places is None:
        return
    if isinstance(places, str | os.PathLike):
        yield places
    else:
        yield from places


def _keys_of_input(place: Place) -> Iterator[Key]:
    text = os.fspath(place).removeprefix("file://")
    names = glob.glob(text) if glob.has_magic(text) and not os.path.lexists(text) else [text]  # noqa: PTH207
    for name in names:
        path = os.path.expanduser(name) if name.startswith("~") else name  # noqa: PTH111 - Path's raises on ~nouser
        if os.path.lexists(path):  # else it is a name: a model's, a camera's
            yield from _keys(path)
        for folder, _, files in os.walk(path):
            for file in files:
                yield from _keys(os.path.join(folder, file))  # noqa: PTH118 - of a hundred thousand images


def _keys(place: Place) -> Iterator[Key]:
    """What two names of one file share; nothing for a device or a pipe, which is not emptied by writing to it."""
    text = os.fspath(place)
    try:
        found = os.fstat(sys.stdout.fileno()) if text == "-" else os.stat(text)  # noqa: PTH116
    except (OSError, ValueError, AttributeError):
        found = None
    if found is not None:
        if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
            yield found.st_dev, found.st_ino
    elif text != "-" and "://" not in text:
        try:
            path = Path(os.path.realpath(text))
            parent = path.parent.stat()
        except (OSError, ValueError):
            return
        yield parent.st_dev, parent.st_ino, path.name
