"""The tags of a TIFF, of which EXIF is one: enough to know an image's size, pages and packing without decoding it.

Sources: TIFF 6.0 §2; BigTIFF; EXIF 2.32 §4.6.4.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_VALUES = 1 << 20
_MOST_PAGES = 1000
_REDUCED = 1
"""In NewSubfileType: a smaller copy of another page."""


@dataclass(frozen=True, slots=True)
class Tiff:
    """The first page's tags that matter here, and how many full pages there are."""

    width_px: int
    height_px: int
    bits: tuple[int, ...]
    """Of each channel."""
    compression: int
    sample_format: int
    planar: int
    rows_per_strip: int
    tile_wh: tuple[int, int] | None
    pieces: tuple[tuple[int, int], ...]
    """(first byte, length) of each strip or tile."""
    pages: int
    jpeg_tables: bytes
    """What each strip's JPEG leaves out, as a JPEG without pixels."""


def read_tiff(data: bytes) -> Tiff:
    """Raises ValueError or struct.error where the bytes are none."""
    tags, following = _page(data, _first(data))
    pages, seen = 1, set()
    while following and following not in seen and pages < _MOST_PAGES:
        seen.add(following)
        try:
            other, following = _page(data, following)
        except (ValueError, struct.error):
            break
        pages += not (other.get(254, (0,))[0] & _REDUCED)

    def one(tag: int, default: int) -> int:
        values = tags.get(tag, ())
        return values[0] if values else default

    tiled = 322 in tags and 323 in tags
    offsets, counts = (324, 325) if tiled else (273, 279)
    return Tiff(
        width_px=one(256, 0),
        height_px=one(257, 0),
        bits=tags.get(258, (1,)),
        compression=one(259, 1),
        sample_format=one(339, 1),
        planar=one(284, 1),
        rows_per_strip=one(278, one(257, 0)),
        tile_wh=(one(322, 0), one(323, 0)) if tiled else None,
        pieces=tuple(zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)),
        pages=pages,
        jpeg_tables=bytes(tags.get(347, ())),
    )


def orientation_of(exif: bytes) -> int:
    """Which way is up, 1 to 8, of EXIF's own TIFF; 1 where it does not say."""
    try:
        tags, _ = _page(exif, _first(exif))
    except (ValueError, struct.error):
        return 1
    value = tags.get(274, (1,))[0]
    return value if 1 <= value <= 8 else 1


def _first(data: bytes) -> int:
    order = _order(data)
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    return int(struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0])


def _order(data: bytes) -> str:
    if data[:2] not in (b"II", b"MM"):
        raise ValueError("no byte order")
    return "<" if data[:2] == b"II" else ">"


def _page(data: bytes, at: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """The whole numbers of one page's tags, and where the next page's stand, or 0."""
    order = _order(data)
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    count_word, entry_bytes, inline_bytes = ("Q", 20, 8) if big else ("H", 12, 4)
    count = struct.unpack_from(order + count_word, data, at)[0]
    at += struct.calcsize(count_word)
    if count > 4096 or at + count * entry_bytes > len(data):
        raise ValueError("more tags than the file holds")
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(at, at + count * entry_bytes, entry_bytes):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        number = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, entry + 4)[0]
        if kind not in _WHOLE or not 0 < number <= _MOST_VALUES:
            continue
        values = entry + (12 if big else 8)
        if number * _SIZES[kind] > inline_bytes:
            values = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, values)[0]
        if values + number * _SIZES[kind] <= len(data):
            tags[tag] = struct.unpack_from(f"{order}{number}{_WHOLE[kind]}", data, values)
    at += count * entry_bytes
    following = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, at)[0] if at + 4 <= len(data) else 0
    return tags, following
