"""One picture's labels from its bytes, by one or more teachers: a pure function, wherever and however often it runs.

`Labeller` holds the loaded teachers and nothing that a call changes, so that an engine may make one in each of its
processes: the same bytes give the same labels. To add an engine: a function like `label_here`, and a line in `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.images import MOST_BYTES, decode_image
from edgevision.datasets.annotations import Box
from edgevision.datasets.class_mapping import ClassMap, class_map
from edgevision.detectors.boxes import iou
from edgevision.detectors.load import TeacherSpec, load_teacher, unread_answers
from edgevision.errors import ModelFailed, SourceBroken, UsageError
from edgevision.interfaces import Detector
from edgevision.regular_file import read_regular
from edgevision.training.labelling.box_fusion import SAME_OBJECT_IOU, Cluster, fuse
from edgevision.training.labelling.flip_tta import ask_twice, says_something_new
from edgevision.training.labelling.settings import LabelSettings
from edgevision.types import Detections


@dataclass(frozen=True, slots=True)
class Task:
    """One picture to label."""

    file: str
    """Its path in the data folder."""
    path: Path
    own: tuple[Box, ...] = ()
    """What people labelled in it."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """What came of one picture."""

    width_px: int = 0
    height_px: int = 0
    boxes: tuple[Box, ...] = ()
    faint: tuple[Box, ...] = ()
    doubts: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    """Classes that a teacher saw and no prompt names, one entry a box."""
    troubles: tuple[str, ...] = ()
    """Teachers that failed on it, others having answered."""
    unmet: tuple[str, ...] = ()
    """Wanted classes that no teacher has a name for; the same for every picture."""
    error: str = ""
    """Why there are no labels at all."""


class Labeller:
    """Loaded teachers. ``labeller(data, own)`` labels one encoded picture."""

    def __init__(self, teachers: tuple[TeacherSpec, ...], settings: LabelSettings) -> None:
        """Load the teachers. Raises `ModelError`, `MissingExtra`, and `UsageError` where one knows no wanted class."""
        if not teachers:
            raise UsageError("--teacher: expected at least one teacher")
        self.settings = settings
        self._specs = teachers
        self._teachers: list[Detector] = [load_teacher(t, settings.wanted, settings.keep) for t in teachers]
        self.names = tuple(t.name for t in self._teachers)
        self.maps: tuple[ClassMap, ...] = tuple(class_map(t.classes, settings.wanted, t.name) for t in self._teachers)

    @property
    def unmet(self) -> tuple[str, ...]:
        """Wanted classes that no teacher has a name for."""
        return tuple(c for c in self.settings.wanted.classes if all(c in m.unmet for m in self.maps))

    def __call__(self, data: bytes, own: tuple[Box, ...] = ()) -> Labelling:
        """Labels of one encoded picture. Never raises: what goes wrong is said in the answer."""
        pixels, error = _decoded(data)
        if pixels is None:
            return Labelling(error=error)
        height, width = pixels.shape[:2]
        found: list[Detections | None] = []
        unwanted: list[str] = []
        troubles: list[str] = []
        for teacher, classes in zip(self._teachers, self.maps, strict=True):
            unread = unread_answers(teacher)
            try:
                seen = ask_twice(teacher, pixels) if self.settings.mirror else teacher.detect(pixels)
                if unread_answers(teacher) > unread:
                    raise ModelFailed("gave an answer that cannot be read")
            except Exception as exc:  # whatever a teacher raises costs one picture, not the other million
                troubles.append(f"{teacher.name} failed: {' '.join(str(exc).split())[:200] or type(exc).__name__}")
                found.append(None)
                continue
            numbers = [classes.numbers[k] for k in seen.class_ids]
            unwanted += [
                teacher.classes[k]
                for k, n, s in zip(seen.class_ids, numbers, seen.scores, strict=True)
                if n is None and s >= self.settings.trust.sure
            ]
            meant = seen.select(np.array([n is not None for n in numbers], bool))
            mine = np.array([n for n in numbers if n is not None], np.int64)
            found.append(Detections(meant.boxes, meant.scores, mine))
        if all(f is None for f in found):
            return Labelling(width, height, error="; ".join(troubles))
        clusters = [c for k in range(len(self.settings.wanted.classes)) for c in self._fused(k, found)]
        boxes, faint, doubts = self._judged(clusters, own, found)
        doubts += troubles
        told = tuple(unwanted), tuple(troubles), self.unmet
        return Labelling(width, height, (*own, *boxes), faint, tuple(doubts), *told)

    def _knowing(self, class_id: int, found: list[Detections | None]) -> list[int]:
        """Numbers of the teachers that know a class and answered."""
        return [t for t, m in enumerate(self.maps) if class_id in m.numbers and found[t] is not None]

    def _fused(self, class_id: int, found: list[Detections | None]) -> list[Cluster]:
        """One class's objects: only those who know the class have a say in it."""
        asked = self._knowing(class_id, found)
        seen = [f.select(f.class_ids == class_id) for t in asked if (f := found[t]) is not None]
        clusters = fuse(seen, [self._specs[t].weight for t in asked], SAME_OBJECT_IOU) if seen else []
        for cluster in clusters:
            cluster.seen_by = {asked[k] for k in cluster.seen_by}
        return clusters

    def _judged(
        self, clusters: list[Cluster], own: tuple[Box, ...], found: list[Detections | None]
    ) -> tuple[list[Box], tuple[Box, ...], list[str]]:
        """Fused objects as labels, faint ones, and the doubts they leave."""
        labelled = np.array([[b.class_id, *b.corners] for b in own], np.float32).reshape(-1, 5)
        corners = np.array([c.box for c in clusters], np.float32).reshape(-1, 4)
        fresh = says_something_new(corners, np.array([c.class_id for c in clusters], np.int64), labelled)
        boxes: list[Box] = []
        faint: list[Box] = []
        unsure: dict[str, int] = {}
        doubts: list[str] = []
        for cluster, is_new in zip(clusters, fresh, strict=True):
            score = float(min(cluster.score, 1.0))
            if not is_new or score < self.settings.keep:
                continue
            trust = self.settings.trust_of(cluster.class_id)
            name = self.settings.wanted.classes[cluster.class_id]
            by = " + ".join(self.names[t] for t in sorted(cluster.seen_by))
            x1, y1, x2, y2 = (round(float(v), 2) for v in cluster.box)
            box = Box(cluster.class_id, (x1, y1, x2, y2), round(score, 4), round(trust.weight(score), 4), by)
            asked = self._knowing(cluster.class_id, found)
            missed_by = [self.names[t] for t in asked if t not in cluster.seen_by]
            mean = float(np.mean(cluster.confidences)) / max(self._specs[t].weight for t in asked)
            if missed_by and mean >= trust.sure:
                doubts.append(f"teachers disagree: {name} {mean:.2f} of {by} not seen by {', '.join(missed_by)}")
            elif trust.doubt <= score < trust.sure:
                unsure[name] = unsure.get(name, 0) + 1
            (boxes if score >= trust.doubt else faint).append(box)
        doubts += [f"{count} uncertain {name}" for name, count in unsure.items()]
        doubts += self._confused(boxes)
        return boxes, tuple(faint), doubts

    def _confused(self, boxes: list[Box]) -> list[str]:
        """Objects that were labelled as two classes at once."""
        sure = [b for b in boxes if b.weight > 0]
        corners = np.array([b.corners for b in sure], np.float32).reshape(-1, 4)
        overlap = iou(corners, corners)
        names = self.settings.wanted.classes
        return [
            f"{names[a.class_id]} and {names[b.class_id]} on one object"
            for i, a in enumerate(sure)
            for j, b in enumerate(sure[:i])
            if a.class_id != b.class_id and overlap[i, j] > 0.8
        ]


