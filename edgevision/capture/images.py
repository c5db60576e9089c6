"""Still images: one file, a folder of them, or a glob. One frame each, in the order of their names."""

from __future__ import annotations

import glob
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import SourceBroken, SourceNotFound
from edgevision.interfaces import ContextManaged
from edgevision.types import Frame, SourceInfo

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pnm"})
_END_OF_JPEG, _SCAN_OF_JPEG = b"\xff\xd9", b"\xff\xda"


class ImageSource(ContextManaged):
    """An image, the images in a folder (not in folders below it), or those a glob names; never dropped.

    Order: natural order of names, ``img2`` before ``img10``. `Frame.source` names the file that each frame came from,
    and has its size. One that cannot be read leaves a gap in `Frame.index`, and `SourceBroken` is raised at the end.
    """

    trouble: str | None = None

    def __init__(
        self,
        place: str | Path,
        *,
        fps: float | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """``fps`` paces them like a slide show; ``wait`` (seconds) is how, and ends early on `close` unless given.

        Raises `SourceNotFound` where there is no image, `SourceBroken` where none of them can be read.
        """
        self._shown = str(place)
        self._files = find_images(place)
        self._clock = clock
        self._closing = threading.Event()
        self._wait = self._closing.wait if wait is None else wait
        self._period_ns = round(1e9 / fps) if fps else 0
        self._due_ns: int | None = None
        self._broken: list[str] = []
        self._index = 0
        self._next = self._load()
        if self._next is None:
            raise SourceBroken(f"{self._broken[0]}; give images that can be read")
        height_px, width_px = self._next[1].shape[:2]
        self._info = SourceInfo(self._shown, width_px, height_px, fps, live=False, frame_count=len(self._files))

    @property
    def info(self) -> SourceInfo:
        """Size of the first image; the others may have others."""
        return self._info

    def read(self) -> Frame | None:
        """The next image, or None after the last. Raises `SourceBroken`, once, where some could not be read."""
        if self._closing.is_set():
            return None
        loaded, self._next = self._next or self._load(), None
        if loaded is None:
            broken, self._broken = self._broken, []
            if broken:
                more = f" (and {len(broken) - 1} more images)" if len(broken) > 1 else ""
                raise SourceBroken(f"{broken[0]}{more}; the other {len(self._files) - len(broken)} were read")
            return None
        index, pixels = loaded
        now = self._clock()
        if self._period_ns:
            if self._due_ns is not None and self._due_ns > now:
                self._wait((self._due_ns - now) / 1e9)
                now = self._due_ns
            self._due_ns = now + self._period_ns
        if self._closing.is_set():
            return None
        height_px, width_px = pixels.shape[:2]
        own = replace(self._info, name=str(self._files[index]), width_px=width_px, height_px=height_px)
        return Frame(pixels, index, self._clock(), own)

    def close(self) -> None:
        self._closing.set()

    def _load(self) -> tuple[int, NDArray[np.uint8]] | None:
        """Number and pixels of the next image that can be read."""
        while self._index < len(self._files):
            index = self._index
            self._index += 1
            try:
                return index, read_image(self._files[index])
            except SourceBroken as exc:
                self._broken.append(str(exc))
        return None


def find_images(place: str | Path) -> list[Path]:
    """The image files that a path or glob names, in natural order. Raises `SourceNotFound` where there are none."""
    path = Path(place).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [entry for entry in path.iterdir() if is_image(entry)]
        where = f"in the folder {place}"
    else:
        # Path.glob takes no absolute pattern.
        found = [Path(name) for name in glob.iglob(str(path), recursive=True) if is_image(Path(name))]  # noqa: PTH207
        where = f"at {place}"
    if not found:
        kinds = ", ".join(sorted(suffix.lstrip(".") for suffix in SUFFIXES))
        raise SourceNotFound(f"expected images ({kinds}) {where}, found none: check the path")
    return sorted(found, key=_natural)


def is_image(path: Path) -> bool:
    """Whether a path is that of a file that is called an image."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR of an image file, turned upright as its EXIF says, without alpha.

    Raises `SourceBroken` for what is no image, and for a JPEG that is cut off, which OpenCV would fill up with grey.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise SourceBroken(f"expected a readable image, {path} cannot be read: {exc.strerror}") from exc
    if not data:
        raise SourceBroken(f"expected an image, {path} is empty (0 bytes)")
    if data.startswith(b"\xff\xd8") and data.rfind(_END_OF_JPEG) < data.rfind(_SCAN_OF_JPEG):
        raise SourceBroken(f"{path} is a JPEG that is cut off after {len(data)} bytes")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as exc:
        raise SourceBroken(f"expected an image, {path} cannot be decoded: {exc.err}") from exc
    if pixels is None:
        raise SourceBroken(f"expected an image, {path} is none, or is damaged ({len(data)} bytes)")
    return np.asarray(pixels, np.uint8)


def _natural(path: Path) -> tuple[list[tuple[bool, int, str]], str]:
    """Sort key: digits by their number, letters without regard to case; the plain name where that is equal."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts], str(path)
