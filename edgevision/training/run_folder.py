"""``distill train``: from data folders to a run's folder: pictures decoded once, the recipe kept, the run resumed.

RUN/run.json     recipe, classes, data: what the run is
RUN/train, val   its pictures, decoded, with the labels they had when it began
RUN/last.pt      the newest checkpoint; log.jsonl and curves.svg beside it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision import __version__
from edgevision.datasets.annotations import Box, LabelledData, Picture, people_labelled
from edgevision.datasets.dataset import read_data
from edgevision.datasets.split import split_in_memory
from edgevision.datasets.storage import write_whole
from edgevision.errors import UsageError
from edgevision.regular_file import parse_json, read_regular_text
from edgevision.training.recipe import Recipe, recipe_from

_MAY_CHANGE = {"phases", "schedule", "batch", "validate_every", "init", "loss", "augmentation", "times"}
"""Keys of a recipe that a run can go on with; the network, its classes and what its labels mean it cannot."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What ``run.json`` says."""

    recipe: Recipe
    classes: tuple[str, ...]
    data: tuple[str, ...]
    teachers: tuple[str, ...]
    pictures: dict[str, int]
    notes: tuple[str, ...] = ()
    labelled_by_people: bool = True
    """Whether people labelled the validation pictures; else its accuracy is agreement with the teacher."""

    def write(self, run: Path) -> None:
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        values["recipe"] = self.recipe.as_values()
        write_whole(run / "run.json", json.dumps({"edgevision": __version__, **values}, indent=1, ensure_ascii=False))


def read_run(run: Path) -> RunInfo:
    """What a run is. Raises `UsageError` where the folder holds none."""
    path = run / "run.json"
    try:
        values = parse_json(read_regular_text(path))
        recipe = recipe_from(values["recipe"], str(path))
        names = ("classes", "data", "teachers", "notes")
        tuples = {name: tuple(values.get(name, ())) for name in names}
        return RunInfo(
            recipe=recipe, pictures=values.get("pictures", {}),
            labelled_by_people=values.get("labelled_by_people", True), **tuples,
        )  # fmt: skip
    except FileNotFoundError:
        raise UsageError(f"{run}: expected a run of `edgevision distill train`, found no run.json") from None
    except (ValueError, KeyError, TypeError) as exc:
        raise UsageError(f"{path}: cannot be read: {exc!r}") from exc


