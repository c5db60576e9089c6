"""Files that a user names, opened so that none can block or fill the memory: regular files of a bounded size only.

``/dev/zero`` never ends, and opening a named pipe waits until another program writes to it. All that is read whole is
read here.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

MOST_TEXT_BYTES = 64 << 20
"""Settings, labels, lists of classes and prompts; COCO's own annotations of 118 000 images have 450 MB."""
MOST_LABEL_BYTES = 2 << 30
_OTHERS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a disk device"),
)


class NotRegular(OSError):
    """A device, pipe, socket or folder where a file is wanted."""


class TooLarge(OSError):
    """A file larger than its purpose can need."""


def open_regular(path: Path | str, most_bytes: int | None = None) -> BinaryIO:
    """Open a regular file for reading, unbuffered, without ever waiting for one that is not.

    Raises OSError as open(2) does, `NotRegular`, and `TooLarge` above ``most_bytes``; ``strerror`` says which.
    """
    try:
        # First by its name: to open some devices is to use them.
        _require(Path(path).stat(), path, most_bytes)
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as exc:  # a zero byte in the name
        raise FileNotFoundError(errno.ENOENT, "no path can hold a zero byte", str(path)) from exc
    try:
        _require(os.fstat(fd), path, most_bytes)
        return os.fdopen(fd, "rb", buffering=0)
    except BaseException:
        os.close(fd)
        raise


def read_regular(path: Path | str, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """The bytes of a regular file, never more than ``most_bytes``, though it grows. Raises as `open_regular`."""
    with open_regular(path, most_bytes) as file:
        parts: list[bytes] = []
        left = most_bytes + 1
        while left > 0 and (part := file.read(min(left, 1 << 24))):
            parts.append(part)
            left -= len(part)
    if left <= 0:
        raise TooLarge(errno.EFBIG, f"larger than {_size(most_bytes)}", str(path))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_regular_text(
    path: Path | str, most_bytes: int = MOST_TEXT_BYTES, *, encoding: str = "utf-8", errors: str = "strict"
) -> str:
    """The text of a regular file, line ends as they are read in text mode. Raises UnicodeDecodeError too."""
    text = read_regular(path, most_bytes).decode(encoding, errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes) -> Any:
    """What JSON says. Raises ValueError, also for text that is nested too deeply to be meant."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply to be meant") from None


def parse_toml(text: str) -> dict[str, Any]:
    """What TOML says. Raises `tomllib.TOMLDecodeError`, also for text that is nested too deeply to be meant."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("it is nested too deeply to be meant") from None


def require_regular(path: Path | str, most_bytes: int | None = None) -> None:
    """Raises as `open_regular`, by a look at the file's kind and size alone."""
    _require(Path(path).stat(), path, most_bytes)


def _require(found: os.stat_result, path: Path | str, most_bytes: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((words for fits, words in _OTHERS if fits(found.st_mode)), "something else")
        code = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
        raise NotRegular(code, f"expected a regular file, it is {kind}", str(path))
    if most_bytes is not None and found.st_size > most_bytes:
        raise TooLarge(errno.EFBIG, f"expected at most {_size(most_bytes)}, it has {_size(found.st_size)}", str(path))


def _size(count: int) -> str:
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.4g} {unit}"
    return f"{count} bytes"
