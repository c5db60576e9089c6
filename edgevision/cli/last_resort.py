"""What went wrong in one sentence: foreseen, from the system, or a fault of ours with the way to report it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from edgevision.errors import EdgeVisionError
from edgevision.printable import printable

_USAGE, _FAILED, _FAULT = 2, 1, 70
"""70: a fault inside the program, in BSD's sysexits.h."""
_LONGEST = 2000


def sentence_of(error: BaseException) -> tuple[str, int]:
    """What to show of an error that ended a command, on one line, and its exit code."""
    text, code = _words(error)
    text = printable(" ".join(text.split()))
    return (text if len(text) <= _LONGEST else text[:_LONGEST] + "…"), code


def _words(error: BaseException) -> tuple[str, int]:
    if isinstance(error, EdgeVisionError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.strerror:
        name = error.filename if isinstance(error.filename, str | os.PathLike) else ""
        shown = f"{_short(os.fspath(name))}: " if name else ""
        return f"{shown}{error.strerror}: check the name, the space and the rights there", _FAILED
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return "a name on the command line is not valid UTF-8: rename the file, or set the terminal to UTF-8", _USAGE
    if isinstance(error, ValueError) and "null" in str(error) and "byte" in str(error):
        return "a name on the command line holds a zero byte, which no file name can", _USAGE
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "a path begins with ~ and a name that is no user's here: write the whole path", _USAGE
    if isinstance(error, OverflowError):
        return "a number is too large to be meant: give a smaller one", _USAGE
    if isinstance(error, RecursionError):
        return "a file is nested too deeply to be meant: check what was given", _FAILED
    if isinstance(error, MemoryError):
        return "the memory of this machine is not enough for that: give less at once", _FAILED
    return _fault(error), _FAULT


def _short(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:60]}…{name[-20:]} ({len(os.fsencode(name))} bytes)"


def _fault(error: BaseException) -> str:
    kind = f"{type(error).__name__}: {error}"
    try:
        where = str(_kept(error))
    except OSError:
        return f"a fault of edgevision's own that was not foreseen ({kind}); please report it with the command line"
    return (
        f"a fault of edgevision's own that was not foreseen ({kind}); please report it with the file {where}, which "
        "holds the details"
    )


def _kept(error: BaseException) -> Path:
    """Write all that helps to find a fault into a file of its own."""
    from edgevision import __version__

    fd, name = tempfile.mkstemp(prefix=f"edgevision-fault-{time.strftime('%Y%m%d-%H%M%S')}-", suffix=".txt")
    with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"edgevision {__version__}, Python {sys.version}, {sys.platform}\n")
        file.write(f"{sys.argv!r}\n\n{''.join(traceback.format_exception(error))}")
    return Path(name)
