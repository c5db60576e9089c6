"""Hostile ONNX files through ``models add``: each must be refused with one sentence, or accepted, within a bound.

    python benchmarks/hostile_models.py FOLDER [--results FILE.json] [--bound-s 10]

FOLDER holds the files, as ``../shared/recipes/bad_models.py`` makes them in its ``bad/``. Exit 0: no crash of this
process, no traceback, nothing over the bound, nothing left in the store by a refusal.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from edgevision.errors import EdgeVisionError
from edgevision.intake.add import add_model
from edgevision.intake.settle import Wish


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", type=Path, help="write every file's outcome as JSON")
    parser.add_argument("--bound-s", type=float, default=10.0)
    asked = parser.parse_args()
    files = sorted(asked.folder.glob("*.onnx"))
    if not files:
        parser.error(f"{asked.folder}: no .onnx files")
    with tempfile.TemporaryDirectory() as data:
        os.environ["XDG_DATA_HOME"] = os.environ["LOCALAPPDATA"] = data
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(try_one, files))
        left = [str(p) for p in Path(data).rglob(".adding-*")]
        kept = {p.parent.name for p in Path(data).rglob("model.toml")}
    counts = collections.Counter(f"{o['outcome']}: {kind_of(o['sentence'])}" for o in outcomes)
    for what, count in counts.most_common():
        print(f"{count:4d}  {what}")
    slowest = max(outcomes, key=lambda o: float(o["seconds"]))
    accepted = {o["name"] for o in outcomes if o["outcome"] == "accepted"}
    print(f"{len(files)} files, {len(accepted)} accepted; slowest {slowest['file']} {slowest['seconds']:.1f} s")
    bad = [o for o in outcomes if o["outcome"] == "traceback" or o["seconds"] > asked.bound_s or "\n" in o["sentence"]]
    for outcome in bad:
        print("BAD", json.dumps(outcome))
    if left or kept != accepted:
        print("BAD: left behind", left, sorted(kept ^ accepted))
    if asked.results:
        asked.results.write_text(json.dumps(outcomes, indent=1) + "\n")
    return 1 if bad or left or kept != accepted else 0


def try_one(path: Path) -> dict[str, Any]:
    """What became of one file."""
    began, name = time.monotonic(), path.stem.lower()
    try:
        added = add_model(path, Wish(name=name))
        outcome, sentence = "accepted", f"as {added.manifest.family}"
    except EdgeVisionError as exc:
        outcome, sentence = "refused", str(exc)
    except Exception:
        outcome, sentence = "traceback", traceback.format_exc()
    return {
        "file": path.name,
        "name": name,
        "outcome": outcome,
        "sentence": sentence,
        "seconds": round(time.monotonic() - began, 2),
    }


def kind_of(sentence: str) -> str:
    """The sentence without what differs from file to file, for counting."""
    kind = re.sub(r"^\S+: ", "", sentence)
    return re.sub(r"[\d×]+|\(.*?\)|: .*", "…", kind)[:90]


if __name__ == "__main__":
    raise SystemExit(main())
