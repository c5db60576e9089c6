"""What a swap costs the running loop, and whether a bad model ever gets through: the figures of one run, as JSON.

    python benchmarks/swaps.py                              # few of everything, to see that it works: about 2 min
    python benchmarks/swaps.py --swaps 1000 --bad 100 --out benchmarks/results/DATE-swaps.json
    python benchmarks/swaps.py --only swaps|gap|pace|regressed

The models are made from ``--model``: a second version of it (weights changed a little, so that its results can be told
from the first one's), one regressed until half its boxes are lost, and bad ones of several kinds. Exit 0 where every
figure holds. Hostile files through a swap: ``hostile_models.py --through swap``.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
from onnx import numpy_helper

import edgevision as ev
from edgevision.capture.scene import SceneSource
from edgevision.cli.console import SWITCH_S
from edgevision.concurrency import usable_cores
from edgevision.deployment.app import App, run
from edgevision.deployment.candidate import CandidateFactory
from edgevision.deployment.gates import Gates
from edgevision.deployment.report import Verdict
from edgevision.deployment.swapper import Swapper
from edgevision.detectors.manifest import manifest_text, read_manifest
from edgevision.detectors.registry import find_model, load_detector
from edgevision.interfaces import ContextManaged
from edgevision.pipeline.memory import keep_freed_memory
from edgevision.types import Frame, Result, SourceInfo

SIZE_WH = (768, 432)
FPS = 30.0
RECORDED_FRAMES = 150
MIB = 1 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="person")
    parser.add_argument("--swaps", type=int, default=20, help="of which --bad are to bad models (default 20)")
    parser.add_argument("--bad", type=int, default=6)
    parser.add_argument("--live-swaps", type=int, default=6, help="for the gap at the exchange (default 6)")
    parser.add_argument("--only", choices=["swaps", "gap", "pace", "regressed"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        (asked.make / "found_again").write_text(str(make_models(asked.model, asked.make)))
        return 0
    keep_freed_memory()
    sys.setswitchinterval(SWITCH_S)
    with tempfile.TemporaryDirectory(prefix="edgevision-swaps-") as folder:
        # In a process of its own: what this one holds at the start is then what a loop holds.
        subprocess.run([sys.executable, __file__, "--model", asked.model, "--make", folder], check=True)
        models = Models.read(Path(folder))
        parts = {
            "swaps": lambda: many_swaps(models, asked.swaps, asked.bad),
            "gap": lambda: gaps(models, asked.live_swaps),
            "pace": lambda: pace(models),
            "regressed": lambda: regressed(models),
        }
        figures = {name: run() for name, run in parts.items() if asked.only in (None, name)}
    rows = [row for part in figures.values() for row in part["rows"]]
    for row in rows:
        print(f"{'ok ' if row['holds'] else 'NOT'} {row['what']}: {row['figure']} (asked: {row['asked']})")
    if asked.out:
        asked.out.write_text(json.dumps({"when": datetime.now().isoformat(), **machine(), **figures}, indent=1) + "\n")
    return 0 if all(row["holds"] for row in rows) else 1


def machine() -> dict[str, Any]:
    return {
        # Without the folders of this machine: the file is kept with the project.
        "command": " ".join(Path(a).name if Path(a).is_absolute() else a for a in sys.argv),
        "machine": platform.platform(),
        "cores": usable_cores(),
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
        "edgevision": ev.__version__,
        "load_average": psutil.getloadavg(),
    }


def row(what: str, figure: str, asked: str, holds: bool) -> dict[str, Any]:
    return {"what": what, "figure": figure, "asked": asked, "holds": bool(holds)}


# The models.


@dataclass(frozen=True)
class Models:
    first: Path
    second: Path
    regressed: Path
    found_again: float
    """Of the first one's sure boxes, by the regressed one, where it was made."""
    bad: dict[str, Path]

    @classmethod
    def read(cls, folder: Path) -> Models:
        bad = {path.name: path for path in sorted((folder / "bad").iterdir())} | {"regressed": folder / "regressed"}
        share = float((folder / "found_again").read_text())
        return cls(folder / "first", folder / "second", folder / "regressed", share, bad)


