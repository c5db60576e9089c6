"""Accuracy and time of our detectors beside others', in one run: same pictures, same evaluator, one thread, in turns.

    python benchmarks/detector.py --data ../shared/data/person --weights ../shared/weights [--also yolo26n.onnx]

Every bundled model, every .onnx below ``--weights`` and every ``--also`` is loaded by the package's own store: bare
files are added to one of this run's own, by `models add`'s recognition, and a refusal is a row of the table. Time is
one `session.run` on a ready tensor, so that no decoder of ours counts for or against anyone, and besides the whole
`detect`; all models take turns, and ratios are to ``--base``. Writes a table to stdout and, with ``--out``, JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from edgevision import __version__
from edgevision.cli import distill_console
from edgevision.datasets.annotations import LabelledData
from edgevision.datasets.class_mapping import number_of
from edgevision.datasets.dataset import read_data
from edgevision.deployment.add_model import add_model
from edgevision.deployment.add_options import AddOptions
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.registry import load_detector
from edgevision.errors import EdgeVisionError, SourceBroken, UsageError
from edgevision.evaluation.evaluate import LEAST_SCORE, Evaluation, ModelReport, evaluate, of_part
from edgevision.training.export.package_model import machine_in_words

ROOT = Path(__file__).resolve().parents[1]
RECIPES = {
    "picodet_s_416": "416 rgb stretch imagenet",
    "nanodet_m_320": "320 bgr stretch mean=103.53/116.28/123.675 std=57.375/57.12/58.395",
}
"""Where a file's family alone does not say how it was trained; the others are fed as they are recognised."""


@dataclass(frozen=True)
class Entry:
    """A model of the table, or why it is not in it."""

    name: str
    ours: bool
    detector: OnnxDetector | None
    refusal: str = ""
    file_mb: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="labelled pictures; their val part where they have one"
    )
    parser.add_argument("--weights", type=Path, help="folder of others' .onnx files")
    parser.add_argument("--also", type=Path, action="append", default=[], help="one more .onnx; may be repeated")
    parser.add_argument("--ours", nargs="*", help="by default every model in models/")
    parser.add_argument("--empty", type=Path, help="pictures without any object: false boxes at score 0.4 are counted")
    parser.add_argument("--base", action="append", default=[], help="ratio to this one's time; default fastestdet")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--most", type=int, help="only so many pictures, for a try")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_DATA_HOME"] = scratch  # files are added to a store of this run's own
        try:
            run(options)
        except EdgeVisionError as exc:
            sys.exit(f"detector.py: {exc}")


