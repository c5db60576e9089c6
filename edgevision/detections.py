"""What a detector found in one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """N detections, best first as decoders give them.

    Raises ValueError on construction where an array has another shape or type than stated.
    """

    boxes: NDArray[np.float32]
    """(N, 4) x1, y1, x2, y2 in pixels of the frame, clipped to it."""
    scores: NDArray[np.float32]
    """(N,) in 0-1."""
    class_ids: NDArray[np.int64]
    """(N,) index into the model's classes."""
    track_ids: NDArray[np.int64] | None = None
    """(N,) identity over time, or None where nothing tracks."""

    def __post_init__(self) -> None:
        n = len(self.boxes)
        _check("boxes", self.boxes, (n, 4), np.float32)
        _check("scores", self.scores, (n,), np.float32)
        _check("class_ids", self.class_ids, (n,), np.int64)
        if self.track_ids is not None:
            _check("track_ids", self.track_ids, (n,), np.int64)

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Detections:
        """No detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def select(self, index: NDArray[Any]) -> Detections:
        """Those that ``index`` names: a boolean mask (N,) or integer indices (K,)."""
        tracks = None if self.track_ids is None else self.track_ids[index]
        return Detections(self.boxes[index], self.scores[index], self.class_ids[index], tracks)

    def tracked(self, track_ids: NDArray[np.int64]) -> Detections:
        """The same detections with identities (N,)."""
        return replace(self, track_ids=track_ids)


def _check(name: str, array: NDArray[Any], shape: tuple[int, ...], kind: type[np.generic]) -> None:
    if array.shape != shape or array.dtype != kind:
        raise ValueError(f"{name}: expected {kind.__name__} {shape}, got {array.dtype} {array.shape}")
