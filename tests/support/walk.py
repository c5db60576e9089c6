"""People who walk past each other, what a detector says of them, and how well a tracker kept them apart.

Numbers only, no pictures: the built-in scene draws such people; this is the part that tracking is judged on, and cheap
enough to judge it often.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import FloatArray, IntArray, iou
from edgevision.interfaces import Tracker
from edgevision.tracking.assignment import assign
from edgevision.types import Detections

WIDTH_PX, HEIGHT_PX, FPS = 1280, 720, 30.0
FRAME_NS = 1e9 / FPS


@dataclass(frozen=True)
class Moment:
    """One frame: the people who can be seen (boxes px, who), and what a detector found."""

    boxes: FloatArray
    people: IntArray
    detections: Detections


def walk(seed: int, people: int = 8, frames: int = 200, speed: float = 1.0) -> list[Moment]:
    """Walkers at several distances, nearer ones hiding farther ones: whose score sinks, and who are then missed.

    ``speed`` 1 is about 0.8 body heights a second. Boxes jitter by 2 % of the height; 3 % of detections are missing; in
    a third of the frames there is a false one. Scores differ from each other, so that they can name a detection.
    """
    rng = np.random.default_rng(seed)
    height = rng.uniform(80, 400, people)
    width = height * rng.uniform(0.3, 0.45, people)
    x, foot = rng.uniform(0, WIDTH_PX, people), 340 + 0.8 * height + rng.normal(0, 8, people)
    pace = rng.choice([-1, 1], people) * height * rng.uniform(0.4, 1.2, people) * speed / FPS
    phase = rng.uniform(0, 6, people)
    nearer = foot[None, :] > foot[:, None]
    frame_px = np.array([WIDTH_PX, HEIGHT_PX, WIDTH_PX, HEIGHT_PX])
    moments = []
    for index in range(frames):
        pace[rng.random(people) < 0.003] *= -1
        x = np.clip(x + pace, -width, WIDTH_PX + width)
        pace = np.where((x <= -width) | (x >= WIDTH_PX + width), -pace, pace)
        half = width / 2 * (1 + 0.15 * np.abs(np.sin(phase + index / FPS * 7)))
        whole = np.stack([x - half, foot - height, x + half, foot], axis=1)
        boxes = np.clip(whole, 0, frame_px)
        inside = _areas(boxes) / _areas(whole)
        grid_x = np.linspace(whole[:, 0], whole[:, 2], 16, axis=1)[:, :, None, None]
        grid_y = np.linspace(whole[:, 1], whole[:, 3], 16, axis=1)[:, None, :, None]
        hidden = (grid_x > whole[:, 0]) & (grid_x < whole[:, 2]) & (grid_y > whole[:, 1]) & (grid_y < whole[:, 3])
        share = 1 - (hidden & nearer[:, None, None, :]).any(axis=3).mean(axis=(1, 2))
        score = 0.85 * np.minimum(1, 1.3 * share) * np.minimum(1, 1.2 * inside) + rng.normal(0, 0.06, people)
        found = (inside > 0.25) & (score > 0.12) & (rng.random(people) > 0.03)
        boxes_found = boxes[found] + rng.normal(0, 0.02, (int(found.sum()), 4)) * height[found, None]
        scores = score[found]
        if rng.random() < 0.33:
            side = rng.uniform(30, 150)
            left, top = rng.uniform(0, WIDTH_PX - side), rng.uniform(0, HEIGHT_PX - 2 * side)
            boxes_found = np.vstack([boxes_found, [left, top, left + side, top + 2 * side]])
            scores = np.append(scores, rng.beta(2, 4))
        best_first = np.argsort(-scores)
        there = np.flatnonzero((inside > 0.25) & (share > 0.2))
        detections = Detections(
            np.clip(boxes_found, 0, frame_px)[best_first].astype(np.float32),
            scores[best_first].astype(np.float32),
            np.zeros(len(scores), np.int64),
        )
        moments.append(Moment(boxes[there].astype(np.float32), there.astype(np.int64), detections))
    return moments


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


@dataclass(frozen=True)
class Identity:
    """IDF1 (Ristani et al., arXiv:1609.01775) at IoU 0.5, and how often a person's identity changed."""

    idf1: float
    switches: int


def judge(tracker: Tracker, moments: list[Moment], kept: NDArray[np.bool_], frame_ns: float = FRAME_NS) -> Identity:
    """Run the tracker over those moments that are ``kept`` (the others were dropped by the source)."""
    together: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    switches = said = true = 0
    for index in np.flatnonzero(kept):
        moment = moments[index]
        out = tracker.update(moment.detections, round(index * frame_ns))
        assert out.track_ids is not None
        out = out.select(out.track_ids > 0)
        true, said = true + len(moment.people), said + len(out)
        overlap = iou(moment.boxes, out.boxes).astype(np.float64)
        overlap[overlap < 0.5] = 0
        for person, track in zip(*np.nonzero(overlap), strict=True):
            together[int(moment.people[person]), int(out.track_ids[track])] += 1
        for person, track in zip(*assign(overlap), strict=True):
            who, name = int(moment.people[person]), int(out.track_ids[track])
            switches += last.setdefault(who, name) != name
            last[who] = name
    people, names = (sorted({pair[k] for pair in together}) for k in (0, 1))
    count = np.zeros((len(people), len(names)))
    for (who, name), times in together.items():
        count[people.index(who), names.index(name)] = times
    return Identity(2 * float(count[assign(count)].sum()) / max(true + said, 1), switches)
