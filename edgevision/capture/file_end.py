"""Whether a video file ends where its container says that it ends: proved, disproved, or not to be known.

FFmpeg reads a cut file to its last byte and then says "end of file", as it does for a whole one. Most containers write
down their length, count or end; a walk over their outermost parts compares that with the bytes on the disk.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from edgevision.capture.file_ends.ending import Ending, cut_off, damaged, unknown
from edgevision.capture.file_ends.matroska import end_of_matroska
from edgevision.capture.file_ends.mp4 import end_of_mp4
from edgevision.capture.file_ends.pages import end_of_asf, end_of_flv, end_of_ivf, end_of_mxf, end_of_ogg
from edgevision.capture.file_ends.pictures import end_of_apng, end_of_gif, end_of_mjpeg, end_of_y4m
from edgevision.capture.file_ends.riff import end_of_riff
from edgevision.capture.file_ends.transport import end_of_program_stream, end_of_transport_stream
from edgevision.regular_file import open_regular

_MOST_END_ZEROS = 512
_BLOCK = 1 << 20


def ending_of(path: Path, demuxer: str) -> Ending:
    """How a local file ends; ``demuxer`` is FFmpeg's name of its container."""
    look = _LOOKS.get(demuxer)
    with open_regular(path) as file:
        have = os.fstat(file.fileno()).st_size
        if demuxer in _NEVER_ENDS_IN_ZEROS:
            zeros = _zeros_at_end(file, have)
            if zeros >= _MOST_END_ZEROS:
                return damaged(f"its last {zeros} bytes are zeros, as after a power cut")
        if look is None:
            return unknown(f"a file of this kind ({demuxer}) does not say where it ends")
        file.seek(0)
        try:
            return look(file, have)
        except (struct.error, IndexError, ValueError):
            return cut_off(f"it ends at byte {have} in the middle of a part")


def _zeros_at_end(file: BinaryIO, have: int) -> int:
    at = have
    while at > 0:
        start = max(0, at - _BLOCK)
        file.seek(start)
        block = file.read(at - start).rstrip(b"\0")
        if block:
            return have - start - len(block)
        at = start
    return have


Look = Callable[[BinaryIO, int], Ending]
_LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "mov": end_of_mp4,
        "matroska": end_of_matroska,
        "avi": end_of_riff,
        "flv": end_of_flv,
        "asf": end_of_asf,
        "mpegts": end_of_transport_stream,
        "mpeg": end_of_program_stream,
        "ogg": end_of_ogg,
        "gif": end_of_gif,
        "apng": end_of_apng,
        "ivf": end_of_ivf,
        "mxf": end_of_mxf,
        "yuv4mpegpipe": end_of_y4m,
        "mjpeg": end_of_mjpeg,
    }
)
_NEVER_ENDS_IN_ZEROS = frozenset(
    {"flv", "mpegts", "ogg", "ivf", "nut", "dv", "h264", "hevc", "vvc", "av1", "obu", "m4v", "mpegvideo", "mjpeg"}
)
"""Others are padded to a block's end, have padding of their own, or hold pictures that may be black."""
_STARTS = (
    (4, b"ftyp", "mov"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (0, b"RIFF", "avi"),
)


def demuxer_of(path: Path) -> str | None:
    """FFmpeg's name for the container of a file that FFmpeg could not open, by its first bytes."""
    with open_regular(path) as file:
        head = file.read(16)
    return next((name for at, start, name in _STARTS if head[at:].startswith(start)), None)
