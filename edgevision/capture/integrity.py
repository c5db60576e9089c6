"""Whether a video file gave all that it promised, and where it did not.

FFmpeg reads a cut file to its last byte and then says "end of file", as it does for a whole one. So the promises are
looked up where they are written: how the file ends (`file_end`), the duration in its header, and one picture for every
packet.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2  # noqa: F401 - before av, whose libxcb hangs Qt's windows
from av import VideoFrame
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from edgevision.capture.file_end import ending_of
from edgevision.capture.file_ends.ending import Ending
from edgevision.capture.packet_zeros import zeros_in_packet

_PROMISES_DURATION = ("mov", "matroska", "avi", "flv", "asf")
"""Demuxers whose duration is read from a header; others estimate it, from the last time stamp or the bit rate."""
_PICTURE_A_PACKET = {"h264", "hevc", "av1", "vp9", "mjpeg"}
"""Codecs that show one picture for each packet, in the containers below (not VP8, which has hidden ones)."""
_WHOLE_PACKETS = ("mov", "matroska")
_CLEARLY_SHORT_S = 1.0


class IntegrityCheck:
    """Keeps account of packets in and pictures out of one file, and numbers the pictures."""

    def __init__(self, container: InputContainer, stream: VideoStream, path: Path | None) -> None:
        """``path``: of a local file, whose length can be held against what its boxes say."""
        self._path = path
        demuxer = container.format.name.split(",")[0]
        self._stream = stream
        self._time_base = stream.time_base or Fraction(1, 1000)
        # The format's name, not the decoder's: AV1's is libdav1d.
        self._codec = stream.codec_context.codec.canonical_name
        self._pairs = self._codec in _PICTURE_A_PACKET and demuxer in _WHOLE_PACKETS
        self._due: set[int] = set()
        """Time stamps of packets whose picture has not come out yet; as many as the decoder's delay."""
        self._shown: int | None = None
        """Time stamp of the newest picture that came out."""
        self._promised_s = _promised_s(container, stream, demuxer)
        self._start_s = float((stream.start_time or 0) * self._time_base)
        self._end_s = self._start_s
        self._gap_s = 0.0
        self._last_s: float | None = None
        self._last_index = 0
        self._fps = float(stream.average_rate or 0)
        self._lost_s: list[float] = []
        """Times of packets without a picture, that no picture has come after yet."""
        self._demuxer = demuxer
        self._packets = 0
        self._promised = stream.frames if demuxer == "avi" else 0
        self.unknown: str | None = None
        """After `verdict`: why it cannot be known whether the file is whole."""
        self.number = 0
        """Index of the next picture; one that cannot be read keeps its number."""
        self.given = 0
        """Pictures that could be read."""
        self._damaged = 0
        self._first: str | None = None

    def packet(self, packet: Packet[Stream]) -> bool:
        """Enter a packet of any stream. Whether it is whole: half a packet is not worth decoding."""
        if packet.pts is not None and packet.time_base is not None:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._end_s = max(self._end_s, end_s)
        if packet.stream is not self._stream:
            return True
        self._packets += 1
        if self._pairs and packet.pts is not None and not packet.is_discard:
            self._due.add(packet.pts)
        if packet.is_corrupt or (packet.size and zeros_in_packet(bytes(packet), self._codec, self._demuxer)):
            self.undecodable(packet)
            return False
        return True

    def same_again(self) -> None:
        """Enter an empty packet, by which AVI shows a picture once more."""
        self._packets += 1

    def undecodable(self, packet: Packet[Stream]) -> None:
        """Enter that a packet gave no picture, but an error."""
        lost_s = _time_s(packet.pts, self._time_base)
        if not self._pairs or self._shown is None or packet.is_corrupt:
            self._lost_s.append(self._end_s if lost_s is None else lost_s)
        if not self._pairs or self._shown is None:
            self._due.clear()
            self._note(lost_s)
        # Else it stays due, and is missed in its turn: decoding threads report an error some packets late.

    def picture(self, decoded: VideoFrame) -> int | None:
        """Enter a picture; its index, or None where the decoder says that it is damaged."""
        pts, now_s = decoded.pts, _time_s(decoded.pts, self._time_base)
        if decoded.interlaced_frame:
            self._pairs = False  # a packet may then hold one field, half a picture
        if self._pairs and pts is not None:
            self._due.discard(pts)
            # Pictures come in the order of their time: what was due before this one will not come any more. Before
            # the very first one, that is the usual start of a clip that was cut out of a longer one.
            missed = sorted(due for due in self._due if due < pts)
            if self._shown is not None:
                for due in missed:
                    self._note(_time_s(due, self._time_base))
                    self.number += 1
            self._due.difference_update(missed)
            self._shown = pts
        if now_s is None:
            self.number += len(self._lost_s)
            self._lost_s.clear()
        elif any(lost_s < now_s for lost_s in self._lost_s):
            # More may have been lost than was noticed: the time tells how many.
            self.number = max(self.number, self._number_at(now_s))
            self._lost_s = [lost_s for lost_s in self._lost_s if lost_s >= now_s]
        index = self.number
        if now_s is not None:
            if self._last_s is not None:
                self._gap_s = max(self._gap_s, now_s - self._last_s)
            self._last_s, self._last_index = now_s, index
        if decoded.is_corrupt:
            self._note(now_s)
        else:
            self.given += 1
        self.number += 1
        return None if decoded.is_corrupt else index

    def verdict(self) -> str | None:
        """At the end: what is wrong with the file, in words that follow its name, or None where it is whole."""
        if self._pairs:
            for due in sorted(self._due):
                self._note(_time_s(due, self._time_base))
        reached = f"after {self.given} frames ({self._end_s - self._start_s:.2f} s)"
        ending = Ending() if self._path is None else ending_of(self._path, self._demuxer)
        self.unknown = ending.unknown
        if ending.cut is not None:
            return f"is cut off {reached}: {ending.cut}"
        if self._promised_s is not None:
            short_s = self._promised_s - self._end_s
            # A picture may stand for long in a screen recording, the last one too.
            if short_s > max(_CLEARLY_SHORT_S, 2 * self._gap_s):
                return f"is cut off {reached}: its header promises {self._promised_s - self._start_s:.2f} s"
        if self._first is None and ending.damaged is None and self._packets < self._promised:
            return f"is damaged: it holds {self._packets} of the {self._promised} frames that its header promises"
        if self._first is not None:
            places = f" and in {self._damaged - 1} more places" if self._damaged > 1 else ""
            return f"is damaged at {self._first}{places}: {self.given} frames could be read"
        if ending.damaged is not None:
            return f"is damaged, {self.given} frames could be read: {ending.damaged}"
        return None

    def _note(self, at_s: float | None) -> None:
        self._damaged += 1
        if self._first is None:
            number = self.number if at_s is None else max(self.number, self._number_at(at_s))
            moment = "" if at_s is None else f" ({at_s - self._start_s:.2f} s)"
            self._first = f"frame {number}{moment}"

    def _number_at(self, at_s: float) -> int:
        """Index of the picture at a time, by the rate and the last one that came."""
        last_s = self._start_s if self._last_s is None else self._last_s
        return self._last_index + round((at_s - last_s) * self._fps)


def _promised_s(container: InputContainer, stream: VideoStream, demuxer: str) -> float | None:
    """When the header says that the video ends, in seconds, or None where it does not say."""
    if demuxer not in _PROMISES_DURATION:
        return None
    if demuxer == "avi" and stream.frames and stream.average_rate:
        # The demuxer shortens the duration to what the file's length lets it expect; the count is the header's.
        return float(stream.frames / stream.average_rate)
    if stream.duration is not None and stream.time_base is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if container.duration is not None:
        return ((container.start_time or 0) + container.duration) / 1e6
    return None


def _time_s(pts: int | None, time_base: Fraction) -> float | None:
    return None if pts is None else float(pts * time_base)
