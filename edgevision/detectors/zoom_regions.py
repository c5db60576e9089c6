"""Where a further look at full resolution pays: around small objects, where something moves, and a slow sweep.

A region is a square of the frame, as large as the network's input, so that it is looked at pixel by pixel.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MOTION_WIDTH_PX = 320
"""Frames are compared at this width: what moves at 10 m is then still some pixels tall."""
_MOVED = 18
"""Grey levels that a pixel must change by; sensor noise at this size is under 6."""
_FORGET_AFTER = 12
"""Looks at a place without its object before the object is forgotten."""
_SWEEP_EVERY = 3
"""Of so many frames with further looks, one spends a look on the sweep even where all else is busy."""
_OVERLAP = 0.25
"""Of neighbouring regions of the sweep: a person cut by one is whole in the next."""
_MOST_MOVING = 64

Targets = NDArray[np.float64]
"""(T, 4): centre x, y, half the longer side in px of the frame, and how much a look at it is worth."""


@dataclass(slots=True)
class _Seen:
    """A small object that was found lately."""

    box: NDArray[np.float32]
    unseen: int = 0
    """Frames since it was found."""


class RegionPlanner:
    """Chooses regions frame by frame. Safe from several threads; frames are expected in about their order."""

    def __init__(self, side_px: int, small_px: float) -> None:
        """``side_px`` is a region's side; objects whose longer side is under ``small_px`` get looks of their own."""
        self._side, self._small = side_px, small_px
        self._lock = threading.Lock()
        self._before: NDArray[np.uint8] | None = None
        self._objects: list[_Seen] = []
        self._sweep_at = self._turn = 0

    def plan(self, pixels: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
        """Up to ``count`` regions (K, 4) xyxy px inside a (H, W, 3) frame, the most useful first.

        None where the frame is hardly larger than a region: the whole look sees as much.
        """
        height, width = pixels.shape[:2]
        if max(height, width) < 1.5 * self._side or count < 1:
            return np.zeros((0, 4), np.int64)
        with self._lock:
            targets = np.concatenate([self._small_objects(), self._motion(pixels)])
            self._turn += 1
            sweep = 1 if count > 1 or self._turn % _SWEEP_EVERY == 0 or not len(targets) else 0
            chosen = self._cover(targets, count - sweep, width, height)
            chosen += self._sweep(count - len(chosen), width, height)
        return np.array(chosen, np.int64).reshape(-1, 4)

    def found(self, boxes: NDArray[np.float32], regions: NDArray[np.int64]) -> None:
        """What was found (N, 4) xyxy px in a frame whose ``regions`` were looked at: remember the small ones."""
        sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        small = boxes[sides < self._small]
        with self._lock:
            kept = []
            for seen in self._objects:
                if len(small) and _near(seen.box, small):
                    continue  # the new box replaces it
                if _inside(seen.box, regions):
                    seen.unseen += 1
                if seen.unseen < _FORGET_AFTER:
                    kept.append(seen)
            self._objects = kept + [_Seen(box) for box in small]

    def _small_objects(self) -> Targets:
        if not self._objects:
            return np.zeros((0, 4))
        boxes = np.array([seen.box for seen in self._objects], np.float64)
        sides = boxes[:, 2:] - boxes[:, :2]
        return np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, sides.max(1) / 2, np.full(len(boxes), 2.0)])

    def _motion(self, pixels: NDArray[np.uint8]) -> Targets:
        """Blobs that changed since the frame before, largest first."""
        height, width = pixels.shape[:2]
        scale = MOTION_WIDTH_PX / width
        # Pixels picked, not averaged: a hundredth of the time, and noise is what the threshold is for.
        size = (MOTION_WIDTH_PX, max(1, round(height * scale)))
        grey = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST), cv2.COLOR_BGR2GRAY)
        small = np.asarray(cv2.GaussianBlur(grey, (3, 3), 0), np.uint8)
        before, self._before = self._before, small
        if before is None or before.shape != small.shape:
            return np.zeros((0, 4))
        mask = np.asarray(cv2.threshold(cv2.absdiff(small, before), _MOVED, 255, cv2.THRESH_BINARY)[1], np.uint8)
        mask = np.asarray(cv2.dilate(mask, np.ones((5, 3), np.uint8)), np.uint8)
        _, _, stats, centres = cv2.connectedComponentsWithStats(mask)
        reach = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1, initial=0) / 2 / scale
        weight = np.minimum(1.0, stats[1:, cv2.CC_STAT_AREA] / 20)
        targets = np.column_stack([centres[1:] / scale, reach, weight])
        # What fills a region is large enough for the whole look.
        targets = targets[reach * 2 < self._side]
        return np.asarray(targets[np.argsort(-targets[:, 3], kind="stable")][:_MOST_MOVING], np.float64)

    def _cover(self, targets: Targets, count: int, width: int, height: int) -> list[tuple[int, int, int, int]]:
        """Regions that cover the most weight: greedily, each next one what the others left out."""
        if len(targets) == 0 or count < 1:
            return []
        size = np.minimum(self._side, (width, height))
        low = np.rint(np.clip(targets[:, :2] - size / 2, 0, (width, height) - size))
        reach = targets[:, 2:3]
        # (T, T): whether the region around target i holds target j whole.
        held = ((low[:, None] <= targets[:, :2] - reach) & (targets[:, :2] + reach <= (low + size)[:, None])).all(2)
        np.fill_diagonal(held, True)
        left = targets[:, 3].copy()
        chosen: list[tuple[int, int, int, int]] = []
        while len(chosen) < count and left.any():
            best = int((held @ left).argmax())
            x, y = (int(v) for v in low[best])
            chosen.append((x, y, x + int(size[0]), y + int(size[1])))
            left[held[best]] = 0
        return chosen

    def _sweep(self, count: int, width: int, height: int) -> list[tuple[int, int, int, int]]:
        """The next regions of a grid over the whole frame."""
        columns, rows = (_starts(length, self._side) for length in (width, height))
        grid = [(x, y) for y in rows for x in columns]
        chosen = []
        for _ in range(min(max(count, 0), len(grid))):
            # A step that shares no factor with the grid's length visits all of it, neighbours far apart in time.
            x, y = grid[self._sweep_at % len(grid)]
            self._sweep_at += _coprime_step(len(grid))
            chosen.append((x, y, min(x + self._side, width), min(y + self._side, height)))
        return chosen