def make_models(model: str, folder: Path) -> float:
    """All of them in a folder; the share of boxes that the regressed one finds again."""
    stored = find_model(model)
    first = folder / "first"
    shutil.copytree(stored.path.parent, first)
    changed(first, folder / "second", "second", 0.02)
    frames = scene_frames(40, 15)
    # Between no harm and all boxes lost lies little: halve the way to where half of them are.
    low, high, worse, share, regressed_at = 0.0, 1.0, 0.5, 1.0, folder / "regressed"
    for _ in range(12):
        worse = (low + high) / 2
        share = found_again(first, changed(first, regressed_at, "regressed", worse), frames)
        if 0.45 <= share <= 0.55:
            break
        low, high = (worse, high) if share > 0.5 else (low, worse)
    print(f"regressed: weights noised by {worse:.0%} of their spread, {share:.0%} of the boxes found again", flush=True)
    bad_models(first, folder / "bad")
    return share


def changed(source: Path, to: Path, model_version: str, by: float, spoil: Any = None) -> Path:
    """A copy with noise of a share of each weight's spread, under its own version and hash."""
    import hashlib

    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(source, to)
    manifest = read_manifest(to / "model.toml")
    graph = onnx.load(to / manifest.file)
    rng = np.random.default_rng(7)
    for held in graph.graph.initializer:
        values = numpy_helper.to_array(held)
        if values.ndim < 4 or by == 0:
            continue
        noisy = values + rng.normal(0, by * values.std(), values.shape)
        if values.dtype.kind in "iu":
            info = np.iinfo(values.dtype)
            noisy = np.clip(np.rint(noisy), info.min, info.max)
        held.CopyFrom(numpy_helper.from_array(noisy.astype(values.dtype), held.name))
    if spoil is not None:
        spoil(graph)
    data = graph.SerializeToString()
    (to / manifest.file).write_bytes(data)
    told = manifest.model_copy(
        update={"version": model_version, "sha256": hashlib.sha256(data).hexdigest(), "golden": ()}
    )
    (to / "model.toml").write_text(manifest_text(told), encoding="utf-8")
    return to


