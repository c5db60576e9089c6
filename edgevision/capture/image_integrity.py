"""Whether an image file is whole: what its format lets one prove before and without decoding.

Decoders fill what is missing with grey or with the rubbish that follows, and say so at most on the terminal.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

import cv2  # noqa: F401 - before av, whose libxcb hangs Qt's windows
import av

from edgevision.capture.image_header import ImageHeader, gif_blocks, jpeg_segments, pnm_words, webp_chunks
from edgevision.capture.jpeg_scan import foreign_marker, zeros_in_scan
from edgevision.capture.tiff import Tiff, read_tiff
from edgevision.capture.tiff_packing import lzw_bytes, packbits_bytes

_NEXT_OF_GIF = b"!\xf9\x04"
_CONTROL_OF_GIF = re.compile(rb"!\xf9\x04.{4}\0", re.DOTALL)
"""Before each image of an animation: how long it is shown."""
_VP8_ZEROS = b"\0" * 64
"""Arithmetic coding leaves none of that length."""


def why_damaged(data: bytes, header: ImageHeader) -> str | None:
    """What is wrong with an image's bytes, in words that follow the file's name, or None where nothing is found."""
    check = _CHECKS.get(header.format)
    try:
        return None if check is None else check(data)
    except (struct.error, ValueError, IndexError):
        return f"is a {header.format} image whose header is damaged ({len(data)} bytes)"


def _jpeg(data: bytes) -> str | None:
    scans, ended = 0, False
    for marker, _, _ in jpeg_segments(data):
        scans += marker == 0xDA
        ended |= marker == 0xD9
    if not ended or not scans:
        return f"is a JPEG that is cut off after {len(data)} bytes"
    if (at := zeros_in_scan(data)) is not None:
        return f"is a JPEG that is damaged at byte {at}: a run of zeros in its pixels"
    at = foreign_marker(data)
    return None if at is None else f"is a JPEG that is damaged at byte {at}: noise in its pixels"


def _png(data: bytes) -> str | None:
    at, kinds = 8, set()
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if not kind.isalpha():
            return f"is a PNG that is damaged at byte {at}"
        if at + 12 + length > len(data):
            break
        # What only describes the image may be wrong.
        if kind[:1].isupper() and zlib.crc32(data[at + 4 : at + 8 + length]) != int.from_bytes(
            data[at + 8 + length : at + 12 + length], "big"
        ):
            return f"is a PNG that is damaged at byte {at} (checksum of {kind.decode('latin-1')})"
        kinds.add(kind)
        if kind == b"IEND":
            return None
        at += 12 + length
    return f"is a PNG that is cut off after {len(data)} bytes"


def _webp(data: bytes) -> str | None:
    told = 8 + int.from_bytes(data[4:8], "little")
    if told > len(data) + 1:
        return f"is a WebP that is cut off: it should have {told} bytes and has {len(data)}"
    for name, at, size in webp_chunks(data[:told]):
        if not name.isalnum() and name[3:] != b" ":
            return f"is a WebP that is damaged at byte {at - 8}"
        if name == b"VP8 " and (zeros := data.find(_VP8_ZEROS, at, at + size)) >= 0:
            return f"is a WebP that is damaged at byte {zeros}: a run of zeros in its pixels"
    return None


def _bmp(data: bytes) -> str | None:
    pixels_at, head = struct.unpack_from("<II", data, 10)
    if head == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        packing = 0
    else:
        width, height, _, depth, packing = struct.unpack_from("<iiHHI", data, 18)
    if packing not in (0, 3, 6):
        return None
    wanted = pixels_at + (width * depth + 31) // 32 * 4 * abs(height)
    # Some writers leave out the last row's padding.
    return _short("BMP", wanted - 3, data)


def _pnm(data: bytes) -> str | None:
    kind = data[1:2]
    if kind in b"123":
        return None
    words = pnm_words(data)
    width, height, start = words[0], words[1], words[-1]
    if kind == b"4":
        wanted = start + (width + 7) // 8 * height
    else:
        wanted = start + width * height * (3 if kind == b"6" else 1) * (2 if words[2] > 255 else 1)
    return _short("PNM", wanted, data)


def _short(kind: str, wanted: int, data: bytes) -> str | None:
    if wanted <= len(data):
        return None
    return f"is a {kind} that is cut off: it should have {wanted} bytes and has {len(data)}"


def _heif(data: bytes) -> str | None:
    at = 0
    while at + 8 <= len(data):
        length, head = int.from_bytes(data[at : at + 4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if length == 0:
            return None
        if length < head or not re.fullmatch(rb"[ -~]{4}", data[at + 4 : at + 8]):
            return f"is an AVIF that is damaged at byte {at}"
        at += length
    return _short("AVIF", at, data)


def _tiff(data: bytes) -> str | None:
    tiff = read_tiff(data)
    if not tiff.pieces:
        return f"is a TIFF without pixels, cut off or damaged ({len(data)} bytes)"
    end = max(at + length for at, length in tiff.pieces)
    if end > len(data):
        return f"is a TIFF that is cut off: its pixels end at byte {end}, the file at {len(data)}"
    number = _broken_piece(data, tiff)
    if number is None:
        return None
    return f"is a TIFF that is damaged in part {number + 1} of {len(tiff.pieces)} of its pixels"


def _broken_piece(data: bytes, tiff: Tiff) -> int | None:
    """Number of the first strip or tile that does not unpack to as many bytes as it should."""
    channels = 1 if tiff.planar == 2 else len(tiff.bits)
    wide, high = tiff.tile_wh or (tiff.width_px, tiff.rows_per_strip)
    bits_a_row = wide * channels * (tiff.bits[0] if tiff.bits else 1)
    in_plane = max(1, -(-tiff.height_px // max(1, high)))
    if tiff.compression == 5 and _second_opinion(data):
        return None
    whole = (bits_a_row + 7) // 8 * high
    for number, (at, length) in enumerate(tiff.pieces):
        rows = high
        if tiff.tile_wh is None and number % in_plane == in_plane - 1:
            rows = tiff.height_px - high * (in_plane - 1)
        wanted = (bits_a_row + 7) // 8 * rows
        if not _unpacks(data[at : at + length], tiff, wanted, whole):
            return number
    return None


def _unpacks(piece: bytes, tiff: Tiff, wanted: int, whole: int) -> bool:
    """``whole``: the bytes of a full strip; some writers pad the last one to that."""
    if tiff.compression in (8, 32946):
        return _inflates(piece, wanted)
    if tiff.compression == 5:
        # The first TIFFs had the bits in another order.
        return piece[:2] == b"\0\1" or lzw_bytes(piece, wanted) >= wanted
    if tiff.compression == 32773:
        return packbits_bytes(piece) in (wanted, whole)
    if tiff.compression == 7:
        return zeros_in_scan(tiff.jpeg_tables[:-2] + piece[2:] if tiff.jpeg_tables else piece) is None
    return True


def _inflates(piece: bytes, wanted: int) -> bool:
    """Whether a zlib stream ends as it should, and with so many bytes; some writers pad the last strip."""
    unpacker = zlib.decompressobj()
    try:
        return len(unpacker.decompress(piece, 2 * wanted + 1)) >= wanted and unpacker.eof
    except zlib.error:
        return False


def _second_opinion(data: bytes) -> bool:
    """Whether FFmpeg, told to stop at any error, reads a TIFF to its end: quick, but it does not know every kind."""
    try:
        decoder = av.CodecContext.create("tiff", "r")
        decoder.options = {"err_detect": "explode", "threads": "1"}
        return bool(decoder.decode(av.Packet(data)))
    except (av.FFmpegError, ValueError):
        return False


def gif_end(data: bytes) -> str | None:
    """How a GIF falls short of its end, in words that follow its name, or None."""
    blocks = list(gif_blocks(data))
    kind, at = blocks[-1] if blocks else (0, 0)
    if kind == 0x3B:
        # Where the length of a block was lost, what follows is read as its pixels, until something fits again.
        seen = sum(data.startswith(_NEXT_OF_GIF, start) for _, start in blocks)
        there = len(_CONTROL_OF_GIF.findall(data))
        return None if there <= seen else f"is damaged: {there - seen} of its images cannot be reached"
    if kind not in (0x2C, 0x21, 0):
        return f"is damaged at byte {at}: expected the next image or the end"
    if at and kind == 0:
        return f"is damaged at byte {at}: zeros where the next image or the end should be"
    return f"is cut off: it ends at byte {len(data)} without its end mark"


_CHECKS: dict[str, Callable[[bytes], str | None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WebP": _webp,
    "BMP": _bmp,
    "PNM": _pnm,
    "AVIF": _heif,
    "TIFF": _tiff,
    "GIF": lambda data: None if (said := gif_end(data)) is None else f"is a GIF that {said}",
}