Engine = Callable[[Iterable[Task], tuple[TeacherSpec, ...], LabelSettings], Iterator[tuple[Task, Labelling]]]
"""Labels tasks, in any order, one answer each."""

ENGINES: dict[str, str] = {
    "local": "edgevision.training.labelling.ensemble:label_here",
    "ray": "edgevision.training.labelling.ray_engine:label_on_ray",
}
"""``--engine`` to ``module:function``."""


def engine_named(name: str, workers: int | None = None, address: str | None = None) -> Engine:
    """Look an engine up. ``workers`` and ``address`` are for one that has processes. Raises `UsageError`."""
    place = ENGINES.get(name)
    if place is None:
        raise UsageError(f"--engine: expected {' or '.join(ENGINES)}, got {name!r}")
    module, _, function = place.partition(":")
    engine = getattr(import_module(module), function)
    if name == "local":
        if workers is not None or address is not None:
            raise UsageError("--workers, --address: are for --engine ray; the local engine is this process")
        return cast(Engine, engine)
    return cast(Engine, partial(engine, workers=workers, address=address))


def label_here(
    tasks: Iterable[Task], teachers: tuple[TeacherSpec, ...], settings: LabelSettings
) -> Iterator[tuple[Task, Labelling]]:
    """In this process, one after the other."""
    labeller = Labeller(teachers, settings)
    for task in tasks:
        yield task, label_task(labeller, task)


def label_task(labeller: Labeller, task: Task) -> Labelling:
    """One task, its file read where the labeller runs."""
    try:
        data = read_regular(task.path, MOST_BYTES)
    except OSError as exc:
        return Labelling(error=f"cannot be read: {exc.strerror or exc}")
    return labeller(data, task.own)


def _decoded(data: bytes) -> tuple[NDArray[np.uint8] | None, str]:
    """(H, W, 3) BGR, turned upright; or None and why."""
    try:
        return decode_image(data, "the image"), ""
    except SourceBroken as exc:
        return None, str(exc).removeprefix("the image ")
