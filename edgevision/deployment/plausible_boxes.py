"""Is a head read rightly? What its boxes look like on the trial images tells, though nobody knows what is in them.

Read in a wrong layout, a head's boxes are in shares taken for pixels, or inside out, or far outside. No network gives
such boxes throughout, not even an untrained one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgevision.detectors.decoders import Candidates

LEAST_SCORE = 0.001
"""Below it a row is padding, or a network that finds nothing."""
_BEST = 100
"""Boxes of each image that are looked at."""
_FEW = 4
"""Over the model's own threshold; with fewer boxes nothing is said."""
_MANY = 20
"""Where no score reaches the threshold."""
_TINY_PX = 2.0
_INSIDE_OUT = 0.8
"""Share of boxes without a size, from which corners are not corners. An untrained head has up to three quarters."""


def what_is_misread(found: Sequence[Candidates], input_wh: tuple[int, int], min_score: float) -> str | None:
    """What speaks against the layout, in words, or None.

    ``found`` are the candidates of each trial image with scores over `LEAST_SCORE`; ``min_score`` is the model's
    threshold.
    """
    best = [each.take(np.argsort(-each.scores, kind="stable")[:_BEST]) for each in found]
    boxes = np.concatenate([each.boxes for each in best])
    scores = np.concatenate([each.scores for each in best])
    if len(scores) == 0:
        return None
    top = float(scores.max())
    if top > 1.01:
        return f"scores up to {top:.3g}, expected 0 to 1"
    confident = scores > min_score
    if confident.sum() >= _FEW:
        boxes = boxes[confident]
    elif len(boxes) < _MANY:
        return None
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    sizeless = (wide <= 0) | (high <= 0)
    tiny = ~sizeless & (wide <= _TINY_PX) & (high <= _TINY_PX)
    width, height = input_wh
    past = (boxes[:, 0] >= width) | (boxes[:, 1] >= height) | (boxes[:, 2] <= 0) | (boxes[:, 3] <= 0)
    outside = ~sizeless & ~tiny & past
    if sizeless.mean() < _INSIDE_OUT and not (sizeless | tiny | outside).all():
        return None
    kinds = ((sizeless, "without a size"), (tiny, f"within {_TINY_PX:g} px"), (outside, "outside the image"))
    seen = " and ".join(f"{int(which.sum())} {words}" for which, words in kinds if which.any())
    return f"of the best {len(boxes)} boxes (scores up to {top:.2f}) {seen}"
