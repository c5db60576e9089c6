"""Video files, decoded by FFmpeg through PyAV: every frame, in order, never "complete" where something is missing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import av
import numpy as np
from av.container import InputContainer
from av.error import EOFError as EndOfFile
from av.error import FFmpegError, InvalidDataError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from edgevision.capture.file_end import demuxer_of, ending_of
from edgevision.capture.image_header import MOST_PIXELS, image_header, too_large
from edgevision.capture.integrity import IntegrityCheck
from edgevision.concurrency import usable_cores
from edgevision.errors import SourceBroken, SourceNotFound
from edgevision.interfaces import ContextManaged
from edgevision.regular_file import open_regular
from edgevision.types import Frame, SourceInfo

_log = logging.getLogger(__name__)

_NO_PICTURES = ("tty", "txt")
"""Demuxers that make "pictures" of text."""
_PLAUSIBLE_FPS = (0.01, 1000.0)
_CLOSE_WAIT_S = 1.5
_HEAD_BYTES = 1 << 16
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def video_of(container: InputContainer, shown: str) -> VideoStream:
    """The stream to show, decoding set up. Raises `SourceBroken` where there is none that can be decoded."""
    if container.format.name in _NO_PICTURES:
        raise SourceBroken(
            f"expected a video, found text in {shown}: give a video file, an image or a folder of images"
        )
    # The picture on a record's sleeve is a video stream too.
    streams = [s for s in container.streams if not s.disposition & av.stream.Disposition.attached_pic]
    videos = [s for s in streams if isinstance(s, VideoStream)]
    if not videos:
        kinds = " and ".join(sorted({s.type for s in streams})) or "nothing"
        raise SourceBroken(f"expected a video, found {kinds} in {shown}: give a file with moving pictures in it")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in videos else videos[0]
    if stream.codec_context is None:  # stubs know no stream without decoder
        raise SourceBroken(f"no decoder for the video stream of {shown}: convert it to H.264")
    large = too_large(stream.codec_context.width, stream.codec_context.height)
    if large is not None:
        raise SourceBroken(f"{shown} {large}")
    # The size may change on the way.
    stream.codec_context.options = stream.codec_context.options | {"max_pixels": str(MOST_PIXELS)}
    return stream


def fps_of(stream: VideoStream) -> float | None:
    """Frames per second, where the stream states a plausible figure or FFmpeg measured one; not its guess of 25."""
    rate = stream.average_rate
    low, high = _PLAUSIBLE_FPS
    return float(rate) if rate and low <= rate <= high else None


def frames_of(stream: VideoStream) -> int | None:
    """Number of frames, where the header states one that agrees with the duration.

    A clip that was trimmed without encoding it anew holds more frames than it shows.
    """
    if not stream.frames or stream.duration is None or not stream.time_base or not stream.average_rate:
        return None
    shown = float(stream.duration * stream.time_base * stream.average_rate)
    return stream.frames if abs(stream.frames - shown) < 1.5 else None


class Converter:
    """Decoded pictures to (H, W, 3) uint8 BGR, upright.

    Rows may be padded (FFmpeg aligns them): the array is a view of the converted picture, not a copy.
    """

    def __init__(self) -> None:
        # One for all frames: a new one each time would build its tables anew. One thread: handing 0.3 ms of work
        # to a pool costs more than it saves.
        self._reformatter = VideoReformatter()

    def __call__(self, decoded: VideoFrame) -> NDArray[np.uint8]:
        pixels: NDArray[Any] = self._reformatter.reformat(decoded, format="bgr24", threads=1).to_ndarray()
        turn = _TURNS.get(decoded.rotation % 360)
        return pixels if turn is None else np.asarray(cv2.rotate(pixels, turn), np.uint8)


def whole_pictures(
    container: InputContainer, stream: VideoStream, ledger: IntegrityCheck
) -> Iterator[tuple[int, VideoFrame]]:
    """(index, picture) of every picture that can be read; what cannot is entered in ``ledger`` and skipped.

    Raises what FFmpeg raises where it can read the container no further.
    """
    # Other streams too: what a header promises may be the length of the sound.
    for packet in container.demux():
        if packet.stream is not stream:
            ledger.packet(packet)
            continue
        if packet.size:
            if not ledger.packet(packet):
                continue
        elif packet.dts is not None:
            ledger.same_again()
            continue  # AVI's way to say "the same picture again"; to a decoder an empty packet is the end
        try:
            pictures = packet.decode()
        except InvalidDataError:
            ledger.undecodable(packet)
            continue
        except EndOfFile:
            return  # a decoder that was flushed once already
        for picture in pictures:
            assert isinstance(picture, VideoFrame)
            index = ledger.picture(picture)
            if index is not None:
                yield index, picture


class VideoSource(ContextManaged):
    """A video file. Never drops a frame; as fast as it can be decoded, or paced to ``fps``.

    `Frame.captured_ns` is when a frame was read: a file knows no exposure. Where the file turns out damaged, all that
    can be read is given (with gaps in `Frame.index` where pictures are missing), then `SourceBroken` raised.
    """

    trouble: str | None = None

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """``fps`` paces playback; ``wait`` (seconds) is how it waits, and ends early on `close` unless given.

        Raises `SourceNotFound` where there is no such file, `SourceBroken` where nothing can be read of it.
        """
        self._path = Path(path).expanduser()
        self._shown = str(path)
        self._clock = clock
        self._closing = threading.Event()
        self._wait = self._closing.wait if wait is None else wait
        self._period_ns = round(1e9 / fps) if fps else 0
        self._due_ns: int | None = None
        self._ended = False
        self.unproven: str | None = None
        """After the last frame: why it cannot be known whether that was all of the file, or None where it was."""
        self._reading = threading.Lock()
        self._convert = Converter()
        self._container = self._open()
        try:
            stream = video_of(self._container, self._shown)
            stream.thread_type = "AUTO"  # frames and slices at once: the delay of some frames is no harm in a file
            # FFmpeg's own default is a thread more than there are cores, which takes turns with the network on all of
            # them: with one core left to it the loop of a 4 ms network on two cores is a tenth faster.
            stream.codec_context.thread_count = max(1, usable_cores() - 1)
            self._ledger = IntegrityCheck(self._container, stream, self._path)
            self._pictures = whole_pictures(self._container, stream, self._ledger)
            self._next: tuple[int, VideoFrame] | None = self._decode()
            if self._next is None:
                raise SourceBroken(f"{self._shown}: no frame could be decoded; the file is damaged or not a video")
            pixels = self._convert(self._next[1])
            self._info = SourceInfo(
                name=self._shown,
                width_px=pixels.shape[1],
                height_px=pixels.shape[0],
                fps=fps_of(stream) or fps,
                live=False,
                frame_count=frames_of(stream),
            )
        except BaseException:
            self._container.close()
            raise

    @property
    def info(self) -> SourceInfo:
        return self._info

    def read(self) -> Frame | None:
        """The next frame, or None at the end. Raises `SourceBroken` after the last one of a damaged file."""
        with self._reading:
            if self._next is None and not self._closing.is_set():
                self._next = self._decode()
            if self._next is not None and self._period_ns:
                self._pace()
            if self._closing.is_set():
                self._container.close()
                return None
            if self._next is None:
                return None
            (index, decoded), self._next = self._next, None
            return Frame(self._convert(decoded), index, self._clock(), self._info)

    def close(self) -> None:
        self._closing.set()
        # The container belongs to whoever reads: freed under a read, it takes the process down.
        if self._reading.acquire(timeout=_CLOSE_WAIT_S):
            self._container.close()
            self._reading.release()

    def _open(self) -> InputContainer:
        try:
            self._refuse_large()
            # An absolute path: FFmpeg would take "a:b.mp4" for a protocol.
            return av.open(str(self._path.absolute()), mode="r", metadata_errors="replace")
        except FileNotFoundError as exc:
            raise SourceNotFound(f"expected a video file, found nothing at {self._shown}: check the path") from exc
        except PermissionError as exc:
            raise SourceNotFound(f"expected a readable video file, may not read {self._shown}: check its mode") from exc
        except (FFmpegError, OSError) as exc:
            raise SourceBroken(f"{self._shown} {self._why_unreadable(exc)}") from exc

    def _refuse_large(self) -> None:
        """FFmpeg decodes the first image of some kinds to learn of its colours: their size is looked at before."""
        with open_regular(self._path) as file:
            header = image_header(file.read(_HEAD_BYTES))
        if header is not None and header.too_large is not None:
            raise SourceBroken(f"{self._shown} {header.too_large}")

    def _why_unreadable(self, error: Exception) -> str:
        if self._path.stat().st_size == 0:
            return "is empty (0 bytes): expected a video file; record or copy it again"
        demuxer = demuxer_of(self._path)
        ending = None if demuxer is None else ending_of(self._path, demuxer)
        if ending is not None and ending.cut is not None:
            return f"is cut off: {ending.cut}; copy it again, or repair it with a tool that can rebuild an index"
        reason = getattr(error, "strerror", None) or str(error)
        return f"is no video that can be read ({reason}): expected MP4, Matroska, AVI, MPEG or the like"

    def _decode(self) -> tuple[int, VideoFrame] | None:
        """The next picture, or None after the last. Raises `SourceBroken`, once, where that was not all."""
        if self._ended:
            return None
        error: FFmpegError | None = None
        try:
            picture = next(self._pictures, None)
        except FFmpegError as exc:
            picture, error = None, exc
        if picture is not None:
            return picture
        self._ended = True
        verdict = self._ledger.verdict()
        if verdict is None and error is not None:
            verdict = f"cannot be read beyond frame {self._ledger.number}: {error.strerror}"
        if verdict is not None and (self._ledger.given or error is not None):
            raise SourceBroken(f"{self._shown} {verdict}; copy or record it again") from error
        self.unproven = self._ledger.unknown
        if self.unproven is not None:
            _log.warning("%s: completeness unknown: %s", self._shown, self.unproven)
        return None

    def _pace(self) -> None:
        """Wait until the next frame is due; one that is late moves those after it: nothing runs to catch up."""
        now = self._clock()
        if self._due_ns is not None and self._due_ns > now:
            self._wait((self._due_ns - now) / 1e9)
            now = self._due_ns
        self._due_ns = now + self._period_ns
