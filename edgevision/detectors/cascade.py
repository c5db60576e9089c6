"""A detector that finds things, and a second model that says which kind each of them is, as one detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.errors import UsageError
from edgevision.interfaces import Closeable, ContextManaged, Detector, HasMinScore, shown_score
from edgevision.types import Detections

MOST_LOOKED_AT = 16
"""The surest boxes of a frame; each costs an inference of the second model."""
MARGIN = 0.1
"""Of a box's longer side, looked at around it: a helmet sticks out of a person's box."""


class SecondStage(ContextManaged):
    """``first`` finds, ``second`` (family ``classifier``) names the kind of what was found.

    Classes are every class of the first with every kind, ``person, helmet``, and the first's own for what was not
    looked at. The score stays the first's: how sure it is that something is there.
    """

    def __init__(self, first: Detector, second: OnnxDetector, most: int = MOST_LOOKED_AT) -> None:
        """Raises `UsageError` where ``second`` finds boxes itself."""
        if second.manifest.family != "classifier":
            raise UsageError(
                f"{second.name}: expected a classifier of crops (family classifier), found family "
                f"{second.manifest.family}; make one with `edgevision distill head`"
            )
        self.first, self._second, self._most = first, second, most
        self.name = f"{first.name}+{second.name}"
        kinds = (f"{name}, {kind}" for name in first.classes for kind in second.classes)
        self.classes: tuple[str, ...] = (*first.classes, *kinds)

    @property
    def min_score(self) -> float:
        """The first's: lower for a tracker, which looks at doubtful boxes too."""
        return self.first.min_score if isinstance(self.first, HasMinScore) else 0.0

    @min_score.setter
    def min_score(self, score: float) -> None:
        if isinstance(self.first, HasMinScore):
            self.first.min_score = score

    @property
    def shown_score(self) -> float:
        return shown_score(self.first)

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """Detections of the first in one (H, W, 3) uint8 BGR picture, each with its kind. Raises `ModelFailed`."""
        found = self.first.detect(pixels)
        class_ids = found.class_ids.copy()
        sure = np.flatnonzero(found.scores >= self.shown_score)
        for row in sure[np.argsort(-found.scores[sure], kind="stable")][: self._most]:
            seen = self._second.detect(cut_out(pixels, found.boxes[row]))
            if len(seen):
                first = int(found.class_ids[row])
                class_ids[row] = len(self.first.classes) + first * len(self._second.classes) + int(seen.class_ids[0])
        return Detections(found.boxes, found.scores, class_ids, found.track_ids)

    def close(self) -> None:
        """Closes the first where it can be."""
        if isinstance(self.first, Closeable):
            self.first.close()


def cut_out(pixels: NDArray[np.uint8], box: NDArray[np.float32], margin: float = MARGIN) -> NDArray[np.uint8]:
    """The picture in a box xyxy px and ``margin`` of its longer side around it; at least one pixel, contiguous."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = (float(v) for v in box)
    room = margin * max(x2 - x1, y2 - y1)
    left, top = min(max(0, int(x1 - room)), width - 1), min(max(0, int(y1 - room)), height - 1)
    right, bottom = min(width, max(left + 1, round(x2 + room))), min(height, max(top + 1, round(y2 + room)))
    return np.ascontiguousarray(pixels[top:bottom, left:right])