def tiles(width: int, height: int, count: int) -> NDArray[np.int64]:
    """``count`` equal tiles (count, 4) xyxy px that cover a frame, overlapping by a tenth, as square as can be."""
    shapes = [(columns, count // columns) for columns in range(1, count + 1) if count % columns == 0]
    columns, rows = min(shapes, key=lambda s: abs(np.log((width / s[0]) / (height / s[1]))))
    found = []
    for row in range(rows):
        for column in range(columns):
            x1, x2 = _part(column, columns, width)
            y1, y2 = _part(row, rows, height)
            found.append((x1, y1, x2, y2))
    return np.array(found, np.int64)


def _part(k: int, parts: int, length: int) -> tuple[int, int]:
    margin = 0.05 * length / parts
    return max(0, round(k * length / parts - margin)), min(length, round((k + 1) * length / parts + margin))


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side * (1 - _OVERLAP)))) + 1
    return [round(k * (length - side) / (count - 1)) for k in range(count)]


def _coprime_step(length: int) -> int:
    step = max(1, round(length * 0.382))
    while np.gcd(step, length) != 1:
        step += 1
    return step


def _inside(box: NDArray[np.float32], regions: NDArray[np.int64]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return bool(((regions[:, 0] <= x) & (x <= regions[:, 2]) & (regions[:, 1] <= y) & (y <= regions[:, 3])).any())


def _near(box: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    """Whether another box's centre is within this one's longer side: the same object, some frames on."""
    centre = (box[:2] + box[2:]) / 2
    distance = np.abs((others[:, :2] + others[:, 2:]) / 2 - centre).max(1)
    return bool((distance <= max(box[2] - box[0], box[3] - box[1])).any())
