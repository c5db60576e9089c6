"""Try a model in every installed engine: does it find the same there, and is it faster on this machine?

onnxruntime is the reference and stays the default. Another engine is chosen only where it agrees on the model's golden
images (frames of the built-in scene where it has none) and is clearly faster, both timed in turns.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scene import SceneSource
from edgevision.deployment.golden import read_picture
from edgevision.detectors.engine_choice import EngineChoice, EngineTime, write_choice
from edgevision.detectors.engines import DEFAULT_ENGINE, installed_engines
from edgevision.detectors.manifest import Manifest
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.preprocess import Letterbox
from edgevision.detectors.registry import detector_from, find_model, read_graph, user_data_folder
from edgevision.errors import EdgeVisionError
from edgevision.types import Detections

MOST_BOX_SHIFT_PX = 1.0
"""Pixels of the network's input: int8 kernels round differently, and a pixel of a large frame is a fraction of one."""
MOST_SCORE_CHANGE = 0.02
CLEARLY_FASTER = 1.05
"""Less is not worth another engine, and could be chance."""
_ROUNDS = 9
_BLOCK_S = 0.08
_SCENE_FRAMES = 4

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Parity:
    """How far one engine's detections are from the reference's, over all images."""

    agrees: bool
    note: str


def try_engines(
    model: str | Path,
    engines: Sequence[str] | None = None,
    *,
    clock: Clock = time.perf_counter,
    progress: Callable[[str], None] = lambda _: None,
) -> EngineChoice:
    """Load a model in each engine, compare what it finds, time one inference of one thread in turns, and choose.

    ``engines`` default to the installed ones. Raises what `find_model` raises; an engine that cannot run the model is
    an `EngineTime` without a time.
    """
    stored = find_model(model)
    graph = read_graph(stored)
    reference = detector_from(stored, graph, threads=1)
    images = _images(reference.manifest, stored.path.parent)
    loaded = {DEFAULT_ENGINE: reference}
    refused: dict[str, EngineTime] = {}
    parities = {DEFAULT_ENGINE: Parity(True, "the reference")}
    for name in installed_engines() if engines is None else engines:
        if name == DEFAULT_ENGINE:
            continue
        progress(f"{reference.manifest.label} in {name}")
        try:
            loaded[name] = detector_from(stored, graph, threads=1, engine=name)
            parities[name] = compare(reference, loaded[name], images)
        except EdgeVisionError as exc:
            loaded.pop(name, None)
            refused[name] = EngineTime(name, "", None, False, str(exc))
    blocks = _time_in_turns({name: one for name, one in loaded.items() if parities[name].agrees}, images[0], clock)
    times = []
    for name, detector in loaded.items():
        median_ms = statistics.median(blocks[name]) if name in blocks else None
        parity = parities[name]
        times.append(EngineTime(name, detector.session.provider, median_ms, parity.agrees, parity.note))
    return EngineChoice(fastest(blocks), (*times, *refused.values()))


def choose_and_keep(model: str | Path, data_folder: Path | None = None) -> EngineChoice:
    """`try_engines`, and let ``--engine auto`` take the outcome from now on. Raises `EdgeVisionError`."""
    choice = try_engines(model)
    stored = find_model(model)
    sha256 = detector_sha256(read_graph(stored))
    folder = data_folder or user_data_folder()
    try:
        write_choice(sha256, choice, folder)
    except OSError as exc:
        raise EdgeVisionError(f"{folder}: the engine's choice cannot be kept: {exc.strerror or exc}") from exc
    return choice


def detector_sha256(graph: bytes) -> str:
    """The hash by which `engine_choice` knows a model."""
    return hashlib.sha256(graph).hexdigest()


