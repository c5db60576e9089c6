"""What the loop gives for each frame."""

from __future__ import annotations

from dataclasses import dataclass, fields

from edgevision.detections import Detections
from edgevision.frame import Frame


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

    def age_ms(self, now_ns: int) -> float:
        """Milliseconds from exposure until ``now_ns`` (time.monotonic_ns())."""
        return (now_ns - self.frame.captured_ns) / 1e6
