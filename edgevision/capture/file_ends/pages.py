"""Containers that are a chain of parts with a length each: FLV, ASF, Ogg, IVF, MXF."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from edgevision.capture.file_ends.ending import Ending, cut_off, damaged, proved, unknown, zeros_from

_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_LOOKED_AT = 4096
_MXF_KEY = b"\x06\x0e\x2b\x34"
_MXF_FOOTER = bytes.fromhex("060e2b34020501010d01020101040400")


def end_of_flv(file: BinaryIO, have: int) -> Ending:
    """Adobe's Flash Video File Format 10.1, annex E."""
    file.seek(5)
    at = int.from_bytes(file.read(4), "big") + 4
    ended = told = False
    while at + 11 <= have:
        file.seek(at)
        head = file.read(17)
        if head[0] & 0x1F not in (8, 9, 18):
            return damaged(f"at byte {at} is no part of FLV")
        size = int.from_bytes(head[1:4], "big")
        # The decoder is told that nothing follows.
        ended = ended or (head[0] & 0x1F == 9 and size == 5 and head[11] & 15 == 7 and head[12] == 2)
        if head[0] & 0x1F == 18 and not told:
            told = b"duration" in file.read(min(size, 4096))
        end = at + 11 + size
        if end > have:
            return cut_off(f"a part of it should end at byte {end}, the file ends at {have}")
        at = end + 4
        file.seek(end)
        if (before := file.read(4)) and len(before) == 4 and int.from_bytes(before, "big") not in (11 + size, 0, size):
            return damaged(f"at byte {end} is no part of FLV")
    if 0 < have - at < 11:
        return cut_off(f"it ends in the middle of a part, at byte {have}")
    return proved() if ended or told else unknown("it states no duration")


def end_of_asf(file: BinaryIO, have: int) -> Ending:
    """Advanced Systems Format 01.20.03, §2-5."""
    at, packet_bytes, live = 0, 0, False
    while at + 24 <= have:
        file.seek(at)
        head = file.read(24)
        size = int.from_bytes(head[16:24], "little")
        if head[:16] == _ASF_HEADER:
            body = file.read(min(size, 1 << 20))
            properties = body.find(_ASF_FILE)
            if properties >= 0 and properties + 104 <= len(body):
                live = bool(body[properties + 88] & 1)
                packet_bytes = int.from_bytes(body[properties + 92 : properties + 96], "little")
        if head[:16] == _ASF_DATA:
            file.seek(at + 40)
            count = int.from_bytes(file.read(8), "little")
            if not live and at + size > have:
                return cut_off(f"its data should end at byte {at + size}, the file ends at {have}")
            bad = _empty_packet(file, at + 50, min(have, at + size) if size > 50 else have, packet_bytes)
            if bad is not None:
                return damaged(f"its packet at byte {bad} is empty")
            if live or size <= 50 or count == 0:
                return unknown("it was written as a stream, without a length")
        if size < 24:
            if zeros_from(head):
                return damaged(f"at byte {at} is no part of ASF")
            break
        at += size
    if at > have:
        return cut_off(f"a part of it should end at byte {at}, the file ends at {have}")
    return unknown("ASF says where it ends, and not how many frames it has")


def _empty_packet(file: BinaryIO, start: int, end: int, packet_bytes: int) -> int | None:
    """First byte of a packet of nothing but zeros."""
    if not 64 <= packet_bytes <= 1 << 20:
        return None
    count = (end - start) // packet_bytes
    # The last ones in any case; those before at intervals.
    step = max(1, count // _ASF_LOOKED_AT)
    for number in (*range(0, count, step), *range(max(0, count - 64), count)):
        file.seek(start + number * packet_bytes)
        if zeros_from(file.read(32)):
            return int(start + number * packet_bytes)
    return None


_MIRRORED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def _ogg_checksum(page: bytes) -> int:
    """The same polynomial as zlib's, with the bits in the other order and nothing inverted."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")


def end_of_ogg(file: BinaryIO, have: int) -> Ending:
    """RFC 3533 §6."""
    at = 0
    ended: dict[bytes, bool] = {}
    numbers: dict[bytes, int] = {}
    while at < have:
        file.seek(at)
        head = file.read(27)
        if head[:4] != b"OggS":
            return damaged(f"at byte {at} is no page of Ogg")
        if len(head) < 27:
            return cut_off(f"it ends in the middle of a page, at byte {have}")
        serial, number = head[14:18], int.from_bytes(head[18:22], "little")
        if number != numbers.get(serial, number - 1) + 1:
            return damaged(f"a page is missing before byte {at}")
        numbers[serial] = number
        ended[serial] = bool(head[5] & 4)
        table = file.read(head[26])
        page = head[:22] + bytes(4) + head[26:] + table + file.read(sum(table))
        at += 27 + head[26] + sum(table)
        if at <= have and _ogg_checksum(page) != int.from_bytes(head[22:26], "little"):
            return damaged(f"the page before byte {at} does not have its checksum")
    if at > have:
        return cut_off(f"a page should end at byte {at}, the file ends at {have}")
    if not ended:
        return unknown("it has no pages")
    return proved() if all(ended.values()) else cut_off("its last page is not marked as the last")


def end_of_ivf(file: BinaryIO, have: int) -> Ending:
    head = file.read(32)
    at, told, count, last = int.from_bytes(head[6:8], "little"), int.from_bytes(head[24:28], "little"), 0, -1
    while at + 12 <= have:
        file.seek(at)
        size, last = struct.unpack("<IQ", file.read(12))
        if size == 0:
            return damaged(f"at byte {at} is an empty frame")
        at += 12 + size
        if at > have:
            return cut_off(f"frame {count} should end at byte {at}, the file ends at {have}")
        count += 1
    if at < have:
        return cut_off(f"it ends in the middle of a frame, at byte {have}")
    if not told:
        return unknown("its number of frames was never filled in")
    # Some writers put the duration there.
    return proved() if told <= max(count, last + 1) else cut_off(f"it has {count} frames, its header promises {told}")


def end_of_mxf(file: BinaryIO, have: int) -> Ending:
    """SMPTE ST 377-1: keys, lengths and values; a footer says that the writer came to its end."""
    at, footer = 0, False
    while at + 17 <= have:
        file.seek(at)
        head = file.read(26)
        if not head.startswith(_MXF_KEY):
            if at == 0:
                return unknown("something stands before its first part")
            return damaged(f"at byte {at} is no part of MXF")
        # Byte 8 is a version, byte 15 in a partition whether it is closed.
        footer |= head[:7] == _MXF_FOOTER[:7] and head[8:14] == _MXF_FOOTER[8:14]
        length, used = head[16], 1
        if length & 0x80:
            used = 1 + (length & 0x7F)
            length = int.from_bytes(head[17 : 16 + used], "big")
        at += 16 + used + length
        if at > have:
            return cut_off(f"a part of it should end at byte {at}, the file ends at {have}")
    if at != have:
        return cut_off(f"it ends in the middle of a part, at byte {have}")
    return proved() if footer else cut_off("its footer is missing")
