"""MP4, QuickTime and their kin: boxes with a length each (ISO/IEC 14496-12 §4.2)."""

from __future__ import annotations

from typing import BinaryIO

from edgevision.capture.file_ends.ending import Ending, cut_off, damaged, proved, unknown, zeros_from

_BOXES = frozenset(
    "ftyp styp moov moof mdat mfra meta sidx ssix free skip wide uuid udta emsg prft pdin pnot".split()  # noqa: SIM905
)
"""What may stand outermost; anything else is what some cameras append, and its length means nothing."""


def end_of_mp4(file: BinaryIO, have: int) -> Ending:
    at, seen = 0, []
    while at + 8 <= have:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8].decode("latin-1")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0 and kind in _BOXES:  # until the end of the file
            seen.append(kind)
            break
        if length < 8 or kind not in _BOXES:
            if "moof" in seen and zeros_from(head):
                return damaged(f"zeros from byte {at}, where its next part should be")
            break
        at += length
        if at > have:
            return cut_off(f"its {kind} part should end at byte {at}, the file ends at {have}")
        seen.append(kind)
    if "moov" in seen:
        if "moof" in seen and "mfra" not in seen:
            return unknown("it was written in fragments and has no index after the last")
        return proved()
    if seen[:1] == ["ftyp"] and "meta" not in seen:
        return cut_off(f"it ends at byte {have} without its index (moov), which most cameras write last")
    return unknown("it has no index")
