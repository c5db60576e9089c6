"""``models verify``: a model's golden pictures, and whether it is fed as it was trained; and the mending of it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.images import MOST_BYTES
from edgevision.deployment.embed_preprocessing import Made, front_into, without_front
from edgevision.deployment.golden import GoldenOutcome, check_golden, golden_name, read_picture, record_golden
from edgevision.deployment.model_folder import write_folder
from edgevision.deployment.preprocessing_score import Trials, Tried
from edgevision.deployment.preprocessing_search import (
    CLEAR_T,
    LEAST_PICTURES,
    LEAST_PLACES,
    Comparison,
    compare_recipes,
)
from edgevision.detectors.manifest import InputRecipe, Manifest, manifest_text
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.onnx_session import Session, default_threads
from edgevision.detectors.registry import StoredModel, find_model, read_graph, search_path, user_models_folder
from edgevision.errors import UsageError
from edgevision.regular_file import read_regular

MOST_PICTURES = 64
ENOUGH_PLACES = 32
"""On so many, in pictures of another shape than the input, padding shows where stretching was trained."""
_PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


@dataclass(frozen=True, slots=True)
class RecipeRow:
    """One way of feeding the model, for a table."""

    words: str
    against: str
    """What its boxes were compared with: ``mirrored`` (for the colours) or ``pieces`` (for the resize)."""
    pictures: int
    boxes: int
    steady: float
    """Share of their scores that the mirrored pictures or the pieces confirm, 0-1."""
    merit: float
    t_ahead: float
    """Of the row that is compared with, paired over the places that the pictures show."""
    is_manifest: bool
    """It is compared with this one: the manifest's, or in the rows on the resize, the manifest's resize."""
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
    """Colours, best first, then ways to resize, best first."""
    better: str | None
    """A recipe that is clearly better than the manifest's, in words."""
    fixed: bool
    sentence: str
    undecided: str = ""
    """What these pictures cannot tell, and which could."""

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
                    "against": r.against,
                    "pictures": r.pictures,
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
            "undecided": self.undecided,
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
    pictures, source = (pictures_of(images), str(images)) if images is not None else (_scene(), "the built-in scene")
    bare = without_front(graph, manifest) or Made(graph, manifest)
    if bare.graph is not graph:
        session = Session(bare.graph, str(stored.path), default_threads())
    compared = compare_recipes(Trials(session, bare.manifest, pictures), bare.manifest.input)
    own, right = compared.own, compared.right
    undecided = "" if own.resize is not right.resize else _undecided(compared, len(pictures))
    report = VerifyReport(manifest.label, len(pictures), golden, _rows(compared), None, False, "", undecided)
    where = f"{len(pictures)} pictures of {source}"
    if compared.colours[0].merit <= 0:
        hint = "they may show nothing it knows, or its classes or family are wrong; give other --images"
        sentence = f"no way of feeding it gives steady boxes on {where}: {hint}"
        return replace(report, sentence=sentence, undecided="")
    if right == own:
        return replace(report, sentence=f"no other way of feeding it is clearly better on {where}")
    words = right.in_words
    found = f"on {where} it sees clearly better fed as {words} than as {own.in_words}"
    if not fix:
        return replace(report, better=words, sentence=f"{found}; --fix writes that down")
    _mend(stored, manifest, bare, right)
    return replace(report, better=words, fixed=True, sentence=f"{found}; written down")


def _rows(compared: Comparison) -> tuple[RecipeRow, ...]:
    def row(tried: Tried, against: str, own: Tried) -> RecipeRow:
        recipe = tried.recipe
        how_good = (len(tried.merits), tried.boxes, tried.steady, tried.merit, tried.ahead_of(own))
        return RecipeRow(recipe.in_words, against, *how_good, tried is own, recipe == compared.usual)

    own = next(t for t in compared.colours if t.recipe == compared.own)
    rows = [row(t, "mirrored", own) for t in compared.colours]
    home = [t for t in compared.resizes if t.recipe.resize is compared.own.resize]
    return (*rows, *(row(t, "pieces", home[0]) for t in compared.resizes))


def _undecided(compared: Comparison, pictures: int) -> str:
    """What would not have been seen on these pictures, and on which it would."""
    places, shaped, own = compared.places, compared.shaped_places, compared.own
    if places < LEAST_PLACES:
        return (
            f"only a recipe that sees nothing is noticed on pictures of {places} place{'s' if places > 1 else ''}; "
            f"give pictures of {LEAST_PLACES} places at least, and {ENOUGH_PLACES} for the resize"
        )
    if compared.doubted_resize is not None:
        return (
            f"{own.resize.value} is not clearly better than {compared.doubted_resize.value}, which its family's "
            f"published weights take; on pictures such as these the two may do alike"
        )
    if shaped >= ENOUGH_PLACES:
        return ""
    seen = "how to resize cannot be told" if shaped < LEAST_PLACES else "a wrong resize may stay unseen"
    return (
        f"{seen}: of the {places} places that these {pictures} pictures show, {shaped} are on pictures not shaped as "
        f"the {own.width_px}×{own.height_px} px input; give {ENOUGH_PLACES} such, whole frames of a camera"
    )


def _check_own(stored: StoredModel) -> None:
    folder = stored.path.parent.resolve()
    bundled = {p.resolve() for p in search_path()[-2:]}
    if folder.parent in bundled and folder.parent != user_models_folder().resolve():
        raise UsageError(f"{folder}: is a bundled model and stays as it is; export it and change the copy")
    if not (folder / "model.toml").is_file():
        raise UsageError(f"{stored.path}: only a model's folder can be changed; add the file first")


def pictures_of(folder: Path) -> list[NDArray[np.uint8]]:
    """Pictures evenly spread over a folder's, at most `MOST_PICTURES`."""
    if not folder.is_dir():
        raise UsageError(f"--images: expected a folder of images, got {folder}")
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
        extra[golden.picture] = read_regular(path, MOST_BYTES)
    _rewrite(stored, manifest, graph, extra)
    return manifest


def _mend(stored: StoredModel, manifest: Manifest, bare: Made, right: InputRecipe) -> None:
    """Write the model with the better recipe; a front inside the graph is made anew."""
    wanted = bare.manifest.model_copy(update={"input": right})
    made, _ = front_into(bare.graph, wanted, with_front=bare.manifest.input != manifest.input)
    # What was measured and recorded with the other recipe holds no longer.
    _rewrite(stored, made.manifest.model_copy(update={"golden": (), "accuracy": ()}), made.graph, {})


def _rewrite(stored: StoredModel, manifest: Manifest, graph: bytes, extra: dict[str, bytes]) -> None:
    """Replace a model's folder by one with this manifest and graph, in one rename."""
    folder = stored.path.parent.resolve()
    manifest = manifest.model_copy(update={"sha256": hashlib.sha256(graph).hexdigest()})
    with write_folder(folder) as made:
        shutil.copytree(folder, made, dirs_exist_ok=True)
        (made / manifest.file).write_bytes(graph)
        (made / "model.toml").write_text(manifest_text(manifest), encoding="utf-8")
        for name, data in extra.items():
            (made / name).write_bytes(data)
