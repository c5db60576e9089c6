"""AP50 of a detector on a dataset, as a swap's gate asks for it: quick, and without more of a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgevision.datasets.class_mapping import numbers_in
from edgevision.datasets.dataset import VALIDATION, read_data
from edgevision.errors import UsageError
from edgevision.evaluation.average_precision import judge, mean_ap50, scores_from
from edgevision.evaluation.matching import SAME_OBJECT_IOU, renumbered
from edgevision.interfaces import Detector

MOST_IMAGES = 1000
"""More make an estimate hardly better and a swap wait; they are then spread evenly over the dataset."""


def measure_ap(detector: Detector, folder: str, rest: Callable[[float], None] = lambda _: None) -> tuple[float, str]:
    """AP50 on a dataset's validation part over the classes that both know, and on what it was measured.

    ``rest`` is called after each image with the seconds it took. Where the dataset names no classes, its numbers are
    the detector's. Raises `UsageError` where there is nothing to measure on.
    """
    data = read_data(Path(folder), part=VALIDATION, limit=MOST_IMAGES, unnamed=detector.classes)
    numbers = numbers_in(detector.classes, data.classes)
    shared = sorted(set(numbers[numbers >= 0].tolist()))
    if not shared:
        raise UsageError(
            f"{folder}: has labels of {', '.join(data.classes[:6])}, of which the model knows none: {detector.name} "
            f"finds {', '.join(detector.classes[:6])}"
        )
    usable = data.usable_or_refused()
    found = []
    with scores_from(detector):
        for picture in usable:
            pixels = picture.read()
            began = time.perf_counter()
            found.append(renumbered(detector.detect(pixels), numbers))
            rest(time.perf_counter() - began)
    truth = [p.labels.annotations() for p in usable]
    labels = sum(int((~t.ignored & np.isin(t.class_ids, shared)).sum()) for t in truth)
    if not labels:
        raise UsageError(f"{folder}: expected labels of a class that {detector.name} finds, there are none")
    names = ", ".join(data.classes[k] for k in shared[:4]) + (", …" if len(shared) > 4 else "")
    words = f"on {len(usable)} pictures with {labels} boxes of {names}"
    failed = sum(p.labels.status == "failed" for p in data.pictures)
    if failed:
        words += f"; {failed} cannot be used ({data.report.first_failure()})"
    return mean_ap50([judge(found, truth, k, (SAME_OBJECT_IOU,)) for k in shared]).value, words
