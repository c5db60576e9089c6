"""Models given a wrong recipe on purpose: does ``models verify`` name the right one?

    python benchmarks/wrong_recipes.py PICTURES MODEL.onnx ... [--spoil everything|order|scale|resize|nothing|each]

Each model is added from its bare file, so its family's usual recipe is taken as the right one; then its manifest is
spoilt and compared on the pictures as ``verify`` does. ``nothing`` counts false alarms; ``each`` takes all kinds in one
go, with each recipe tried once. Show whole frames of a camera that have what the models find. Told, and not counted as
named: an answer that differs from the right one in nothing but the side of the padding, and a resize left as it was
given with the remark that the right one is usual.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from edgevision.deployment.add_model import add_model
from edgevision.deployment.add_options import AddOptions
from edgevision.deployment.preprocessing_score import Trials, Tried
from edgevision.deployment.preprocessing_search import Comparison, compare_recipes, reordered, with_scale
from edgevision.deployment.verify_model import pictures_of
from edgevision.detectors.manifest import InputRecipe, Resize
from edgevision.detectors.onnx_session import Session, default_threads

KINDS = ("everything", "order", "scale", "resize", "nothing")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--spoil", choices=[*KINDS, "each"], default="everything")
    asked = parser.parse_args()
    kinds = KINDS if asked.spoil == "each" else (asked.spoil,)
    pictures = pictures_of(asked.pictures)
    verdicts: dict[str, list[str]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as data:
        os.environ["XDG_DATA_HOME"] = os.environ["LOCALAPPDATA"] = data
        for path in asked.models:
            added = add_model(path, AddOptions(front=False))
            graph = (added.folder / added.manifest.file).read_bytes()
            right = added.manifest.input
            trials = Trials(Session(graph, path.name, default_threads()), added.manifest, pictures)
            for kind in kinds:
                compared = compare_recipes(trials, spoilt(right, kind))
                verdicts[kind].append(verdict(compared, right))
                show(path.stem, kind, compared, verdicts[kind][-1], len(pictures))
    for kind, given in verdicts.items():
        others = ", ".join(f"{given.count(v)} {v}" for v in ("padding side", "remarked", "wrong"))
        print(f"{kind} spoilt: {given.count('right')} of {len(given)} named; {others}")
    return 0 if all(given.count("right") >= 0.8 * len(given) for given in verdicts.values()) else 1


def verdict(compared: Comparison, right: InputRecipe) -> str:
    """``right``; ``padding side`` or ``remarked`` where nothing but that is wrong; or ``wrong``."""
    named = compared.right
    if named.in_words == right.in_words:
        return "right"
    if not same_but_resize(named, right):
        return "wrong"
    if Resize.STRETCH not in (named.resize, right.resize):
        return "padding side"
    return "remarked" if compared.doubted_resize is right.resize else "wrong"


def same_but_resize(named: InputRecipe, right: InputRecipe) -> bool:
    return reordered(named, named.channel_order, right.resize).in_words == right.in_words


def show(model: str, kind: str, compared: Comparison, found: str, pictures: int) -> None:
    print(
        f"{model}, {kind} spoilt: given {compared.own.in_words}, named {compared.right.in_words}: {found}", flush=True
    )
    table(compared.colours[:4], "mirrored", next(t for t in compared.colours if t.recipe == compared.own))
    for home in [t for t in compared.resizes if t.recipe.resize is compared.own.resize]:
        table(compared.resizes, "pieces", home)
    if not compared.resizes:
        print(f"    {compared.shaped_places} places on {pictures} pictures could tell the resize: too few")


def table(tried: tuple[Tried, ...], against: str, own: Tried) -> None:
    for t in tried:
        what = (
            f"{against:8s} {len(t.merits):3d} pictures, boxes {t.boxes:5d} steady {t.steady:.2f} merit {t.merit:6.3f}"
        )
        print(f"    {t.recipe.in_words:82s} {what} t {t.ahead_of(own):+6.2f}", flush=True)


def spoilt(right: InputRecipe, what: str) -> InputRecipe:
    """The recipe with one part of it, or all, made wrong."""
    wrong = right
    order = right.channel_order
    if what in ("order", "everything"):
        order = "bgr" if order == "rgb" else "rgb"
    if what in ("scale", "everything"):
        whole = (0.0,) * 3, (1.0,) * 3
        unit = (0.0,) * 3, (255.0,) * 3
        wrong = with_scale(wrong, wrong.channel_order, unit if right.std == (1.0, 1.0, 1.0) else whole)
    resize = right.resize
    if what in ("resize", "everything"):
        resize = Resize.LETTERBOX if resize is Resize.STRETCH else Resize.STRETCH
    return reordered(wrong, order, resize)


if __name__ == "__main__":
    raise SystemExit(main())
