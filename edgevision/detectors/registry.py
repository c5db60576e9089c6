"""Where models are found, and how one becomes a detector.

A model is a folder with ``model.onnx`` and ``model.toml``, named on the search path; or an .onnx file, with a
``NAME.toml`` or ``model.toml`` beside it, or with metadata that says how to feed it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgevision.detectors import devices
from edgevision.detectors.decoders import FAMILIES, recognise
from edgevision.detectors.decoders.base import Graph
from edgevision.detectors.devices import on_accelerator
from edgevision.detectors.engine_choice import engine_for
from edgevision.detectors.engines import AUTO, DEFAULT_ENGINE, open_session
from edgevision.detectors.manifest import MOST_SIDE_PX, Manifest, manifest_from, read_manifest
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.onnx_external import embedded
from edgevision.detectors.onnx_session import default_threads
from edgevision.errors import ModelInvalid, ModelNotFound, UsageError
from edgevision.regular_file import read_regular

_log = logging.getLogger(__name__)
DEFAULT_MODEL = "person"
_ELSEWHERE = {".tflite", ".engine", ".trt", ".torchscript", ".mlmodel", ".mlpackage", ".pb", ".h5", ".keras", ".param"}
"""Endings of models of other runtimes."""
_EXPORT = "with Ultralytics, where it was trained: yolo export model={name} format=onnx"
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin"}
MOST_BYTES = 2 << 30
"""A protobuf cannot be larger, so neither can an ONNX file without external data."""


def pickle_reason(path: Path) -> str | None:
    """Why a file is refused by its name alone, or None."""
    if path.suffix.lower() in _ELSEWHERE and path.exists():
        command = _EXPORT.format(name=path.with_suffix(".pt").name)
        return f"{path}: expected an .onnx file, got one for another runtime ({path.suffix}); export to ONNX, {command}"
    if path.suffix.lower() not in _PICKLES:
        return None
    command = _EXPORT.format(name=path.name)
    return f"{path}: a {path.suffix} file is a pickle, which is code and never run here; export it to ONNX, {command}"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on disk, its manifest read, its graph not yet loaded."""

    path: Path
    manifest: Manifest | None
    """None where only the graph's own metadata can tell."""


def search_path() -> list[Path]:
    """Folders that hold models, first match wins: $EDGEVISION_MODELS, ./models, the user's, the bundled."""
    places = [Path(p) for p in os.environ.get("EDGEVISION_MODELS", "").split(os.pathsep) if p]
    places.append(Path("models"))
    places.append(user_data_folder() / "models")
    package = Path(__file__).resolve().parents[1]
    # In a checkout the bundled models stand at the top; a wheel carries them inside the package.
    places.extend([package / "bundled_models", package.parent / "models"])
    return places


def origin_of(folder: Path) -> str:
    """Where a model folder comes from: ``bundled``, ``yours`` (`models add` writes there), or the folder it is in."""
    parent = folder.resolve().parent
    package = Path(__file__).resolve().parents[1]
    if parent in (package / "bundled_models", package.parent / "models"):
        return "bundled"
    if parent == user_models_folder().resolve():
        return "yours"
    return "./models" if parent == Path("models").resolve() else str(parent)


def user_data_folder() -> Path:
    """Where this user's models and settings are kept, by each platform's custom. Not created here."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "edgevision"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "edgevision"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "edgevision"


def stored_names() -> list[str]:
    """Names of all models on the search path."""
    return sorted({folder.name for folder in _folders()})


def user_models_folder() -> Path:
    """Where models are added, and the only place they are removed from. Not created here."""
    return user_data_folder() / "models"


def model_name(text: str) -> str:
    """A name that a model may have, made from a file's."""
    kept = (c if (c.isalnum() and c.isascii()) or c in "._-" else "-" for c in text.lower())
    return "".join(kept).lstrip("._-") or "model"


