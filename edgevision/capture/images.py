"""Still images: one file, a folder of them, or a glob. One frame each, in the order of their names."""

from __future__ import annotations

import glob
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.image_header import ImageHeader, image_header
from edgevision.capture.image_integrity import why_damaged
from edgevision.errors import SourceBroken, SourceNotFound
from edgevision.interfaces import ContextManaged
from edgevision.regular_file import read_regular
from edgevision.types import Frame, SourceInfo

_log = logging.getLogger(__name__)

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pnm", ".avif"}
)
_OTHERS = frozenset(
    {".gif", ".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpf", ".psd", ".svg", ".ico", ".tga", ".pcx", ".exr"}
)
"""Images too, which in a folder are read where they can be, and named where they cannot."""
_RAW = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"})
_FIRST_NAMES = 3
MOST_BYTES = 1 << 30
"""Of one image file; 100 million pixels of 16 bits with transparency have 800 MB."""


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
        if (left_out := _left_out(place)) is not None:
            _log.warning("%s", left_out)
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
        found = [entry for entry in path.iterdir() if is_still(entry)]
        where = f"in the folder {place}"
    else:
        # Path.glob takes no absolute pattern.
        found = [Path(name) for name in glob.iglob(str(path), recursive=True) if is_still(Path(name))]  # noqa: PTH207
        where = f"at {place}"
    if not found:
        kinds = ", ".join(sorted(suffix.lstrip(".") for suffix in SUFFIXES))
        raise SourceNotFound(f"expected images ({kinds}) {where}, found none: check the path")
    return sorted(found, key=_natural)


def is_image(path: Path) -> bool:
    """Whether a path is that of a file that is called an image."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def is_still(path: Path) -> bool:
    """Whether a file is called an image of any kind, also of one that is not read here."""
    return path.suffix.lower() in SUFFIXES | _OTHERS | _RAW and path.is_file()


def _left_out(place: str | Path) -> str | None:
    """What is in a folder and is not called an image, in a sentence, or None."""
    path = Path(place).expanduser()
    if not path.is_dir():
        return None
    others = [e for e in path.iterdir() if e.is_file() and not is_still(e) and not e.name.startswith(".")]
    if not others:
        return None
    counted = Counter(e.suffix.lower() or "no ending" for e in others).most_common()
    words = ", ".join(f"{count} {suffix}" for suffix, count in counted[:_FIRST_NAMES])
    more = f" and {len(counted) - _FIRST_NAMES} other kinds" if len(counted) > _FIRST_NAMES else ""
    count = f"{len(others)} files that are" if len(others) > 1 else "1 file that is"
    return f"{place}: left out {count} called no image ({words}{more})"


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR of an image file, turned upright as its EXIF says, without alpha.

    Raises `SourceBroken` for what is no image, is of a kind or size that is not read, is cut off or damaged, or holds
    more images than one.
    """
    if path.suffix.lower() in _RAW:
        raise SourceBroken(f"{path} is a camera's raw image, which is not read here: convert it to JPEG or PNG")
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as exc:
        raise SourceBroken(f"expected a readable image, {path} cannot be read: {exc.strerror}") from exc
    return decode_image(data, str(path))


def decode_image(data: bytes, shown: str) -> NDArray[np.uint8]:
    """`read_image` of bytes in memory; ``shown`` names them in errors."""
    if not data:
        raise SourceBroken(f"{shown} is empty (0 bytes)")
    header = image_header(data)
    if header is None:
        raise SourceBroken(f"{shown} is no image, or is damaged ({len(data)} bytes): expected JPEG, PNG or the like")
    wrong = header.unread or header.too_large or why_damaged(data, header) or _more_than_one(header)
    if wrong:
        raise SourceBroken(f"{shown} {wrong}")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as exc:
        raise SourceBroken(f"{shown} cannot be decoded: {exc.err}") from exc
    if pixels is None:
        raise SourceBroken(
            f"{shown} is a {header.format} that cannot be decoded: damaged, or of a rare kind ({len(data)} bytes); "
            "save it anew as PNG or JPEG"
        )
    return np.asarray(_upright(np.asarray(pixels, np.uint8), header.orientation), np.uint8)


def _more_than_one(header: ImageHeader) -> str | None:
    if header.frames == 1:
        return None
    if header.format == "TIFF":
        return f"is a TIFF of {header.frames} pages, of which only one would be read: save each as a file of its own"
    if header.format == "GIF":
        return f"is an animation of {header.frames} images: give the file itself to have all of them"
    return (
        f"is an animation of {header.frames} images, and only still {header.format} is read: "
        "convert it to MP4 or GIF, or save its images one by one"
    )


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[Any]:
    """Turned by EXIF's number: 2, 4, 5 and 7 are mirrored too."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.ascontiguousarray(np.flip(pixels, flips)) if flips or orientation == 5 else pixels


def _natural(path: Path) -> tuple[list[tuple[bool, int, str]], str]:
    """Sort key: digits by their number, letters without regard to case; the plain name where that is equal."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts], str(path)
