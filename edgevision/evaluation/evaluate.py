"""``distill evaluate``: how good a model is on labelled pictures, by class and size, beside other models."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.datasets.annotations import LabelledData, Picture, people_labelled
from edgevision.datasets.class_mapping import number_of
from edgevision.detectors.boxes import iou
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.errors import ModelFailed, SourceBroken, UsageError
from edgevision.evaluation.average_precision import (
    SIZES,
    Interval,
    Truth,
    Verdicts,
    difference_ap50,
    draws,
    judge,
    mean_ap50,
)
from edgevision.interfaces import Detector
from edgevision.types import Detections

LEAST_SCORE = 0.01
"""Detections under it are left out of the curve."""
HIT_IOU = 0.5
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One picture at the model's own threshold."""

    picture: Picture
    found: Detections
    hit: NDArray[np.bool_]
    """(N,) whether each detection hits a label."""
    ignored: NDArray[np.bool_]
    """(N,) whether it counts neither way: it lies on a doubtful label, or nobody knows the truth of its class."""
    missed: NDArray[np.int64]
    """Numbers of the picture's labels that nothing hit."""

    @property
    def wrongs(self) -> int:
        return len(self.missed) + int((~self.hit & ~self.ignored).sum())


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model on the pictures."""

    name: str
    threshold: float
    """The score that its manifest cuts at: misses and false boxes are counted there."""
    ap50: Interval
    ap50_95: float
    by_class: dict[str, Interval]
    ap50_95_by_class: dict[str, float]
    by_size: dict[str, float]
    """AP50 averaged over classes, by size of the object."""
    labels_by_size: dict[str, int]
    absent: tuple[str, ...]
    """Classes of the data that the model does not know: in no average."""
    false_boxes: int
    missed: int
    detect_ms: float
    """Median of one picture, resizing and decoding of boxes included."""
    failures: int
    verdicts: tuple[Verdicts, ...]
    outcomes: tuple[Outcome, ...]
    lead: Interval | None = None
    """AP50 of the model that was asked for, less this one's, on the same pictures."""

    def as_json(self) -> dict[str, Any]:
        def told(i: Interval) -> dict[str, Any]:
            return {"value": _number(i.value), "low": _number(i.low), "high": _number(i.high)}

        return {
            "model": self.name,
            "ap50": told(self.ap50),
            "ap50_95": _number(self.ap50_95),
            "classes": {
                name: {"ap50": told(i), "ap50_95": _number(self.ap50_95_by_class[name])}
                for name, i in self.by_class.items()
            },
            "sizes": {k: {"ap50": _number(v), "labels": self.labels_by_size[k]} for k, v in self.by_size.items()},
            "absent_classes": list(self.absent),
            "at_threshold": {"score": self.threshold, "false_boxes": self.false_boxes, "missed": self.missed},
            "detect_ms": round(self.detect_ms, 3),
            "failures": self.failures,
            **({"lead_of_asked_model": told(self.lead)} if self.lead else {}),
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All models on one set of pictures."""

    data: str
    pictures: int
    labels: int
    broken: int
    by_people: bool
    classes: tuple[str, ...]
    models: tuple[ModelReport, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "pictures": self.pictures,
            "labels": self.labels,
            "broken_pictures": self.broken,
            "labelled_by_people": self.by_people,
            "sizes_in_words": "COCO's: under 32² px, 32² to 96², over, of the picture as stored",
            "least_score": LEAST_SCORE,
            "models": [m.as_json() for m in self.models],
        }


def of_part(data: LabelledData, part: str) -> LabelledData:
    """One part of a data set; by default its validation part, where it has one. Raises `UsageError`."""
    wanted = part or ("val" if "val" in data.splits else "all")
    if wanted == "all":
        return data
    if wanted not in data.splits:
        has = ", ".join(sorted(filter(None, data.splits))) or "no parts"
        raise UsageError(f"--split: expected a part of {data.place} ({has}) or all, got {wanted!r}")
    return replace(data.of_split(wanted), place=f"{data.name} {wanted}")


def load_to_measure(model: str, classes: Sequence[str], threads: int | None = None) -> Detector:
    """A model that gives everything it sees, down to `LEAST_SCORE`. Raises `ModelError`."""
    from edgevision.detectors.load import TeacherSpec, load_teacher

    return load_teacher(TeacherSpec(model, threads=threads), Prompts.of_classes(classes), LEAST_SCORE)


def evaluate(
    detectors: Sequence[Detector],
    data: LabelledData,
    *,
    bootstrap: int = 400,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure detectors on ``data``; the first is the one that was asked for, the others are set against it.

    Detectors take turns picture by picture, so that their times are of the same minutes. Raises `UsageError` where
    there is nothing to measure on, or a detector knows none of the classes.
    """
    turns = [_turn(d, data) for d in detectors]
    found: list[list[Detections]] = [[] for _ in detectors]
    took: list[list[float]] = [[] for _ in detectors]
    failures = [0] * len(detectors)
    pictures: list[Picture] = []
    broken = 0
    usable = data.usable
    for number, picture in enumerate(usable, 1):
        try:
            pixels = picture.read()
        except SourceBroken:
            broken += 1
            continue
        pictures.append(picture)
        for k, detector in enumerate(detectors):
            began = time.perf_counter()
            try:
                seen = detector.detect(pixels)
            except ModelFailed:
                failures[k] += 1
                seen = Detections.empty()
            took[k].append((time.perf_counter() - began) * 1e3)
            found[k].append(_turned(seen, turns[k]))
        if progress is not None:
            progress(number, len(usable), picture.labels.file)
    if not pictures:
        raise UsageError(f"{data.place}: expected labelled pictures that can be read, found none")
    truth = [Truth.from_rows(p.labels.rows()) for p in pictures]
    labels = sum(int((~t.ignored).sum()) for t in truth)
    if labels == 0:
        raise UsageError(f"{data.place}: expected labelled objects, found none in {len(pictures)} pictures")
    drawn = draws(len(pictures), bootstrap)
    reports: list[ModelReport] = []
    for k, detector in enumerate(detectors):
        lead = reports[0].verdicts if reports else None
        reports.append(_report(detector, data, pictures, found[k], truth, drawn, took[k], failures[k], turns[k], lead))
    by_people = people_labelled(pictures)
    return Evaluation(data.name, len(pictures), labels, broken + _failed(data), by_people, data.classes, tuple(reports))


def _failed(data: LabelledData) -> int:
    return sum(p.labels.status == "failed" for p in data.pictures)


def _turn(detector: Detector, data: LabelledData) -> list[int]:
    """The data's number of each of the detector's classes, -1 for those it has no labels of."""
    wanted = Prompts.of_classes(data.classes)
    numbers = [number_of(name, wanted) for name in detector.classes]
    if all(n is None for n in numbers):
        raise UsageError(
            f"{detector.name}: knows none of the classes of {data.place} ({', '.join(data.classes[:8])}), but "
            f"{', '.join(detector.classes[:8])}"
        )
    return [-1 if n is None else n for n in numbers]


def _turned(seen: Detections, turn: list[int]) -> Detections:
    numbers = np.array(turn, np.int64)[seen.class_ids]
    keep = numbers >= 0
    return Detections(seen.boxes[keep], seen.scores[keep], numbers[keep])


def _report(
    detector: Detector,
    data: LabelledData,
    pictures: list[Picture],
    found: list[Detections],
    truth: list[Truth],
    drawn: NDArray[np.int64],
    took: list[float],
    failures: int,
    turn: list[int],
    lead: Sequence[Verdicts] | None,
) -> ModelReport:
    known = [k for k in range(len(data.classes)) if k in turn]
    verdicts = [judge(found, truth, k) for k in known]
    names = [data.classes[k] for k in known]
    by_class = {n: mean_ap50([v], drawn) for n, v in zip(names, verdicts, strict=True) if v.labels.sum()}
    fine = {n: float(np.mean(v.average_precision())) for n, v in zip(names, verdicts, strict=True) if n in by_class}
    sizes = {s: [judge(found, truth, k, (HIT_IOU,), span) for k in known] for s, span in SIZES.items()}
    manifest = getattr(detector, "manifest", None)
    threshold = float(manifest.thresholds.score) if manifest is not None else 0.3
    outcomes = tuple(outcome_of(p, f, threshold) for p, f in zip(pictures, found, strict=True))
    return ModelReport(
        name=detector.name,
        threshold=threshold,
        ap50=mean_ap50(verdicts, drawn),
        ap50_95=float(np.mean(list(fine.values()))) if fine else math.nan,
        by_class=by_class,
        ap50_95_by_class=fine,
        by_size={s: mean_ap50(v).value for s, v in sizes.items()},
        labels_by_size={s: sum(int(v.labels.sum()) for v in many) for s, many in sizes.items()},
        absent=tuple(c for k, c in enumerate(data.classes) if k not in turn),
        false_boxes=sum(int((~o.hit & ~o.ignored).sum()) for o in outcomes),
        missed=sum(len(o.missed) for o in outcomes),
        detect_ms=statistics.median(took),
        failures=failures,
        verdicts=tuple(verdicts),
        outcomes=outcomes,
        lead=None if lead is None or len(lead) != len(verdicts) else difference_ap50(lead, verdicts, drawn),
    )


def outcome_of(picture: Picture, found: Detections, threshold: float) -> Outcome:
    """What a picture's detections over a threshold hit and miss."""
    shown = found.select(found.scores >= threshold)
    rows = picture.labels.rows()
    counting = rows[:, 5] > 0
    overlap = iou(shown.boxes, rows[:, 1:5]) * (shown.class_ids[:, None] == rows[None, :, 0])
    free = counting.copy()
    hit, ignored = np.zeros(len(shown), bool), np.zeros(len(shown), bool)
    for i in np.argsort(-shown.scores, kind="stable"):
        row = np.where(free, overlap[i], -1)
        best = int(row.argmax()) if len(row) else -1
        if best >= 0 and row[best] >= HIT_IOU:
            hit[i], free[best] = True, False
        else:
            ignored[i] = bool((overlap[i][~counting] >= HIT_IOU).any())
    return Outcome(picture, shown, hit, ignored, np.flatnonzero(free))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)
