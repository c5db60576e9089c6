"""``distill evaluate``: how good a model is on labelled pictures, by class and size, beside other models."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.datasets.annotations import Annotations, LabelledData, Picture, people_labelled
from edgevision.datasets.class_mapping import numbers_in
from edgevision.detectors.boxes import iou
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.onnx_detector import own_threshold
from edgevision.errors import ModelFailed, SourceBroken, UsageError
from edgevision.evaluation.average_precision import (
    LEAST_SCORE,
    SIZES,
    Interval,
    Verdicts,
    difference_ap50,
    judge,
    mean_ap50,
    mean_ap50_95,
    scores_from,
)
from edgevision.evaluation.bootstrap import draws
from edgevision.evaluation.matching import SAME_OBJECT_IOU, match, renumbered
from edgevision.interfaces import Detector
from edgevision.types import Detections

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
    """Measure detectors on ``data``, all from `LEAST_SCORE` on; the first is compared with each of the others.

    Detectors take turns image by image, so that their times are of the same minutes. Raises `UsageError` where
    there is nothing to measure on, or a detector knows none of the classes.
    """
    runs = [_Run(detector, _numbers(detector, data)) for detector in detectors]
    pictures: list[Picture] = []
    usable = data.usable
    with ExitStack() as stack:
        for detector in detectors:
            stack.enter_context(scores_from(detector))
        for number, picture in enumerate(usable, 1):
            try:
                pixels = picture.read()
            except SourceBroken:
                continue
            pictures.append(picture)
            for run in runs:
                run.detect(pixels)
            if progress is not None:
                progress(number, len(usable), picture.labels.file)
    if not pictures:
        raise UsageError(f"{data.place}: expected readable labelled images, found none")
    truth = [Annotations.from_rows(p.labels.rows()) for p in pictures]
    labels = sum(int((~t.ignored).sum()) for t in truth)
    if labels == 0:
        raise UsageError(f"{data.place}: expected labelled objects, found none in {len(pictures)} pictures")
    drawn = draws(len(pictures), bootstrap)
    verdicts = [run.verdicts(truth) for run in runs]
    reports = []
    for run, own in zip(runs, verdicts, strict=True):
        report = _report(run, own, data, pictures, truth, drawn)
        shared = sorted(own.keys() & verdicts[0].keys())
        if run is not runs[0] and shared:
            lead = difference_ap50([verdicts[0][k] for k in shared], [own[k] for k in shared], drawn)
            report = replace(report, lead=lead)
        reports.append(report)
    broken = len(usable) - len(pictures) + sum(p.labels.status == "failed" for p in data.pictures)
    return Evaluation(data.name, len(pictures), labels, broken, people_labelled(pictures), data.classes, tuple(reports))


@dataclass(slots=True, eq=False)
class _Run:
    """One detector over all images."""

    detector: Detector
    numbers: NDArray[np.int64]
    """(classes of the detector,) the data's number of each, -1 for those without labels."""
    found: list[Detections] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    failures: int = 0

    def detect(self, pixels: NDArray[np.uint8]) -> None:
        began = time.perf_counter()
        try:
            seen = self.detector.detect(pixels)
        except ModelFailed:
            self.failures += 1
            seen = Detections.empty()
        self.took_ms.append((time.perf_counter() - began) * 1e3)
        self.found.append(renumbered(seen, self.numbers))

    @property
    def known(self) -> list[int]:
        """The data's classes that the detector knows."""
        return sorted(set(self.numbers[self.numbers >= 0].tolist()))

    def verdicts(self, truth: Sequence[Annotations]) -> dict[int, Verdicts]:
        """Of each class that the detector knows."""
        return {k: judge(self.found, truth, k) for k in self.known}


def _numbers(detector: Detector, data: LabelledData) -> NDArray[np.int64]:
    numbers = numbers_in(detector.classes, data.classes)
    if (numbers < 0).all():
        raise UsageError(
            f"{detector.name}: knows none of the classes of {data.place} ({', '.join(data.classes[:8])}), but "
            f"{', '.join(detector.classes[:8])}"
        )
    return numbers


def _report(
    run: _Run,
    verdicts: Mapping[int, Verdicts],
    data: LabelledData,
    pictures: Sequence[Picture],
    truth: Sequence[Annotations],
    drawn: NDArray[np.int64],
) -> ModelReport:
    labelled = {data.classes[k]: v for k, v in verdicts.items() if v.labels.sum()}
    by_size = {s: [judge(run.found, truth, k, (SAME_OBJECT_IOU,), span) for k in verdicts] for s, span in SIZES.items()}
    threshold = own_threshold(run.detector)
    outcomes = tuple(outcome_of(p, f, threshold) for p, f in zip(pictures, run.found, strict=True))
    return ModelReport(
        name=run.detector.name,
        threshold=threshold,
        ap50=mean_ap50(list(verdicts.values()), drawn),
        ap50_95=mean_ap50_95(list(verdicts.values())),
        by_class={name: mean_ap50([v], drawn) for name, v in labelled.items()},
        ap50_95_by_class={name: mean_ap50_95([v]) for name, v in labelled.items()},
        by_size={s: mean_ap50(of_size).value for s, of_size in by_size.items()},
        labels_by_size={s: sum(int(v.labels.sum()) for v in of_size) for s, of_size in by_size.items()},
        absent=tuple(name for k, name in enumerate(data.classes) if k not in verdicts),
        false_boxes=sum(int((~o.hit & ~o.ignored).sum()) for o in outcomes),
        missed=sum(len(o.missed) for o in outcomes),
        detect_ms=statistics.median(run.took_ms),
        failures=run.failures,
        verdicts=tuple(verdicts.values()),
        outcomes=outcomes,
    )


def outcome_of(picture: Picture, found: Detections, threshold: float) -> Outcome:
    """What a picture's detections over a threshold hit and miss."""
    shown = found.select(found.scores >= threshold)
    labels = Annotations.from_rows(picture.labels.rows())
    hit, ignored = np.zeros(len(shown), bool), np.zeros(len(shown), bool)
    missed = ~labels.ignored
    for k in np.unique(shown.class_ids):
        mine = np.flatnonzero(shown.class_ids == k)
        counting = np.flatnonzero((labels.class_ids == k) & ~labels.ignored)
        taken = match(shown.boxes[mine], shown.scores[mine], labels.boxes[counting])[0]
        hit[mine] = taken >= 0
        missed[counting[taken[taken >= 0]]] = False
        regions = labels.boxes[(labels.class_ids == k) & labels.ignored]
        ignored[mine] = (taken < 0) & (iou(shown.boxes[mine], regions) >= SAME_OBJECT_IOU).any(1)
    return Outcome(picture, shown, hit, ignored, np.flatnonzero(missed))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)
