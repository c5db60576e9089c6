"""``distill export``: from a run's folder to the graphs that `product.ship` measures and writes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.datasets.annotations import Box, LabelledData, Picture, PictureLabels, short_name
from edgevision.datasets.dataset import read_data
from edgevision.errors import SourceBroken, UsageError
from edgevision.evaluation.evaluate import of_part
from edgevision.training.augment import single
from edgevision.training.checkpoints import checkpoint_of, load_student, read_checkpoint
from edgevision.training.export.model_card import ModelCardFields
from edgevision.training.export.onnx_export import export_float, halve_weights, put_front_in_graph, quantise
from edgevision.training.export.package_model import Shipped, manifest_for, ship
from edgevision.training.image_cache import ImageCache
from edgevision.training.run_folder import RunInfo, read_run

CALIBRATION_PICTURES = 256
Say = Callable[[str], None]


def export_run(
    run: Path,
    target: Path,
    wish: ModelCardFields,
    *,
    int8: bool = False,
    half: bool = False,
    calibrate: Path | None = None,
    data: Path | None = None,
    classes: Sequence[str] | None = None,
    side_px: int | None = None,
    say: Say = lambda text: None,
) -> Shipped:
    """Export a run (or a checkpoint) to the folder ``target``.

    ``data`` is what it is measured on, by default the run's own validation pictures; ``calibrate`` gives the pictures
    that int8's ranges are taken from, by default the run's training pictures. ``half`` keeps a float graph's weights
    in 16 bits. ``classes`` and ``side_px`` are needed for a checkpoint that does not say them.
    Raises `UsageError`, and `EdgeVisionError` for an int8 that loses too much.
    """
    state = read_checkpoint(run)
    folder = checkpoint_of(run).parent
    info = read_run(folder) if (folder / "run.json").exists() else None
    names = tuple(classes or state.get("classes") or (info.classes if info else ()))
    if len(names) != state["shape"]["classes"]:
        raise UsageError(
            f"{run}: expected names of {state['shape']['classes']} classes, got {', '.join(names) or 'none'}; "
            "say --classes"
        )
    side = side_px or state.get("side_px") or _side_of(folder)
    if side is None:
        raise UsageError(f"{run}: does not say its input size; say --imgsz")
    held = measured_on(folder, data, names)
    wish = completed(wish, info, state.get("mean", ()))
    manifest = manifest_for(wish, names, side)
    metadata = _metadata(names, side, wish)
    student = load_student(run)
    with tempfile.TemporaryDirectory() as scratch:
        whole, small = Path(scratch) / "float.onnx", Path(scratch) / "int8.onnx"
        say(f"exporting {sum(p.numel() for p in student.parameters()) / 1e6:.2f} M parameters at {side} px")
        export_float(student, side, whole)
        graphs = [("float", whole)]
        if int8:
            pictures = list(calibration_pictures(calibrate, folder / "train", side))
            say(f"quantising, ranges from {len(pictures)} pictures")
            quantise(whole, small, iter(pictures))
            graphs.append(("int8", small))
        for _, path in graphs:
            put_front_in_graph(path, metadata)
        if half:
            halve_weights(whole)
        return ship([(kind, path.read_bytes()) for kind, path in graphs], manifest, target, wish, held, say)


def measured_on(run: Path, data: Path | None, classes: Sequence[str]) -> LabelledData | None:
    """What an export is measured on: ``data``, or the run's own validation pictures, where it has any."""
    return of_part(read_data(data), "") if data is not None else _of_run(run / "val", classes)


