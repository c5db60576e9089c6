"""Tracking: which box is the same object as before.

`ByteTracker` is ByteTrack (Zhang et al., arXiv:2110.06864) on numpy alone, made aware of time: a live source drops
frames, so motion is predicted over the time that passed between two captures, and a lost object is kept for a time,
not for a count of calls. At a constant frame rate it gives the identities that the published tracker gives, up to
the differences listed at the class.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgevision.detectors.boxes import FloatArray, IntArray, iou
from edgevision.errors import UsageError
from edgevision.tracking import kalman
from edgevision.tracking.assignment import assign
from edgevision.tracking.track_state import BoolArray, Rows, Tracks, without_duplicates
from edgevision.types import Detections

_SECOND_NS = 1_000_000_000
_LOW_COST_LIMIT = 0.5
_UNCONFIRMED_COST_LIMIT = 0.7
_LEAST_BUFFER_FRAMES = 2
# A pair exactly at its limit still counts for something.
_LEAST_GAIN = 1e-4
# No picture is this large: a corner beyond it, like one that is no number, is a detector's fault and is not tracked.
_FARTHEST_PX = 1e7


class ByteTracker:
    """Gives detections an identity over time; fulfils `edgevision.interfaces.Tracker`. For one thread.

    Boxes of at least ``high_score`` are matched first, to every confirmed track by overlap × score; what tracks then
    miss is sought among the boxes between ``low_score`` and ``high_score``, which an object half hidden still gives.
    A box of at least ``new_score`` that nobody claims starts a track, which counts (has an identity) once it was seen
    in ``min_hits`` frames running; in the first frame after a reset, at once. So the detector should be asked for
    boxes down to ``low_score``: what its own threshold (``--conf``) cuts off cannot help here, and at a ``--conf`` of
    ``high_score`` or more only the first matching is left. A box under ``new_score`` never starts a track, so it
    stays at -1 unless it continues one.

    Identities count from 1, are unique among all classes until `reset`, and are spent only on confirmed tracks. A
    track keeps its class. An object unseen for longer than ``buffer_s`` (to the nearest frame; at least two frames) is
    forgotten, so frames further apart than that cannot be linked.
    Memory and time are bounded by the detections of ``buffer_s``.

    Where it differs from supervision's `ByteTrack`, which agrees with it otherwise
    (tests/tracking/test_bytetrack_parity.py):

    * Time: see above. Within one step of the nominal rate this is the published filter.
    * Classes are tracked apart; there, a person may become a car.
    * An identity goes to the very detection that was matched; there, to one that overlaps the filtered box.
    * An unconfirmed track is predicted like any other. There, it is not, so that its velocity is learnt later.
    * A lost track is forgotten after ``buffer_s``. There, it lives two frames longer than asked.

    ``frame_rate_fps`` is the source's nominal rate: the unit in which the filter's noise is meant. ``match_cost_limit``
    is the paper's matching threshold: the greatest 1 - overlap × score of a pair.

    Raises `UsageError` on a setting that cannot be meant.
    """

    def __init__(
        self,
        frame_rate_fps: float = 30.0,
        *,
        high_score: float = 0.5,
        new_score: float = 0.6,
        low_score: float = 0.1,
        match_cost_limit: float = 0.8,
        buffer_s: float = 1.0,
        min_hits: int = 2,
    ) -> None:
        if not 0 < frame_rate_fps < float("inf"):
            raise UsageError(f"frame_rate_fps: expected a positive number, got {frame_rate_fps}; unknown is 30")
        if not 0 <= low_score <= high_score <= new_score <= 1:
            raise UsageError(
                "tracking scores: expected 0 <= low_score <= high_score <= new_score <= 1, "
                f"got {low_score}, {high_score}, {new_score}"
            )
        if not 0 < match_cost_limit <= 1:
            raise UsageError(f"match_cost_limit: expected over 0, at most 1, got {match_cost_limit}")
        if not 0 < buffer_s < float("inf"):
            raise UsageError(f"buffer_s: expected a positive number of seconds, got {buffer_s}")
        if min_hits < 1:
            raise UsageError(f"min_hits: expected at least 1, got {min_hits}")
        self._period_ns = _SECOND_NS / frame_rate_fps
        self._high_score, self._new_score, self._low_score = high_score, new_score, low_score
        self._match_cost_limit = match_cost_limit
        # Neighbouring frames of a slow source are always within reach of each other. The half period makes the count
        # of frames in the buffer sure where their times jitter.
        self._buffer_ns = round(
            max(buffer_s * _SECOND_NS, _LEAST_BUFFER_FRAMES * self._period_ns) + self._period_ns / 2
        )
        self._min_hits = min_hits
        self.reset()

    @classmethod
    def for_scores(cls, min_score: float, frame_rate_fps: float = 30.0) -> ByteTracker:
        """A tracker for a detector whose boxes count from ``min_score``, as ByteTrack's reference derives the three."""
        low, high, new = _scores_from(min_score)
        return cls(frame_rate_fps, high_score=high, new_score=new, low_score=low)

    def adapt(self, min_score: float) -> None:
        """Another model's scores come from now on, whose boxes count from ``min_score``. Tracks go on."""
        self._low_score, self._high_score, self._new_score = _scores_from(min_score)

    def reset(self) -> None:
        """Forget everything; identities count from 1 again."""
        none = Detections.empty()
        self._tracks = Tracks.begin(none.boxes, none.class_ids, np.zeros(0, np.int64))
        self._next_id = 1
        self._last_ns: int | None = None
        self._last, self._last_seen, self._last_found = none, np.zeros(0, np.intp), np.zeros(0, np.intp)

    def update(self, detections: Detections, captured_ns: int) -> Detections:
        """The same detections, in the same order, with ``track_ids`` (N,); -1 where not (yet) tracked.

        ``captured_ns``: when the frame was captured. A time before the last one counts as no time passed, or, if it
        lies further back than the buffer, as another recording: all tracks are forgotten. Boxes without area or
        with a corner that is no number are not tracked.
        """
        first = self._last_ns is None
        self._let_time_pass(captured_ns)
        tracks = self._tracks
        track_ids = np.full(len(detections), -1, np.int64)

        seen = np.flatnonzero(_trackable(detections.boxes) & (detections.scores > self._low_score))
        boxes, scores = detections.boxes[seen], detections.scores[seen]
        class_ids = detections.class_ids[seen]
        high = scores >= self._high_score

        # Which detection each track has, and which track each detection has; -1: none.
        found = np.full(len(tracks), -1, np.intp)
        if len(tracks) and len(seen):
            self._associate(found, boxes, scores, class_ids, high)
        matched = np.flatnonzero(found >= 0)
        taken = np.zeros(len(seen), bool)
        taken[found[matched]] = True
        self._see(matched, boxes[found[matched]])

        births = np.flatnonzero(~taken & high & (scores >= self._new_score))
        tracks.lost[:] = found < 0
        findable = (tracks.ids > 0) & (tracks.unseen_ns + self._period_ns <= self._buffer_ns)
        kept = np.flatnonzero((found >= 0) | findable)
        if len(kept) < len(tracks):
            tracks, found = tracks.take(kept), found[kept]
        if len(births):
            at_once = first or self._min_hits == 1
            ids = self._new_ids(len(births)) if at_once else np.zeros(len(births), np.int64)
            tracks = tracks.join(Tracks.begin(boxes[births], class_ids[births], ids))
            found = np.concatenate([found, births])
        unique = without_duplicates(tracks)
        if unique is not None:
            tracks, found = tracks.take(unique), found[unique]
        self._tracks = tracks

        named = np.flatnonzero(~tracks.lost & (tracks.ids > 0))
        track_ids[seen[found[named]]] = tracks.ids[named]
        self._last, self._last_seen, self._last_found = detections.tracked(track_ids), seen, found
        return self._last

    def predict(self, captured_ns: int) -> Detections:
        """What the last update gave, each box moved as far as its track goes until ``captured_ns``. Changes nothing.

        A box that no track follows, or one for the first time, has no known motion: it is taken to be at rest. Boxes
        are not clipped to any frame.
        """
        # The detected box, not the filter's own, which lags: moved by the filter's velocity it is nearer the truth (on
        # the built-in scenes, AP50-95 is 2 to 9 points higher), and letting its shape change too gains nothing.
        rows = np.flatnonzero(self._last_found >= 0)
        elapsed_ns = 0 if self._last_ns is None else max(0, captured_ns - self._last_ns)
        if not len(rows) or not elapsed_ns:
            return self._last
        boxes = self._last.boxes.copy()
        shift = kalman.shift_of(self._tracks.motion[:, rows], elapsed_ns / self._period_ns)
        boxes[self._last_seen[self._last_found[rows]]] += shift
        return replace(self._last, boxes=boxes)

    def _let_time_pass(self, captured_ns: int) -> None:
        """Move every track to the time of this frame; forget those unseen for too long."""
        elapsed_ns = 0 if self._last_ns is None else captured_ns - self._last_ns
        self._last_ns = captured_ns
        if elapsed_ns < -self._buffer_ns:
            elapsed_ns = self._buffer_ns + 1
        elapsed_ns = max(elapsed_ns, 0)
        tracks = self._tracks
        if not len(tracks) or not elapsed_ns:
            return
        if elapsed_ns > self._buffer_ns:
            self._tracks = tracks.take(np.zeros(0, np.intp))
            return
        tracks.unseen_ns += elapsed_ns
        tracks.age_ns += elapsed_ns
        if tracks.lost.any():
            kept = tracks.unseen_ns <= self._buffer_ns
            if not kept.all():
                self._tracks = tracks = tracks.take(kept)
            # The height of what is out of sight is not believed to go on changing.
            tracks.motion[1, tracks.lost, 3] = 0
        kalman.predict(tracks.motion, elapsed_ns / self._period_ns)

    def _associate(
        self, found: Rows, boxes: FloatArray, scores: FloatArray, class_ids: IntArray, high: BoolArray
    ) -> None:
        """Fill ``found`` (T,) with the column of ``boxes`` (N, 4) that each track has now."""
        tracks = self._tracks
        overlap = iou(kalman.boxes_of(tracks.motion), boxes)
        overlap *= tracks.class_ids[:, None] == class_ids
        fused = overlap * scores
        confirmed = tracks.ids > 0
        free = high.copy()

        _pair(found, fused, np.flatnonzero(confirmed), np.flatnonzero(high), self._match_cost_limit)
        if not high.all():
            waiting = np.flatnonzero(confirmed & ~tracks.lost & (found < 0))
            _pair(found, overlap, waiting, np.flatnonzero(~high), _LOW_COST_LIMIT)
        if not confirmed.all():
            free[found[found >= 0]] = False
            _pair(found, fused, np.flatnonzero(~confirmed), np.flatnonzero(free), _UNCONFIRMED_COST_LIMIT)

    def _see(self, rows: Rows, boxes: FloatArray) -> None:
        """Tracks ``rows`` (K,) were seen at ``boxes`` (K, 4)."""
        if not len(rows):
            return
        tracks = self._tracks
        kalman.correct(tracks.motion, rows, boxes)
        tracks.unseen_ns[rows] = 0
        tracks.hits[rows] += 1
        ready = rows[(tracks.ids[rows] == 0) & (tracks.hits[rows] >= self._min_hits)]
        if len(ready):
            tracks.ids[ready] = self._new_ids(len(ready))

    def _new_ids(self, count: int) -> IntArray:
        start = self._next_id
        self._next_id += count
        return np.arange(start, start + count, dtype=np.int64)


def _trackable(boxes: FloatArray) -> BoolArray:
    inside = (np.abs(boxes) < _FARTHEST_PX).all(axis=1)
    return np.asarray(inside & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]), bool)


def _pair(found: Rows, similarity: FloatArray, rows: Rows, columns: Rows, cost_limit: float) -> None:
    """Give tracks ``rows`` those of the detections ``columns`` that are most similar in all (1 - cost)."""
    if not len(rows) or not len(columns):
        return
    part = similarity
    if len(rows) < similarity.shape[0]:
        part = part[rows]
    if len(columns) < similarity.shape[1]:
        part = part[:, columns]
    least = 1.0 - cost_limit
    got_rows, got_columns = assign(np.where(part >= least, part - least + _LEAST_GAIN, 0.0))
    found[rows[got_rows]] = columns[got_columns]


def _scores_from(min_score: float) -> tuple[float, float, float]:
    """Low, high and new score."""
    return doubtful_score(min_score), min_score, min(1.0, min_score + 0.1)


def doubtful_score(min_score: float) -> float:
    """How far down a tracker should be shown boxes that count from ``min_score``."""
    return min(0.1, min_score)
