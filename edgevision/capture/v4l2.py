"""What the Linux kernel says of its video devices, asked without starting any of them.

Video4Linux2 ioctls by number, since this is too little for a dependency: linux/videodev2.h and
https://docs.kernel.org/userspace-api/media/v4l/v4l2.html. Standard library only.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

QUERYCAP = 0x80685600
ENUM_FMT = 0xC0405602
ENUM_FRAMESIZES = 0xC02C564A
ENUM_FRAMEINTERVALS = 0xC034564B

CAPTURE = 0x00000001
CAPTURE_MPLANE = 0x00001000
MEMORY_TO_MEMORY = 0x00008000 | 0x00004000
STREAMING = 0x04000000
MEDIA_CONTROLLER = 0x20000000
DEVICE_CAPS = 0x80000000

LIBCAMERA_DRIVERS = {"unicam", "rp1-cfe", "bcm2835-isp", "pispbe", "bcm2835-codec", "rpi-hevc-dec", "rpivid"}
"""Drivers of a Raspberry Pi's camera interface, image processor and codecs: their nodes give raw sensor data or
nothing by themselves."""

RAW_FORMATS = ("YUYV", "UYVY", "NV12", "YU12", "BGR3", "RGB3", "GREY")
"""Uncompressed formats that OpenCV converts, those of real webcams first."""


@dataclass(frozen=True, slots=True)
class Node:
    """One /dev/video* and what its driver says of it."""

    path: str
    driver: str
    card: str
    """The device's name, as people know it."""
    capabilities: int

    @property
    def by_libcamera(self) -> bool:
        """True where the node is one stage of a pipeline that only libcamera knows how to drive."""
        return self.driver in LIBCAMERA_DRIVERS or bool(self.capabilities & MEDIA_CONTROLLER)

    @property
    def captures(self) -> bool:
        """True for a camera that can be read as it is: no metadata node, output, codec or pipeline stage."""
        wanted = self.capabilities & (CAPTURE | CAPTURE_MPLANE) and self.capabilities & STREAMING
        return bool(wanted) and not self.capabilities & MEMORY_TO_MEMORY and not self.by_libcamera


@dataclass(frozen=True, slots=True)
class Offer:
    """A picture size that a camera offers in one format, and its highest frame rate there."""

    fourcc: str
    width_px: int
    height_px: int
    fps: float


def inspect(path: str) -> Node:
    """What the driver of one device node says of it. Raises OSError as open(2) and ioctl(2) do."""
    with _opened(path) as device:
        answer = _ioctl(device, QUERYCAP, bytes(104))
    driver, card, _bus, _version, all_caps, device_caps = struct.unpack("16s32s32sIII12x", answer)
    # DEVICE_CAPS says that the second word is of this node; the first is of the whole device, metadata nodes included.
    return Node(path, _text(driver), _text(card), device_caps if all_caps & DEVICE_CAPS else all_caps)


def nodes() -> list[Node]:
    """Every video device node that answers, in the order of its number. Opens them; starts none."""
    found = []
    for path in paths():
        try:
            found.append(inspect(path))
        except OSError:
            continue  # unplugged meanwhile, or not ours to open: whoever asks for it by name is told why
    return found


def paths() -> list[str]:
    """/dev/video0, /dev/video1, …, those that exist."""
    numbers = [int(m[1]) for entry in Path("/dev").glob("video*") if (m := re.fullmatch(r"video(\d+)", entry.name))]
    return [f"/dev/video{number}" for number in sorted(numbers)]


def offers(path: str, width_px: int | None, height_px: int | None) -> list[Offer]:
    """What the camera offers at the size nearest to the one asked for; empty where its driver does not say.

    Of sizes equally near (only one side asked), the smallest. Raises OSError where the device does not answer.
    """
    with _opened(path) as device:
        formats = [_fourcc(code) for code in _formats(device)]
        sizes = {fourcc: list(_sizes(device, fourcc, width_px, height_px)) for fourcc in formats}
        known = {wh for listed in sizes.values() for wh in listed}
        if not known:
            return []
        nearest = min(known, key=lambda wh: (_distance(wh, width_px, height_px), wh[0] * wh[1]))
        return [
            Offer(fourcc, *nearest, fps)
            for fourcc, listed in sizes.items()
            if nearest in listed and (fps := _fastest(device, fourcc, nearest)) is not None
        ]


