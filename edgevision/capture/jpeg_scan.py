"""Runs of zeros in the entropy-coded data of a JPEG: what a disk leaves that lost a block.

They decode without error, to stripes. Whether a run may be right is told by the Huffman tables: a run of zero bits is
natural where "no change" and "nothing more in this block" both begin the tables, as in an empty page; then the data is
decoded to see whether it holds exactly the image (ITU-T T.81).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import prod

from edgevision.capture.image_header import JPEG_FRAMES, jpeg_segments

_RUN = b"\0" * 16
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_AFTER_A_SCAN = frozenset({0x00, 0xC4, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_HUFFMAN = (0xC0, 0xC1, 0xC2)


@dataclass
class _Tables:
    frame: int = 0
    size_wh: tuple[int, int] = (0, 0)
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Component to its blocks across and down in a unit."""
    huffman: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """Class and number to (how many codes of each length, symbols)."""
    restart: int = 0
    scan: list[tuple[int, int, int]] = field(default_factory=list)
    """(component, DC table, AC table)."""
    spectral: tuple[int, int, int] = (0, 63, 0)


def zeros_in_scan(data: bytes) -> int | None:
    """First byte of a run of zeros that cannot be right, or None."""
    if data.find(_RUN) < 0:
        return None
    tables = _Tables()
    for marker, at, end in jpeg_segments(data):
        if marker in JPEG_FRAMES:
            _read_frame(tables, marker, data[at:end])
        elif marker == 0xC4:
            _read_huffman(tables, data[at:end])
        elif marker == 0xDD:
            tables.restart = int.from_bytes(data[at : at + 2], "big")
        elif marker == 0xDA:
            _read_scan(tables, data[at:end])
        elif marker == 0:
            zeros = data.find(_RUN, at, end)
            if zeros >= 0 and tables.frame in _HUFFMAN and not _may_be(tables, data[at:end]):
                return zeros
    return None


def foreign_marker(data: bytes) -> int | None:
    """First byte of a marker that may not follow pixels, as noise in them makes some, or None."""
    scanned = False
    for marker, at, _ in jpeg_segments(data):
        if scanned and marker not in _AFTER_A_SCAN:
            return at
        scanned |= marker == 0
    return None


def _read_frame(tables: _Tables, marker: int, body: bytes) -> None:
    tables.frame = marker
    tables.size_wh = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
    tables.sampling = {body[i]: (body[i + 1] >> 4, body[i + 1] & 15) for i in range(6, 6 + 3 * body[5], 3)}


def _read_huffman(tables: _Tables, body: bytes) -> None:
    at = 0
    while at + 17 <= len(body):
        counts = body[at + 1 : at + 17]
        tables.huffman[body[at]] = counts, body[at + 17 : at + 17 + sum(counts)]
        at += 17 + sum(counts)


def _read_scan(tables: _Tables, body: bytes) -> None:
    count = body[0]
    tables.scan = [(body[1 + 2 * i], body[2 + 2 * i] >> 4, body[2 + 2 * i] & 15) for i in range(count)]
    tables.spectral = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count]


def _may_be(tables: _Tables, scan: bytes) -> bool:
    first, last, refined = tables.spectral
    if refined >> 4:
        return True  # later bits of a progressive image are written as they are
    natural = True
    for _, dc, ac in tables.scan:
        if first == 0:
            natural &= _first_symbol(tables, dc) == 0
        if last > 0:
            symbol = _first_symbol(tables, 16 + ac)
            # "End of block"; in a progressive image, of so many blocks.
            natural &= symbol == 0 or (tables.frame == 0xC2 and symbol < 0xF0 and symbol & 15 == 0)
    return natural and _holds_the_image(tables, scan)


def _first_symbol(tables: _Tables, number: int) -> int:
    """What the shortest code of nothing but zeros says; the usual tables' where the file has none, as in MJPEG."""
    symbols = tables.huffman[number][1] if number in tables.huffman else (b"\1" if number == 16 else b"\0")
    return symbols[0] if symbols else 0xFF