def stored_folders() -> list[Path]:
    """Every model folder on the search path, in its order; of two with one name, the first is the one that is used."""
    seen: dict[Path, None] = {}
    for folder in _folders():
        seen.setdefault(folder.resolve())
    return list(seen)


def _folders() -> Iterator[Path]:
    for place in search_path():
        if place.is_dir():
            folders = (f for f in sorted(place.iterdir()) if not f.name.startswith("."))
            yield from (f for f in folders if (f / "model.toml").is_file())


def find_model(model: str | Path) -> StoredModel:
    """A model by name or path. Raises `ModelNotFound`, and `ModelInvalid` for a manifest that is wrong."""
    text = str(model)
    path = Path(text).expanduser()
    if reason := pickle_reason(path):
        raise ModelInvalid(reason)
    if path.suffix.lower() == ".onnx" or "/" in text or os.sep in text:
        return _at(path)
    for folder in _folders():
        if folder.name == text:
            return _at(folder)
    if path.is_dir():
        return _at(path)
    known = ", ".join(stored_names()) or "none"
    raise ModelNotFound(f"no model named {text!r}; known are {known}, or give the path of an .onnx file")


def _at(path: Path) -> StoredModel:
    if path.is_dir():
        manifest = read_manifest(path / "model.toml")
        return StoredModel(path / manifest.file, manifest)
    if not path.exists():
        raise ModelNotFound(f"{path}: no such file")
    own = path.with_suffix(".toml")
    if own.is_file():
        return StoredModel(path, read_manifest(own))
    shared = path.parent / "model.toml"
    if shared.is_file():
        manifest = read_manifest(shared)
        if manifest.file == path.name:
            return StoredModel(path, manifest)
    return StoredModel(path, None)


def load_detector(
    model: str | Path = DEFAULT_MODEL,
    *,
    min_score: float | None = None,
    iou_threshold: float | None = None,
    only_classes: Collection[str] | None = None,
    side_px: int | None = None,
    threads: int | None = None,
    lanes: int = 1,
    engine: str = DEFAULT_ENGINE,
    device: str = devices.AUTO,
) -> OnnxDetector:
    """Load a model by name (``"person"``) or path (``"best.onnx"``), ready and warm.

    ``min_score`` and ``iou_threshold`` default to the model's own; ``only_classes`` are names; ``side_px`` sets the
    input size of a graph that leaves it open; ``threads`` each for ``lanes`` frames at once. ``engine`` is one of
    `engines.ENGINES`, or ``auto`` for the one that this machine measured fastest. ``device`` is ``auto`` (the
    CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``, as far as the installed onnxruntime can use it. Raises
    `ModelNotFound`, `ModelInvalid`, `MissingExtra` and `UsageError`.
    """
    stored = find_model(model)
    return detector_from(
        stored,
        read_graph(stored),
        min_score=min_score,
        iou_threshold=iou_threshold,
        only_classes=only_classes,
        side_px=side_px,
        threads=threads,
        lanes=lanes,
        engine=engine,
        device=device,
    )


def detector_from(
    stored: StoredModel,
    graph: bytes,
    *,
    min_score: float | None = None,
    iou_threshold: float | None = None,
    only_classes: Collection[str] | None = None,
    side_px: int | None = None,
    threads: int | None = None,
    lanes: int = 1,
    engine: str = DEFAULT_ENGINE,
    device: str = devices.AUTO,
) -> OnnxDetector:
    """A detector of a model that was found and whose bytes were read: `load_detector` says the rest."""
    if lanes < 1 or (threads is not None and threads < 1):
        raise UsageError(f"expected at least 1 thread and 1 stream, got {threads} and {lanes}")
    count = threads if threads is not None else (default_threads() if lanes == 1 else 1)
    sha256 = hashlib.sha256(graph).hexdigest()
    # What was measured fastest, was on the CPU.
    chosen = DEFAULT_ENGINE if on_accelerator(device) and engine == AUTO else engine
    used = engine_for(chosen, sha256, user_data_folder())
    session = open_session(used, graph, str(stored.path), count, lanes, device)
    manifest = stored.manifest or from_metadata(stored.path, session)
    if stored.manifest is None:
        _say_what_is_not_read(session)
    manifest = _resized(manifest, session, side_px)
    if manifest.sha256 is None:
        # So that whoever compares two models can tell their bytes apart.
        manifest = manifest.model_copy(update={"sha256": sha256})
    detector = OnnxDetector(
        manifest, session, min_score=min_score, iou_threshold=iou_threshold, only_classes=only_classes
    )
    detector.warm_up()
    return detector


