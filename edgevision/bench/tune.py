"""The most accurate setting that holds a time budget on this machine, and the command line for it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgevision.bench.clips import BUNDLED
from edgevision.bench.measure import Bench
from edgevision.bench.rounds import Progress, silent
from edgevision.bench.run import AccuracyFigure, BenchRun, Settings
from edgevision.bench.statistics import Estimate
from edgevision.bench.subject import Wanted, float_twin
from edgevision.bench.summary import figures
from edgevision.cores import usable_cores
from edgevision.errors import EdgeVisionError, UsageError
from edgevision.session import Session
from edgevision.store import find_model, read_graph, user_data_folder

SIDES_PX = (192, 256, 320, 416, 512, 640)
NOT_TRIED = "Detecting on every Nth frame only was not tried: the loop detects on each frame it shows."
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting, measured."""

    wanted: Wanted
    contender: str
    ap50: float | None
    ap50_low: float | None
    ap50_high: float | None
    p95_ms: Estimate
    """Of what a frame costs, from preprocessing to published."""
    fps: Estimate
    verdict: str
    """``holds`` or ``misses`` the budget, or ``cannot tell``."""

    @property
    def options(self) -> dict[str, str | int]:
        """Of ``edgevision run``."""
        values: dict[str, str | int] = {"model": self.wanted.model}
        if self.wanted.side_px is not None:
            values["imgsz"] = self.wanted.side_px
        if self.wanted.threads is not None:
            values["threads"] = self.wanted.threads
        values["streams"] = self.wanted.streams
        return values

    @property
    def command(self) -> str:
        words = [f"--{name} {shlex.quote(str(value))}" for name, value in self.options.items()]
        return f"edgevision run {' '.join(words)}"


@dataclass(frozen=True, slots=True)
class Tuning:
    budget_ms: float
    tried: tuple[Tried, ...]
    """The best first."""
    best: Tried | None
    notes: tuple[str, ...]
    run: BenchRun


