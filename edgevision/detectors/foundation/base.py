"""What every foundation model has in common: one `Detector`, whatever it is inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import clip
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.errors import EdgeVisionError, ModelFailed
from edgevision.interfaces import ContextManaged
from edgevision.types import Detections

MOST_DETECTIONS = 300
RANDOM_NOTE = "random weights: latency only"


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a model found in one frame, before thresholds: boxes (N, 4) xyxy in frame pixels, scores (N,), ids (N,)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]

    @classmethod
    def nothing(cls) -> Found:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


class FoundationDetector(ContextManaged):
    """A foundation model as a `Detector`. One thread at a time."""

    title: ClassVar[str]
    """The model's name as people write it."""
    default_score: ClassVar[float] = 0.1

    def __init__(self, order: FoundationOptions, weights_id: str, classes: tuple[str, ...], mode: str) -> None:
        self.random_weights = order.random
        self.name = f"foundation:{order.name}@{weights_id}"
        """``foundation:NAME@WEIGHTS``."""
        self.classes = classes
        self.mode = f"{mode}; {RANDOM_NOTE}" if order.random else mode
        """How the model is used, in words, for beside every figure."""
        self.min_score = self.default_score if order.min_score is None else order.min_score
        self.shown_score = self.min_score
        """What results are to show; `min_score` may be set lower for a tracker, which looks at doubtful boxes too."""
        self._closed = False

    @classmethod
    def load(cls, order: FoundationOptions) -> Self:
        """Build the model that was asked for. Raises what `load_foundation` says."""
        raise NotImplementedError

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """Detections in one (H, W, 3) uint8 BGR picture, best first. Raises `ModelFailed`."""
        height, width = self._check(pixels)
        found = self._guarded(pixels)
        if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
            raise ModelFailed(f"{self.name}: gave numbers that are not finite; its weights are damaged or do not fit")
        boxes = clip(found.boxes.astype(np.float32, copy=False), width, height)
        scores = np.clip(found.scores, 0, 1).astype(np.float32, copy=False)
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & (scores >= self.min_score)
        kept = inside.nonzero()[0]
        kept = kept[np.argsort(-scores[kept], kind="stable")][:MOST_DETECTIONS]
        return Detections(boxes[kept], scores[kept], found.class_ids[kept].astype(np.int64, copy=False))

    @property
    def account(self) -> str:
        """What the questions so far came to, in words; empty for a model that is asked none."""
        return ""

    @property
    def unread_answers(self) -> int:
        """How many answers could not be read so far; 0 for a model that is asked nothing in words."""
        return 0

    def close(self) -> None:
        """Let go of the network. Twice is once."""
        self._closed = True

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        raise NotImplementedError

    def _guarded(self, pixels: NDArray[np.uint8]) -> Found:
        try:
            return self._find(pixels)
        except EdgeVisionError:
            raise
        except Exception as exc:
            raise failed(self.name, pixels, exc) from exc

    def _check(self, pixels: NDArray[np.uint8]) -> tuple[int, int]:
        if self._closed:
            raise ModelFailed(f"{self.name}: is closed")
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise ModelFailed(f"{self.name}: expected (H, W, 3) uint8, got {pixels.dtype} {pixels.shape}")
        return pixels.shape[0], pixels.shape[1]


def failed(name: str, pixels: NDArray[np.uint8], exc: Exception) -> ModelFailed:
    """A foreign exception in our words."""
    reason = next(iter(str(exc).splitlines()), "") or type(exc).__name__
    return ModelFailed(f"{name}: failed on a frame of {pixels.shape[1]}×{pixels.shape[0]} px: {reason[:200]}")
