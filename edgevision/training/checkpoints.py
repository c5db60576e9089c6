"""Checkpoints: what a training run leaves after each epoch, read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgevision.detectors.registry import find_model
from edgevision.errors import ModelInvalid, ModelNotFound, UsageError
from edgevision.training.export.restore import Exported, read_exported, unfold
from edgevision.training.student import Student, StudentShape

LAST = "last.pt"


def checkpoint_of(place: Path) -> Path:
    """The checkpoint of a run's folder, or the file itself. Raises `UsageError`."""
    path = place / LAST if place.is_dir() else place
    if not path.is_file():
        raise UsageError(
            f"{place}: expected a run of `edgevision distill train` or its checkpoint, found no {path.name}"
        )
    return path


def read_checkpoint(place: Path) -> dict[str, Any]:
    """A checkpoint's values. Only tensors and plain values are read, never code. Raises `UsageError`."""
    path = checkpoint_of(place)
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(state, dict) or not {"average", "shape"} <= state.keys():
            raise ValueError("it has other contents")
    except Exception as exc:  # pickle, zip and torch each raise their own
        raise UsageError(
            f"{path}: expected a checkpoint of our own trainer: {' '.join(str(exc).split())[:160]}"
        ) from exc
    return state


def shape_of(state: dict[str, Any]) -> StudentShape:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in state["shape"].items()}
    return StudentShape(**values)


def load_student(place: Path) -> Student:
    """The averaged weights of a run, ready to be used. Raises `UsageError`."""
    state = read_checkpoint(place)
    student = Student(shape_of(state))
    student.load_state_dict(state["average"])
    return student.eval()


def read_weights(place: str) -> Student | Exported:
    """What a network of ours is kept in: a run, its checkpoint, or a model that `distill export` made (its name, folder
    or file). Raises `UsageError`."""
    path = Path(place).expanduser()
    if path.suffix == ".pt" or (path / LAST).exists():
        return load_student(path)
    try:
        found = find_model(place).path
    except (ModelNotFound, ModelInvalid) as exc:
        raise UsageError(
            f"{place}: expected a run or checkpoint of our trainer, or a model that `distill export` made: {exc}"
        ) from exc
    return read_exported(found)


def load_any(place: str, pictures: Callable[[], Iterable[Tensor]]) -> Student:
    """The network of what `read_weights` takes, ready to be used.

    ``pictures`` gives a few training batches (B, 3, H, W) of 0-1, which an exported model's batch norms are fitted to.
    Raises `UsageError`.
    """
    return unfolded(read_weights(place), pictures)


def unfolded(read: Student | Exported, pictures: Callable[[], Iterable[Tensor]]) -> Student:
    """The network of what `read_weights` gave, its batch norms fitted to ``pictures`` where it was exported."""
    return unfold(read, pictures()) if isinstance(read, Exported) else read


def take_over(student: Student, place: str, pictures: Callable[[], Iterable[Tensor]]) -> tuple[int, int]:
    """Begin from other weights of ours, as `load_any` takes them, where name and shape match; (taken over, of how
    many). Raises `UsageError`."""
    theirs = load_any(place, pictures).state_dict()
    mine = student.state_dict()
    fitting = {k: v for k, v in theirs.items() if k in mine and mine[k].shape == v.shape}
    if not fitting:
        raise UsageError(
            f"init: {place} has not one weight of the student's shapes; begin from another, or from nothing"
        )
    student.load_state_dict(mine | fitting)
    return len(fitting), len(mine)
