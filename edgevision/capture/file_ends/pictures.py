"""Films that are a row of still images: GIF, APNG, raw JPEG and Y4M."""

from __future__ import annotations

from typing import BinaryIO

from edgevision.capture.file_ends.ending import Ending, cut_off, damaged, proved, unknown
from edgevision.capture.image_header import ImageHeader
from edgevision.capture.image_integrity import gif_end, why_damaged

_MOST_BYTES = 1 << 30
_TAIL_BYTES = 1 << 16
_END_OF_JPEG = b"\xff\xd9"


def end_of_gif(file: BinaryIO, have: int) -> Ending:
    if have > _MOST_BYTES:
        return unknown("it is too large to be looked through")
    said = gif_end(file.read(have))
    return proved() if said is None else damaged(said)


def end_of_apng(file: BinaryIO, have: int) -> Ending:
    if have > _MOST_BYTES:
        return unknown("it is too large to be looked through")
    said = why_damaged(file.read(have), ImageHeader("PNG"))
    return proved() if said is None else damaged(said.removeprefix("is a PNG that "))


def end_of_mjpeg(file: BinaryIO, have: int) -> Ending:
    file.seek(max(0, have - _TAIL_BYTES))
    if _END_OF_JPEG not in file.read().rstrip(b"\0")[-64:]:
        return cut_off(f"it ends at byte {have} in the middle of an image")
    return unknown("a row of JPEG images does not say how many there are")


def end_of_y4m(file: BinaryIO, have: int) -> Ending:
    """A header line, then for each frame a line and its pixels, of a size that the header gives."""
    head = file.read(1024).split(b"\n", 1)[0]
    at = len(head) + 1
    size = _frame_bytes(head)
    while size is not None and at < have:
        file.seek(at)
        line = file.read(256).split(b"\n", 1)[0]
        if not b"FRAME".startswith(line[:5]):
            return damaged(f"at byte {at} no frame begins")
        at += len(line) + 1 + size
        if at > have:
            return cut_off(f"a frame should end at byte {at}, the file ends at {have}")
    return unknown("Y4M does not say how many frames there are")


def _frame_bytes(head: bytes) -> int | None:
    """None where the layout of the colours is an unusual one."""
    words = {word[:1]: word[1:].decode("latin-1") for word in head.split(b" ")[1:]}
    try:
        width, height = int(words[b"W"]), int(words[b"H"])
    except (KeyError, ValueError):
        return None
    colours = words.get(b"C", "420jpeg")
    name, _, depth = colours.partition("p")
    wide, high = (width + 1) // 2, (height + 1) // 2
    if colours.startswith("420") and colours[3:] in ("", "jpeg", "mpeg2", "paldv"):
        name, depth = "420", ""
    planes = {"420": 2 * wide * high, "422": 2 * wide * height, "444": 2 * width * height, "mono": 0}.get(name)
    if planes is None or (depth and not depth.isdecimal()):
        return None
    return (width * height + planes) * (2 if depth else 1)
