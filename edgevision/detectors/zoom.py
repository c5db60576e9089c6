"""A second look where objects are small: the whole frame, and then squares of it at full resolution, as one detector.

A network of 320 px sees a person 40 px tall in a 1080p frame as 7 px. Further looks cut squares of the network's own
size out of the frame, where `zoom_regions` says that they pay, and are merged with the whole look: a box that ends at
a square's inner edge is left out, large objects are the whole look's, and a part of what the whole look found is no
object of its own. Slicing as in SAHI (Akyon et al. 2022, https://arxiv.org/abs/2202.06934), within a time budget.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import area
from edgevision.detectors.nms import nms
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.zoom_regions import RegionPlanner, tiles
from edgevision.errors import UsageError
from edgevision.types import Detections

MOST_LOOKS = 16
_SMALL = 0.45
"""Of a region's side: a longer object is left to the whole look, in which it is large enough."""
_EDGE_PX = 3
_PART = 0.6
"""A box of a further look that lies this far inside a larger one of the whole look is a part of it."""
_SAME_IOU = 0.5
_SHARE = 0.6
"""Of the frame period that all looks together may take: capture, decoding and drawing need the rest."""
_SMOOTHING = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class ZoomRaw:
    """What the network gave for the looks at one frame."""

    whole: Detections
    parts: tuple[Detections, ...]
    regions: NDArray[np.int64]
    """(K, 4) xyxy px of the frame."""
    frame_wh: tuple[int, int]

    @property
    def looks(self) -> int:
        return 1 + len(self.regions)


@dataclass(frozen=True, slots=True)
class Zoom:
    """How a loop's detectors look further."""

    looks: int | None = None
    """Further looks a frame; None for as many as fit in the frame period."""
    period_ms: float | None = None
    tiled: bool = False

    def __call__(self, detector: OnnxDetector) -> ZoomDetector:
        return ZoomDetector(detector, self.looks, period_ms=self.period_ms, tiled=self.tiled)


