"""How far models doubt what they see in a frame: scores about the threshold, and what one sees and another does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.onnx_detector import own_threshold
from edgevision.evaluation.agreement import Agreement
from edgevision.interfaces import Detector
from edgevision.types import Detections

_DOUBT_SPAN = 0.15
"""A score this near the threshold is a doubt."""
_LEAST_SCORE = 0.05


def doubts_in(pixels: NDArray[np.uint8], model: Detector | None, other: Detector | None) -> tuple[float, list[str]]:
    """Sum over boxes of how near they lie to the model's threshold, and of disagreements; and each in words."""
    if model is None:
        return 0.0, []
    threshold = own_threshold(model)
    found = model.detect(pixels)
    near = np.maximum(0, 1 - np.abs(found.scores - threshold) / _DOUBT_SPAN)
    reasons = [
        f"uncertain: {model.classes[k]} {s:.2f}"
        for k, s, n in zip(found.class_ids, found.scores, near, strict=True)
        if n > 0
    ]
    doubt = float(near.sum())
    if other is not None:
        apart, words = _disagreement(model, found, other, other.detect(pixels))
        doubt += apart
        reasons += words
    return doubt, reasons


def load_doubter(model: str, threads: int | None = None) -> Detector:
    """A model that also gives what it doubts. Raises `ModelError`."""
    from edgevision.detectors.foundation.prompts import Prompts
    from edgevision.detectors.load import TeacherSpec, load_teacher

    return load_teacher(TeacherSpec(model, threads=threads), Prompts.default(), _LEAST_SCORE)


def _disagreement(one: Detector, found: Detections, other: Detector, theirs: Detections) -> tuple[float, list[str]]:
    """Sure boxes of either that the other does not have."""
    doubt, words = 0.0, []
    for a, seen, b, again in ((one, found, other, theirs), (other, theirs, one, found)):
        agreement = Agreement(a.classes, b.classes)
        shown = again.select(again.scores >= own_threshold(b) - _DOUBT_SPAN)
        agreement.add(seen, shown, own_threshold(a) + _DOUBT_SPAN)
        lost = sum(c.old - c.found_again for c in agreement.counts.values())
        if lost:
            doubt += lost
            words.append(f"models disagree: {b.name} has {lost} fewer than {a.name}")
    return doubt, words
