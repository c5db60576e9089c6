"""What a decoder is given and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.onnx_session import TensorInfo
from edgevision.errors import ModelInvalid


class Graph(Protocol):
    """What a family may look at to recognise its own: a loaded session, seen from outside."""

    @property
    def where(self) -> str: ...

    @property
    def inputs(self) -> tuple[TensorInfo, ...]: ...

    @property
    def outputs(self) -> tuple[TensorInfo, ...]: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a network: what its decoder must know beforehand."""

    input_wh: tuple[int, int]
    classes: int
    outputs: tuple[TensorInfo, ...]
    where: str
    """Names the model in errors."""

    def refuse(self, family: str, expected: str) -> ModelInvalid:
        """The error for outputs that do not fit ``family``."""
        got = ", ".join(str(o) for o in self.outputs)
        return ModelInvalid(f"{self.where}: as {family}, expected {expected}; got {got}. Check family and classes.")


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes over the score threshold, in any order, before suppression."""

    boxes: NDArray[np.float32]
    """(N, 4) x1, y1, x2, y2 in pixels of the network's input."""
    scores: NDArray[np.float32]
    """(N,) in 0-1."""
    class_ids: NDArray[np.int64]
    """(N,)"""
    suppressed: bool = False
    """Nothing is left to suppress: the graph has done it, or one box a thing is what it gives."""
    rotated: NDArray[np.float32] | None = None
    """(N, 5) centre x, y, width, height in input pixels and the angle in radians, of a head whose boxes are turned:
    overlaps are then those of the turned boxes. ``boxes`` enclose them."""

    def take(self, index: NDArray[Any]) -> Candidates:
        """Those at ``index``."""
        rotated = None if self.rotated is None else self.rotated[index]
        return Candidates(self.boxes[index], self.scores[index], self.class_ids[index], self.suppressed, rotated)


LARGEST_SHARE = 4.0
"""A dense head has boxes all over the image. In shares of the input none reaches so far out, in pixels most do: so the
unit shows in every frame."""
LARGEST_FINISHED_SHARE = 2.0
"""Of finished boxes there may be one only. One that lies within 2 px of the corner is no object, but one in shares."""

Recipe = Mapping[str, Any]
"""Values of a manifest's [input], without name, size, layout and type, which the graph itself tells."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a family makes of a graph that carries no metadata."""

    because: str
    """What in names and shapes fits, in words."""
    class_counts: tuple[int, ...]
    """How many classes the head may have, likeliest first; empty where its shapes do not tell."""
    classes: tuple[str, ...] = ()
    """Their names, where the family is only ever trained on one set."""
    seldom: bool = False
    """Possible, but of the models with these shapes few are of this family."""


class Decoder(Protocol):
    """One family's head, made for one graph."""

    @property
    def needs_nms(self) -> bool:
        """Whether several candidates may mean one object."""
        ...

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        """Candidates with a score over ``min_score``. Outputs are in the graph's order."""
        ...


def best_class(class_scores: NDArray[Any], min_score: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """From scores (N, C): indices of rows whose best class is over ``min_score``, that score, that class."""
    if class_scores.shape[1] == 1:
        column = class_scores[:, 0]
        rows = np.flatnonzero(column > min_score)
        return rows, column[rows].astype(np.float32), np.zeros(len(rows), np.int64)
    rows = np.flatnonzero(class_scores.max(1) > min_score)
    few = class_scores[rows]
    classes = few.argmax(1)
    return rows, few[np.arange(len(rows)), classes].astype(np.float32), classes.astype(np.int64)


def are_whole(numbers: NDArray[Any]) -> bool:
    """Whether these are class numbers, as scores never all are."""
    return bool(np.array_equal(numbers, np.rint(numbers)))


def cell_count(input_wh: tuple[int, int], strides: tuple[int, ...]) -> int:
    """Cells of all strides together."""
    return sum(-(-input_wh[0] // s) * -(-input_wh[1] // s) for s in strides)


def cells(input_wh: tuple[int, int], strides: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row (A, 2) of every cell, row by row, stride by stride; and the strides (A, 1).

    A side that a stride does not divide is rounded up, as convolutions with padding do.
    """
    places, sizes = [], []
    for stride in strides:
        columns, rows = -(-input_wh[0] // stride), -(-input_wh[1] // stride)
        y, x = np.mgrid[:rows, :columns]
        places.append(np.stack([x.ravel(), y.ravel()], 1))
        sizes.append(np.full((rows * columns, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(sizes).astype(np.float32)
