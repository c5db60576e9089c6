"""Matroska and WebM: EBML elements, of a length each or of unknown length (RFC 8794 §4-6, RFC 9559 §5.1)."""

from __future__ import annotations

from typing import BinaryIO

from edgevision.capture.file_ends.ending import Ending, cut_off, damaged, proved, unknown

_EBML, _SEGMENT, _CLUSTER, _CUES = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1C53BB6B
_IN_SEGMENT = frozenset(
    {0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, _CUES, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF}
)
_IN_CLUSTER = frozenset({0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0xEC, 0xBF})


def end_of_matroska(file: BinaryIO, have: int) -> Ending:
    identity, size = _element(file)
    if identity != _EBML or size is None:
        return unknown("its beginning is not Matroska's")
    file.seek(size, 1)
    identity, size = _element(file)
    if identity != _SEGMENT:
        return unknown("it has no segment")
    end = have if size is None else file.tell() + size
    if end > have:
        return cut_off(f"its Segment part should end at byte {end}, the file ends at {have}")
    return _walk(file, have, end, size is not None)


def _walk(file: BinaryIO, have: int, end: int, told: bool) -> Ending:
    cues_last = inside = False
    cluster_end: int | None = None
    at = file.tell()
    while at < end:
        file.seek(at)
        identity, size = _element(file)
        if cluster_end is not None and at >= cluster_end:
            inside, cluster_end = False, None
        if not (identity in _IN_SEGMENT or (inside and identity in _IN_CLUSTER)):
            if at + 12 > end and end == have:
                return cut_off(f"it ends at byte {have} within the head of an element")
            return damaged(f"at byte {at} is no element of Matroska")
        start = file.tell()
        following = start + (size or 0)
        if identity == _CLUSTER:
            inside, cluster_end = True, None if size is None else following
            cues_last, at = False, start  # its blocks are looked at too
        elif identity in (0xEC, 0xBF):
            at = following
        elif inside and identity in _IN_CLUSTER:
            if cluster_end is not None and following > cluster_end:
                return damaged(f"the block at byte {at} is longer than its cluster")
            at = following
        else:
            if cluster_end is not None:
                return damaged(f"at byte {at} is no element of a cluster")
            inside, cues_last, at = False, identity == _CUES or cues_last, following
        if size is None and identity != _CLUSTER:
            return unknown("an element of unknown length is in it")
        if following > end:
            return cut_off(f"an element should end at byte {following}, the file ends at {have}")
    if told or cues_last:
        return proved()
    return unknown("it was written as a stream, without a length or an index at its end")


def _element(file: BinaryIO) -> tuple[int, int | None]:
    """Identity (0 for none) and content's length (None for unknown) of the element whose head begins here."""
    head = file.read(12)
    start = file.tell() - len(head)
    if not head or head[0] == 0:
        return 0, 0
    id_bytes = 9 - head[0].bit_length()
    if id_bytes > 4 or len(head) <= id_bytes or head[id_bytes] == 0:
        return 0, 0
    size_bytes = 9 - head[id_bytes].bit_length()
    if len(head) < id_bytes + size_bytes:
        return 0, 0
    file.seek(start + id_bytes + size_bytes)
    mask = (1 << (7 * size_bytes)) - 1
    size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & mask
    return int.from_bytes(head[:id_bytes], "big"), None if size == mask else size
