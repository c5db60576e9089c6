"""MPEG transport and program streams (ISO/IEC 13818-1), made to be cut anywhere: none says how long it is."""

from __future__ import annotations

from typing import BinaryIO

from edgevision.capture.file_ends.ending import Ending, cut_off, damaged, proved, unknown

_PACKETS_BYTES = (188, 192, 204)
_SYNC = 0x47
_HEAD_BYTES = 1 << 16
_READ_PACKETS = 8192
_PROGRAM_END = b"\0\0\1\xb9"
_TAIL_BYTES = 1 << 18


def end_of_transport_stream(file: BinaryIO, have: int) -> Ending:
    found = _rhythm(file.read(_HEAD_BYTES))
    if found is None:
        return unknown("the beginning of its transport packets was not found")
    start, length = found
    if (have - start) % length and (have - start + 4) % length:  # M2TS has four bytes before each packet
        return cut_off(f"it ends in the middle of a transport packet, at byte {have}")
    file.seek(start)
    at = start
    while block := file.read(length * _READ_PACKETS):
        marks = block[::length]
        if len(bad := marks.replace(b"\x47", b"")):
            first = next(i for i, mark in enumerate(marks) if mark != _SYNC)
            count = f" and in {len(bad) - 1} more places" if len(bad) > 1 else ""
            return damaged(f"at byte {at + first * length} no transport packet begins{count}")
        at += len(block)
    return unknown("a transport stream does not say where it ends")


def _rhythm(head: bytes) -> tuple[int, int] | None:
    """(first packet's byte, bytes a packet)."""
    for start in range(min(len(head), max(_PACKETS_BYTES))):
        for length in _PACKETS_BYTES:
            marks = head[start : start + 8 * length : length]
            if len(marks) >= 2 and set(marks) == {_SYNC}:
                return start, length
    return None


def end_of_program_stream(file: BinaryIO, have: int) -> Ending:
    file.seek(max(0, have - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    held = tail.rstrip(b"\0\xff")
    if held.endswith(_PROGRAM_END):
        return proved()
    if len(tail) - len(tail.rstrip(b"\0")) >= 4096:
        return damaged(f"zeros from byte {have - len(tail) + len(held)} to its end")
    at = tail.find(b"\0\0\1\xba")
    while 0 <= at < len(tail):
        if tail[at : at + 3] != b"\0\0\1"[: len(tail) - at]:
            following = tail.find(b"\0\0\1\xba", at)
            if following < 0:
                break
            at = following
        if at + 6 > len(tail):
            return cut_off(f"it ends in the middle of a packet, at byte {have}")
        kind = tail[at + 3]
        if kind == 0xBA:
            at += 14 + (tail[at + 13] & 7) if at + 14 <= len(tail) and tail[at + 4] >> 6 == 1 else 12
        elif kind >= 0xBB:
            at += 6 + int.from_bytes(tail[at + 4 : at + 6], "big")
        else:
            break
        if at > len(tail):
            return cut_off(f"it ends in the middle of a packet, at byte {have}")
    return unknown("it has no end mark")
