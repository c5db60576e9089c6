"""Is a model fed as it was trained? Its own boxes tell, on pictures that nobody has labelled.

A wrong channel order, scale or resize still gives boxes, but worse ones: less certain, and less *steady*: others come
out when the picture is mirrored. A recipe's merit on a picture is what its sure boxes agree on with those of the mirror
image, less what they do not agree on; so neither spam nor silence earns anything. Recipes are compared picture by
picture, since pictures differ far more than recipes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.boxes import iou
from edgevision.decode import standard_recipe
from edgevision.detections import Detections
from edgevision.detector import OnnxDetector
from edgevision.manifest import InputRecipe, Manifest, Resize
from edgevision.session import Session

CLEAR_T = 2.5
"""Paired t of the differences, from which another recipe counts as clearly better: about 1 in 100 by chance."""
ALIKE_T = 1.5
"""Below it two recipes count as alike: about 1 in 7 by chance."""
LEAST_PICTURES = 8
_SCORE = 0.3
"""Boxes below it say little under any recipe."""
_LEAST_OVERLAP = 0.5
_RGB_MEAN, _RGB_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_SCALES = (((0.0,) * 3, (255.0,) * 3), ((0.0,) * 3, (1.0,) * 3), (_RGB_MEAN, _RGB_STD), ((127.5,) * 3, (127.5,) * 3))


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """One recipe on all pictures."""

    recipe: InputRecipe
    merits: NDArray[np.float64]
    """(pictures,)"""
    boxes: int
    """Over the score that counts."""
    steady: float
    """Share of their scores that the mirrored pictures confirm, 0-1."""

    @property
    def merit(self) -> float:
        """Mean over the pictures."""
        return float(self.merits.mean())

    def ahead_of(self, other: Tried) -> float:
        """Paired t of this recipe's merits over another's: above `CLEAR_T` it is clearly better."""
        difference = self.merits - other.merits
        spread = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
        if spread == 0:
            return 0.0
        return float(difference.mean() / (spread / np.sqrt(len(difference))))


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A manifest's recipe and its neighbours, on the same pictures."""

    tried: tuple[Tried, ...]
    """Best first."""
    own: Tried
    """The manifest's."""
    usual: Tried
    """What the family's published weights take."""

    @property
    def right(self) -> Tried:
        """The recipe to use: the manifest's, unless another is clearly better.

        The family's usual recipe is likelier than any other before a picture is looked at. So it need only be likely
        better than the manifest's, and goes before any that is not clearly better: many a pair differs by nothing that
        pictures can show, such as on which side the padding is.
        """
        best = self.tried[0]
        if best.merit <= 0:
            return self.own
        if best.ahead_of(self.usual) < CLEAR_T and self.usual.ahead_of(self.own) >= ALIKE_T:
            return self.usual
        return best if best.ahead_of(self.own) >= CLEAR_T else self.own


def compare_recipes(session: Session, manifest: Manifest, pictures: Sequence[NDArray[np.uint8]]) -> Comparison:
    """The manifest's recipe and its neighbours on (H, W, 3) BGR pictures, at least `LEAST_PICTURES`.

    First every scale with either channel order, then, for the best scale, every way to resize with either order.
    """
    own = manifest.input
    usual = _usual(session, manifest)
    tried: dict[InputRecipe, Tried] = {}

    def try_all(recipes: Sequence[InputRecipe]) -> None:
        for recipe in recipes:
            if recipe not in tried:
                tried[recipe] = _try(session, manifest, recipe, pictures)

    scales = _scales(own, usual)
    try_all([own, usual, *(with_scale(own, order, scale) for order in ("rgb", "bgr") for scale in scales)])
    best = max(tried.values(), key=lambda t: t.merit).recipe
    try_all([reordered(best, order, resize) for order in ("rgb", "bgr") for resize in Resize])
    return Comparison(tuple(sorted(tried.values(), key=lambda t: -t.merit)), tried[own], tried[usual])


