"""What a frame's journey carries: frames, detections, results, stage times, and how the loop is doing.

Frozen and slotted; arrays are checked once, on construction.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """N detections, best first as decoders give them.

    Raises ValueError on construction where an array has another shape or type than stated.
    """

    boxes: NDArray[np.float32]
    """(N, 4) x1, y1, x2, y2 in pixels of the frame, clipped to it."""
    scores: NDArray[np.float32]
    """(N,) in 0-1."""
    class_ids: NDArray[np.int64]
    """(N,) index into the model's classes."""
    track_ids: NDArray[np.int64] | None = None
    """(N,) identity over time, or None where nothing tracks."""
    looks: int = 1
    """How many times the network looked at the frame: more than once where it zooms in."""

    def __post_init__(self) -> None:
        n = len(self.boxes)
        _check("boxes", self.boxes, (n, 4), np.float32)
        _check("scores", self.scores, (n,), np.float32)
        _check("class_ids", self.class_ids, (n,), np.int64)
        if self.track_ids is not None:
            _check("track_ids", self.track_ids, (n,), np.int64)

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Detections:
        """No detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def select(self, index: NDArray[Any]) -> Detections:
        """Those that ``index`` names: a boolean mask (N,) or integer indices (K,)."""
        tracks = None if self.track_ids is None else self.track_ids[index]
        return Detections(self.boxes[index], self.scores[index], self.class_ids[index], tracks, self.looks)

    def tracked(self, track_ids: NDArray[np.int64]) -> Detections:
        """The same detections with identities (N,)."""
        return replace(self, track_ids=track_ids)


def _check(name: str, array: NDArray[Any], shape: tuple[int, ...], kind: type[np.generic]) -> None:
    if array.shape != shape or array.dtype != kind:
        raise ValueError(f"{name}: expected {kind.__name__} {shape}, got {array.dtype} {array.shape}")


ProgressCallback = Callable[[int, int, str], None]
"""Told (done, of how many, what now) after each piece of work."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source says of itself once it is open: read back from the device, not what was asked."""

    name: str
    """As shown to people and written to JSON: never a password in an address."""
    width_px: int
    height_px: int
    fps: float | None
    """Nominal frames per second, or None where the source does not know."""
    live: bool
    """True where frames happen whether or not they are read (they may be dropped); False for files (never dropped)."""
    frame_count: int | None = None
    """Frames in all, where known beforehand (files)."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One captured picture. Construction makes ``pixels`` read-only: draw on a copy."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) BGR."""
    index: int
    """Counts captured frames from 0; a gap between two results is a number of dropped frames."""
    captured_ns: int
    """time.monotonic_ns() of exposure, or as near to it as the source allows."""
    source: SourceInfo
    truth: Detections | None = None
    """True boxes, where the source knows them (the built-in scene)."""

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if len(shape) != 3 or shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels: expected uint8 (H, W, 3), got {self.pixels.dtype} {shape}")
        self.pixels.flags.writeable = False

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels, of this frame: a stream may change size on the way."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def moment_ns(self) -> int:
        """When it happened, on its source's own clock: a file is read faster than it was filmed."""
        info = self.source
        return self.captured_ns if info.live or not info.fps else round(self.index * 1e9 / info.fps)


@dataclass(frozen=True, slots=True)
class StageTimes:
    """How long each stage took for one frame, in integer nanoseconds."""

    capture: int = 0
    """From asking the source for a frame until it was there; on a live source mostly waiting for the sensor."""
    wait: int = 0
    """From the frame being there until preprocessing began."""
    preprocess: int = 0
    """0, like ``infer``, where the detections are predicted."""
    infer: int = 0
    decode: int = 0
    track: int = 0
    render: int = 0
    publish: int = 0
    """Sinks that ran before this figure was read; a sink cannot know its own time."""

    def as_ms(self) -> dict[str, float]:
        """Stage name to milliseconds, in the order of the loop."""
        return {f.name: round(getattr(self, f.name) / 1e6, 3) for f in fields(self)}


