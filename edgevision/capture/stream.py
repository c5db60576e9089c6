"""Network streams, decoded by FFmpeg through PyAV: RTSP, MJPEG over HTTP, RTMP, SRT, UDP; and files over HTTP.

One thread opens, reads and closes the connection; whoever calls `read` only waits for its pictures. For a blocked
read of FFmpeg can be ended by nothing but its own time limit, and closing under it takes the process down.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import cv2  # noqa: F401 - before av, whose libxcb hangs Qt's windows
import av
from av.codec.context import Flags
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edgevision.capture.integrity import IntegrityCheck
from edgevision.capture.redact import hide_credentials
from edgevision.capture.stream_open import is_live, is_loose_mjpeg, open_stream, reason_of, without_address
from edgevision.capture.video import Converter, fps_of, frames_of, video_of, whole_pictures
from edgevision.errors import SourceBroken, SourceError, SourceLost, SourceNotFound
from edgevision.frame_queue import BoundedQueue, Closed
from edgevision.interfaces import ContextManaged
from edgevision.types import Frame, SourceInfo

_OPEN_TIMEOUT_S = 3.0
_READ_TIMEOUT_S = 3.0
_SILENT_AFTER_S = 2.0
"""Without a picture for so long, `StreamSource.trouble` says so; the connection is given up a second later."""
_NO_PICTURE_S = 10.0
"""Packets but no picture for so long: damaged, or a key frame that never comes."""
_BACKLOG_S = 2.0
"""At most so long after opening, pictures that a server had kept for newcomers are passed over."""
_SHORT_PERIOD_S = 0.02
"""Assumed where a stream has no time stamps of its own."""
_CLOSE_WAIT_S = 0.5

_ONE_LATE = ("rtsp", "mpegts", "mjpeg")
_PARSED = ("h264", "hevc", "mpeg4", "mpeg2video", "mjpeg")
"""Demuxers and codecs where FFmpeg waits for the next picture before it hands out one: a frame of delay."""

_UNTIMED = ("mpjpeg", "mjpeg")
"""Demuxers that make time stamps up, 25 a second."""


class StreamSource(ContextManaged):
    """An address of the network (RTSP, HTTP, RTMP, SRT, UDP …).

    Live and newest frame first, unless the address is that of a finite file.

    A finite file (its length or duration is known) is read like any file: in order, nothing dropped, `SourceBroken`
    at the end where something is missing. Of a live stream, `Frame.captured_ns` is when the packet that carried the
    picture arrived, and gaps in `Frame.index` are pictures that came while nobody read.
    """

    def __init__(
        self,
        address: str,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        open_timeout_s: float = _OPEN_TIMEOUT_S,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> None:
        """Raises `SourceNotFound` where nothing answers or no picture comes, `SourceBroken` for what is no video."""
        self._address, self._shown = address, hide_credentials(address)
        self._clock = clock
        self._timeouts_s = (open_timeout_s, read_timeout_s)
        self._closing = threading.Event()
        self._convert = Converter()
        self._opened: BoundedQueue[SourceInfo] = BoundedQueue()
        self._frames: BoundedQueue[tuple[int, int, VideoFrame]] = BoundedQueue()
        self._pictured_ns = clock()
        self._last_ns = 0
        self._first_index: int | None = None
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()
        try:
            self._info = self._opened.take()
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def trouble(self) -> str | None:
        silent_s = (self._clock() - self._pictured_ns) / 1e9
        if not self._info.live or silent_s < _SILENT_AFTER_S or self._closing.is_set():
            return None
        return f"{self._shown} has sent no frame for {silent_s:.0f} s"

    def read(self) -> Frame | None:
        """The newest frame (live) or the next one (a finite file); None after `close` and at the end of a file.

        Raises `SourceLost` where a live stream ended or fell silent, `SourceBroken` where a finite file is damaged.
        """
        try:
            index, arrived_ns, decoded = self._frames.take()
        except Closed:
            return None
        if self._closing.is_set():
            return None
        if self._first_index is None:
            self._first_index = index if self._info.live else 0  # what came before anybody read was dropped by nobody
        # Pictures come out of the decoder in the order of display, which is not quite the order of arrival.
        self._last_ns = max(self._last_ns, arrived_ns if self._info.live else self._clock())
        return Frame(self._convert(decoded), index - self._first_index, self._last_ns, self._info)

    def close(self) -> None:
        """Release the connection; a thread that waits for a silent server does so by itself, within its time limit."""
        self._closing.set()
        self._frames.close()
        self._thread.join(_CLOSE_WAIT_S)

    def _run(self) -> None:
        """All that happens to the connection, in one thread."""
        error: BaseException | None = None
        try:
            self._play()
        except FFmpegError as exc:
            without_address(exc)
            error = SourceLost(f"{self._shown} stopped: {reason_of(exc, self._timeouts_s[1])}")
            error.__cause__ = exc
        except BaseException as exc:  # handed to the reader, who raises it
            error = exc
        began = self._opened.statistics.put > 0
        if isinstance(error, SourceLost):
            self._frames.clear()  # what nobody took so far is old by now
            if not began:
                error = _caused(SourceNotFound(f"{error}; check the address, and that the camera sends"), error)
        if isinstance(error, SourceError):
            _forget_calls(error)
        # To the one who waits: the same error in two places is kept by the second while the first is raised.
        self._opened.close(None if began else error)
        self._frames.close(error if began else None)
        error = None  # its traceback holds this call: a circle that would keep pictures alive

    def _play(self) -> None:
        """Give all pictures. Where FFmpeg sees none in loose MJPEG: once more, by the images' own markers."""
        try:
            self._play_by(None)
            return
        except (FFmpegError, SourceError) as exc:
            if self._opened.statistics.put or not is_loose_mjpeg(self._address, exc):
                raise
        self._play_by("mjpeg")

    def _play_by(self, demuxer: str | None) -> None:
        with open_stream(self._address, self._timeouts_s, demuxer) as container:
            stream = video_of(container, self._shown)
            if is_live(container, self._address):
                self._give_newest(container, stream)
            else:
                self._give_all(container, stream)

    def _give_newest(self, container: InputContainer, stream: VideoStream) -> None:
        """Decode all that comes, hold the newest picture. Ends on `close`; raises `SourceLost` at a stream's end."""
        self._frames = BoundedQueue(newest_wins=True)
        context = stream.codec_context
        stream.thread_type = "SLICE"  # decoding several frames at once would hold each back
        context.flags |= Flags.low_delay
        context.copy_opaque = True
        for other in container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all  # sound must not pass for a sign of life
        demuxer = container.format.name
        backlog = _Backlog(self._clock(), timed=demuxer not in _UNTIMED)
        # FFmpeg's parser knows that such a picture is whole when the next one begins: its last byte came with the
        # packet before.
        one_late = demuxer in _ONE_LATE and stream.codec_context.name in _PARSED
        index = 0
        before = asked = self._clock()
        for packet in container.demux(stream):
            now = self._clock()
            if self._closing.is_set():
                return
            if now - asked >= 0.98e9 * self._timeouts_s[1]:
                raise SourceLost(f"{self._shown} stopped: nothing came for {self._timeouts_s[1]:.0f} s")
            if now - self._pictured_ns > _NO_PICTURE_S * 1e9:
                raise SourceLost(f"{self._shown} sends data, but no complete frame for {_NO_PICTURE_S:.0f} s")
            arrived, before = (before if one_late else now), now
            packet.opaque = arrived
            old = backlog.holds(now, packet.dts, float(packet.time_base or 0))
            try:
                pictures = packet.decode()
            except InvalidDataError:
                pictures = []  # the next key frame mends it
            for picture in pictures:
                assert isinstance(picture, VideoFrame)
                if picture.is_corrupt:
                    continue
                self._pictured_ns = arrived
                if not old:
                    self._give(stream, index, picture, live=True)
                    index += 1
            asked = self._clock()
        raise SourceLost(f"{self._shown} was ended by the server")

    def _give_all(self, container: InputContainer, stream: VideoStream) -> None:
        """Decode a finite file, no faster than it is read."""
        self._frames = BoundedQueue(capacity=2)
        stream.thread_type = "AUTO"
        ledger = IntegrityCheck(container, stream, None)
        verdict: str | None
        cause: FFmpegError | None = None
        try:
            for index, picture in whole_pictures(container, stream, ledger):
                if not self._give(stream, index, picture, live=False):
                    return
            verdict = ledger.verdict()
        except FFmpegError as exc:
            cause = without_address(exc)
            verdict = f"broke off after {ledger.given} frames ({reason_of(exc, self._timeouts_s[1])}); try again"
        if verdict is not None:
            raise SourceBroken(f"{self._shown} {verdict}") from cause

    def _give(self, stream: VideoStream, index: int, picture: VideoFrame, live: bool) -> bool:
        """Hand over one picture, and before the first one what is known of the source. False once closed."""
        if not self._opened.statistics.put:
            turned = picture.rotation % 180 == 90
            width_px, height_px = (picture.height, picture.width) if turned else (picture.width, picture.height)
            count = None if live else frames_of(stream)
            fps = None if live and stream.container.format.name in _UNTIMED else fps_of(stream)
            self._opened.put(SourceInfo(self._shown, width_px, height_px, fps, live, count))
        arrived_ns = picture.opaque if isinstance(picture.opaque, int) else self._pictured_ns
        if self._closing.is_set():
            return False
        return self._frames.put((index, arrived_ns, picture))


