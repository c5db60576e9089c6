"""How good a way of feeding a model is, on pictures that nobody has labelled: what its boxes agree with.

A merit on one picture is what sure boxes agree on with a reference, less what they do not agree on, so neither spam nor
silence earns anything. There are two references. The *mirrored* picture shows wrong colours: boxes then get doubtful
and unsteady. It does not show a wrong resize, which is wrong in the same way in the mirror. The *pieces* of a picture
do: cut to the input's own shape they reach the network alike under every resize, neither distorted nor padded. A
network trained on stretched pictures sees padded ones far less like their pieces; one trained on padded pictures hardly
minds stretching, so that its wrong resize often stays undecided.

Pictures of one place have one vote together: what is peculiar about a place shows in all frames of a camera that hangs
there, and sixty of them made chance look certain (NanoDet on one clip: the wrong resize ahead by t 6.7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import iou
from edgevision.detectors.manifest import InputRecipe, Manifest, Resize
from edgevision.detectors.nms import nms
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.onnx_session import Session
from edgevision.types import Detections

SCORES = (0.2, 0.3, 0.4)
"""Boxes count from each of these in turn: where a model's scores lie is its own affair (NanoDet's are low)."""
SAME_SHAPE = 1.1
"""A picture whose aspect is within this factor of the input's is all but the same under every resize."""
_LEAST_OVERLAP = 0.5
_ONE_OBJECT = 0.55
"""Boxes of neighbouring pieces that overlap by more than this are one object."""
_CUT = 0.02
"""A box within this share of a piece's side from where the piece was cut may be half an object."""
_MOST_PIECES = 6
_THUMB_PX = 16
_SAME_PLACE = 0.8
"""Correlation of two pictures' thumbnails from which they show the same place: frames of one camera are mostly over
0.9, pictures of different places under 0.7."""


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """One recipe on the pictures."""

    recipe: InputRecipe
    merits: NDArray[np.float64]
    """(pictures,)"""
    boxes: int
    """Over the middle score."""
    steady: float
    """Share of their scores that the reference confirms, 0-1."""
    places: NDArray[np.int64]
    """(pictures,) which place each shows."""

    @property
    def merit(self) -> float:
        """Mean over the places."""
        return float(self._votes(self.merits).mean())

    def ahead_of(self, other: Tried) -> float:
        """Paired t of this recipe's merits over another's, place by place, on the pictures that both have seen.

        Paired, since pictures differ far more than recipes do. 0 where nothing differs, or all is one place.
        """
        n = min(len(self.merits), len(other.merits))
        votes = self._votes(self.merits[:n] - other.merits[:n])
        spread = float(votes.std(ddof=1)) if len(votes) > 1 else 0.0
        return float(votes.mean() / (spread / math.sqrt(len(votes)))) if spread > 0 else 0.0

    def _votes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of each place's."""
        _, place, pictures = np.unique(self.places[: len(values)], return_inverse=True, return_counts=True)
        return np.asarray(np.bincount(place, values) / pictures, np.float64)


class Trials:
    """A model on pictures, by any recipe; each recipe sees each picture once, however often it is asked about."""

    def __init__(self, session: Session, manifest: Manifest, pictures: Sequence[NDArray[np.uint8]]) -> None:
        """(H, W, 3) BGR pictures. The first quarter that is tried is spread evenly over them all."""
        self.session, self.manifest = session, manifest
        self.pictures = [p for k in range(4) for p in pictures[k::4]]
        wh = manifest.input.width_px, manifest.input.height_px
        self.shaped = [k for k, p in enumerate(self.pictures) if not same_shape((p.shape[1], p.shape[0]), wh)]
        """Which pictures are of another shape than the input: those that can tell how to resize."""
        self.places = places_of(self.pictures)
        self._seen: dict[InputRecipe, dict[int, tuple[Detections, Detections]]] = {}
        self._in_pieces: dict[InputRecipe, dict[int, Detections]] = {}

    def mirrored(self, recipe: InputRecipe, first: int | None = None) -> Tried:
        """The recipe on the first so many pictures, against their mirror images."""
        looks = [self._look(recipe, k) for k in range(len(self.pictures[:first]))]
        return _tried(recipe, [((p, turned), (turned, p)) for p, turned in looks], self.places[: len(looks)])

    def in_pieces(self, recipe: InputRecipe) -> Tried:
        """The recipe on the pictures of another shape than the input, against their pieces."""
        pairs = []
        for k in self.shaped:
            plain, turned = self._look(recipe, k)
            reference = self._pieces(recipe, k)
            pairs.append(((plain, reference), (turned, reference)))
        return _tried(recipe, pairs, self.places[self.shaped])

    def _look(self, recipe: InputRecipe, k: int) -> tuple[Detections, Detections]:
        """What is seen in the picture, and in its mirror image (turned back)."""
        seen = self._seen.setdefault(recipe, {})
        if k not in seen:
            seen[k] = both_ways(self._detector(recipe), self.pictures[k])
        return seen[k]

    def _pieces(self, recipe: InputRecipe, k: int) -> Detections:
        # Stretched, a piece of the input's shape is neither distorted nor padded, so this is one for all resizes.
        recipe = recipe.model_copy(update={"resize": Resize.STRETCH})
        seen = self._in_pieces.setdefault(recipe, {})
        if k not in seen:
            seen[k] = seen_in_pieces(self._detector(recipe), self.pictures[k])
        return seen[k]

    def _detector(self, recipe: InputRecipe) -> OnnxDetector:
        return OnnxDetector(self.manifest.model_copy(update={"input": recipe}), self.session, min_score=SCORES[0])


