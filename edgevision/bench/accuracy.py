"""How right a contender is: AP against labels with its interval, or agreement with another where there are none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgevision.bench.image_sets import Truth
from edgevision.bench.records import AccuracyFigure, AgreementFigure
from edgevision.datasets.class_mapping import numbers_in
from edgevision.evaluation.agreement import Agreement
from edgevision.evaluation.average_precision import judge, mean_ap50, mean_ap50_95
from edgevision.evaluation.bootstrap import block_length, draws
from edgevision.evaluation.matching import renumbered
from edgevision.types import Detections

REPLICATES = 300
FEWEST_FOR_INTERVAL = 10
"""Of fewer images no interval is given."""


def accuracy(
    contender: str, data: str, found: Sequence[Detections], classes: Sequence[str], truth: Truth
) -> AccuracyFigure | None:
    """AP50 with a 95 % interval over images, and AP50-95, of classes that both know by name; None where none is.

    ``found`` may be shorter than the set: a slow contender was given its first images only. The interval draws
    neighbouring images together, since most sets here are frames of one video.
    """
    numbers = numbers_in(classes, truth.classes)
    known = sorted(set(numbers[numbers >= 0].tolist()))
    there = truth.boxes[: len(found)]
    labels = sum(int((np.isin(t.class_ids, known) & ~t.ignored).sum()) for t in there)
    if not known or not labels:
        return None
    seen = [renumbered(d, numbers) for d in found]
    verdicts = [judge(seen, there, k) for k in known]
    count = len(found)
    drawn = draws(count, REPLICATES, (0, count), block_length(count)) if count >= FEWEST_FOR_INTERVAL else None
    ap50 = mean_ap50(verdicts, drawn)
    return AccuracyFigure(
        contender=contender,
        data=data,
        frames=count,
        labels=labels,
        classes=tuple(truth.classes[k] for k in known),
        ap50=ap50.value,
        low=None if drawn is None else ap50.low,
        high=None if drawn is None else ap50.high,
        ap50_95=mean_ap50_95(verdicts),
    )


def agreement(
    contender: str,
    reference: str,
    data: str,
    found: tuple[Sequence[Detections], Sequence[str]],
    other: tuple[Sequence[Detections], Sequence[str]],
    sure_score: float,
) -> AgreementFigure | None:
    """How much of what ``other`` (the reference) found surely ``found`` has too; None where no class is shared."""
    counted = Agreement(tuple(other[1]), tuple(found[1]))
    if not counted.shared:
        return None
    for mine, theirs in zip(found[0], other[0], strict=False):
        counted.add(theirs, mine, sure_score)
    return AgreementFigure(
        contender=contender,
        reference=reference,
        data=data,
        frames=counted.frames,
        reference_boxes=counted.old_boxes,
        boxes=counted.new_boxes,
        found_again=counted.found_again,
    )
