"""Files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the disk can, so that a million pictures cost no space; else a copy."""
    import os
    import shutil

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