def same_shape(picture_wh: tuple[int, int], input_wh: tuple[int, int]) -> bool:
    """Whether a picture fits the input with hardly any distortion or padding, however it is resized."""
    ratio = picture_wh[0] * input_wh[1] / (picture_wh[1] * input_wh[0])
    return 1 / SAME_SHAPE <= ratio <= SAME_SHAPE


def places_of(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """(pictures,) number of the place that each shows: frames of a camera that hangs still share one."""
    firsts: list[NDArray[np.float64]] = []
    places = []
    for pixels in pictures:
        thumb = cv2.resize(pixels, (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA).mean(2).ravel()
        thumb -= thumb.mean()
        thumb /= max(float(np.linalg.norm(thumb)), 1e-6)
        # Pictures without any pattern are one place too.
        alike = [
            k for k, first in enumerate(firsts) if first @ thumb >= _SAME_PLACE or not (first.any() or thumb.any())
        ]
        if not alike:
            firsts.append(thumb)
        places.append(alike[0] if alike else len(firsts) - 1)
    return np.array(places, np.int64)


def both_ways(detector: OnnxDetector, pixels: NDArray[np.uint8]) -> tuple[Detections, Detections]:
    """What is seen in a picture, and in its mirror image: the latter turned back."""
    mirrored = detector.detect(np.ascontiguousarray(pixels[:, ::-1]))
    boxes = mirrored.boxes.copy()
    boxes[:, [0, 2]] = pixels.shape[1] - boxes[:, [2, 0]]
    return detector.detect(pixels), Detections(boxes, mirrored.scores, mirrored.class_ids)


def cut(picture_wh: tuple[int, int], input_wh: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Overlapping pieces (x1, y1, x2, y2 in px) of the input's shape, as large as fit, that cover the picture."""
    (w, h), (iw, ih) = picture_wh, input_wh
    pw, ph = (max(1, round(h * iw / ih)), h) if w * ih > h * iw else (w, max(1, round(w * ih / iw)))
    # By a third at least, so that what one piece cuts in two is whole in the next.
    count = min(_MOST_PIECES, max(1, math.ceil(1.5 * max(w / pw, h / ph) - 0.5)))
    corners = [(round((w - pw) * k), round((h - ph) * k)) for k in np.linspace(0, 1, count)]
    return [(x, y, x + pw, y + ph) for x, y in dict.fromkeys(corners)]


def seen_in_pieces(detector: OnnxDetector, pixels: NDArray[np.uint8]) -> Detections:
    """What is seen in a picture's pieces and their mirror images, without what the cuts go through."""
    h, w = pixels.shape[:2]
    recipe = detector.manifest.input
    boxes, scores, ids = [], [], []
    for x1, y1, x2, y2 in cut((w, h), (recipe.width_px, recipe.height_px)):
        low = np.array([_CUT * (x2 - x1) if x1 else -1, _CUT * (y2 - y1) if y1 else -1])
        high = np.array([(1 - _CUT) * (x2 - x1) if x2 < w else np.inf, (1 - _CUT) * (y2 - y1) if y2 < h else np.inf])
        for found in both_ways(detector, pixels[y1:y2, x1:x2]):
            whole = (found.boxes[:, :2] >= low).all(1) & (found.boxes[:, 2:] <= high).all(1)
            boxes.append(found.boxes[whole] + np.array([x1, y1, x1, y1], np.float32))
            scores.append(found.scores[whole])
            ids.append(found.class_ids[whole])
    every = Detections(np.concatenate(boxes), np.concatenate(scores), np.concatenate(ids))
    return every.select(nms(every.boxes, every.scores, every.class_ids, _ONE_OBJECT))


_Pair = tuple[Detections, Detections]
"""What is judged, and the reference."""


def _tried(recipe: InputRecipe, pictures: Sequence[tuple[_Pair, _Pair]], places: NDArray[np.int64]) -> Tried:
    merits = [float(np.mean([merit(found, reference) for found, reference in pairs])) for pairs in pictures]
    middle = [(_from(found, SCORES[1]), _from(ref, SCORES[1])) for pairs in pictures for found, ref in pairs[:1]]
    scores = sum(float(found.scores.sum()) for found, _ in middle)
    confirmed = sum(agreed(found, reference) for found, reference in middle)
    boxes = sum(len(found) for found, _ in middle)
    return Tried(recipe, np.array(merits), boxes, confirmed / scores if scores else 0.0, places)


def merit(found: Detections, reference: Detections) -> float:
    """How far boxes agree with a reference, less how far they do not; the mean over `SCORES`."""
    merits = []
    for score in SCORES:
        sure = _from(found, score)
        scores = float(sure.scores.sum())
        # A count scatters by its root: without this, one crowded picture outweighs all the others.
        merits.append((2 * agreed(sure, _from(reference, score)) - scores) / math.sqrt(1 + scores))
    return float(np.mean(merits))


def agreed(found: Detections, reference: Detections) -> float:
    """Scores of boxes that the reference confirms, each weighed by how well its box does."""
    if len(found) == 0 or len(reference) == 0:
        return 0.0
    overlap = iou(found.boxes, reference.boxes) * (found.class_ids[:, None] == reference.class_ids[None])
    partner = overlap.argmax(1)
    best = overlap[np.arange(len(found)), partner]
    scores = np.minimum(found.scores, reference.scores[partner])
    return float((scores * best)[best >= _LEAST_OVERLAP].sum())


def _from(found: Detections, score: float) -> Detections:
    return found.select(found.scores >= score)