def run(options: argparse.Namespace) -> None:
    held = of_part(read_data(options.data), "")
    if options.most:
        held = LabelledData(held.place, held.classes, held.usable[:: max(1, len(held.usable) // options.most)])
    entries = [*_ours(options), *_others(options)]
    loaded = [e for e in entries if e.detector is not None]
    detectors = [e.detector for e in loaded if e.detector is not None]
    knowing, evaluation = [], None
    for detector in detectors:
        try:
            evaluate([detector], LabelledData(held.place, held.classes, held.usable[:1]), bootstrap=2)
            knowing.append(detector)
        except UsageError as exc:
            distill_console.say(str(exc))  # of other classes, or nothing in the first picture
            if "knows none" not in str(exc):
                knowing.append(detector)
    if knowing:
        with distill_console.progress("measuring accuracy") as tell:
            evaluation = evaluate(knowing, held, progress=tell)
    took = interleaved_ms(detectors, held, options.rounds)
    false = {d.name: _false_boxes(d, options.empty, held.classes) for d in knowing} if options.empty else {}
    table = _rows(entries, evaluation, dict(zip([d.name for d in detectors], took, strict=True)), false)
    bases = options.base or ["fastestdet"]
    _show(table, evaluation, bases, options)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        values = {
            "edgevision": __version__, "machine": machine_in_words(), "python": platform.python_version(),
            "onnxruntime": onnxruntime.__version__, "threads": 1, "rounds": options.rounds, "data": held.place,
            "pictures": evaluation.pictures if evaluation else 0, "rows": table,
        }  # fmt: skip
        options.out.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def _ours(options: argparse.Namespace) -> list[Entry]:
    folders = [Path(p) for p in options.ours] if options.ours is not None else sorted((ROOT / "models").glob("*"))
    return [_entry(str(f), True) for f in folders if (f / "model.toml").exists() or options.ours]


def _others(options: argparse.Namespace) -> list[Entry]:
    files = sorted(options.weights.glob("*.onnx")) if options.weights else []
    entries = []
    for file in [*files, *options.also]:
        name = file.stem.lower()
        try:
            added = add_model(file, _wish(file))
            entries.append(_entry(str(added.folder), False))
        except EdgeVisionError as exc:
            entries.append(Entry(name, False, None, str(exc)))
    return entries


def _wish(file: Path) -> AddOptions:
    told = RECIPES.get(file.stem, "")
    return AddOptions(input=told, classes="coco" if told else None, front=False)


def _entry(model: str, ours: bool) -> Entry:
    try:
        detector = load_detector(model, min_score=LEAST_SCORE, threads=1)
    except EdgeVisionError as exc:
        return Entry(Path(model).name, ours, None, str(exc))
    folder = Path(model)
    path = folder / detector.manifest.file if folder.is_dir() else folder
    return Entry(detector.manifest.name, ours, detector, file_mb=path.stat().st_size / 1e6)


def interleaved_ms(detectors: list[OnnxDetector], held: LabelledData, rounds: int) -> list[float]:
    """Median ms of `session.run` of each: one run of every model a round, on a new picture each round."""
    pictures = []
    for picture in held.usable[:16]:
        try:
            pictures.append(picture.read())
        except SourceBroken:
            continue
    prepared = [[detector.prepare(pixels) for pixels in pictures] for detector in detectors]
    took: list[list[float]] = [[] for _ in detectors]
    for number in range(rounds + 5):
        for k in np.random.default_rng(number).permutation(len(detectors)):
            detector, tensor = detectors[k], prepared[k][number % len(pictures)].tensor
            began = time.perf_counter()
            detector.session.run(tensor, 0, detector.manifest.input.name or None)
            if number >= 5:
                took[k].append((time.perf_counter() - began) * 1e3)
    return [statistics.median(t) for t in took]


def _false_boxes(detector: OnnxDetector, folder: Path, classes: tuple[str, ...]) -> int:
    """Boxes of the measured classes at score 0.4 on pictures that show none of them."""
    wanted = Prompts.of_classes(classes)
    mine = np.array([number_of(name, wanted) is not None for name in detector.classes])
    count = 0
    for file in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".png", ".jpeg")):
        pixels = cv2.imread(str(file))
        if pixels is not None:
            found = detector.detect(np.asarray(pixels, np.uint8))
            count += int((mine[found.class_ids] & (found.scores >= 0.4)).sum())
    return count


def _rows(
    entries: list[Entry], evaluation: Evaluation | None, took: dict[str, float], false: dict[str, int]
) -> list[dict[str, object]]:
    reports: dict[str, ModelReport] = {m.name: m for m in evaluation.models} if evaluation else {}
    rows: list[dict[str, object]] = []
    for entry in entries:
        if entry.detector is None:
            rows.append({"name": entry.name, "ours": entry.ours, "refused": entry.refusal})
            continue
        recipe, label = entry.detector.manifest.input, entry.detector.name
        row: dict[str, object] = {
            "name": entry.name, "ours": entry.ours, "input": f"{recipe.width_px}×{recipe.height_px}",
            "file_mb": round(entry.file_mb, 2), "infer_ms": round(took[label], 3),
        }  # fmt: skip
        report = reports.get(label)
        if report is not None:
            told = report.as_json()
            row |= {key: told[key] for key in ("ap50", "ap50_95", "classes", "sizes", "detect_ms", "at_threshold")}
        if label in false:
            row["false_at_0.4"] = false[label]
        rows.append(row)
    return rows


def _show(
    rows: list[dict[str, object]], evaluation: Evaluation | None, bases: list[str], options: argparse.Namespace
) -> None:
    if evaluation is not None:
        print(f"{evaluation.data}: {evaluation.pictures} images, {evaluation.labels} objects")
    print(
        f"{machine_in_words()}, one thread, onnxruntime {onnxruntime.__version__}, medians of {options.rounds} rounds\n"
    )
    by_name = {str(r["name"]): float(str(r["infer_ms"])) for r in rows if "infer_ms" in r}
    known = [b for b in bases if b in by_name]
    for base in set(bases) - set(known):
        distill_console.say(f"--base {base}: no such model in this run; there are {', '.join(by_name)}")
    false = any("false_at_0.4" in r for r in rows)
    print(f"| model | input | AP50 (95 %) | AP50-95 | infer ms | {''.join(f'÷ {b} | ' for b in known)}detect ms | MB |"
          + (" false at 0.4 |" if false else ""))  # fmt: skip
    print("|---" * (7 + len(known) + false) + "|")
    measured = [r for r in rows if "infer_ms" in r]
    for row in sorted(measured, key=lambda r: -_ap(r)):
        name = f"**{row['name']}**" if row["ours"] else str(row["name"])
        ap, fine = row.get("ap50"), row.get("ap50_95")
        text = f"{ap['value']:.3f} ({ap['low']:.3f}–{ap['high']:.3f})" if isinstance(ap, dict) else "other classes"
        cells = [name, str(row["input"]), text, f"{fine:.3f}" if isinstance(fine, float) else "–"]
        cells.append(f"{by_name[str(row['name'])]:.2f}")
        cells += [f"{by_name[str(row['name'])] / by_name[b]:.2f}" for b in known]
        detect = row.get("detect_ms")
        cells += [f"{detect:.1f}" if isinstance(detect, float) else "–", str(row["file_mb"])]
        cells += [str(row.get("false_at_0.4", "–"))] if false else []
        print("| " + " | ".join(cells) + " |")
    for row in rows:
        if "refused" in row:
            print(f"\n{row['name']}: refused: {row['refused']}")


def _ap(row: dict[str, object]) -> float:
    ap = row.get("ap50")
    return float(ap["value"]) if isinstance(ap, dict) else -1.0


if __name__ == "__main__":
    main()
