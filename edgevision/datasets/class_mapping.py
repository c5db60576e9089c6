"""From a teacher's class names to the labels': by a class's own name, or by a prompt that stands for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.prompts import Prompts
from edgevision.errors import UsageError


@dataclass(frozen=True, slots=True)
class ClassMap:
    """A teacher's classes in the labels' numbers."""

    numbers: tuple[int | None, ...]
    """For each of the teacher's classes, its number in the labels, or None where it is not wanted."""
    unmet: tuple[str, ...]
    """Wanted classes that this teacher has no name for."""


def number_of(name: str, wanted: Prompts) -> int | None:
    """Number of the class that a name stands for: the class's own, or one of its prompts. None where it is none's."""
    plain = _plain(name)
    for number, own in enumerate(wanted.classes):
        if plain == _plain(own):
            return number
    return next((k for k, texts in enumerate(wanted.texts) if plain in map(_plain, texts)), None)


def class_map(teacher_classes: Sequence[str], wanted: Prompts, teacher: str) -> ClassMap:
    """How a teacher's classes become the labels'. Raises `UsageError` where not one of them is wanted."""
    numbers = tuple(number_of(name, wanted) for name in teacher_classes)
    met = set(numbers) - {None}
    if not met:
        known = ", ".join(teacher_classes[:12]) + (", …" if len(teacher_classes) > 12 else "")
        raise UsageError(
            f"{teacher}: expected a teacher that knows one of {', '.join(wanted.classes)}, it has {known}; put its "
            f"name for it into --prompts, as in '{wanted.classes[0]}: {teacher_classes[0]}'"
        )
    return ClassMap(numbers, tuple(c for k, c in enumerate(wanted.classes) if k not in met))


def same_class(name: str, classes: Sequence[str]) -> int | None:
    """Number of the class of that name, as written or else without regard to case, article and hyphens."""
    if name in classes:
        return list(classes).index(name)
    plain = _plain(name)
    return next((k for k, other in enumerate(classes) if plain and _plain(other) == plain), None)


def numbers_in(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Number of each name among ``classes``, -1 where it is none of them: (N,), for `Annotations.renumbered`."""
    numbers = [same_class(name, classes) for name in names]
    return np.array([-1 if n is None else n for n in numbers], np.int64)


def _plain(name: str) -> str:
    """Without article, case, underscores and hyphens: "A hard-hat" is "hard_hat"."""
    words = name.casefold().replace("_", " ").replace("-", " ").split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)
