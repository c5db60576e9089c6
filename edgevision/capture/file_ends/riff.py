"""AVI: chunks of RIFF with a length each, and more RIFF parts after the first gigabyte (OpenDML)."""

from __future__ import annotations

import re
from typing import BinaryIO

from edgevision.capture.file_ends.ending import Ending, cut_off, damaged, proved, unknown

_SLACK_BYTES = 64
"""Some writers of AVI miscount by a few bytes."""
_NAME = re.compile(rb"[ -~]{4}")


def end_of_riff(file: BinaryIO, have: int) -> Ending:
    at, parts = 0, 0
    while at + 12 <= have:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF":
            break
        if length in (0, 0xFFFFFFFF):
            return unknown("its length was never filled in, as when a recorder was switched off")
        end = at + 8 + length
        if end - _SLACK_BYTES > have:
            return cut_off(f"its RIFF part should end at byte {end - _SLACK_BYTES}, the file ends at {have}")
        bad = _chunks(file, at + 12, min(end, have))
        if bad is not None:
            return damaged(bad)
        at, parts = end + length % 2, parts + 1
    return proved() if parts else unknown("its beginning is not AVI's")


def _chunks(file: BinaryIO, at: int, end: int) -> str | None:
    """What is wrong with the chunks of one RIFF part."""
    while at + _SLACK_BYTES < end:
        file.seek(at)
        head = file.read(8)
        if not _NAME.fullmatch(head[:4]):
            # An odd chunk is padded by one byte, which some writers forget and others count.
            file.seek(at - 1)
            again = file.read(10)
            if _NAME.fullmatch(again[:4]):
                at, head = at - 1, again[:8]
            elif _NAME.fullmatch(again[2:6]):
                at, head = at + 1, again[2:10]
            else:
                return f"at byte {at} is no chunk of AVI"
        length = int.from_bytes(head[4:8], "little")
        if head[:4] == b"LIST" and length in (0, 0xFFFFFFFF):
            return None
        at += 8 + length + length % 2
        if at - _SLACK_BYTES > end:
            return f"its {head[:4].decode('latin-1')} chunk should end at byte {at}, its part ends at {end}"
    return None
