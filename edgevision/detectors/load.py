"""A teacher by its name: a stored model, an .onnx file, or a foundation model that is told what to look for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgevision.detectors.foundation import foundation_kind, is_foundation, load_foundation
from edgevision.detectors.foundation.base import FoundationDetector
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.registry import load_detector
from edgevision.errors import UsageError
from edgevision.interfaces import Detector

_AT = "foundation:NAME@WEIGHTS"


@dataclass(frozen=True, slots=True)
class TeacherSpec:
    """Which teacher, and how much its word counts among several. Plain values: it travels to other processes."""

    model: str
    weight: float = 1.0
    threads: int | None = None
    allow_upload: bool = False
    """For ``foundation:api``, which sends every picture to another machine."""


def parse_teacher(text: str, threads: int | None = None, allow_upload: bool = False) -> TeacherSpec:
    """``picodet_s_416`` or ``picodet_s_416*2``: a model, and its weight. Raises `UsageError`."""
    model, star, weight = text.rpartition("*")
    if not star or Path(text).exists():
        return TeacherSpec(text, 1.0, threads, allow_upload)
    try:
        value = float(weight)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise UsageError(f"--teacher: expected MODEL or MODEL*WEIGHT with a weight above 0, got {text!r}")
    return TeacherSpec(model, value, threads, allow_upload)


def load_teacher(spec: TeacherSpec, wanted: Prompts, min_score: float) -> Detector:
    """A teacher that gives all it sees from ``min_score`` on.

    Raises `ModelError`, `UsageError` for a foundation model that gives no boxes, and `MissingExtra` where its packages
    are absent.
    """
    if not is_foundation(spec.model):
        return load_detector(spec.model, min_score=min_score, threads=spec.threads)
    kind = foundation_kind(spec.model)
    if kind not in ("boxes", "language", "api"):
        raise UsageError(f"{spec.model}: expected a teacher that gives boxes of classes, this one gives {kind}")
    teacher = load_foundation(
        spec.model, prompts=wanted, min_score=min_score, threads=spec.threads, allow_upload=spec.allow_upload
    )
    if teacher.random_weights:
        teacher.close()
        raise UsageError(f"{spec.model}: has random weights, which teach nothing; name a folder or a hub id: {_AT}")
    return teacher


def unread_answers(teacher: Detector) -> int:
    """How many answers of a language model could not be read so far: it found nothing, and that means nothing."""
    return teacher.unread_answers if isinstance(teacher, FoundationDetector) else 0
