"""Hostile ONNX files through ``models add``, or a swap: each must be refused with one sentence, or accepted, in time.

    python benchmarks/hostile_models.py FOLDER [--through add|swap [--like MODEL]] [--results FILE.json] [--bound-s 10]

FOLDER holds the files, as ``../shared/recipes/bad_models.py`` makes them in its ``bad/``. Exit 0: no crash of this
process, no traceback, nothing over the bound; nothing left in the store by a refusal; and through a swap, into a
running loop, a result for every frame and the old model serving after each. A bare file is mostly refused for want of a
manifest: with ``--like`` each gets that of a model of the store, but for its hash, and so comes further.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import shutil
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from edgevision.capture.scene import SceneSource
from edgevision.deployment.add_model import add_model
from edgevision.deployment.add_options import AddOptions
from edgevision.deployment.app import run
from edgevision.deployment.gates import Gates
from edgevision.deployment.report import Verdict
from edgevision.detectors.manifest import Manifest, manifest_text
from edgevision.detectors.registry import find_model, load_detector
from edgevision.errors import EdgeVisionError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", type=Path, help="write every file's outcome as JSON")
    parser.add_argument("--through", choices=["add", "swap"], default="add")
    parser.add_argument("--like", help="a model of the store whose manifest each file gets, without its hash")
    parser.add_argument("--bound-s", type=float, default=10.0)
    asked = parser.parse_args()
    files = sorted(asked.folder.glob("*.onnx"))
    if not files:
        parser.error(f"{asked.folder}: no .onnx files")
    if asked.through == "swap":
        outcomes, faults = through_swap(files, asked.like)
        left, kept = faults, {o["name"] for o in outcomes if o["outcome"] == "accepted"}
        return report(asked, files, outcomes, left, kept)
    with tempfile.TemporaryDirectory() as data:
        os.environ["XDG_DATA_HOME"] = os.environ["LOCALAPPDATA"] = data
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(try_one, files))
        left = [str(p) for p in Path(data).rglob(".adding-*")]
        kept = {p.parent.name for p in Path(data).rglob("model.toml")}
    return report(asked, files, outcomes, left, kept)


def report(
    asked: argparse.Namespace, files: list[Path], outcomes: list[dict[str, Any]], left: list[str], kept: set[str]
) -> int:
    """Say what became of them; the exit code."""
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


def through_swap(files: list[Path], like: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Each file swapped into one running loop, and out again where it was accepted; and what was wrong with the loop.

    The gates are short: what is tried here is what a file can do, not how good it is.
    """
    gates = Gates(latency_runs=3, shadow_frames=3, watch_s=0.2, patience_s=5)
    outcomes, faults, indices = [], [], []
    manifest = find_model(like).manifest if like else None
    with tempfile.TemporaryDirectory() as scratch, SceneSource(people=4, size_wh=(640, 360), live=False) as scene:
        detector = load_detector("person")
        app = run(scene, detector)
        app.observe(lambda result: indices.append(result.frame.index))
        thread = threading.Thread(target=lambda: collections.deque(app.results(), maxlen=0))
        thread.start()
        for path in files:
            model = path if manifest is None else with_manifest(path, manifest, Path(scratch))
            began = time.monotonic()
            try:
                got = app.swap(model, gates)
                accepted = got.verdict is Verdict.ACCEPTED
                outcome = "accepted" if accepted else "refused"
                sentence = (
                    got.sentence() if accepted or got.failed is None else f"{got.failed.name}: {got.failed.figure}"
                )
                if accepted:
                    app.revert()
            except Exception:
                outcome, sentence = "traceback", traceback.format_exc()
            if app.detector is not detector:
                faults.append(f"{path.name}: {app.detector.name} serves")
            seconds = round(time.monotonic() - began, 2)
            outcomes.append(
                {"file": path.name, "name": path.stem, "outcome": outcome, "sentence": sentence, "seconds": seconds}
            )
            if len(outcomes) % 20 == 0:
                print(f"  {len(outcomes)} of {len(files)}, {len(indices)} results", flush=True)
        app.controls.quit()
        thread.join(10)
    if indices != list(range(len(indices))):
        faults.append(f"{len(indices)} results of {indices[-1] + 1} frames")
    return outcomes, faults


def with_manifest(path: Path, manifest: Manifest, scratch: Path) -> Path:
    """A model folder of the file, with a manifest that knows no hash."""
    folder = scratch / path.stem
    folder.mkdir()
    shutil.copyfile(path, folder / "model.onnx")
    values = {"name": path.stem.lower(), "sha256": None, "file": "model.onnx", "golden": ()}
    (folder / "model.toml").write_text(manifest_text(manifest.model_copy(update=values)), encoding="utf-8")
    return folder


def try_one(path: Path) -> dict[str, Any]:
    """What became of one file."""
    began, name = time.monotonic(), path.stem.lower()
    try:
        added = add_model(path, AddOptions(name=name))
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