def _usual(session: Session, manifest: Manifest) -> InputRecipe:
    """What the family's published weights take, in the size, layout and type that this graph has."""
    values = dict(standard_recipe(manifest.family, session.outputs, session.where))
    if manifest.input.dtype == "uint8":
        values = {k: v for k, v in values.items() if k not in ("mean", "std")}
    graph_tells = manifest.input.model_dump(include={"name", "width_px", "height_px", "layout", "dtype"})
    return InputRecipe(**values, **graph_tells)


def _scales(own: InputRecipe, usual: InputRecipe) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Mean and deviation in RGB order: the recipe's own and the usual one, then those that differ from both."""
    if own.dtype == "uint8":
        return [((0.0,) * 3, (1.0,) * 3)]
    kept: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    for scale in (_in_rgb(own), _in_rgb(usual), *_SCALES):
        if not any(np.allclose(_ends(scale), _ends(k), atol=0.02, rtol=0.02) for k in kept):
            kept.append(scale)
    return kept


def _in_rgb(recipe: InputRecipe) -> tuple[tuple[float, ...], tuple[float, ...]]:
    turn = -1 if recipe.channel_order == "bgr" else 1
    return tuple(recipe.mean[::turn]), tuple(recipe.std[::turn])


def _ends(scale: tuple[tuple[float, ...], tuple[float, ...]]) -> NDArray[np.float64]:
    """What black and white become: scales that agree on these are one scale."""
    mean, std = np.array(scale[0]), np.array(scale[1])
    return np.concatenate([(0 - mean) / std, (255 - mean) / std])


def with_scale(own: InputRecipe, order: str, scale: tuple[tuple[float, ...], tuple[float, ...]]) -> InputRecipe:
    """The recipe with another channel order and scale (given in RGB order)."""
    turn = -1 if order == "bgr" else 1
    return own.model_copy(update={"channel_order": order, "mean": scale[0][::turn], "std": scale[1][::turn]})


def reordered(recipe: InputRecipe, order: str, resize: Resize) -> InputRecipe:
    """The recipe with another channel order and resize; mean and deviation follow their channels."""
    turn = 1 if order == recipe.channel_order else -1
    values = {"channel_order": order, "resize": resize, "mean": recipe.mean[::turn], "std": recipe.std[::turn]}
    return recipe.model_copy(update=values)


def _try(session: Session, manifest: Manifest, recipe: InputRecipe, pictures: Sequence[NDArray[np.uint8]]) -> Tried:
    detector = OnnxDetector(manifest.model_copy(update={"input": recipe}), session, min_score=_SCORE)
    merits, boxes, confirmed, total = [], 0, 0.0, 0.0
    for pixels in pictures:
        plain = detector.detect(pixels)
        agreed = _agreed(plain, detector.detect(np.ascontiguousarray(pixels[:, ::-1])), pixels.shape[1])
        scores = float(plain.scores.sum())
        merits.append(2 * agreed - scores)
        boxes, confirmed, total = boxes + len(plain), confirmed + agreed, total + scores
    return Tried(recipe, np.array(merits), boxes, confirmed / total if total else 0.0)


def _agreed(plain: Detections, mirrored: Detections, width_px: int) -> float:
    """Scores of boxes that the mirrored picture confirms, each weighed by how well its box does."""
    if len(plain) == 0 or len(mirrored) == 0:
        return 0.0
    back = mirrored.boxes.copy()
    back[:, [0, 2]] = width_px - back[:, [2, 0]]
    overlap = iou(plain.boxes, back) * (plain.class_ids[:, None] == mirrored.class_ids[None])
    partner = overlap.argmax(1)
    best = overlap[np.arange(len(plain)), partner]
    scores = np.minimum(plain.scores, mirrored.scores[partner])
    return float((scores * best)[best >= _LEAST_OVERLAP].sum())