def bad_models(first: Path, folder: Path) -> None:
    """A folder of each kind, named for what is wrong with it."""
    made = {
        "nan": changed(first, folder / "nan", "nan", 0, spoil_with_nan),
        "blank": changed(first, folder / "blank", "blank", 0, spoil_with_zeros),
        "noise": changed(first, folder / "noise", "noise", 3.0),
    }
    for name in ("flipped", "truncated", "empty", "no manifest", "wrong classes", "wrong recipe"):
        made[name] = folder / name.replace(" ", "-")
        shutil.copytree(first, made[name])
    graph = bytearray((first / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 255
    (made["flipped"] / "model.onnx").write_bytes(graph)
    (made["truncated"] / "model.onnx").write_bytes(graph[: len(graph) // 2])
    (made["empty"] / "model.onnx").write_bytes(b"")
    (made["no manifest"] / "model.toml").unlink()
    manifest = read_manifest(first / "model.toml")
    twice = manifest.model_copy(update={"version": "twice", "classes": (*manifest.classes, "one too many")})
    (made["wrong classes"] / "model.toml").write_text(manifest_text(twice))
    other = manifest.input.model_copy(update={"width_px": manifest.input.width_px + 32})
    (made["wrong recipe"] / "model.toml").write_text(
        manifest_text(manifest.model_copy(update={"version": "wide", "input": other}))
    )


def spoil_with_nan(graph: Any) -> None:
    for held in graph.graph.initializer:
        values = numpy_helper.to_array(held)
        if values.dtype == np.float32 and values.size > 8:
            held.CopyFrom(numpy_helper.from_array(np.full_like(values, np.nan), held.name))


def spoil_with_zeros(graph: Any) -> None:
    for held in graph.graph.initializer:
        values = numpy_helper.to_array(held)
        if values.ndim == 4:
            held.CopyFrom(numpy_helper.from_array(np.zeros_like(values), held.name))


def scene_frames(count: int, every: int) -> list[np.ndarray]:
    frames = []
    with SceneSource(people=6, size_wh=SIZE_WH, live=False, frames=count * every) as scene:
        while (frame := scene.read()) is not None:
            if frame.index % every == 0:
                frames.append(frame.pixels)
    return frames


def found_again(one: Path, other: Path, frames: list[np.ndarray]) -> float:
    from edgevision.evaluation.agreement import SURE_MARGIN, Agreement

    a, b = load_detector(one), load_detector(other)
    agreement = Agreement(a.classes, b.classes)
    for pixels in frames:
        agreement.add(a.detect(pixels), b.detect(pixels), a.min_score + SURE_MARGIN)
    return agreement.found_again


# A loop, and what is seen of it.


@cache
def _recorded() -> list[np.ndarray]:
    return scene_frames(RECORDED_FRAMES, 1)


class Recorded(ContextManaged):
    """Frames of the built-in scene over and over: drawing them would take a core, and memory of its own."""

    trouble = None

    def __init__(self, live: bool) -> None:
        self.info = SourceInfo("recorded scene", *SIZE_WH, FPS, live)
        _recorded()
        self._index, self._began_ns = 0, time.monotonic_ns()
        self._closing = threading.Event()

    def read(self) -> Frame | None:
        if self.info.live:
            due_ns = self._began_ns + round(self._index * 1e9 / FPS)
            self._closing.wait(max(0, due_ns - time.monotonic_ns()) / 1e9)
        if self._closing.is_set():
            return None
        pixels = _recorded()[self._index % RECORDED_FRAMES].copy()
        frame = Frame(pixels, self._index, time.monotonic_ns(), self.info)
        self._index += 1
        return frame

    def close(self) -> None:
        self._closing.set()


@dataclass
class Seen:
    """Everything a loop published, so much of it as can be kept."""

    indices: int = 0
    missing: int = 0
    models: Counter = field(default_factory=Counter)
    newest: deque = field(default_factory=lambda: deque(maxlen=3))
    """(result, when it was published in s)"""
    last_index: int = -1
    longest_gap_s: float = 0.0
    turn_gaps_s: list[float] = field(default_factory=list)
    """Between the last result of one model and the first of the next."""
    around: list[Result] = field(default_factory=list)
    """The last three of one model and the first three of the next, since this was last cleared."""
    to_keep: int = 0

    def take(self, result: Result) -> None:
        now_s = time.monotonic()
        if self.newest:
            before, then_s = self.newest[-1]
            self.longest_gap_s = max(self.longest_gap_s, now_s - then_s)
            if before.model != result.model:
                self.turn_gaps_s.append(now_s - then_s)
                self.around += [r for r, _ in self.newest]
                self.to_keep = 3
        if self.to_keep:
            self.around.append(result)
            self.to_keep -= 1
        self.missing += result.frame.index - self.last_index - 1
        self.last_index = result.frame.index
        self.indices += 1
        self.models[result.model] += 1
        self.newest.append((result, now_s))


@contextmanager
def running(first: Path, live: bool, streams: int) -> Iterator[tuple[App, Seen]]:
    seen = Seen()
    with Recorded(live) as source:
        detector = load_detector(first, lanes=streams)
        app = run(source, detector, streams=streams)
        app.observe(seen.take)
        thread = threading.Thread(target=lambda: deque(app.results(), maxlen=0))
        thread.start()
        try:
            time.sleep(2)
            yield app, seen
        finally:
            app.controls.quit()
            thread.join(10)


# The figures.


def many_swaps(models: Models, count: int, bad: int) -> dict[str, Any]:
    """Swaps under load: a source that never drops, as fast as it goes, so that a frame without a result shows."""
    gates = Gates(latency_runs=3, shadow_frames=12, watch_s=0.4)
    references = {}
    for path in (models.first, models.second):
        detector = load_detector(path)
        references[detector.name] = detector
    kinds = list(models.bad)
    bad_at = set(np.linspace(1, count - 1, bad).round().astype(int).tolist()) if bad else set()
    refused: Counter = Counter()
    let_through, good_refused, wrong, checked = [], [], 0, 0
    rss = []
    with running(models.first, live=False, streams=1) as (app, seen):
        process = psutil.Process()
        start_rss = process.memory_info().rss
        one_model = model_rss(models.second)
        target = [models.second, models.first]
        turn = 0
        for k in range(count):
            before = app.detector.name
            if k in bad_at:
                kind = kinds[sum(refused.values()) % len(kinds)]
                report = app.swap(models.bad[kind], gates)
                refused[f"{kind}: {report.failed.name if report.failed else 'accepted'}"] += 1
                if report.verdict is Verdict.ACCEPTED or app.detector.name != before:
                    let_through.append(report.sentence())
            else:
                report = app.swap(target[turn % 2], gates)
                if report.verdict is Verdict.ACCEPTED:
                    turn += 1
                else:
                    good_refused.append(report.sentence())
            new_wrong, new_checked = results_of_wrong_version(seen, references)
            wrong, checked = wrong + new_wrong, checked + new_checked
            if k % max(1, count // 50) == 0:
                rss.append(round(process.memory_info().rss / MIB, 1))
                print(f"  {k + 1}/{count}: RSS {rss[-1]} MiB, {seen.indices} results", flush=True)
        end_rss = process.memory_info().rss
    grown = (end_rss - start_rss) / MIB
    allowed = one_model / MIB + 20
    return {
        "rss_mib": rss,
        "start_rss_mib": start_rss / MIB,
        "one_model_mib": one_model / MIB,
        "refused": dict(refused),
        "let_through": let_through,
        "good_refused": good_refused,
        "results": dict(seen.models),
        "rows": [
            row(f"{count} swaps, frames without a result", f"{seen.missing} of {seen.indices}", "0", seen.missing == 0),
            row("results of the wrong version", f"{wrong} of {checked} done again", "0", wrong == 0 and checked > 0),
            row(
                "bad models refused, the old one serving",
                f"{bad - len(let_through)} of {bad} ({len(refused)} kinds)",
                "all",
                not let_through,
            ),
            row("good models accepted", f"{count - bad - len(good_refused)} of {count - bad}", "all", not good_refused),
            row("RSS grown", f"{grown:.1f} MiB", f"at most one model ({one_model / MIB:.1f}) + 20", grown <= allowed),
        ],
    }


def results_of_wrong_version(seen: Seen, references: dict[str, Any]) -> tuple[int, int]:
    """Results around each exchange, done again by the model they claim: boxes must be that one's."""
    wrong = checked = 0
    results, seen.around = seen.around, []
    for result in results:
        expected = references.get(result.model)
        if expected is None:
            continue  # a bad one that served while it was watched
        checked += 1
        again = expected.detect(result.frame.pixels)
        same = len(again) == len(result.detections) and np.allclose(again.boxes, result.detections.boxes, atol=0.01)
        wrong += not same
    return wrong, checked


def model_rss(path: Path) -> int:
    """What one more model takes in bytes, in a process of its own: here freed memory would be taken first."""
    code = (
        "import sys, psutil\n"
        "from edgevision.detectors.registry import load_detector\n"
        "held = [load_detector(sys.argv[1]) for _ in range(2)]\n"
        "before = psutil.Process().memory_info().rss\n"
        "held += [load_detector(sys.argv[1]) for _ in range(4)]\n"
        "print((psutil.Process().memory_info().rss - before) // 4)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    return int(done.stdout)


def gaps(models: Models, count: int) -> dict[str, Any]:
    """The time between the last result of the old model and the first of the new, at a camera's pace."""
    longest = []
    with running(models.first, live=True, streams=1) as (app, seen):
        period_s = 1 / FPS
        for k in range(count):
            seen.longest_gap_s = 0.0
            report = app.swap((models.second, models.first)[k % 2], Gates(shadow_frames=15, watch_s=1))
            if report.verdict is not Verdict.ACCEPTED:
                print("  ", report.sentence())
            longest.append(seen.longest_gap_s * 1e3)
        found = [gap_s * 1e3 for gap_s in seen.turn_gaps_s]
        periods = [gap_s / period_s for gap_s in seen.turn_gaps_s]
    most = max(periods, default=float("nan"))
    return {
        "gap_ms": found,
        "longest_gap_during_the_swap_ms": longest,
        "rows": [
            row(
                f"gap at the exchange, most of {len(found)}",
                f"{max(found, default=float('nan')):.0f} ms, {most:.1f} frame periods",
                "at most 2 frame periods",
                most <= 2 and len(found) == count,
            )
        ],
    }


def pace(models: Models) -> dict[str, Any]:
    """fps of a loop that takes all it can, while a candidate is probed, loaded and compared beside it."""
    streams = min(2, usable_cores())
    ratios, parts = [], []
    with running(models.first, live=False, streams=streams) as (app, seen):
        for _ in range(4):
            count = seen.indices
            began = time.monotonic()
            time.sleep(3)
            alone = (seen.indices - count) / (time.monotonic() - began)
            # A fresh supply: bytes that passed before would not be probed again.
            app.swapper = Swapper(app.pipeline, CandidateFactory.like(app.detector).candidate)
            began, count = time.monotonic(), seen.indices
            report = app.swap(models.second, Gates(shadow_frames=120, watch_s=0, dry_run=True))
            beside = (seen.indices - count) / (time.monotonic() - began)
            took = {c.name: round(c.took_ms) for c in report.checks}
            ratios.append(beside / alone)
            parts.append({"alone_fps": alone, "beside_fps": beside, "took_ms": took})
    ratio = statistics.median(ratios)
    return {
        "runs": parts,
        "rows": [
            row(
                f"loop fps while probing, loading and shadowing, {streams} streams on {usable_cores()} cores",
                f"{ratio:.0%} ({min(ratios):.0%} to {max(ratios):.0%})",
                "at least 70 %",
                ratio >= 0.7,
            )
        ],
    }


def regressed(models: Models) -> dict[str, Any]:
    """The regressed model: refused by the shadow; and where that is forced, taken back in time."""
    with running(models.first, live=True, streams=1) as (app, _):
        plain = app.swap(models.regressed)
        forced = replace(Gates(), force=frozenset({"shadow"}), watch_s=10)
        times: list[float] = []
        stop = app.observe(lambda r: times.append(time.monotonic()) if r.model.endswith("@regressed") else None)
        again = app.swap(models.regressed, forced)
        stop()
        served_s = times[-1] - times[0] if times else 0.0
        serves = app.detector.name
    refused = plain.verdict is Verdict.REFUSED
    back = again.verdict is Verdict.ROLLED_BACK and served_s <= 10 and serves == plain.old
    return {
        "found_again": models.found_again,
        "reports": [plain.as_json(), again.as_json()],
        "rows": [
            row("regressed model", plain.sentence(), "refused by the shadow, or reverted", refused),
            row(
                "regressed model, shadow forced",
                f"{again.verdict} after {served_s:.1f} s, {serves} serves",
                "reverted within 10 s",
                back,
            ),
        ],
    }


if __name__ == "__main__":
    raise SystemExit(main())