def _holds_the_image(tables: _Tables, scan: bytes) -> bool:
    """Whether a scan decodes to exactly the image's blocks."""
    wanted = {dc for _, dc, _ in tables.scan if tables.spectral[0] == 0}
    wanted |= {16 + ac for _, _, ac in tables.scan if tables.spectral[1] > 0}
    if not wanted <= tables.huffman.keys():
        return True  # the usual tables, which are not kept here
    codes = {number: _codes(tables.huffman[number]) for number in wanted}
    blocks = [
        (codes.get(dc, {}), codes.get(16 + ac, {}))
        for component, dc, ac in tables.scan
        for _ in range(1 if len(tables.scan) == 1 else prod(tables.sampling[component]))
    ]
    units = _units(tables)
    each = tables.restart or units
    parts = [part.replace(b"\xff\0", b"\xff") for part in _RESTART.split(scan)]
    if len(parts) != _up(units, each):
        return False
    try:
        return all(
            _Bits(part).hold(blocks, min(each, units - number * each), tables.spectral[0], tables.spectral[1])
            for number, part in enumerate(parts)
        )
    except ValueError:
        return False


def _units(tables: _Tables) -> int:
    """How many units a scan codes: single blocks, or where components take turns, all blocks of some pixels."""
    width, height = tables.size_wh
    wide = max(h for h, _ in tables.sampling.values())
    high = max(v for _, v in tables.sampling.values())
    if len(tables.scan) == 1:
        h, v = tables.sampling[tables.scan[0][0]]
        return _up(_up(width * h, wide), 8) * _up(_up(height * v, high), 8)
    return _up(width, 8 * wide) * _up(height, 8 * high)


def _up(value: int, by: int) -> int:
    """Divided and rounded up."""
    return -(-value // by)


def _codes(table: tuple[bytes, bytes]) -> dict[int, int]:
    """Code with a leading 1 to its symbol."""
    counts, symbols = table
    code, at, found = 0, 0, {}
    for length, count in enumerate(counts, 1):
        for symbol in symbols[at : at + count]:
            found[1 << length | code] = symbol
            code += 1
        at += count
        code <<= 1
    return found


class _Bits:
    """The bits between two restarts."""

    def __init__(self, part: bytes) -> None:
        self._bits = bin(int.from_bytes(b"\1" + part, "big"))[3:]
        self._at = 0

    def hold(self, blocks: list[tuple[dict[int, int], dict[int, int]]], units: int, first: int, last: int) -> bool:
        """Whether they are so many units and at most seven ones. Raises ValueError at a code that does not exist."""
        empty = 0
        for _ in range(units):
            for dc, ac in blocks:
                if first == 0:
                    self._skip(self._symbol(dc))
                if last > 0:
                    empty = self._block(ac, max(1, first), last) if empty == 0 else empty - 1
        rest = self._bits[self._at :]
        return self._at <= len(self._bits) and len(rest) < 8 and "0" not in rest and empty == 0

    def _block(self, codes: dict[int, int], k: int, last: int) -> int:
        """Pass over one block; how many blocks after it are empty."""
        while k <= last:
            symbol = self._symbol(codes)
            run, size = symbol >> 4, symbol & 15
            if size == 0 and run < 15:
                extra = self._bits[self._at : self._at + run]
                self._skip(run)
                return (1 << run) + int(extra or "0", 2) - 1
            k += run + 1
            self._skip(size)
        if k > last + 1:
            raise ValueError("a coefficient beyond the last")
        return 0

    def _symbol(self, codes: dict[int, int]) -> int:
        code, bits, at, end = 1, self._bits, self._at, min(len(self._bits), self._at + 16)
        while at < end:
            code = code << 1 | (bits[at] == "1")
            at += 1
            if code in codes:
                self._at = at
                return codes[code]
        raise ValueError("no such code")

    def _skip(self, count: int) -> None:
        self._at += count
