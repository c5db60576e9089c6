"""Models given a wrong recipe on purpose: does ``models verify`` name the right one?

    python benchmarks/wrong_recipes.py PICTURES MODEL.onnx ... [--spoil everything|order|scale|resize|nothing]

Each model is added from its bare file, so its family's usual recipe is taken as the right one; then its manifest is
spoilt and verified on the pictures. ``nothing`` counts false alarms. Show pictures that have what the models find.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from edgevision.intake.add import add_model
from edgevision.intake.recipe_check import reordered, with_scale
from edgevision.intake.settle import Wish
from edgevision.intake.verify import verify_model
from edgevision.manifest import InputRecipe, Manifest, Resize, manifest_text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--spoil", choices=["everything", "order", "scale", "resize", "nothing"], default="everything")
    asked = parser.parse_args()
    named = 0
    with tempfile.TemporaryDirectory() as data:
        os.environ["XDG_DATA_HOME"] = os.environ["LOCALAPPDATA"] = data
        for path in asked.models:
            added = add_model(path, Wish(front=False))
            right = added.manifest.input
            given = spoilt(right, asked.spoil)
            write(added.folder, added.manifest, given)
            report = verify_model(added.manifest.name, asked.pictures)
            answer = report.better or given.in_words
            named += answer == right.in_words
            verdict = "right" if answer == right.in_words else "not found"
            print(f"{path.stem}: given {given.in_words}, named {answer}: {verdict}", flush=True)
            for row in report.recipes[:5]:
                found = f"boxes {row.boxes:5d} steady {row.steady:.2f} merit {row.merit:6.2f}"
                print(f"    {row.words:80s} {found} {row.compared}")
    print(f"{named} of {len(asked.models)} named ({asked.spoil} spoilt)")
    return 0 if named >= 0.8 * len(asked.models) else 1


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


def write(folder: Path, manifest: Manifest, recipe: InputRecipe) -> None:
    """Change the recipe behind the model's back."""
    text = manifest_text(manifest.model_copy(update={"input": recipe}))
    (folder / "model.toml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
