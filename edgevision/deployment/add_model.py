"""From a bare .onnx file to a model folder: probe it in a child process, infer its manifest, write it down."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from edgevision.deployment.add_options import AddOptions, parse_classes, parse_input
from edgevision.deployment.embed_preprocessing import front_into, with_fixed_input
from edgevision.deployment.infer_manifest import infer_manifest, size_input
from edgevision.deployment.model_card import card
from edgevision.deployment.model_folder import write_folder
from edgevision.deployment.probe import Limits, Probe, Trial
from edgevision.detectors.decoders import family_named
from edgevision.detectors.manifest import Manifest, manifest_text, read_manifest
from edgevision.detectors.onnx_external import embedded
from edgevision.detectors.registry import MOST_BYTES, model_name, pickle_reason, user_models_folder
from edgevision.errors import ModelInvalid, ModelNotFound, UsageError
from edgevision.regular_file import open_regular, read_regular

_AGREE = 1e-4
"""Largest difference, as a share of the largest output, between a graph and its form with the front inside."""


@dataclass(frozen=True, slots=True)
class Added:
    """What came of it."""

    folder: Path
    manifest: Manifest
    notes: tuple[str, ...]
    """What was concluded and from what: for the user to check."""
    trial: Trial


def add_model(path: Path, wish: AddOptions, limits: Limits | None = None) -> Added:
    """Add a bare .onnx file to the user's models. Raises `ModelNotFound`, `ModelInvalid` and `UsageError`.

    The file is loaded and first run in a child process with bounds. A failed add leaves nothing behind.
    """
    check_file(path)
    name = wish.name or model_name(path.stem)
    target = user_models_folder() / name
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise UsageError(f"--name: expected small letters, digits, dots, dashes and underscores, got {name!r}")
    if target.exists() and not wish.replace:
        raise UsageError(f"{name}: there is a model of that name in {target.parent}; give another --name, or --replace")
    # What can be wrong in the options is said before a child process is started.
    parse_input(wish.input)
    if wish.family is not None:
        family_named(wish.family, str(path))
    if wish.classes is not None and wish.classes.strip().lower() != "coco":
        parse_classes(wish.classes)
    with write_folder(target) as folder:
        # Copied before it is looked at: what was checked is what is kept.
        given = read_regular(path, MOST_BYTES)
        graph = embedded(given, path.parent, str(path))
        was_split = graph is not given
        made_path = folder / "model.onnx"
        made_path.write_bytes(graph)
        origin_sha256 = hashlib.sha256(given).hexdigest()
        with Probe(made_path, str(path), limits) as probe:
            described = probe.load()
            if (told := size_input(described, wish)) is not None:
                graph = with_fixed_input(graph, told[0], np.array([told[1:]], np.int64))
                made_path.write_bytes(graph)
                described = probe.load()
            manifest, notes = infer_manifest(described, probe.run_once, wish, name)
            if was_split:
                notes += ("its weights, which were in a file of their own, put into the graph",)
            if told is not None:
                notes += (f"its input {told[0]} made a constant, {told[1]}×{told[2]} px",)
            trial = probe.try_out(manifest)
            made, front_notes = front_into(graph, manifest, wish.front)
            notes += front_notes
            if made.graph != graph:
                made_path.write_bytes(made.graph)
                probe.load()
                again = probe.try_out(made.manifest)
                _same(trial, again, path)
                trial = again
        if trial.silent:
            notes += ("no detections in the trial images: check its boxes before you use it",)
        manifest = made.manifest.model_copy(update={"sha256": hashlib.sha256(made.graph).hexdigest()})
        (folder / "model.toml").write_text(manifest_text(manifest), encoding="utf-8")
        text = card(manifest, path.name, origin_sha256, notes, trial.median_ms, date.today())
        (folder / "README.md").write_text(text, encoding="utf-8")
    return Added(target, manifest, notes, trial)


def add_to_store(folder: Path) -> str:
    """Put an exported model among the user's, by `models add`'s own trial of it in a child process; its label.

    What `models add` concludes from the bare file must be what the manifest says; the manifest, golden pictures and
    card then come along. Raises `ModelInvalid` and `UsageError`.
    """
    manifest = read_manifest(folder / "model.toml")
    recipe = manifest.input
    with write_folder(user_models_folder() / manifest.name) as whole:
        # Copied first: the folder may be the one that is replaced.
        shutil.copytree(folder, whole, dirs_exist_ok=True)
        added = add_model(
            whole / manifest.file,
            AddOptions(
                name=manifest.name,
                version=manifest.version,
                family=manifest.family,
                classes=",".join(manifest.classes),
                input=f"{recipe.channel_order} {recipe.resize.value}",
                licence=manifest.licence,
                replace=True,
            ),
        )
        same = added.manifest.input == recipe and added.manifest.sha256 == manifest.sha256
        if not same or added.manifest.classes != manifest.classes:
            raise ModelInvalid(
                f"{folder}: is taken by `models add` for {added.manifest.input.in_words}, its manifest says "
                f"{recipe.in_words}; export it again"
            )
    return manifest.label


def check_file(path: Path) -> None:
    """What can be said of a file before it is given to anything. Raises `ModelNotFound` and `ModelInvalid`."""
    if reason := pickle_reason(path):
        raise ModelInvalid(reason)
    if not path.is_file():
        if path.exists():
            raise ModelInvalid(f"{path}: expected an .onnx file, got a folder or a device")
        raise ModelNotFound(f"{path}: no such file")
    try:
        with open_regular(path) as file:
            start = file.read(16)
    except OSError as exc:
        raise ModelInvalid(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    if path.stat().st_size > MOST_BYTES:
        raise ModelInvalid(f"{path}: expected an ONNX file of under 2 GiB")
    if not start:
        raise ModelInvalid(f"{path}: expected an ONNX model, got an empty file")
    for magic, place, what in _OTHERS:
        if start[place : place + len(magic)] == magic:
            raise ModelInvalid(f"{path}: expected an ONNX model, got {what}; export it to ONNX")


_OTHERS = (
    (b"PK\x03\x04", 0, "a zip, as PyTorch writes its pickles, which are code and never run here"),
    (b"\x80\x02", 0, "a pickle, which is code and never run here"),
    (b"\x80\x03", 0, "a pickle, which is code and never run here"),
    (b"\x80\x04", 0, "a pickle, which is code and never run here"),
    (b"\x80\x05", 0, "a pickle, which is code and never run here"),
    (b"TFL3", 4, "a TensorFlow Lite model"),
    (b"\x89HDF", 0, "an HDF5 file, as Keras writes"),
    (b"GGUF", 0, "a GGUF file"),
    (b"7767517", 0, "an ncnn model"),
    (b"version https://", 0, "a Git LFS pointer, not the file it stands for: fetch it with git lfs pull"),
    (b"<!DOCTYPE", 0, "a web page: the download went wrong"),
    (b"<html", 0, "a web page: the download went wrong"),
)


def _same(one: Trial, other: Trial, path: Path) -> None:
    """The graph with the front inside gives what the graph gave. Raises `ModelInvalid`."""
    for a, b in zip(one.samples, other.samples, strict=True):
        if len(a) != len(b) or max((abs(x - y) for x, y in zip(a, b, strict=True)), default=0) > _AGREE * max(
            1.0, max(map(abs, a), default=0)
        ):
            raise ModelInvalid(
                f"{path}: with normalisation put inside the graph its outputs changed by more than {_AGREE}; "
                "add it with --no-front"
            )