def read_graph(stored: StoredModel) -> bytes:
    """The graph's bytes, which are those the manifest means; a bare file's weights beside it are put into it.

    Raises `ModelNotFound` and `ModelInvalid`.
    """
    try:
        graph = read_regular(stored.path, MOST_BYTES)
    except FileNotFoundError:
        raise ModelNotFound(f"{stored.path}: no such file") from None
    except OSError as exc:
        raise ModelInvalid(f"{stored.path}: cannot be read: {exc.strerror or exc}") from exc
    check_sha256(stored, hashlib.sha256(graph).hexdigest())
    if stored.manifest is None:
        return embedded(graph, stored.path.parent, str(stored.path))
    return graph


def check_sha256(stored: StoredModel, found: str) -> None:
    """Raises `ModelInvalid` where ``found`` is not the hash that the manifest names."""
    wanted = stored.manifest.sha256 if stored.manifest else None
    if wanted is not None and found != wanted:
        raise ModelInvalid(
            f"{stored.path}: its SHA-256 is {found[:12]}…, its manifest says {wanted[:12]}…: damaged, or changed "
            "without its manifest; restore the file or correct sha256"
        )


def from_metadata(path: Path, session: Graph) -> Manifest:
    """A manifest from what a loaded graph says of itself. Raises `ModelInvalid`."""
    told = recognise(session)
    if told is None:
        outputs = "; ".join(str(o) for o in session.outputs)
        inputs = "; ".join(str(i) for i in session.inputs)
        raise ModelInvalid(
            f"{path}: has no metadata that describes its preprocessing (input {inputs}; outputs {outputs}). "
            f"Put a {path.stem}.toml beside it with family ({', '.join(sorted(FAMILIES))}), classes and [input]; "
            f"or have one made: edgevision models add {path.name}"
        )
    if not told["classes"]:
        raise ModelInvalid(
            f"{path}: its metadata has no class names; give them: edgevision models add {path.name} --classes "
            "names.txt (or a,b,c or coco)"
        )
    values = {key: value for key, value in told.items() if key != "note"}
    return manifest_from({"name": model_name(path.stem), **values}, f"{path} (metadata)")


def _say_what_is_not_read(session: Graph) -> None:
    """Once for each load of a bare file: `models add` writes it into the model's card."""
    note = (recognise(session) or {}).get("note")
    if note:
        _log.warning("%s: %s", session.where, note)


def _resized(manifest: Manifest, session: Graph, side_px: int | None) -> Manifest:
    """The manifest with another input size, where the graph leaves its size open."""
    if side_px is None:
        return manifest
    recipe = manifest.input
    if side_px == recipe.width_px == recipe.height_px:
        return manifest
    spatial = session.inputs[0].shape[2:4] if recipe.layout == "nchw" else session.inputs[0].shape[1:3]
    if any(side is not None for side in spatial):
        raise UsageError(
            f"{manifest.label} takes {recipe.width_px}×{recipe.height_px} px only, not {side_px}: "
            "its graph fixes the size"
        )
    if not 32 <= side_px <= MOST_SIDE_PX or side_px % 32:
        raise UsageError(f"input size: expected a multiple of 32 px up to {MOST_SIDE_PX}, got {side_px}")
    return manifest.model_copy(update={"input": recipe.model_copy(update={"width_px": side_px, "height_px": side_px})})
