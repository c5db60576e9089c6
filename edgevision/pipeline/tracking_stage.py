"""What is found, followed from frame to frame: identities, a change of model, and boxes where nothing was detected."""

from __future__ import annotations

from dataclasses import replace

from edgevision.detectors.boxes import area, clip
from edgevision.errors import UsageError
from edgevision.interfaces import Detector, HasMinScore, Tracker, shown_score
from edgevision.tracking.bytetrack import ByteTracker, doubtful_score
from edgevision.types import Detections, Frame, SourceInfo

USUAL_FPS = 30.0
"""Of a source that does not know its rate."""


def tracker_for(detector: Detector, source: SourceInfo) -> ByteTracker:
    """A tracker for what ``detector`` finds in ``source``. From now on the detector gives doubtful boxes too, which a
    tracker looks at, where it has a ``min_score`` to lower."""
    sure = shown_score(detector)
    if isinstance(detector, HasMinScore):
        detector.min_score = doubtful_score(sure)
    return ByteTracker.for_scores(sure, source.fps or USUAL_FPS)


class TrackingStage:
    """A tracker's part in a loop; without one, detections pass as they are. For one thread."""

    def __init__(self, tracker: Tracker | None, min_score: float | None = None, detect_every: int = 1) -> None:
        """``min_score`` is what is shown after tracking; by default what the detector is to show.

        Raises `UsageError` for a ``detect_every`` under 1, and for one over 1 without a tracker.
        """
        if detect_every < 1:
            raise UsageError(f"detect_every: expected at least 1, got {detect_every}")
        if detect_every > 1 and tracker is None:
            raise UsageError(
                f"detect_every={detect_every} needs a tracker: between detections, boxes go where their motion takes "
                "them; give tracker=ByteTracker.for_scores(shown_score, fps)"
            )
        self._tracker, self._min_score = tracker, min_score
        self._detector: Detector | None = None
        self._shown_score = 0.0

    @property
    def detector(self) -> Detector:
        """Whose detections came last."""
        assert self._detector is not None, "nothing was detected yet"
        return self._detector

    def detected(self, frame: Frame, detector: Detector, found: Detections) -> Detections:
        """What ``detector`` found in ``frame``, with identities."""
        old, self._detector = self._detector, detector
        if self._tracker is None:
            return found
        if old is not detector:
            self._shown_score = shown_score(detector, 0.0)
            if old is not None:
                _change(self._tracker, old, detector)
        return self._shown(self._tracker.update(found, frame.moment_ns))

    def predicted(self, frame: Frame) -> Detections:
        """Where the last detections have moved to by the time of ``frame``, as far as they lie in it."""
        assert self._tracker is not None
        moved = self._tracker.predict(frame.moment_ns)
        boxes = clip(moved.boxes, *frame.size_wh)
        return self._shown(replace(moved, boxes=boxes).select(area(boxes) > 0))

    def _shown(self, found: Detections) -> Detections:
        least = self._min_score if self._min_score is not None else self._shown_score
        return found.select(found.scores >= least)


def _change(tracker: Tracker, old: Detector, new: Detector) -> None:
    """Another model's boxes come from now on. Its classes may mean other things; identities of the same go on."""
    if old.classes != new.classes:
        tracker.reset()
    if shown_score(old) != shown_score(new):
        tracker.adapt(shown_score(new))
