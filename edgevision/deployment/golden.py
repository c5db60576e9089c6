"""Golden pictures: what a model found when its boxes were last seen to be right, and whether it still does.

A wrong recipe, a damaged file and a runtime that counts otherwise all still give plausible boxes. A picture whose boxes
a person has looked at tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.images import read_image
from edgevision.detectors.boxes import iou
from edgevision.detectors.manifest import Golden, GoldenBox, Manifest
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.errors import SourceBroken, UsageError

LEAST_IOU = 0.85
MOST_SCORE_CHANGE = 0.1
"""int8 kernels differ a little between processors; a wrong recipe moves far more."""


@dataclass(frozen=True, slots=True)
class GoldenOutcome:
    """How one golden picture went."""

    picture: str
    passed: bool
    sentence: str


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """(H, W, 3) BGR, or None where the file is no picture."""
    try:
        return read_image(path)
    except SourceBroken:
        return None


def record_golden(detector: OnnxDetector, pixels: NDArray[np.uint8], picture: str) -> Golden:
    """A golden check of what the detector finds in a picture now, over its manifest's threshold."""
    found = detector.detect(pixels)
    boxes = tuple(
        GoldenBox(
            box=(round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1)),
            score=round(score, 3),
            class_name=detector.classes[k],
        )
        for (x1, y1, x2, y2), score, k in zip(
            found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True
        )
    )
    return Golden(picture=picture, boxes=boxes)


def check_golden(detector: OnnxDetector, manifest: Manifest, folder: Path) -> list[GoldenOutcome]:
    """Each golden picture of the manifest, looked at again. Pictures stand in ``folder``."""
    return [_check(detector, golden, folder) for golden in manifest.golden]


def _check(detector: OnnxDetector, golden: Golden, folder: Path) -> GoldenOutcome:
    pixels = read_picture(folder / golden.picture)
    if pixels is None:
        return GoldenOutcome(golden.picture, False, f"expected an image in {folder}, found none that can be read")
    found = detector.detect(pixels)
    if not golden.boxes:
        # A box just over the threshold is no proof of harm.
        strong = int((found.scores > detector.min_score + MOST_SCORE_CHANGE).sum())
        return GoldenOutcome(golden.picture, strong == 0, f"expected no boxes, found {strong}")
    wanted = np.array([g.box for g in golden.boxes], np.float32)
    names = [detector.classes[k] for k in found.class_ids]
    same_class = np.array([[g.class_name == n for n in names] for g in golden.boxes], bool).reshape(len(wanted), -1)
    overlap = iou(wanted, found.boxes) * same_class
    missing = []
    for row, g in zip(overlap, golden.boxes, strict=True):
        best = int(row.argmax()) if len(row) else -1
        near_threshold = g.score < detector.min_score + MOST_SCORE_CHANGE
        fits = best >= 0 and row[best] >= LEAST_IOU and abs(float(found.scores[best]) - g.score) <= MOST_SCORE_CHANGE
        if not fits and not near_threshold:
            missing.append(f"{g.class_name} {g.score:.2f}")
    extra = sum(
        float(score) > detector.min_score + MOST_SCORE_CHANGE and not (overlap[:, k] >= 0.5).any()
        for k, score in enumerate(found.scores)
    )
    if missing or extra:
        lost = f"{', '.join(missing[:4])} missing or moved" if missing else "all found"
        return GoldenOutcome(golden.picture, False, f"expected {len(wanted)} boxes: {lost}, {extra} new ones")
    return GoldenOutcome(golden.picture, True, f"{len(wanted)} boxes as recorded")


def golden_name(path: Path, manifest: Manifest) -> str:
    """The name under which a picture is kept beside the manifest. Raises `UsageError` where it is taken."""
    name = f"golden-{path.name}"
    if any(g.picture == name for g in manifest.golden):
        raise UsageError(f"{path}: a golden image of that name exists already; rename the file")
    return name
