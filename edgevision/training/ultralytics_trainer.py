"""A student trained by Ultralytics' own trainer, for who wants a YOLO of theirs. Its code is AGPL-3.0, and it says that
weights trained with it are too; it is imported only here, and only where a recipe asks for it by name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgevision.datasets.annotations import Box, LabelledData, Picture, PictureLabels
from edgevision.datasets.yolo_writer import write_yolo
from edgevision.deployment.embed_preprocessing import front_into
from edgevision.detectors.onnx_session import Session
from edgevision.detectors.registry import from_metadata
from edgevision.errors import EdgeVisionError
from edgevision.training.export.export_run import calibration_pictures, completed, measured_on
from edgevision.training.export.model_card import ModelCardFields
from edgevision.training.export.options import ExportOptions
from edgevision.training.export.package_model import PackagedModel, Variant, package
from edgevision.training.export.quantize_int8 import quantise
from edgevision.training.image_cache import ImageCache
from edgevision.training.recipe import Recipe
from edgevision.training.run_folder import begin, read_run

LICENCE = "AGPL-3.0"
GRAPH = "best.onnx"
Say = Callable[[str], None]


def train_ultralytics(
    data: Sequence[Path],
    recipe: Recipe,
    run: Path,
    *,
    validation: Path | None = None,
    resume: bool = False,
    workers: int = 2,
    device: str | None = None,
    say: Say = lambda text: None,
) -> Path:
    """Train by Ultralytics, from nothing and without the network; the exported graph. Raises as `train_student`."""
    say(
        "Ultralytics is AGPL-3.0, and by its terms weights trained with it are too: consider that "
        "before you distribute the model"
    )
    info = begin(data, recipe, run, validation=validation, resume=resume, say=say)
    folder = run / "yolo"
    if not (folder / "data.yaml").exists():
        _write_pictures(run, folder, info.classes)
    # Read at import: no network, no installing of packages, no settings in the user's home.
    quiet = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
    os.environ.update(quiet | {"YOLO_CONFIG_DIR": str((run / "ultralytics-settings").resolve())})
    (run / "ultralytics-settings").mkdir(exist_ok=True)
    from ultralytics import YOLO

    last = run / "ultralytics" / "weights" / "last.pt"
    options: dict[str, Any] = {
        "data": str(folder / "data.yaml"),
        "epochs": recipe.epochs,
        "imgsz": recipe.side_px,
        "batch": recipe.batch,
        "seed": recipe.seed,
        "workers": workers,
        "device": device or _device(),
        "project": str(run.resolve()),
        "name": "ultralytics",
        "exist_ok": True,
        "pretrained": False,
        "plots": False,
        "amp": _device() != "cpu",
        "cache": "ram",
        **recipe.ultralytics.options,
    }
    try:
        if last.exists() and resume and not _finished(last):
            YOLO(str(last)).train(resume=True)
        elif not last.exists():
            YOLO(recipe.ultralytics.model).train(**options)
        best = last.with_name("best.pt")
        made = YOLO(str(best if best.exists() else last)).export(
            format="onnx", imgsz=recipe.side_px, opset=17, simplify=False, device="cpu"
        )
    except Exception as exc:  # its own, torch's, and plain ones
        raise EdgeVisionError(f"Ultralytics' trainer failed: {' '.join(str(exc).split())[:300]}") from exc
    shutil.copyfile(made, run / GRAPH)
    return run / GRAPH


def export_ultralytics(
    run: Path,
    target: Path,
    fields: ModelCardFields,
    options: ExportOptions,
    say: Say = lambda text: None,
) -> PackagedModel:
    """Export what `train_ultralytics` left, as `export_run` does a run of ours."""
    info = read_run(run)
    validation = measured_on(run, options.data, info.classes)
    path = run / GRAPH
    whole = path.read_bytes()
    manifest = from_metadata(path, Session(whole, str(path)))
    licence = LICENCE if fields.licence == "unknown" else fields.licence
    fields = completed(fields, info)
    manifest = manifest.model_copy(
        update={
            "name": fields.name,
            "version": fields.version,
            "licence": licence,
            "thresholds": manifest.thresholds.model_copy(update={"score": fields.score}),
            "origin": manifest.origin.model_copy(
                update={"teacher": fields.teacher, "recipe": fields.recipe, "data": fields.data}
            ),
        }
    )
    graphs = {"float": whole}
    if options.int8:
        with tempfile.TemporaryDirectory() as scratch:
            small = Path(scratch) / "int8.onnx"
            pictures = [
                p[:, ::-1] for p in calibration_pictures(options.calibrate, run / "train", manifest.input.width_px)
            ]
            quantise(path, small, (np.ascontiguousarray(p) for p in pictures))
            graphs["int8"] = small.read_bytes()
    fronted = {kind: front_into(graph, manifest, True)[0] for kind, graph in graphs.items()}
    variants = [Variant(kind, made.graph) for kind, made in fronted.items()]
    return package(variants, list(fronted.values())[-1].manifest, target, fields, validation, say)


def _write_pictures(run: Path, folder: Path, classes: Sequence[str]) -> None:
    """The run's decoded pictures as YOLO's layout; data.yaml last, so that a killed writing is begun anew."""
    pictures = []
    for part in ("train", "val"):
        store = ImageCache(run / part)
        for i in range(len(store)):
            pixels, rows = store[i]
            file = f"{i:06d}.jpg"
            path = folder / "images" / part / file
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
            boxes = tuple(Box(int(c), (a, b, x, y), 1.0, w) for c, a, b, x, y, w in rows.tolist())
            labels = PictureLabels(file, pixels.shape[1], pixels.shape[0], "done", boxes, split=part)
            pictures.append(Picture(path, labels))
    write_yolo(LabelledData(str(run), tuple(classes), tuple(pictures)), folder, copy=False)


def _device() -> str:
    import torch

    return "0" if torch.cuda.is_available() else "cpu"


def _finished(checkpoint: Path) -> bool:
    """Ultralytics strips the optimiser from a run's last checkpoint when it is done: it cannot be resumed then."""
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=False)  # our own run's file, written a moment ago
    return int(state.get("epoch", -1)) < 0
