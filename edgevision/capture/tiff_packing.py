"""How many bytes a strip of a TIFF unpacks to, without unpacking it."""

from __future__ import annotations

_CLEAR, _END = 256, 257


def lzw_bytes(packed: bytes, wanted: int) -> int:
    """Bytes that come out, up to ``wanted`` or the first code that cannot be (TIFF 6.0 §13)."""
    lengths = [1] * 256 + [0, 0]
    width, held, bits, total = 9, 0, 0, 0
    before = 0  # length of the entry before, 0 after a clear
    for byte in packed:
        held = held << 8 | byte
        bits += 8
        if bits < width:
            continue
        bits -= width
        code = held >> bits
        held &= (1 << bits) - 1
        if code == _CLEAR:
            del lengths[258:]
            width, before = 9, 0
            continue
        if code == _END:
            return total
        if before:
            lengths.append(before + 1)
        if code >= len(lengths):
            return total
        before = lengths[code]
        total += before
        if total >= wanted:
            return total
        # TIFF goes to wider codes one code early; 12 bits is the widest, after which a clear must come.
        entries = len(lengths) + 1
        if entries >= 1 << width and width < 12:
            width += 1
    return total


def packbits_bytes(packed: bytes) -> int:
    """Bytes that come out of PackBits (TIFF 6.0 §9)."""
    at = total = 0
    while at < len(packed):
        head = packed[at]
        if head < 128:
            at += head + 2
            total += head + 1 - max(0, at - len(packed))
        else:
            at += 2 if head > 128 else 1
            total += 257 - head if head > 128 and at <= len(packed) else 0
    return total
