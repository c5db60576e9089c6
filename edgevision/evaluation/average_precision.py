"""Average precision as COCO counts it, with regions to ignore, object sizes, and intervals over pictures.

The matching is pycocotools': per class and picture, detections best first, each to the unmatched label it overlaps
most; an ignored label (a doubtful one, or one of another size) can be hit, and the hit then counts neither way.
Every detection's verdict is kept with its picture, so a bootstrap draw is a weighted sum and not a new matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import FloatArray, IntArray, area, iou
from edgevision.types import Detections

THRESHOLDS = tuple(0.5 + 0.05 * k for k in range(10))
SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, float("inf"))}
"""COCO's, by the area of the box in pixels of the picture as it is stored."""
_RECALLS = np.linspace(0, 1, 101)
_ANY = (0.0, float("inf"))


@dataclass(frozen=True, slots=True)
class Truth:
    """One picture's labels: ``boxes`` (M, 4) px, ``class_ids`` (M,), and which are ``ignored`` (M,)."""

    boxes: FloatArray
    class_ids: IntArray
    ignored: NDArray[np.bool_]

    @classmethod
    def from_rows(cls, rows: NDArray[np.float32]) -> Truth:
        """Of labels (M, 6): class, xyxy px, weight; weight 0 is ignored."""
        return cls(rows[:, 1:5], rows[:, 0].astype(np.int64), rows[:, 5] <= 0)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Every detection of one class over all pictures, best first."""

    scores: NDArray[np.float32]
    hits: NDArray[np.bool_]
    """(T, N) by threshold."""
    ignored: NDArray[np.bool_]
    """(T, N): counts neither as a hit nor as false."""
    pictures: IntArray
    """(N,) number of the picture."""
    labels: IntArray
    """(pictures,) labels that count."""

    def average_precision(self, times: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """AP at each threshold (T,); NaN without labels. ``times`` (pictures,): how often each picture was drawn."""
        count = int(self.labels.sum() if times is None else (self.labels * times).sum())
        if count == 0:
            return np.full(len(self.hits), np.nan)
        weight = np.ones(len(self.scores)) if times is None else times[self.pictures].astype(float)
        return np.array([_ap(h, i, weight, count) for h, i in zip(self.hits, self.ignored, strict=True)])

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Recall and precision (N,) at the first threshold, one point a detection."""
        counted = ~self.ignored[0]
        right = np.cumsum(self.hits[0] & counted)
        return right / max(int(self.labels.sum()), 1), right / np.maximum(np.cumsum(counted), 1)


def judge(
    found: Sequence[Detections],
    truth: Sequence[Truth],
    class_id: int,
    thresholds: Sequence[float] = THRESHOLDS,
    size: tuple[float, float] = _ANY,
) -> Verdicts:
    """Judge one class over pictures given in the same order in both; ``size`` is the area in px² that counts."""
    scores, hits, ignored, pictures, labels = [], [], [], [], []
    for number, (seen, there) in enumerate(zip(found, truth, strict=True)):
        mine = np.flatnonzero(seen.class_ids == class_id)
        mine = mine[np.argsort(-seen.scores[mine], kind="stable")]
        true = np.flatnonzero(there.class_ids == class_id)
        areas = area(there.boxes[true])
        out = there.ignored[true] | (areas < size[0]) | (areas >= size[1])
        order = np.argsort(out, kind="stable")
        hit, passed = _match(seen.boxes[mine], there.boxes[true][order], out[order], thresholds)
        own = area(seen.boxes[mine])
        passed |= ~hit & ((own < size[0]) | (own >= size[1]))
        scores.append(seen.scores[mine])
        hits.append(hit)
        ignored.append(passed)
        pictures.append(np.full(len(mine), number, np.int64))
        labels.append(int((~out).sum()))
    score = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    best_first = np.argsort(-score, kind="stable")
    empty = np.zeros((len(thresholds), 0), bool)
    return Verdicts(
        score[best_first],
        np.concatenate([empty, *hits], 1)[:, best_first],
        np.concatenate([empty, *ignored], 1)[:, best_first],
        np.concatenate([np.zeros(0, np.int64), *pictures])[best_first],
        np.array(labels, np.int64),
    )


def _match(
    boxes: FloatArray, truth: FloatArray, out: NDArray[np.bool_], thresholds: Sequence[float]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Hits and ignored (T, N) of one picture's detections (N, 4), best first; labels that count stand first."""
    hit = np.zeros((len(thresholds), len(boxes)), bool)
    passed = np.zeros_like(hit)
    if not len(boxes) or not len(truth):
        return hit, passed
    overlap = iou(boxes, truth)
    counting = int((~out).sum())
    for t, threshold in enumerate(thresholds):
        least = min(threshold, 1 - 1e-10)
        free = np.ones(len(truth), bool)
        for n in np.flatnonzero(overlap.max(1) >= least):
            row = np.where(free, overlap[n], -1)
            best = int(row[:counting].argmax()) if counting else -1
            if best < 0 or row[best] < least:
                if counting == len(truth):
                    continue
                best = counting + int(row[counting:].argmax())
                if row[best] < least:
                    continue
            free[best] = False
            (passed if out[best] else hit)[t, n] = True
    return hit, passed


def _ap(hit: NDArray[np.bool_], ignored: NDArray[np.bool_], weight: NDArray[np.float64], count: int) -> float:
    right = np.cumsum(hit * weight)
    wrong = np.cumsum((~hit & ~ignored) * weight)
    recall = right / count
    precision = right / np.maximum(right + wrong, 1e-12)
    smooth = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    inside = at < len(smooth)
    return float(smooth[at[inside]].sum() / len(_RECALLS))


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval over pictures."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return "–" if np.isnan(self.value) else f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


def draws(pictures: int, count: int = 400, seed: int = 0) -> NDArray[np.int64]:
    """(count, pictures): how often each picture is in each bootstrap draw."""
    rng = np.random.default_rng(seed)
    if pictures == 0:
        return np.zeros((count, 0), np.int64)
    return np.stack([np.bincount(rng.integers(pictures, size=pictures), minlength=pictures) for _ in range(count)])


def mean_ap50(verdicts: Sequence[Verdicts], drawn: NDArray[np.int64] | None = None) -> Interval:
    """AP50 averaged over the classes that have labels; the interval needs ``drawn``."""
    values = [v.average_precision()[0] for v in verdicts]
    value = _mean(values)
    if drawn is None or np.isnan(value):
        return Interval(value, value, value)
    first = [_first_only(v) for v in verdicts]
    spread = [_mean([v.average_precision(times)[0] for v in first]) for times in drawn]
    low, high = np.nanpercentile(spread, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def difference_ap50(a: Sequence[Verdicts], b: Sequence[Verdicts], drawn: NDArray[np.int64]) -> Interval:
    """AP50 of ``a`` less that of ``b`` on the same pictures, with its interval over the same draws."""
    mine, theirs = [_first_only(v) for v in a], [_first_only(v) for v in b]
    value = _mean([v.average_precision()[0] for v in mine]) - _mean([v.average_precision()[0] for v in theirs])
    spread = [
        _mean([v.average_precision(t)[0] for v in mine]) - _mean([v.average_precision(t)[0] for v in theirs])
        for t in drawn
    ]
    low, high = np.nanpercentile(spread, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def _first_only(v: Verdicts) -> Verdicts:
    return Verdicts(v.scores, v.hits[:1], v.ignored[:1], v.pictures, v.labels)


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")