def compare(reference: OnnxDetector, other: OnnxDetector, images: Sequence[NDArray[np.uint8]]) -> Parity:
    """Whether two detectors find the same boxes in (H, W, 3) BGR images.

    The same is within 1 px of the network's input and 0.02 of score.
    A detection whose score is within 0.02 of the threshold may be missing on either side.
    """
    shift_px = change = 0.0
    boxes = 0
    for pixels in images:
        mine, theirs = reference.detect(pixels), other.detect(pixels)
        scale = max(_letterbox(reference.manifest, pixels).scale_xy)
        for a, b in ((mine, theirs), (theirs, mine)):
            for k in np.flatnonzero(a.scores >= reference.min_score + MOST_SCORE_CHANGE).tolist():
                nearest = _nearest(a, k, b)
                if nearest is None:
                    return Parity(False, f"{other.name}: a box of score {a.scores[k]:.2f} has no counterpart")
                shift_px, change = max(shift_px, nearest[0] * scale), max(change, nearest[1])
                boxes += 1
    note = f"{boxes // 2} boxes on {len(images)} images, up to {shift_px:.2f} px and {change:.3f} of score apart"
    return Parity(shift_px <= MOST_BOX_SHIFT_PX and change <= MOST_SCORE_CHANGE, note)


def fastest(blocks: dict[str, list[float]]) -> str:
    """The engine whose times (ms, in turns with the default's) are clearly least; the default where none is."""
    base = blocks[DEFAULT_ENGINE]
    best, gain = DEFAULT_ENGINE, CLEARLY_FASTER
    for name, mine in blocks.items():
        ratios = sorted(b / m for b, m in zip(base, mine, strict=True))
        # The lower quartile: most pairs must show it, not only the middle one.
        if ratios[len(ratios) // 4] > 1.0 and statistics.median(ratios) > gain:
            best, gain = name, statistics.median(ratios)
    return best


def _letterbox(manifest: Manifest, pixels: NDArray[np.uint8]) -> Letterbox:
    recipe = manifest.input
    return Letterbox.fit((pixels.shape[1], pixels.shape[0]), (recipe.width_px, recipe.height_px), recipe.resize)


def _nearest(a: Detections, k: int, b: Detections) -> tuple[float, float] | None:
    """(largest shift of a corner in px, change of score) to the nearest box of the same class; None where none is."""
    same = np.flatnonzero(b.class_ids == a.class_ids[k])
    if len(same) == 0:
        return None
    shifts = np.abs(b.boxes[same] - a.boxes[k]).max(1)
    at = int(shifts.argmin())
    return float(shifts[at]), float(abs(b.scores[same[at]] - a.scores[k]))


def _images(manifest: Manifest, folder: Path) -> list[NDArray[np.uint8]]:
    found = [read_picture(folder / golden.picture) for golden in manifest.golden]
    images = [pixels for pixels in found if pixels is not None]
    if images:
        return images
    size = (max(64, manifest.input.width_px), max(64, manifest.input.height_px))
    with SceneSource(people=6, size_wh=size, live=False, frames=_SCENE_FRAMES) as scene:
        return [frame.pixels for frame in iter(scene.read, None)]


def _time_in_turns(
    detectors: dict[str, OnnxDetector], pixels: NDArray[np.uint8], clock: Clock
) -> dict[str, list[float]]:
    """Mean ms of an inference, block by block, all engines in each round."""
    tensors = {name: detector.prepare(pixels).tensor for name, detector in detectors.items()}

    def block(name: str, runs: int) -> float:
        detector = detectors[name]
        began = clock()
        for _ in range(runs):
            detector.session.run(tensors[name], 0, detector.manifest.input.name or None)
        return (clock() - began) / runs * 1e3

    blocks: dict[str, list[float]] = {name: [] for name in detectors}
    runs = max(3, round(_BLOCK_S * 1e3 / max(0.1, block(DEFAULT_ENGINE, 3))))
    for turn in range(_ROUNDS):
        names = list(detectors)
        for name in names if turn % 2 else reversed(names):
            blocks[name].append(block(name, runs))
    return blocks