class _Backlog:
    """Tells pictures that a server had waiting from those that are new.

    Many servers send all since the last key frame to whoever connects. Such packets come faster than they were filmed;
    once some in a row do not, that is the present.
    """

    def __init__(self, opened_ns: int, timed: bool) -> None:
        """``timed``: the time stamps are the camera's, not FFmpeg's guess of 25 frames a second."""
        self._until_ns = opened_ns + round(_BACKLOG_S * 1e9)
        self._timed = timed
        self._recent: deque[tuple[int, float]] = deque(maxlen=5)
        """When packets came, in ns, and when they were filmed, in s."""
        self._over = False

    def holds(self, now_ns: int, dts: int | None, tick_s: float) -> bool:
        """Whether a packet that came at ``now_ns``, ``dts`` ticks of ``tick_s`` into the stream, had been waiting."""
        if self._over:
            return False
        known = self._timed and dts is not None
        filmed_s = dts * tick_s if known and dts is not None else self._assumed_s()
        self._recent.append((now_ns, filmed_s))
        first_ns, first_s = self._recent[0]
        came_in_s = (now_ns - first_ns) / 1e9
        self._over = now_ns > self._until_ns or (len(self._recent) > 2 and came_in_s >= (filmed_s - first_s) / 2)
        return not self._over

    def _assumed_s(self) -> float:
        return self._recent[-1][1] + _SHORT_PERIOD_S if self._recent else 0.0


def _caused(error: SourceError, cause: BaseException) -> SourceError:
    error.__cause__ = cause
    return error


def _forget_calls(error: BaseException | None) -> None:
    """Drop the tracebacks of a foreseen error and of its causes, which hold the connection and its decoder.

    FFmpeg's threads and buffers would live for as long as whoever catches the error keeps it.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
