"""The objects that a tracker follows, one row each: the state that `track` works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import FloatArray, IntArray, iou
from edgevision.tracking import kalman

BoolArray = NDArray[np.bool_]
Rows = NDArray[np.intp]

_DUPLICATE_IOU = 0.95


@dataclass(slots=True)
class Tracks:
    """T tracks, one row each."""

    motion: kalman.Motion
    class_ids: IntArray
    ids: IntArray
    """0 while unconfirmed."""
    hits: IntArray
    unseen_ns: IntArray
    age_ns: IntArray
    """Since its first detection."""
    lost: BoolArray
    """Not seen in the last update."""

    @classmethod
    def begin(cls, boxes: FloatArray, class_ids: IntArray, ids: IntArray) -> Tracks:
        n = len(boxes)
        times = np.zeros((2, n), np.int64)
        return cls(kalman.begin(boxes), class_ids, ids, np.ones(n, np.int64), times[0], times[1], np.zeros(n, bool))

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Rows | BoolArray) -> Tracks:
        return Tracks(
            self.motion[:, rows],
            self.class_ids[rows],
            self.ids[rows],
            self.hits[rows],
            self.unseen_ns[rows],
            self.age_ns[rows],
            self.lost[rows],
        )

    def join(self, other: Tracks) -> Tracks:
        return Tracks(
            np.concatenate([self.motion, other.motion], axis=1),
            np.concatenate([self.class_ids, other.class_ids]),
            np.concatenate([self.ids, other.ids]),
            np.concatenate([self.hits, other.hits]),
            np.concatenate([self.unseen_ns, other.unseen_ns]),
            np.concatenate([self.age_ns, other.age_ns]),
            np.concatenate([self.lost, other.lost]),
        )


def without_duplicates(tracks: Tracks) -> BoolArray | None:
    """Which tracks stay where a lost and a seen one cover the same place; None: all.

    The one that was followed for longer stays.
    """
    if not tracks.lost.any() or tracks.lost.all():
        return None
    lost, seen = np.flatnonzero(tracks.lost), np.flatnonzero(~tracks.lost)
    where = kalman.boxes_of(tracks.motion)
    alike = iou(where[seen], where[lost]) > _DUPLICATE_IOU
    alike &= tracks.class_ids[seen][:, None] == tracks.class_ids[lost]
    if not alike.any():
        return None
    followed_ns = tracks.age_ns - tracks.unseen_ns
    seen_longer = followed_ns[seen][:, None] > followed_ns[lost]
    stays = np.ones(len(tracks), bool)
    stays[lost[(alike & seen_longer).any(axis=0)]] = False
    stays[seen[(alike & ~seen_longer).any(axis=1)]] = False
    return stays
