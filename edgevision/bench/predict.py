"""What a contender finds in a set of pictures: in each by itself, or as a loop that predicts between detections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgevision.bench.image_sets import FrameSet
from edgevision.bench.records import ContenderRecord
from edgevision.interfaces import Detector, HasMinScore
from edgevision.pipeline.detection_interval import Cadence
from edgevision.pipeline.tracking_stage import TrackingStage, tracker_for
from edgevision.types import Detections, Frame, SourceInfo


def at_cadence(contender: ContenderRecord, every: int) -> ContenderRecord:
    """The contender whose loop detects on one of ``every`` frames."""
    if every == 1:
        return contender
    label = f"{contender.label}, detect 1 of {every} frames"
    return contender.model_copy(update={"label": label, "detect_every": every})


def find(
    detector: Detector,
    frame_set: FrameSet,
    seconds: float,
    min_score: float | None,
    every: int,
    clock: Callable[[], int],
) -> list[Detections]:
    """Of each picture in order, as many as there is time for, at least one; boxes from ``min_score``, 0-1, on.

    With ``every`` over 1 the set must be in sequence: it goes through the loop's own cadence and tracker.
    """
    found: list[Detections] = []
    deadline = clock() + round(seconds * 1e9)
    with scores_kept(detector):
        looks = _each(detector, frame_set, min_score) if every == 1 else _some(detector, frame_set, min_score, every)
        for seen in looks:
            found.append(seen)
            if clock() >= deadline:
                break
    return found


@contextmanager
def scores_kept(detector: Detector) -> Iterator[None]:
    """Whatever threshold a detector is given meanwhile, it has its own again."""
    before = detector.min_score if isinstance(detector, HasMinScore) else None
    try:
        yield
    finally:
        _give(detector, before)


def _each(detector: Detector, frame_set: FrameSet, min_score: float | None) -> Iterator[Detections]:
    _give(detector, min_score)
    for pixels in frame_set.pictures():
        yield detector.detect(pixels)


def _some(detector: Detector, frame_set: FrameSet, min_score: float | None, every: int) -> Iterator[Detections]:
    info = SourceInfo(frame_set.name, 0, 0, frame_set.fps, live=False)  # each frame has its own size
    cadence, follower = Cadence(every, info), TrackingStage(tracker_for(detector, info), min_score, every)
    # After the tracker was made: its scores are those of a real run, which the whole curve does not change.
    _give(detector, min_score)
    for index, pixels in enumerate(frame_set.pictures()):
        frame = Frame(pixels, index, 0, info)
        if cadence.due(frame, detector):
            yield follower.detected(frame, detector, detector.detect(pixels))
        else:
            yield follower.predicted(frame)


def _give(detector: Detector, min_score: float | None) -> None:
    if min_score is not None and isinstance(detector, HasMinScore):
        detector.min_score = min_score
