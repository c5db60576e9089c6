"""``models verify``: a model's golden pictures, and whether it is fed as it was trained; and the mending of it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detector import OnnxDetector
from edgevision.errors import UsageError
from edgevision.intake.golden import GoldenOutcome, check_golden, golden_name, read_picture, record_golden
from edgevision.intake.graph_front import Made, front_into, without_front
from edgevision.intake.recipe_check import CLEAR_T, LEAST_PICTURES, Tried, compare_recipes
from edgevision.manifest import Manifest, manifest_text
from edgevision.session import Session, default_threads
from edgevision.store import StoredModel, find_model, put_folder, read_graph, search_path, user_models_folder

MOST_PICTURES = 64
_PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


@dataclass(frozen=True, slots=True)
class RecipeRow:
    """One way of feeding the model, for a table."""

    words: str
    boxes: int
    steady: float
    merit: float
    t_ahead: float
    """Of the manifest's recipe, paired over the pictures."""
    is_manifest: bool
    is_usual: bool
    """What the family's published weights take."""

    @property
    def compared(self) -> str:
        if self.is_manifest:
            return "is the manifest's"
        word = "better" if self.t_ahead >= CLEAR_T else "worse" if self.t_ahead <= -CLEAR_T else "much alike"
        return f"{word} (t {self.t_ahead:+.1f})"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify_model` found."""

    model: str
    pictures: int
    golden: tuple[GoldenOutcome, ...]
    recipes: tuple[RecipeRow, ...]
    """Best first."""
    better: str | None
    """A recipe that is clearly better than the manifest's, in words."""
    fixed: bool
    sentence: str

    @property
    def passed(self) -> bool:
        return all(g.passed for g in self.golden) and (self.better is None or self.fixed)

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "passed": self.passed,
            "pictures": self.pictures,
            "golden": [{"picture": g.picture, "passed": g.passed, "sentence": g.sentence} for g in self.golden],
            "recipes": [
                {
                    "recipe": r.words,
                    "boxes": r.boxes,
                    "steady": round(r.steady, 3),
                    "merit": round(r.merit, 3),
                    "t": round(r.t_ahead, 2),
                    "is_manifest": r.is_manifest,
                    "is_usual": r.is_usual,
                }
                for r in self.recipes
            ],
            "better": self.better,
            "fixed": self.fixed,
            "sentence": self.sentence,
        }


def verify_model(
    model: str, images: Path | None = None, *, fix: bool = False, record: Sequence[Path] = ()
) -> VerifyReport:
    """Check a stored model on the pictures of a folder, or on the built-in scene.

    ``fix`` writes the better recipe down where one is clearly better; ``record`` keeps pictures, and what is found in
    them now, as golden checks. Both only for models of the user's own. Raises `ModelError` and `UsageError`.
    """
    stored = find_model(model)
    manifest = stored.manifest
    if manifest is None:
        raise UsageError(f"{stored.path}: is a bare file without a manifest; add it: edgevision models add {model}")
    graph = read_graph(stored)
    if fix or record:
        _check_own(stored)
    session = Session(graph, str(stored.path), default_threads())
    detector = OnnxDetector(manifest, session)
    golden = tuple(check_golden(detector, manifest, stored.path.parent))
    if record:
        manifest = _record(stored, manifest, graph, detector, record)
    pictures, source = (_from_folder(images), str(images)) if images is not None else (_scene(), "the built-in scene")
    bare = without_front(graph, manifest) or Made(graph, manifest)
    if bare.graph is not graph:
        session = Session(bare.graph, str(stored.path), default_threads())
    compared = compare_recipes(session, bare.manifest, pictures)
    own, right = compared.own, compared.right
    rows = tuple(
        RecipeRow(t.recipe.in_words, t.boxes, t.steady, t.merit, t.ahead_of(own), t is own, t is compared.usual)
        for t in compared.tried
    )
    report = VerifyReport(manifest.label, len(pictures), golden, rows, None, False, "")
    where = f"{len(pictures)} pictures of {source}"
    if compared.tried[0].merit <= 0:
        hint = "they may show nothing it knows, or its classes or family are wrong; give other --images"
        return replace(report, sentence=f"no way of feeding it gives steady boxes on {where}: {hint}")
    if right is own:
        return replace(report, sentence=f"no other way of feeding it is clearly better on {where}")
    words = right.recipe.in_words
    found = f"on {where} it sees clearly better fed as {words} than as {own.recipe.in_words}"
    if not fix:
        return replace(report, better=words, sentence=f"{found}; --fix writes that down")
    _mend(stored, manifest, bare, right)
    return replace(report, better=words, fixed=True, sentence=f"{found}; written down")


def _check_own(stored: StoredModel) -> None:
    folder = stored.path.parent.resolve()
    bundled = {p.resolve() for p in search_path()[-2:]}
    if folder.parent in bundled and folder.parent != user_models_folder().resolve():
        raise UsageError(f"{folder}: is a bundled model and stays as it is; export it and change the copy")
    if not (folder / "model.toml").is_file():
        raise UsageError(f"{stored.path}: only a model's folder can be changed; add the file first")


def _from_folder(folder: Path) -> list[NDArray[np.uint8]]:
    """Pictures evenly spread over a folder's, at most `MOST_PICTURES`."""
    if not folder.is_dir():
        raise UsageError(f"--images: expected a folder of pictures, got {folder}")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _PICTURE_SUFFIXES)
    chosen = [paths[round(k)] for k in np.linspace(0, len(paths) - 1, min(len(paths), MOST_PICTURES))] if paths else []
    pictures = [p for p in map(read_picture, chosen) if p is not None]
    if len(pictures) < LEAST_PICTURES:
        raise UsageError(
            f"--images: expected at least {LEAST_PICTURES} pictures that can be read, found {len(pictures)} in {folder}"
        )
    return pictures


def _scene() -> list[NDArray[np.uint8]]:
    """Frames of the built-in scene: several places, people near and far."""
    from edgevision.capture.scene import SceneSource

    pictures = []
    for seed in range(1, 9):
        with SceneSource(people=6, size_wh=(960, 540), seed=seed, live=False, frames=90) as source:
            for k in range(90):
                frame = source.read()
                if frame is not None and k % 30 == 29:
                    pictures.append(frame.pixels)
    return pictures


def _record(
    stored: StoredModel, manifest: Manifest, graph: bytes, detector: OnnxDetector, paths: Sequence[Path]
) -> Manifest:
    extra: dict[str, bytes] = {}
    for path in paths:
        pixels = read_picture(path)
        if pixels is None:
            raise UsageError(f"--record: {path}: expected a picture, found none that can be read")
        golden = record_golden(detector, pixels, golden_name(path, manifest))
        manifest = manifest.model_copy(update={"golden": (*manifest.golden, golden)})
        extra[golden.picture] = path.read_bytes()
    _rewrite(stored, manifest, graph, extra)
    return manifest


def _mend(stored: StoredModel, manifest: Manifest, bare: Made, best: Tried) -> None:
    """Write the model with the better recipe; a front inside the graph is made anew."""
    wanted = bare.manifest.model_copy(update={"input": best.recipe})
    made, _ = front_into(bare.graph, wanted, with_front=bare.manifest.input != manifest.input)
    # What was measured and recorded with the other recipe holds no longer.
    _rewrite(stored, made.manifest.model_copy(update={"golden": (), "accuracy": ()}), made.graph, {})


def _rewrite(stored: StoredModel, manifest: Manifest, graph: bytes, extra: dict[str, bytes]) -> None:
    """Replace a model's folder by one with this manifest and graph, in one rename."""
    folder = stored.path.parent.resolve()
    manifest = manifest.model_copy(update={"sha256": hashlib.sha256(graph).hexdigest()})
    with tempfile.TemporaryDirectory(prefix=".changing-", dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        shutil.copytree(folder, made)
        (made / manifest.file).write_bytes(graph)
        (made / "model.toml").write_text(manifest_text(manifest), encoding="utf-8")
        for name, data in extra.items():
            (made / name).write_bytes(data)
        put_folder(made, folder, Path(scratch))
