"""The settings that `tune` tries."""

from __future__ import annotations

from collections.abc import Sequence

from edgevision.bench.contender import ContenderSpec, float_twin
from edgevision.detectors.engines import DEFAULT_ENGINE
from edgevision.detectors.onnx_session import Session
from edgevision.detectors.registry import find_model, read_graph, stored_names
from edgevision.errors import EdgeVisionError

SIDES_PX = (192, 256, 320, 416, 512, 640)
DETECT_EVERY = (1, 2, 3)
"""Rarer detections than that were not worth it: what came meanwhile is missed for longer than a tenth of a second."""


def models_finding(classes: Sequence[str]) -> list[str]:
    """Names of the stored models that find all of these classes, the float twins of others left out."""
    found = []
    for name in stored_names():
        try:
            manifest = find_model(name).manifest
        except EdgeVisionError:
            continue  # one damaged model must not keep the others from being tuned
        if manifest is not None and set(classes) <= set(manifest.classes):
            found.append(name)
    return [name for name in found if name.removesuffix("-float") == name or name.removesuffix("-float") not in found]


def candidates(models: Sequence[str], cores: int, engine: str = DEFAULT_ENGINE) -> list[ContenderSpec]:
    """Every setting worth trying: models and their float twins, input sizes a graph leaves open, threads, streams.

    Raises what `find_model` raises.
    """
    names: list[str] = []
    for model in models:
        names.append(model)
        twin = float_twin(model)
        if twin is not None and twin not in models:
            names.append(twin)
    found = []
    for name in dict.fromkeys(names):
        for side in _sides(name):
            for threads, streams in ways(cores):
                found.append(ContenderSpec(name, threads=threads, streams=streams, side_px=side, engine=engine))
    return found


def ways(cores: int) -> list[tuple[int, int]]:
    """(threads, streams) that share out the cores: one frame on few or all, or several frames at once."""
    found = [(1, 1)]
    if cores >= 2:
        found += [(2, 1), (1, 2)]
    if cores >= 4:
        found += [(4, 1), (2, 2)]
    return found


def _sides(model: str) -> list[int | None]:
    stored = find_model(model)
    session = Session(read_graph(stored), str(stored.path))
    shape = session.inputs[0].shape
    return [*SIDES_PX] if len(shape) == 4 and None in shape[1:] and not _fixed(shape) else [None]


def _fixed(shape: tuple[int | None, ...]) -> bool:
    """Whether both sides of the picture are given: in NCHW the last two, in NHWC the two before the last."""
    sides = shape[1:3] if shape[3] == 3 else shape[2:4]
    return None not in sides
