"""Files written whole or not at all, under names that are free."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath


def unused_name(name: str, source: object, taken: dict[str, object]) -> str:
    """``name``, or one with a number where another ``source`` has it, without regard to its suffix and case.

    ``taken`` remembers names by source from call to call.
    """
    path = PurePosixPath(name)
    for number in range(1, len(taken) + 2):
        tried = name if number == 1 else str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
        if taken.setdefault(str(PurePosixPath(tried).with_suffix("")).casefold(), source) == source:
            return tried
    raise AssertionError("more names than sources")


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the disk can, so that a million pictures cost no space; else a copy. What is there stays."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        os.link(source, fresh)
    except OSError:
        shutil.copyfile(source, fresh)
    fresh.replace(target)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever reads it finds the old or the new text, never a part."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
