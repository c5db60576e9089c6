"""Zeros inside a packet of compressed video, which no encoder writes: what a disk leaves that lost a block."""

from __future__ import annotations

from edgevision.capture.jpeg_scan import foreign_marker, zeros_in_scan

_RUN = b"\0" * 64
_NO_SUCH_RUN = frozenset(
    {"h264", "hevc", "vvc", "av1", "vp8", "vp9", "theora", "mpeg4", "msmpeg4v2", "msmpeg4v3", "h263", "flv1"}
    | {"wmv1", "wmv2", "wmv3", "vc1", "mpeg1video", "mpeg2video"}
)
"""Their arithmetic or variable-length codes, or their rules for start codes, allow no run of that length."""
_STUFFED_BY = frozenset({"mpegts", "mpeg", "h264", "hevc", "mpegvideo", "m4v", "mxf"})
"""Containers of streams that may be filled up with zeros before a start code, to keep a bit rate."""
_NEVER_EMPTY = frozenset({"prores", "dnxhd", "dvvideo", "ffv1", "mjpeg", "png", "apng"})


def zeros_in_packet(data: bytes, codec: str, demuxer: str) -> bool:
    """Whether a packet holds zeros that cannot be right."""
    if codec == "mjpeg" and data[:2] == b"\xff\xd8":
        return zeros_in_scan(data) is not None or foreign_marker(data) is not None
    if codec in _NEVER_EMPTY:
        return not data.strip(b"\0")
    if codec not in _NO_SUCH_RUN:
        return False
    if not data.strip(b"\0"):
        return True
    if demuxer not in _STUFFED_BY and codec not in ("mpeg1video", "mpeg2video"):
        return _RUN in data
    data = data.rstrip(b"\0")
    at = data.find(_RUN)
    while at >= 0:
        end = len(data) - len(data[at:].lstrip(b"\0"))
        if data[end] != 1:
            return True
        at = data.find(_RUN, end)
    return False
