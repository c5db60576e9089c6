"""Encoding pictures into a video file that plays whatever happens to the program that writes it.

MP4 is written in fragments of a second, each complete when it is on the disk: after a crash, a SIGKILL or a full disk
the file plays up to its last second. On a proper end FFmpeg turns it into an ordinary MP4 in place
(``hybrid_fragmented``), for the players that seek badly in fragments.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import cv2
import av
import numpy as np
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from numpy.typing import NDArray

TICKS_PER_S = 60_000
"""Divides 24, 25, 30, 50, 60 and their NTSC kin; MPEG-4 allows no more than 65 535."""
_BT601_LIMITED = {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}
"""SMPTE 170M, which is what OpenCV converts to; unsaid, players take an HD picture for BT.709 and shift its colours."""


@dataclass(frozen=True, slots=True)
class Format:
    muxer: str
    codecs: tuple[str, ...] = ("libx264", "mpeg4")
    """The first that this FFmpeg has."""
    options: Mapping[str, str] = field(default_factory=dict)
    any_time: bool = True
    """False where frames can only stand on a grid of the nominal rate."""


_MP4 = {"movflags": "hybrid_fragmented", "write_tmcd": "0"}
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        ".mp4": Format("mp4", options=_MP4),
        ".m4v": Format("mp4", options=_MP4),
        ".mov": Format("mov", options=_MP4),
        ".mkv": Format("matroska", options={"cluster_time_limit": "1000"}),
        ".avi": Format("avi", codecs=("mpeg4",), any_time=False),
    }
)


class VideoEncoder:
    """One open video file. Lives in one thread."""

    def __init__(self, path: Path, kind: Format, first: NDArray[np.uint8], fps: Fraction, live: bool) -> None:
        self._disk = _Disk(path, in_boxes=kind.muxer in ("mp4", "mov"))
        self._container: OutputContainer = av.open(self._disk, "w", format=kind.muxer, options=dict(kind.options))
        codec = next(name for name in kind.codecs if name in av.codecs_available)
        self._stream: VideoStream = self._container.add_stream(codec, rate=fps)  # type: ignore[assignment]
        # 4:2:0 has no odd sizes; a column or a row less shows nothing missing.
        self._size_wh = (max(2, first.shape[1] & ~1), max(2, first.shape[0] & ~1))
        context: VideoCodecContext = self._stream.codec_context
        context.width, context.height = self._size_wh
        context.pix_fmt = "yuv420p"
        self._ticks_per_slot = 1 if kind.any_time else Fraction(TICKS_PER_S) / fps
        self._time_base = Fraction(1, TICKS_PER_S) if kind.any_time else 1 / fps
        context.time_base = self._time_base
        context.gop_size = max(1, round(fps))
        context.max_b_frames = 0
        # The loop needs the cores more than the recording does, unless it waits for it.
        context.thread_count = 1 if live else 2
        for name, value in _BT601_LIMITED.items():
            setattr(context, name, value)
        if codec == "libx264":
            context.options = {"preset": "superfast", "crf": "23"}
        else:
            context.bit_rate = int(self._size_wh[0] * self._size_wh[1] * float(fps) * 0.15)
        self._last_slot = -1

    def write(self, picture: NDArray[np.uint8], ticks: int) -> int:
        """Encode one picture at its time; how many that added: none where the grid has no room for it."""
        slot = int(ticks / self._ticks_per_slot)
        if slot <= self._last_slot:
            if self._ticks_per_slot != 1:
                return 0
            slot = self._last_slot + 1  # A notice was written while this one was on its way.
        self._last_slot = slot
        yuv = np.asarray(cv2.cvtColor(fitted(picture, self._size_wh), cv2.COLOR_BGR2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
        frame.pts, frame.time_base = slot, self._time_base
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        self._disk.check()
        return 1

    def close(self) -> None:
        try:
            if self._disk.error is None:
                for packet in self._stream.encode(None):
                    self._container.mux(packet)
            self._container.close()
            self._disk.check()
        finally:
            self._disk.close()


class _Disk:
    """The file FFmpeg writes to. After the first error nothing more changes on the disk.

    Otherwise the end of an MP4, whose index no longer fits, would still rewrite its beginning, and the fragments that
    play would be lost.
    """

    def __init__(self, path: Path, in_boxes: bool) -> None:
        self._in_boxes = in_boxes
        # Unbuffered: what was written survives a kill.
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        self._at = 0
        self._end = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        try:
            while view and self.error is None:
                view = view[os.write(self._fd, view) :]
        except OSError as exc:
            self.error = exc
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = base + offset
        if self.error is None:
            os.lseek(self._fd, self._at, os.SEEK_SET)
        return self._at

    def tell(self) -> int:
        return self._at

    def check(self) -> None:
        """Raises what the disk said: FFmpeg itself learns of it far too late."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self.error is not None and self._in_boxes:
                os.ftruncate(self._fd, _whole_fragments_bytes(self._fd))
            os.close(self._fd)


def _whole_fragments_bytes(fd: int) -> int:
    """Where the last whole fragment of an MP4 ends (ISO 14496-12: a fragment is a ``moof`` box and its ``mdat``).

    A fragment cut off in the middle is listed in full and lacks its end: players stop at it with an error.
    """
    total, at, whole = os.fstat(fd).st_size, 0, 0
    while at + 16 <= total:
        os.lseek(fd, at, os.SEEK_SET)
        head = os.read(fd, 16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8 or at + size > total:
            break
        at += size
        if head[4:8] != b"moof":
            whole = at
    return whole


def fitted(picture: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """``picture`` (H, W, 3) in a field of ``size_wh`` px: cut by an odd row or column, else scaled, black around it."""
    height_px, width_px = picture.shape[:2]
    width, height = size_wh
    if (max(2, width_px & ~1), max(2, height_px & ~1)) == size_wh and width_px > 1 and height_px > 1:
        return picture[:height, :width]
    scale = min(width / width_px, height / height_px)
    inner = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA)
    return canvas