STAGES = tuple(f.name for f in fields(StageTimes))


class EventPhase(StrEnum):
    """How far an event has come."""

    BEGIN = "begin"
    UPDATE = "update"
    STAY = "stay"
    """The object is in the zone for longer than the zone's ``stay_s``."""
    END = "end"


@dataclass(frozen=True, slots=True, eq=False)
class BestImage:
    """The sharpest, largest and surest view of an event's object so far."""

    frame_index: int
    captured_ns: int
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in px of that frame."""
    score: float
    pixels: NDArray[np.uint8]
    """(H, W, 3) BGR: the box with a margin, cut out of the frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that happened to one object, as it stands now. The same ``id`` from beginning to end."""

    id: str
    kind: str
    """``object`` (appears, disappears), ``zone`` (enters, stays, leaves) or ``line`` (crosses, at once ended)."""
    phase: EventPhase
    place: str
    """The zone's or the line's name; empty for ``object``."""
    direction: str
    """``in`` or ``out`` for a line, else empty."""
    class_name: str
    track_id: int
    began_ns: int
    """On the frames' clock (`Frame.moment_ns`)."""
    moment_ns: int
    """Of the frame that this was seen in; for an end, when the object was last there."""
    first_box: tuple[float, float, float, float]
    last_box: tuple[float, float, float, float]
    score: float
    """The highest so far, 0-1."""
    model: str
    source: str
    best: BestImage | None = None

    @property
    def name(self) -> str:
        """What happened, in a word: appear, disappear, enter, stay, leave, cross; else update."""
        if self.kind == "line":
            return "cross"
        begin, end = ("appear", "disappear") if self.kind == "object" else ("enter", "leave")
        return {EventPhase.BEGIN: begin, EventPhase.END: end}.get(self.phase, self.phase.value)

    @property
    def duration_s(self) -> float:
        return (self.moment_ns - self.began_ns) / 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One frame, what was found in *that* frame (or is predicted to be there), by which model, and what it cost."""

    frame: Frame
    detections: Detections
    times: StageTimes
    model: str
    """``name@version`` of the model that produced the detections."""
    classes: tuple[str, ...]
    """Class names of that model: after a swap, older results keep theirs."""
    predicted: bool = False
    """The network did not look at this frame: the detections are those of the last frame that it looked at, moved on to
    this frame's time by their tracks' motion. What has come or gone since is not in them."""
    looks: int = 1
    """How many times the network looked at this frame; 0 where the detections are predicted."""
    events: tuple[Event, ...] = ()
    """What began, went on or ended with this frame, where zones or lines are watched."""

    def age_ms(self, now_ns: int) -> float:
        """Milliseconds from exposure until ``now_ns`` (time.monotonic_ns())."""
        return (now_ns - self.frame.captured_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Status:
    """How the loop is doing: what the status line shows."""

    state: str
    """``starting``, ``running``, ``paused``, ``lost`` (no frame for 2 s) or ``ended``."""
    detail: str = ""
    """In words, where there is something to say: why the source is lost."""
    fps: float = 0.0
    """Unique captured frames a second through the whole loop, over the last 2 s."""
    infer_ms: float = 0.0
    """Median inference time over the last frames that were inferred."""
    age_ms: float = 0.0
    """Age of the newest published frame when it was published; while lost, its age now."""
    dropped: int = 0
    frames: int = 0
    model: str = ""
    source: str = ""
    detect_every: int = 1
    """Of so many frames one is detected, the others' boxes are predicted."""
    looks: int = 1
    """Looks at the newest frame: see `Result.looks`."""

    @property
    def news(self) -> tuple[str, str]:
        """State and detail without its numbers, which count on while nothing changes: what differs is worth saying."""
        return self.state, re.sub(r"\d+", "#", self.detail)