def parse_budget_ms(text: str) -> float:
    """``33ms``, ``0.033s`` or ``30fps``. Raises `UsageError`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|fps|)\s*", text.lower())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"--budget: expected a time such as 33ms, or a rate such as 30fps, got {text!r}")
    value = float(found[1])
    return 1000 / value if found[2] == "fps" else value * 1000 if found[2] == "s" else value


def candidates(models: Sequence[str], cores: int) -> list[Wanted]:
    """Every setting worth trying: models and their float twins, input sizes a graph leaves open, threads, streams.

    Raises what `find_model` raises.
    """
    names: list[str] = []
    for model in models:
        names.append(model)
        twin = float_twin(model)
        if twin is not None and twin not in models:
            names.append(twin)
    found = []
    for name in dict.fromkeys(names):
        for side in _sides(name):
            for threads, streams in ways(cores):
                found.append(Wanted(name, threads=threads, streams=streams, side_px=side))
    return found


def ways(cores: int) -> list[tuple[int, int]]:
    """(threads, streams) that share out the cores: one frame on few or all, or several frames at once."""
    found = [(1, 1)]
    if cores >= 2:
        found += [(2, 1), (1, 2)]
    if cores >= 4:
        found += [(4, 1), (2, 2)]
    return found


def _sides(model: str) -> list[int | None]:
    stored = find_model(model)
    session = Session(read_graph(stored), str(stored.path))
    shape = session.inputs[0].shape
    return [*SIDES_PX] if len(shape) == 4 and None in shape[1:] and not _fixed(shape) else [None]


def _fixed(shape: tuple[int | None, ...]) -> bool:
    """Whether both sides of the picture are given: in NCHW the last two, in NHWC the two before the last."""
    sides = shape[1:3] if shape[3] == 3 else shape[2:4]
    return None not in sides


def tune_settings(
    models: Sequence[str],
    budget_ms: float,
    *,
    source: str | None = None,
    data: Path | None = None,
    seconds: float = 4.0,
    progress: Progress | None = None,
) -> Tuning:
    """Measure every candidate in turns, and choose. Raises `EdgeVisionError` where a model or source cannot be used."""
    wanted = candidates(models, usable_cores())
    run = Bench(Settings(seconds=seconds, rounds=_ROUNDS), progress=progress or silent)
    labels: dict[str, Wanted] = {}
    try:
        run.add_clip(source if source is not None else str(BUNDLED))
        for one in wanted:
            labels[run.add_worker(one, cold_starts=1)] = one
        looked_at = {_eyes(one): label for label, one in reversed(labels.items())}
        run.measure(data, find=set(looked_at.values()), alone=False)
        return choose(run.result(), labels, budget_ms)
    finally:
        run.close()


def _eyes(wanted: Wanted) -> tuple[str, int | None]:
    """What decides what is found."""
    return wanted.model, wanted.side_px


def choose(run: BenchRun, labels: dict[str, Wanted], budget_ms: float) -> Tuning:
    """The most accurate that surely holds; where accuracies are the same, the one with the most time to spare."""
    # Threads and streams do not change what is found: one of a model's settings was looked at for all of them.
    accuracy: dict[tuple[str, int | None], AccuracyFigure] = {}
    for figure in run.accuracy:
        accuracy.setdefault(_eyes(labels[figure.contender]), figure)
    tried = []
    for f in figures(run):
        if f.kind != "loop" or f.label not in labels:
            continue
        seen = accuracy.get(_eyes(labels[f.label]))
        tried.append(
            Tried(
                wanted=labels[f.label],
                contender=f.contender,
                ap50=None if seen is None else seen.ap50,
                ap50_low=None if seen is None else seen.low,
                ap50_high=None if seen is None else seen.high,
                p95_ms=f.work.p95,
                fps=f.fps,
                verdict=_holds(f.work.p95, f.fps, budget_ms, f.live),
            )
        )
    order = {"holds": 0, "cannot tell": 1, "misses": 2}
    tried.sort(key=lambda t: (order[t.verdict], -(t.ap50 or 0.0), t.p95_ms.value))
    if tried and tried[0].verdict == "holds":
        # Of settings that cannot be told apart, the one that leaves most of the machine to others.
        first = tried[0]
        rivals = [
            t for t in tried if t.verdict == "holds" and t.ap50 == first.ap50 and t.p95_ms.low <= first.p95_ms.high
        ]
        least = min(rivals, key=lambda t: (_cores(t.wanted), t.p95_ms.value))
        tried.remove(least)
        tried.insert(0, least)
    best = tried[0] if tried and tried[0].verdict == "holds" else None
    return Tuning(budget_ms, tuple(tried), best, _notes(run, tried, best), run)


def _cores(wanted: Wanted) -> int:
    return (wanted.threads or 1) * wanted.streams


def _holds(p95: Estimate, fps: Estimate, budget_ms: float, live: bool) -> str:
    """Whether a frame's time is under the budget at p95, and frames come as often as it wants; surely or not."""
    late = not p95.has_interval or p95.high > budget_ms
    # A live source gives no more than it has, so its rate says nothing.
    rare = not live and (not fps.has_interval or fps.low < 1000 / budget_ms)
    if not late and not rare:
        return "holds"
    never = (p95.has_interval and p95.low > budget_ms) or (
        not live and fps.has_interval and fps.high < 1000 / budget_ms
    )
    return "misses" if never else "cannot tell"


def _notes(run: BenchRun, tried: list[Tried], best: Tried | None) -> tuple[str, ...]:
    notes = [*run.notes, NOT_TRIED]
    if all(t.ap50 is None for t in tried):
        notes.append("There are no labels for this source, so the fastest setting is named; give --data for accuracy.")
    elif best is not None and best.ap50_low is not None:
        rivals = {
            t.wanted.model
            for t in tried
            if t.ap50_high is not None and t.ap50_high >= best.ap50_low and t.verdict == "holds"
        } - {best.wanted.model}
        if rivals:
            notes.append(f"Its accuracy cannot be told from that of {', '.join(sorted(rivals))} by these pictures.")
    return tuple(notes)


def write_defaults(best: Tried) -> Path:
    """Write a setting into the user's ``run.toml``, which `edgevision run` reads.

    Raises `EdgeVisionError` where the disk refuses.
    """
    path = user_data_folder() / "run.toml"
    lines = [
        "# What `edgevision run` does by default; written by `edgevision bench tune --write`. Remove it to go back."
    ]
    for name, value in best.options.items():
        quoted = str(value).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f"{name} = {value}" if isinstance(value, int) else f'{name} = "{quoted}"')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as exc:
        raise EdgeVisionError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    return path
