"""Average precision as COCO counts it (AP50, AP50-95, object sizes), with regions to ignore and intervals over images.

The only evaluator: a swap's accuracy check, `bench`, `distill evaluate` and a training's validation all use it. Figures
are those of pycocotools to six decimals where no region is ignored; `matching` says what differs there. Up to 300
detections of an image count (COCO: 100). A detection of an ignored label (a doubtful one, or one of another size)
counts neither way. Each detection's verdict is kept with its image, so a bootstrap draw is a weighted sum and not a new
matching.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.datasets.annotations import Annotations
from edgevision.detectors.boxes import FloatArray, IntArray, area
from edgevision.evaluation.matching import match
from edgevision.interfaces import Detector, HasMinScore
from edgevision.types import Detections

THRESHOLDS = tuple(0.5 + 0.05 * k for k in range(10))
SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, float("inf"))}
"""COCO's, by the area of the box in pixels of the image as it is stored."""
LEAST_SCORE = 0.01
"""Detections are taken from here on: a higher threshold cuts the curve whose area is measured."""
_RECALLS = np.linspace(0, 1, 101)
_ANY = (0.0, float("inf"))


@contextmanager
def scores_from(detector: Detector, least: float = LEAST_SCORE) -> Iterator[None]:
    """Meanwhile the detector gives all that it finds from ``least`` on; then it has its own threshold again.

    A detector without a ``min_score`` gives what it gives. Nothing else may use the detector in the meantime.
    """
    if not isinstance(detector, HasMinScore):
        yield
        return
    own, detector.min_score = detector.min_score, least
    try:
        yield
    finally:
        detector.min_score = own


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Every detection of one class over all images, best first."""

    scores: NDArray[np.float32]
    hits: NDArray[np.bool_]
    """(T, N) by threshold."""
    ignored: NDArray[np.bool_]
    """(T, N): counts neither as a hit nor as false."""
    images: IntArray
    """(N,) number of the image."""
    labels: IntArray
    """(images,) labels that count."""

    def average_precision(self, times: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """AP at each threshold (T,); NaN without labels. ``times`` (images,): how often each image was drawn."""
        count = int(self.labels.sum() if times is None else (self.labels * times).sum())
        if count == 0:
            return np.full(len(self.hits), np.nan)
        weight = np.ones(len(self.scores)) if times is None else times[self.images].astype(float)
        return np.array([_ap(h, i, weight, count) for h, i in zip(self.hits, self.ignored, strict=True)])

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Recall and precision (N,) at the first threshold, one point a detection."""
        counted = ~self.ignored[0]
        right = np.cumsum(self.hits[0] & counted)
        return right / max(int(self.labels.sum()), 1), right / np.maximum(np.cumsum(counted), 1)


def judge(
    found: Sequence[Detections],
    truth: Sequence[Annotations],
    class_id: int,
    thresholds: Sequence[float] = THRESHOLDS,
    size: tuple[float, float] = _ANY,
) -> Verdicts:
    """Judge one class over images given in the same order in both; ``size`` is the area in px² that counts.

    Raises ValueError where ``found`` and ``truth`` are not as many.
    """
    scores, hits, ignored, images, labels = [], [], [], [], []
    for number, (seen, there) in enumerate(zip(found, truth, strict=True)):
        mine = np.flatnonzero(seen.class_ids == class_id)
        mine = mine[np.argsort(-seen.scores[mine], kind="stable")]
        true = np.flatnonzero(there.class_ids == class_id)
        out = there.ignored[true] | ~_within(there.boxes[true], size)
        taken = match(seen.boxes[mine], seen.scores[mine], there.boxes[true], out, thresholds)
        on_ignored = np.append(out, False)[taken]  # -1, no label, reads the False at the end
        hit = (taken >= 0) & ~on_ignored
        scores.append(seen.scores[mine])
        hits.append(hit)
        ignored.append(on_ignored | (~hit & ~_within(seen.boxes[mine], size)))
        images.append(np.full(len(mine), number, np.int64))
        labels.append(int((~out).sum()))
    score = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    best_first = np.argsort(-score, kind="stable")
    empty = np.zeros((len(thresholds), 0), bool)
    return Verdicts(
        score[best_first],
        np.concatenate([empty, *hits], 1)[:, best_first],
        np.concatenate([empty, *ignored], 1)[:, best_first],
        np.concatenate([np.zeros(0, np.int64), *images])[best_first],
        np.array(labels, np.int64),
    )


def _within(boxes: FloatArray, size: tuple[float, float]) -> NDArray[np.bool_]:
    """Which boxes (N, 4) have an area of ``size``, px²."""
    areas = area(boxes)
    return np.asarray((areas >= size[0]) & (areas < size[1]))


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
    """A figure with its 95 % interval over images."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return "–" if np.isnan(self.value) else f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


def mean_ap50(verdicts: Sequence[Verdicts], drawn: NDArray[np.int64] | None = None) -> Interval:
    """AP50 averaged over the classes that have labels; NaN where none has. The interval needs ``drawn``.

    ``drawn`` (draws, images) is `bootstrap.draws`: block 1 for photos, more for consecutive frames.
    """
    value = _mean_first(verdicts)
    if drawn is None or np.isnan(value):
        return Interval(value, value, value)
    first = [_first_only(v) for v in verdicts]
    return _interval(value, [_mean_first(first, times) for times in drawn])


def mean_ap50_95(verdicts: Sequence[Verdicts]) -> float:
    """AP averaged over thresholds and over the classes that have labels; NaN where none has."""
    return _mean([float(np.mean(v.average_precision())) for v in verdicts])


def difference_ap50(a: Sequence[Verdicts], b: Sequence[Verdicts], drawn: NDArray[np.int64]) -> Interval:
    """AP50 of ``a`` less that of ``b`` on the same images, with its interval over the same draws."""
    mine, theirs = [_first_only(v) for v in a], [_first_only(v) for v in b]
    value = _mean_first(mine) - _mean_first(theirs)
    return _interval(value, [_mean_first(mine, times) - _mean_first(theirs, times) for times in drawn])


def _interval(value: float, spread: Sequence[float]) -> Interval:
    """The middle 95 % of the draws, widened to hold the figure itself."""
    low, high = np.nanpercentile(spread, [2.5, 97.5])
    return Interval(value, float(min(low, value)), float(max(high, value)))


def _mean_first(verdicts: Sequence[Verdicts], times: NDArray[np.int64] | None = None) -> float:
    return _mean([float(v.average_precision(times)[0]) for v in verdicts])


def _first_only(v: Verdicts) -> Verdicts:
    return Verdicts(v.scores, v.hits[:1], v.ignored[:1], v.images, v.labels)


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")
