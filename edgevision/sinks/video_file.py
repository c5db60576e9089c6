"""A recording of the drawn pictures.

A live source's pictures keep the time they were captured at, so playback runs as the world did, dropped frames or
not. A file's keep the rate of the file. How the file survives a crash or a full disk: see `encoding`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2  # noqa: F401 - before av, whose libxcb hangs Qt's windows
import av
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import SinkError
from edgevision.frame_queue import BoundedQueue, Closed
from edgevision.interfaces import ContextManaged
from edgevision.sinks.render import Renderer
from edgevision.sinks.video_encoder import FORMATS, TICKS_PER_S, VideoEncoder
from edgevision.types import Frame, Result, SourceInfo, Status

_log = logging.getLogger(__name__)

_PICTURES_FPS = 2.0
"""A folder of images has no rate of its own."""
_NOTICE_EVERY_NS = 1_000_000_000
_FINISH_S = 2.5


class VideoFileSink(ContextManaged):
    """Records what is published to ``path``.

    Encoding has a thread of its own. A live source never waits for it: what it cannot keep up with is left out and
    counted. A file waits, since nothing of it may be lost. A full disk is one warning: the loop continues.

    Raises `SinkError` on construction where the name's ending is not of a video or the file cannot be written; an old
    file of that name is replaced only when the first picture comes.
    """

    def __init__(self, path: Path | str, *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in FORMATS:
            raise SinkError(f"a video is saved as {', '.join(FORMATS)}; {self.path.name!r} ends otherwise: rename it")
        self._format = FORMATS[suffix]
        self._made = not self.path.exists()
        try:
            with self.path.open("ab"):
                pass
        except OSError as exc:
            raise SinkError(
                f"the video cannot be written to {self.path}: {exc.strerror}; name a file in a folder you may write to"
            ) from exc
        self._now_ns = now_ns
        self._renderer = Renderer()
        self._last: NDArray[np.uint8] | None = None
        self._noticed: tuple[str, int] | None = None
        self._first: tuple[SourceInfo, int, int] | None = None
        """Of the first picture: the source, the index of the frame, and when it was captured."""
        self._slot: BoundedQueue[tuple[NDArray[np.uint8], int]] = BoundedQueue()
        self._thread: threading.Thread | None = None
        self._failed = threading.Event()
        self._closed = False
        self.written = 0
        """Pictures in the file so far."""

    @property
    def wants_picture(self) -> bool:
        return not self._closed and not self._failed.is_set()

    @property
    def skipped(self) -> int:
        """Pictures of a live source left out because encoding was slower than the source."""
        return self._slot.statistics.dropped

    def publish(self, result: Result, picture: NDArray[np.uint8] | None, status: Status) -> None:
        if picture is None or not self.wants_picture:
            return
        source, first_index, first_ns = self._first or self._begin(result.frame)
        if source.live:
            self._slot.put((picture, (result.frame.captured_ns - first_ns) * TICKS_PER_S // 1_000_000_000))
        else:
            self._slot.put((picture, int((result.frame.index - first_index) * TICKS_PER_S / _rate(source))))
        self._last, self._noticed = picture, None

    def notice(self, status: Status) -> None:
        """Record that a live source is lost or paused: else playback would hold the last picture as if it were live."""
        if status.state not in ("lost", "paused") or self._first is None or not self._first[0].live:
            return
        now_ns = self._now_ns()
        held = self._noticed
        if held is not None and held[0] == status.state and now_ns - held[1] < _NOTICE_EVERY_NS:
            return
        self._noticed = (status.state, now_ns)
        if self.wants_picture:
            ticks = (now_ns - self._first[2]) * TICKS_PER_S // 1_000_000_000
            self._slot.put((self._renderer.overlay(self._last, status), ticks))

    def close(self) -> None:
        """Write what is waiting and finish the file, in 2.5 s at most."""
        if self._closed:
            return
        self._closed = True
        self._last = None
        self._slot.close()
        if self._thread is None:
            if self._made:  # Checking that it can be written left an empty file.
                self.path.unlink(missing_ok=True)
            return
        self._thread.join(_FINISH_S)
        if self._thread.is_alive():
            rest = "what is in it plays" if plays(self.path) else "nothing in it plays yet"
            _log.warning("the video %s is not finished after %.1f s; %s", self.path, _FINISH_S, rest)
        if self.skipped:
            total = self.written + self.skipped
            _log.warning("%d of %d frames are not in %s: encoding was slower", self.skipped, total, self.path)

    def _begin(self, frame: Frame) -> tuple[SourceInfo, int, int]:
        """The first picture says what kind of source this is."""
        _refuse_own_source(self.path, frame.source)
        live = frame.source.live
        self._first = first = (frame.source, frame.index, frame.captured_ns)
        # Room for what comes while the encoder is being opened, which takes longer than a frame.
        self._slot = BoundedQueue(4, newest_wins=live)
        self._thread = threading.Thread(target=self._write_all, args=(frame.source,), name="edgevision-video")
        self._thread.daemon = True  # A disk that hangs must not keep the program alive.
        self._thread.start()
        return first

    def _write_all(self, source: SourceInfo) -> None:
        encoder: VideoEncoder | None = None
        error: Exception | None = None
        try:
            while True:
                try:
                    picture, ticks = self._slot.take()
                except Closed:
                    break
                if encoder is None:
                    encoder = VideoEncoder(self.path, self._format, picture, _rate(source), source.live)
                self.written += encoder.write(picture, ticks)
        except Exception as exc:  # the loop does not depend on a recording, whatever is wrong with it
            error = exc
            self._failed.set()
            self._slot.close()  # A file's loop may be waiting for room.
            self._slot.clear()
        if encoder is not None:
            try:
                encoder.close()
            except (OSError, av.FFmpegError) as exc:
                error = error or exc
                self._failed.set()
        if error is not None:
            self._say_why(error)

    def _say_why(self, exc: Exception) -> None:
        """Why the file ends early, and what there is of it: looked at, not supposed."""
        reason = getattr(exc, "strerror", None) or repr(exc)
        ours = not isinstance(exc, OSError | av.FFmpegError)
        if plays(self.path):
            rest = "what is in it plays"
        elif self._made:
            self.path.unlink(missing_ok=True)
            rest = "not one frame of it was written, so the file is removed"
        else:
            rest = "not one frame of it was written: nothing in the file plays"
        text = "the video %s ends here: %s; the loop continues, and %s"
        _log.warning(text, self.path, reason, rest, exc_info=ours)


def plays(path: Path) -> bool:
    """Whether at least one frame of a video file can be decoded."""
    try:
        with av.open(str(path.absolute())) as container:
            return next(container.decode(video=0), None) is not None
    except (OSError, av.FFmpegError, IndexError):
        return False


def _rate(source: SourceInfo) -> Fraction:
    """Nominal frames per second; what is written into the file as such."""
    return Fraction(source.fps or (30.0 if source.live else _PICTURES_FPS)).limit_denominator(1001)


def _refuse_own_source(path: Path, source: SourceInfo) -> None:
    """Saving over the file that is being read would destroy it."""
    with contextlib.suppress(OSError, ValueError):
        if path.exists() and Path(source.name).exists() and path.samefile(source.name):
            raise SinkError(f"{path} is the source itself, and saving would destroy it: name another file")