def choose(offered: list[Offer], wanted_fps: float) -> Offer | None:
    """The format to ask for: raw where it is fast enough, since it costs no decoding; else MJPG where that is faster.

    A USB 2 webcam typically gives 1280×720 at 10 fps raw and at 30 as MJPG. None where there is nothing to choose.
    """
    raw = [offer for offer in offered if offer.fourcc in RAW_FORMATS]
    raw.sort(key=lambda offer: (-min(offer.fps, wanted_fps), RAW_FORMATS.index(offer.fourcc)))
    packed = [offer for offer in offered if offer.fourcc == "MJPG"]
    if raw and (raw[0].fps >= 0.95 * wanted_fps or not packed or packed[0].fps <= raw[0].fps):
        return raw[0]
    return packed[0] if packed else None


def holders(path: str) -> list[str]:
    """Other processes that have the device open, as ``name (pid)``: those whose files we may look at."""
    try:
        wanted = Path(path).stat().st_rdev
    except OSError:
        return []
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            if any(_is_device(entry, wanted) for entry in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} (process {process.name})")
        except OSError:
            continue  # it ended, or is another user's
    return found


def raspberry_pi() -> str | None:
    """The board's name on a Raspberry Pi, else None."""
    try:
        model = Path("/proc/device-tree/model").read_text().rstrip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return None
    return model if model.startswith("Raspberry Pi") else None


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A device's file descriptor, for as long as a question takes."""
    device = os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        yield device
    finally:
        os.close(device)


def _ioctl(device: int, request: int, argument: bytes) -> bytes:
    if sys.platform == "win32":
        raise OSError("Video4Linux needs Linux")
    import fcntl

    return fcntl.ioctl(device, request, argument)


def _enumerate(device: int, request: int, layout: str, *rest: int) -> Iterator[tuple[int, ...]]:
    """Answers 0, 1, 2, … of an enumerating ioctl, until there is no more. Bounded: some drivers never say so."""
    size = struct.calcsize(layout)
    for index in range(256):
        question = struct.pack(f"={1 + len(rest)}I", index, *rest)
        try:
            answer = _ioctl(device, request, question.ljust(size, b"\0"))
        except OSError:
            return
        yield struct.unpack(layout, answer)


def _formats(device: int) -> list[int]:
    codes = []
    for kind in (1, 9):  # single-planar and multi-planar capture
        codes += [answer[0] for answer in _enumerate(device, ENUM_FMT, "=44xI16x", kind)]
    return list(dict.fromkeys(codes))


def _sizes(device: int, fourcc: str, width_px: int | None, height_px: int | None) -> Iterator[tuple[int, int]]:
    code = int.from_bytes(fourcc.encode("latin-1"), "little")
    for answer in _enumerate(device, ENUM_FRAMESIZES, "=3I6I8x", code):
        kind, limits = answer[2], answer[3:]
        if kind == 1:  # discrete
            yield limits[0], limits[1]
        else:  # any size between limits, in steps
            low_w, high_w, step_w, low_h, high_h, step_h = limits
            asked_w = width_px or (height_px or 480) * 4 // 3
            asked_h = height_px or asked_w * 3 // 4
            yield _stepped(asked_w, low_w, high_w, step_w), _stepped(asked_h, low_h, high_h, step_h)
            return


def _fastest(device: int, fourcc: str, size_wh: tuple[int, int]) -> float | None:
    code = int.from_bytes(fourcc.encode("latin-1"), "little")
    rates = [
        answer[6]
        / answer[5]  # an interval's denominator over its numerator; a stepwise answer gives its shortest first
        for answer in _enumerate(device, ENUM_FRAMEINTERVALS, "=5I6I8x", code, *size_wh)
        if answer[5]
    ]
    return max(rates, default=None)


def _stepped(asked: int, low: int, high: int, step: int) -> int:
    return min(max(low, low + (asked - low) // max(step, 1) * max(step, 1)), high)


def _distance(size_wh: tuple[int, int], width_px: int | None, height_px: int | None) -> int:
    return abs(size_wh[0] - (width_px or size_wh[0])) + abs(size_wh[1] - (height_px or size_wh[1]))


def _fourcc(code: int) -> str:
    return (code & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1")


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="replace")


def _is_device(entry: Path, wanted: int) -> bool:
    try:
        return entry.stat().st_rdev == wanted
    except OSError:
        return False
