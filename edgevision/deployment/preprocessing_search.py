"""Is a model fed as it was trained? Its own boxes tell, on pictures that nobody has labelled.

First the colours (channel order and scale), by what the mirrored pictures confirm; then, with the right colours, the
resize, by what the pictures' pieces confirm (`recipe_merit` says why).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.deployment.preprocessing_score import Trials, Tried
from edgevision.detectors.decoders import standard_recipe
from edgevision.detectors.manifest import InputRecipe, Manifest, Resize
from edgevision.detectors.onnx_session import Session

CLEAR_T = 2.5
"""Paired t of the differences, from which another recipe counts as clearly better: about 1 in 100 by chance."""
ALIKE_T = 1.5
"""Below it two recipes count as alike: about 1 in 7 by chance."""
LEAST_PICTURES = 8
LEAST_PLACES = 8
"""With fewer, a t says little, however many pictures there are."""
_RGB_MEAN, _RGB_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_SCALES = (((0.0,) * 3, (255.0,) * 3), ((0.0,) * 3, (1.0,) * 3), (_RGB_MEAN, _RGB_STD), ((127.5,) * 3, (127.5,) * 3))


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A manifest's recipe and its neighbours, on the same pictures."""

    own: InputRecipe
    """The manifest's."""
    usual: InputRecipe
    """What the family's published weights take."""
    colours: tuple[Tried, ...]
    """Every scale with either channel order, at the manifest's resize, against the mirrored pictures; best first."""
    resizes: tuple[Tried, ...]
    """Every resize with the right colours, against the pictures' pieces; best first. Empty where pictures of another
    shape than the input show too few places."""
    places: int
    """Places that the pictures show."""
    shaped_places: int
    """Places on pictures of another shape than the input: the others look the same however they are resized."""
    right: InputRecipe
    """The recipe to use: the manifest's, unless another is clearly better."""

    @property
    def doubted_resize(self) -> Resize | None:
        """The family's usual resize, where the manifest's is another and is not clearly the better one.

        No proof against the manifest's: that is why it is told, and not written down.
        """
        by_resize = {t.recipe.resize: t for t in self.resizes}
        if not by_resize or self.usual.resize is self.own.resize or self.right.resize is not self.own.resize:
            return None
        ahead = by_resize[self.own.resize].ahead_of(by_resize[self.usual.resize])
        return self.usual.resize if ahead < CLEAR_T else None


def compare_recipes(trials: Trials, own: InputRecipe) -> Comparison:
    """A recipe and its neighbours, on at least `LEAST_PICTURES` pictures."""
    usual = usual_recipe(trials.session, trials.manifest)
    colours = _try_colours(trials, own, usual)
    right = own
    if colours[0].merit > 0:
        right = _choose(colours, own, usual.model_copy(update={"resize": own.resize}))
    resizes: tuple[Tried, ...] = ()
    shaped = len(set(trials.places[trials.shaped].tolist()))
    if shaped >= LEAST_PLACES and colours[0].merit > 0:
        ways = [right.model_copy(update={"resize": resize}) for resize in Resize]
        resizes = tuple(sorted(map(trials.in_pieces, ways), key=lambda t: -t.merit))
        right = _choose(resizes, right, right.model_copy(update={"resize": usual.resize}))
    return Comparison(own, usual, colours, resizes, len(set(trials.places.tolist())), shaped, right)


def _try_colours(trials: Trials, own: InputRecipe, usual: InputRecipe) -> tuple[Tried, ...]:
    """Every scale with either order, best first. A quarter of the pictures is enough to be done with most of them."""
    at_home = usual.model_copy(update={"resize": own.resize})
    scales = _scales(own, usual)
    every = dict.fromkeys([own, at_home, *(with_scale(own, o, scale) for o in ("rgb", "bgr") for scale in scales)])
    first = max(LEAST_PICTURES, len(trials.pictures) // 4)
    quick = [trials.mirrored(recipe, first) for recipe in every]
    best = max(quick, key=lambda t: t.merit)
    enough = len(set(best.places.tolist())) >= LEAST_PLACES
    done_with = [t for t in quick if enough and t.recipe not in (own, at_home) and best.ahead_of(t) >= CLEAR_T]
    tried = [t if t in done_with else trials.mirrored(t.recipe) for t in quick]
    # Of one that has dropped out, only how far behind it was is known.
    return tuple(sorted(tried, key=lambda t: (-len(t.merits), -t.merit)))


def _choose(tried: Sequence[Tried], own: InputRecipe, usual: InputRecipe) -> InputRecipe:
    """The recipe's own, unless another is clearly better.

    The family's usual recipe is likelier than any other before a picture is looked at. So it need only be likely
    better than the manifest's, and goes before any that is not clearly better: many a pair differs by nothing that
    pictures can show, such as on which side the padding is.
    """
    by_recipe = {t.recipe: t for t in tried}
    best, mine, habit = tried[0], by_recipe[own], by_recipe[usual]
    if len(set(mine.places.tolist())) < LEAST_PLACES:
        # Too few to weigh one against another, but a recipe under which nothing is steadily seen is wrong anywhere.
        if mine.merit > 0 or best.merit <= 0:
            return own
        return usual if habit.merit > 0 else best.recipe
    if best.ahead_of(habit) < CLEAR_T and habit.ahead_of(mine) >= ALIKE_T:
        return usual
    return best.recipe if best.ahead_of(mine) >= CLEAR_T else own


def usual_recipe(session: Session, manifest: Manifest) -> InputRecipe:
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
