"""A picture kept because a person asked for it."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import SinkError
from edgevision.types import Result


class SnapshotWriter:
    """Writes PNG files into ``folder``, which is made when the first is written. Never replaces a file."""

    def __init__(self, folder: Path | str = ".") -> None:
        self._folder = Path(folder)

    def write(self, picture: NDArray[np.uint8], result: Result) -> Path:
        """Save ``picture`` (H, W, 3) BGR, drawn from ``result``; returns the file. Raises `SinkError`."""
        source = re.sub(r"[^A-Za-z0-9]+", "-", Path(result.frame.source.name).stem).strip("-")[:40]
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        stem = "-".join(part for part in ("edgevision", source, stamp, f"frame{result.frame.index}") if part)
        # The lightest compression: the loop waits for this, and a disk has room for one picture.
        done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            raise SinkError(f"expected an image that PNG can store, got {picture.shape} {picture.dtype}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return _write_new(self._folder, stem, data.tobytes())
        except OSError as exc:
            raise SinkError(
                f"the snapshot could not be saved in {self._folder.resolve()}: {exc.strerror}; "
                "free some space there, or start in a folder you may write to"
            ) from exc


def _write_new(folder: Path, stem: str, data: bytes) -> Path:
    for number in range(1, 1000):
        path = folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
        try:
            with path.open("xb") as file:
                try:
                    file.write(data)
                    file.flush()
                except OSError:
                    path.unlink()  # Half a PNG is worth nothing and takes the room that is missing.
                    raise
            return path
        except FileExistsError:
            continue
    raise FileExistsError(17, "a thousand snapshots of this frame are there already", str(folder))
