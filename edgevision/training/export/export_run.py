"""``distill export``: from a run's folder to the graphs that `package` measures and writes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from edgevision.training.export.onnx_export import export_float, halve_weights, put_front_in_graph
from edgevision.training.export.options import ExportOptions
from edgevision.training.export.package_model import PackagedModel, Variant, manifest_for, package
from edgevision.training.export.quantize_int8 import quantise
from edgevision.training.image_cache import ImageCache
from edgevision.training.run_folder import RunInfo, read_run
from edgevision.training.student import Student

CALIBRATION_PICTURES = 256
Say = Callable[[str], None]


def export_run(
    run: Path,
    target: Path,
    fields: ModelCardFields,
    options: ExportOptions,
    say: Say = lambda text: None,
) -> PackagedModel:
    """Export a run (or a checkpoint) to the folder ``target``.

    Raises `UsageError`, and `EdgeVisionError` for an int8 that loses too much.
    """
    folder = checkpoint_of(run).parent
    info = read_run(folder) if (folder / "run.json").exists() else None
    state = read_checkpoint(run)
    names = _class_names(run, state, info, options)
    side = options.side_px or state.get("side_px") or _side_of(folder)
    if side is None:
        raise UsageError(f"{run}: does not say its input size; say --imgsz")
    validation = measured_on(folder, options.data, names)
    fields = completed(fields, info, state.get("mean", ()))
    variants = _variants(load_student(run), side, _metadata(names, side, fields), folder / "train", options, say)
    return package(variants, manifest_for(fields, names, side), target, fields, validation, say)


def _class_names(run: Path, state: Mapping[str, Any], info: RunInfo | None, options: ExportOptions) -> tuple[str, ...]:
    names = tuple(options.classes or state.get("classes") or (info.classes if info else ()))
    if len(names) != state["shape"]["classes"]:
        raise UsageError(
            f"{run}: expected names of {state['shape']['classes']} classes, got {', '.join(names) or 'none'}; "
            "say --classes"
        )
    return names


def _variants(
    student: Student,
    side_px: int,
    metadata: dict[str, str],
    training_images: Path,
    options: ExportOptions,
    say: Say,
) -> list[Variant]:
    """The float graph, and the int8 one where that is asked for, each with its preprocessing inside."""
    with tempfile.TemporaryDirectory() as scratch:
        whole, small = Path(scratch) / "float.onnx", Path(scratch) / "int8.onnx"
        say(f"exporting {sum(p.numel() for p in student.parameters()) / 1e6:.2f} M parameters at {side_px} px")
        export_float(student, side_px, whole)
        graphs = {"float": whole}
        if options.int8:
            pictures = list(calibration_pictures(options.calibrate, training_images, side_px))
            say(f"quantising, ranges from {len(pictures)} pictures")
            quantise(whole, small, iter(pictures))
            graphs["int8"] = small
        for path in graphs.values():
            put_front_in_graph(path, metadata)
        if options.half:
            halve_weights(whole)
        return [Variant(kind, path.read_bytes()) for kind, path in graphs.items()]


def measured_on(run: Path, data: Path | None, classes: Sequence[str]) -> LabelledData | None:
    """What an export is measured on: ``data``, or the run's own validation pictures, where it has any."""
    return of_part(read_data(data), "") if data is not None else _of_run(run / "val", classes)


def completed(fields: ModelCardFields, info: RunInfo | None, mean: Sequence[tuple[str, float]] = ()) -> ModelCardFields:
    """What the run knows of itself, where the fields say nothing. ``mean``: networks and shares, where it is one."""
    if info is None:
        return fields
    recipe = info.recipe
    words = f"{recipe.epochs} epochs of {info.pictures.get('train', 0)} pictures at {recipe.phases[-1].side_px} px"
    words += f", used at {recipe.side_px} px" if recipe.side_px != recipe.phases[-1].side_px else ""
    words += f", seed {recipe.seed}" + (f", {recipe.soft.in_words}" if recipe.soft.targets != "boxes" else "")
    words += f", begun from {short_name(recipe.init)}" if recipe.init else ""
    if mean:
        words += "; mean of " + ", ".join(f"{short_name(net)} ({share:g})" for net, share in mean)
    notes = (*fields.notes, *info.notes)
    return replace(
        fields,
        teacher=fields.teacher or ", ".join(_teacher_name(t) for t in info.teachers),
        recipe=fields.recipe or words,
        data=fields.data or tuple(short_name(d) for d in info.data),
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


def _metadata(names: Sequence[str], side: int, fields: ModelCardFields) -> dict[str, str]:
    """Keys as Ultralytics' exports have them, since tools read those."""
    values: dict[str, Any] = {
        "names": dict(enumerate(names)),
        "imgsz": [side, side],
        "stride": 32,
        "task": "detect",
        "batch": 1,
        "channels": 3,
        "channel_order": "bgr",
        "description": f"{fields.name}, made by edgevision distill",
        "version": fields.version,
        "license": fields.licence,
    }
    return {key: str(value) for key, value in values.items()}


def calibration_pictures(place: Path | None, store: Path, side: int) -> Iterator[NDArray[np.float32]]:
    """Letterboxed pictures (1, 3, side, side) in 0-1. Raises `UsageError` where there are none."""
    rng = np.random.default_rng(0)
    empty = np.zeros((0, 6), np.float32)
    if place is None:
        if not ImageCache.is_whole(store):
            raise UsageError("--int8: expected images for calibration: name a folder with --calibrate")
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
    return LabelledData(f"validation images of {store.parent.name}", tuple(classes), tuple(pictures))
