"""The contracts of the loop's parts, two or three verbs each, and what a person may ask of a running loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgevision.types import Detections, Event, Frame, Result, SourceInfo, Status


class Controls:
    """What a person asks of the running loop, from a window, a page or a signal. Safe from any thread."""

    def __init__(self) -> None:
        self._quit = threading.Event()
        self._paused = threading.Event()
        self._snapshot = threading.Event()

    def quit(self) -> None:
        self._quit.set()

    @property
    def quitting(self) -> bool:
        return self._quit.is_set()

    def toggle_pause(self) -> bool:
        """Pause or go on; returns whether it is paused now."""
        if self._paused.is_set():
            self._paused.clear()
        else:
            self._paused.set()
        return self._paused.is_set()

    @property
    def paused(self) -> bool:
        return self._paused.is_set()

    def ask_snapshot(self) -> None:
        self._snapshot.set()

    def take_snapshot_request(self) -> bool:
        """True once for each time (or several at once) that a snapshot was asked for."""
        if self._snapshot.is_set():
            self._snapshot.clear()
            return True
        return False


class Source(Protocol):
    """Where frames come from. Opened on construction, with a first frame seen or `SourceNotFound` raised.

    `read` is called from one thread. `close` may be called from another while a `read` blocks: that
    `read` then returns within 2 s. Implementations inherit `ContextManaged`.
    """

    @property
    def info(self) -> SourceInfo: ...

    @property
    def trouble(self) -> str | None:
        """Why no frames come at present, in words, or None while all is well. Safe from any thread."""
        ...

    def read(self) -> Frame | None:
        """The next frame, or None at the end (of a file, or after `close`).

        Raises `SourceLost` when a live source stops, `SourceBroken` when a file cannot be read on.
        """
        ...

    def close(self) -> None:
        """Release the device or file. Twice is once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ContextManaged:
    """``with`` for whatever has a `close`."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Detector(Protocol):
    """Anything that finds objects in a picture: a compact model or a foundation model.

    This is all that a detector must have. What it may have besides is a protocol of its own: `HasMinScore`,
    `HasShownScore`, `StagedDetector`, `Closeable`. `detect` is called by one thread at a time.
    """

    @property
    def name(self) -> str:
        """``name@version``."""
        ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """Detections in one (H, W, 3) uint8 BGR picture. Raises `ModelFailed`."""
        ...


@runtime_checkable
class HasMinScore(Protocol):
    """A detector whose threshold may be set."""

    min_score: float
    """It gives boxes from this score on, 0-1."""


@runtime_checkable
class HasShownScore(Protocol):
    """A detector that may give more doubtful boxes than its results are to show: a tracker looks at them."""

    @property
    def shown_score(self) -> float:
        """The least score that is shown, 0-1."""
        ...


@runtime_checkable
class Closeable(Protocol):
    """What holds something to let go of."""

    def close(self) -> None:
        """Idempotent."""
        ...


def shown_score(detector: Detector, default: float = 0.3) -> float:
    """The least score that a detector's results are to show, 0-1; ``default`` where it has no threshold."""
    if isinstance(detector, HasShownScore):
        return detector.shown_score
    return detector.min_score if isinstance(detector, HasMinScore) else default


@runtime_checkable
class StagedDetector(Detector, Protocol):
    """A detector whose work splits in three, so that the loop can overlap and time the parts.

    ``detect(p)`` equals ``decode(infer(prepare(p)))``. What passes between them is the detector's own
    business; `prepare` and `infer` may run in different threads, for different frames at once.
    """

    @property
    def lanes(self) -> int:
        """How many frames `infer` can run at once."""
        ...

    def prepare(self, pixels: NDArray[np.uint8]) -> Any: ...

    def infer(self, prepared: Any, lane: int = 0) -> Any:
        """Run the network. ``lane`` picks one of the detector's independent sessions."""
        ...

    def decode(self, raw: Any) -> Detections: ...


class Loop(Protocol):
    """A running loop, as whoever changes its model sees it."""

    @property
    def detector(self) -> Detector: ...

    def exchange(
        self, detector: Detector, guarded: bool = False, on_failure: Callable[[BaseException], None] | None = None
    ) -> None: ...

    def observe(self, observer: Callable[[Result], None]) -> Callable[[], None]: ...

    @property
    def ended(self) -> bool:
        """No result will come any more."""
        ...

    @property
    def in_own_thread(self) -> bool:
        """Whether the caller's thread is the one that the loop runs in."""
        ...


class Tracker(Protocol):
    """Gives detections an identity over time."""

    def update(self, detections: Detections, captured_ns: int) -> Detections:
        """The same detections, in the same order, with ``track_ids``; -1 where not (yet) tracked."""
        ...

    def predict(self, captured_ns: int) -> Detections:
        """What the last `update` gave, its boxes (not clipped) moved on to ``captured_ns``; changes nothing.

        Asked for only where a loop does not detect on each frame.
        """
        ...

    def reset(self) -> None:
        """Forget everything: another source, or a model with other classes."""
        ...

    def adapt(self, min_score: float) -> None:
        """Another model's scores come from now on: what counts as sure is ``min_score``, 0-1."""
        ...


class Renderer(Protocol):
    """Draws a result on a copy of its frame."""

    def draw(self, result: Result, status: Status) -> NDArray[np.uint8]: ...


class EventWatcher(Protocol):
    """Turns results into events, in the loop's thread."""

    def update(self, result: Result) -> tuple[Event, ...]:
        """What began, went on or ended with one result."""
        ...

    def end(self) -> tuple[Event, ...]:
        """End what goes on: the loop is over."""
        ...


@runtime_checkable
class EventSink(Protocol):
    """A sink that takes events too, those of the loop's end included."""

    def publish_events(self, events: tuple[Event, ...]) -> None:
        """Called before the result that they came with, and once at the end. Must not block."""
        ...


class Sink(Protocol):
    """Where results go. Called from one thread, in the order of frames."""

    @property
    def wants_picture(self) -> bool:
        """Whether the next `publish` needs the drawn picture; asked before each frame, so that nobody
        draws what nobody sees."""
        ...

    def publish(self, result: Result, picture: NDArray[np.uint8] | None, status: Status) -> None:
        """Take one result. ``picture`` (H, W, 3) BGR is drawn and read-only; None unless wanted by some sink.

        Must not block on a slow consumer. Raises `SinkError` where it can go on no longer.
        """
        ...

    def notice(self, status: Status) -> None:
        """Told when there is no result to publish but the state changed or goes on: lost, paused."""
        ...

    def close(self) -> None:
        """Flush and finish files. Twice is once."""
        ...