def completed(wish: ModelCardFields, info: RunInfo | None, mean: Sequence[tuple[str, float]] = ()) -> ModelCardFields:
    """What the run knows of itself, where the wish says nothing. ``mean``: networks and shares, where it is one."""
    if info is None:
        return wish
    recipe = info.recipe
    words = f"{recipe.epochs} epochs of {info.pictures.get('train', 0)} pictures at {recipe.phases[-1].side_px} px"
    words += f", used at {recipe.side_px} px" if recipe.side_px != recipe.phases[-1].side_px else ""
    words += f", seed {recipe.seed}" + (f", {recipe.soft.in_words}" if recipe.soft.targets != "boxes" else "")
    words += f", begun from {short_name(recipe.init)}" if recipe.init else ""
    if mean:
        words += "; mean of " + ", ".join(f"{short_name(net)} ({share:g})" for net, share in mean)
    notes = (*wish.notes, *info.notes)
    return replace(
        wish,
        teacher=wish.teacher or ", ".join(_teacher_name(t) for t in info.teachers),
        recipe=wish.recipe or words,
        data=wish.data or tuple(short_name(d) for d in info.data),
        notes=notes,
    )


def _teacher_name(text: str) -> str:
    """``a + b`` of models and paths, without the machine's folders."""
    return " + ".join(Path(t).stem if t.endswith(".onnx") else t for t in text.split(" + "))


def _side_of(folder: Path) -> int | None:
    """The input size of a run that an older trainer wrote."""
    try:
        return int(json.loads((folder / "recipe.json").read_text())["phases"][-1][1])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def _metadata(names: Sequence[str], side: int, wish: ModelCardFields) -> dict[str, str]:
    """Keys as Ultralytics' exports have them, since tools read those."""
    values: dict[str, Any] = {
        "names": dict(enumerate(names)),
        "imgsz": [side, side],
        "stride": 32,
        "task": "detect",
        "batch": 1,
        "channels": 3,
        "channel_order": "bgr",
        "description": f"{wish.name}, made by edgevision distill",
        "version": wish.version,
        "license": wish.licence,
    }
    return {key: str(value) for key, value in values.items()}


def calibration_pictures(place: Path | None, store: Path, side: int) -> Iterator[NDArray[np.float32]]:
    """Letterboxed pictures (1, 3, side, side) in 0-1. Raises `UsageError` where there are none."""
    rng = np.random.default_rng(0)
    empty = np.zeros((0, 6), np.float32)
    if place is None:
        if not ImageCache.is_whole(store):
            raise UsageError("--int8: expected pictures to take ranges from: name a folder of them with --calibrate")
        pictures = ImageCache(store)
        chosen = rng.choice(len(pictures), min(CALIBRATION_PICTURES, len(pictures)), replace=False)
        decoded = iter([pictures[int(i)][0] for i in chosen])
    else:
        from edgevision.datasets.dataset import pictures_under

        _, files = pictures_under(place)
        picked = rng.choice(len(files), min(CALIBRATION_PICTURES, len(files)), replace=False)
        decoded = _readable([Picture(files[int(i)], PictureLabels("")) for i in picked])
    for pixels in decoded:
        image, _ = single((pixels, empty), (side, side), None)
        yield (image.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)


def _readable(pictures: Sequence[Picture]) -> Iterator[NDArray[np.uint8]]:
    for picture in pictures:
        try:
            yield picture.read()
        except SourceBroken:
            continue


def _of_run(store: Path, classes: Sequence[str]) -> LabelledData | None:
    """A run's own validation pictures."""
    if not ImageCache.is_whole(store):
        return None
    held = ImageCache(store)
    by_people = read_run(store.parent).labelled_by_people if (store.parent / "run.json").exists() else True
    by, status = ("person", "done") if by_people else ("teacher", "labelled")
    pictures = []
    for i, name in enumerate(held.names):
        pixels, rows = held[i]
        boxes = tuple(Box(int(c), (a, b, x, y), 1.0, w, by) for c, a, b, x, y, w in rows.tolist())
        labels = PictureLabels(name, pixels.shape[1], pixels.shape[0], status, boxes)
        pictures.append(Picture(Path(name), labels, pixels))
    return LabelledData(f"validation pictures of {store.parent.name}", tuple(classes), tuple(pictures))