def begin(
    data: Sequence[Path],
    recipe: Recipe,
    run: Path,
    *,
    validation: Path | None = None,
    resume: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> RunInfo:
    """Make a run's folder ready to train in, or with ``resume`` take up one that is.

    Raises `UsageError` where ``run`` holds another run, or the data cannot be trained on.
    """
    known = (run / "run.json").exists()
    if (known or (run / "last.pt").exists()) and not resume:
        raise UsageError(f"{run}: holds a training run already; resume it with --resume, or name another --out")
    if known:
        info = _resumed(run, recipe, say)
        if _whole(run):
            info.write(run)
            return info
    run.mkdir(parents=True, exist_ok=True)
    sets = [read_data(place) for place in data]
    validation_set = read_data(validation) if validation is not None else None
    for one in (*sets, *([validation_set] if validation_set is not None else [])):
        for sentence in one.report.sentences():
            say(sentence)
    classes = recipe.classes or tuple(dict.fromkeys(c for s in sets for c in s.classes))
    train, val, notes = _parts(sets, validation_set)
    for note in notes:
        say(note)
    _check(train, val, classes, data)
    counts = _decode(run, train, val, classes, recipe, say)
    for name, count in counts.items():
        if count == 0:
            raise UsageError(f"{', '.join(map(str, data))}: expected images for {name} that can be read, found none")
    teachers = {p.labels.teacher for _, p in (*train, *val) if p.labels.teacher}
    by_people = people_labelled(p for _, p in val)
    info = RunInfo(recipe, classes, tuple(map(str, data)), tuple(sorted(teachers)), counts, tuple(notes), by_people)
    info.write(run)
    return info


def _resumed(run: Path, recipe: Recipe, say: Callable[[str], None]) -> RunInfo:
    """What a run holds, with a recipe that may differ in what a run may go on with. Raises `UsageError`."""
    before = read_run(run)
    changed = _changed(before.recipe, recipe)
    if changed - _MAY_CHANGE:
        raise UsageError(
            f"{run}: holds a run of another recipe ({', '.join(sorted(changed - _MAY_CHANGE))} differ); "
            "name another --out"
        )
    if changed:
        say(f"going on with a recipe that differs in {', '.join(sorted(changed))}")
    return replace(before, recipe=recipe)


def _decode(
    run: Path,
    train: Sequence[Named],
    val: Sequence[Named],
    classes: tuple[str, ...],
    recipe: Recipe,
    say: Callable[[str], None],
) -> dict[str, int]:
    """Keep both parts decoded in the run's folder; how many images of each could be read."""
    from edgevision.training.image_cache import ImageCache

    least_score = recipe.soft.least_score if recipe.soft.targets != "boxes" else None
    longest_px = max(384, round(recipe.side_px * 1.2))
    counts = {}
    for name, part, soft in (("train", train, least_score), ("val", val, None)):
        say(f"decoding {len(part)} pictures for {name}")
        left_out = ImageCache.build(run / name, _rows(part, classes, soft), longest_px)
        counts[name] = len(part) - left_out
    return counts


Named = tuple[LabelledData, Picture]


def _parts(sets: list[LabelledData], validation: LabelledData | None) -> tuple[list[Named], list[Named], list[str]]:
    """Training and validation pictures with the set they come from, and what is to be said of the division."""
    notes: list[str] = []
    train: list[Named] = []
    val: list[Named] = []
    for one in sets:
        pictures: Sequence[Picture] = one.usable
        if validation is None and "val" not in {p.labels.split for p in pictures}:
            pictures, note = split_in_memory(pictures)
            notes.append(f"{one.place}: has no part for validation; 15 % taken, near-duplicates together")
            notes += [f"{one.place}: {note}"] if note else []
        train += [(one, p) for p in pictures if p.labels.split in ("train", "")]
        val += [(one, p) for p in pictures if p.labels.split == "val" and validation is None]
    if validation is not None:
        named = validation.of_split("val").usable if "val" in validation.splits else validation.usable
        val = [(validation, p) for p in named]
    return train, val, notes


def _check(train: list[Named], val: list[Named], classes: tuple[str, ...], data: Sequence[Path]) -> None:
    where = ", ".join(map(str, data))
    if not train or not val:
        raise UsageError(
            f"{where}: expected labelled images for training and validation, found {len(train)} and {len(val)}"
        )
    seen = {s.classes[b.class_id] for s, p in train for b in p.labels.boxes if b.weight > 0}
    missing = [c for c in classes if c not in seen]
    if len(missing) == len(classes):
        raise UsageError(
            f"{where}: expected objects of {', '.join(classes)}, found none with an accepted score; label them first"
        )


def _rows(
    part: Iterable[Named], classes: tuple[str, ...], least_score: float | None
) -> Iterator[tuple[str, Path, NDArray[np.float32]]]:
    """What `ImageCache.build` takes: name, path, labels in the run's class numbers."""
    for source, picture in part:
        turn = [classes.index(c) if c in classes else -1 for c in source.classes]

        def moved(boxes: tuple[Box, ...], turn: list[int] = turn) -> tuple[Box, ...]:
            return tuple(replace(b, class_id=turn[b.class_id]) for b in boxes if turn[b.class_id] >= 0)

        labels = replace(picture.labels, boxes=moved(picture.labels.boxes), faint=moved(picture.labels.faint))
        yield labels.file, picture.path, labels.rows(least_score)


def _changed(a: Recipe, b: Recipe) -> set[str]:
    one, other = a.as_values(), b.as_values()
    return {key for key in one if one[key] != other[key]}


def _whole(run: Path) -> bool:
    return all((run / part / "index.json").exists() for part in ("train", "val"))