class ZoomDetector:
    """A compact detector that looks further where it pays. A `StagedDetector`: all looks of a frame in `infer`."""

    def __init__(
        self,
        base: OnnxDetector,
        looks: int | None = None,
        *,
        period_ms: float | None = None,
        tiled: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``looks`` further looks a frame; None: as many as fit in 0.6 of ``period_ms``, none where none fits.

        ``tiled``: the frame cut into ``looks`` equal tiles instead, for images and files. Raises `UsageError` for a
        number of looks outside 1 to 16, and for ``tiled`` without one.
        """
        if looks is not None and not 1 <= looks <= MOST_LOOKS:
            raise UsageError(f"--zoom: expected auto, off or 1 to {MOST_LOOKS} further looks, got {looks}")
        if tiled and looks is None:
            raise UsageError("--zoom: expected a number of tiles for images and files, got auto")
        self.base, self._fixed, self._period_ms, self._tiled = base, looks, period_ms, tiled
        self._clock = clock
        side = max(base.manifest.input.width_px, base.manifest.input.height_px)
        self._planner = RegionPlanner(side, _SMALL * side)
        self._side = side
        self._look_ms: float | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def classes(self) -> tuple[str, ...]:
        return self.base.classes

    @property
    def lanes(self) -> int:
        return self.base.lanes

    @property
    def min_score(self) -> float:
        return self.base.min_score

    @min_score.setter
    def min_score(self, score: float) -> None:
        self.base.min_score = score

    @property
    def shown_score(self) -> float:
        return self.base.shown_score

    def affordable(self) -> int:
        """Further looks that fit in the budget, by what a look takes at present."""
        if self._fixed is not None:
            return self._fixed
        if self._period_ms is None or self._look_ms is None:
            return 0
        return int(min(MOST_LOOKS, max(0.0, _SHARE * self._period_ms / self._look_ms - 1)))

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """Detections in one (H, W, 3) uint8 BGR frame, all looks merged. Raises `ModelFailed`."""
        return self.decode(self.infer(self.prepare(pixels)))

    def prepare(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The frame, and the regions (K, 4) to look at further."""
        height, width = pixels.shape[:2]
        if self._tiled:
            assert self._fixed is not None
            return pixels, tiles(width, height, self._fixed)
        return pixels, self._planner.plan(pixels, self.affordable())

    def infer(self, prepared: tuple[NDArray[np.uint8], NDArray[np.int64]], lane: int = 0) -> ZoomRaw:
        pixels, regions = prepared
        began = self._clock()
        whole = self._look(pixels, lane)
        parts = tuple(self._look(pixels[y1:y2, x1:x2], lane) for x1, y1, x2, y2 in regions.tolist())
        took_ms = (self._clock() - began) * 1e3 / (1 + len(parts))
        with self._lock:
            before = self._look_ms
            self._look_ms = took_ms if before is None else before + _SMOOTHING * (took_ms - before)
        return ZoomRaw(whole, parts, regions, (pixels.shape[1], pixels.shape[0]))

    def decode(self, raw: ZoomRaw) -> Detections:
        found = merge(raw, self.base.iou_threshold, None if self._tiled else _SMALL * self._side)
        if not self._tiled:
            sure = found.scores >= self.base.shown_score
            self._planner.found(found.boxes[sure], raw.regions)
        return found

    def warm_up(self, runs: int = 2) -> None:
        self.base.warm_up(runs)

    def _look(self, pixels: NDArray[np.uint8], lane: int) -> Detections:
        base = self.base
        return base.decode(base.infer(base.prepare(pixels), lane))


def merge(raw: ZoomRaw, iou_threshold: float, small_px: float | None) -> Detections:
    """One frame's detections from its looks, best first.

    ``small_px``: longer objects are left to the whole look; None where all of the frame was looked at in tiles.
    """
    whole = raw.whole
    boxes, scores, class_ids = [whole.boxes], [whole.scores], [whole.class_ids]
    for part, region in zip(raw.parts, raw.regions.tolist(), strict=True):
        moved = part.boxes + np.array([region[0], region[1]] * 2, np.float32)
        keep = ~_cut(moved, region, raw.frame_wh)
        if small_px is not None:
            keep &= np.maximum(moved[:, 2] - moved[:, 0], moved[:, 3] - moved[:, 1]) <= small_px
        keep &= ~_part_of(moved, part.class_ids, whole)
        boxes.append(moved[keep])
        scores.append(part.scores[keep])
        class_ids.append(part.class_ids[keep])
    all_boxes, all_scores = np.concatenate(boxes), np.concatenate(scores)
    all_ids = np.concatenate(class_ids)
    index = nms(all_boxes, all_scores, all_ids, min(iou_threshold, _SAME_IOU))
    return Detections(all_boxes[index], all_scores[index], all_ids[index], looks=raw.looks)


def _cut(boxes: NDArray[np.float32], region: list[int], frame_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes (N, 4) end at an edge of their region that is not the frame's: what they show is cut off there."""
    x1, y1, x2, y2 = region
    inner = (
        (x1 > 0) & (boxes[:, 0] <= x1 + _EDGE_PX),
        (y1 > 0) & (boxes[:, 1] <= y1 + _EDGE_PX),
        (x2 < frame_wh[0]) & (boxes[:, 2] >= x2 - _EDGE_PX),
        (y2 < frame_wh[1]) & (boxes[:, 3] >= y2 - _EDGE_PX),
    )
    return np.asarray(np.logical_or.reduce(inner), np.bool_)


def _part_of(boxes: NDArray[np.float32], class_ids: NDArray[np.int64], whole: Detections) -> NDArray[np.bool_]:
    """Which boxes (N, 4) lie mostly inside a clearly larger box of their class that the whole look found."""
    if len(boxes) == 0 or len(whole) == 0:
        return np.zeros(len(boxes), np.bool_)
    low = np.maximum(boxes[:, None, :2], whole.boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], whole.boxes[None, :, 2:])
    sides = np.maximum(high - low, 0)
    own, theirs = area(boxes)[:, None], area(whole.boxes)[None]
    inside = sides[..., 0] * sides[..., 1] > _PART * own
    larger = theirs > 2 * own
    return np.asarray((inside & larger & (class_ids[:, None] == whole.class_ids[None])).any(1), np.bool_)
