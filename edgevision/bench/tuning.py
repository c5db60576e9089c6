"""The most accurate setting that holds a time budget on this machine, and the command line for it."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from edgevision.bench.benchmark import Bench
from edgevision.bench.clips import BUNDLED
from edgevision.bench.contender import ContenderSpec
from edgevision.bench.formatting import ms_text
from edgevision.bench.records import AccuracyFigure, BenchRun, Settings
from edgevision.bench.schedule import Progress, Task, silent
from edgevision.bench.statistics import Estimate, FloatArray, percentiles
from edgevision.bench.summary import Figures, figures, find_series, work_ms
from edgevision.bench.tuning_candidates import DETECT_EVERY, candidates
from edgevision.concurrency import usable_cores
from edgevision.detectors.engines import DEFAULT_ENGINE
from edgevision.detectors.registry import user_data_folder
from edgevision.errors import EdgeVisionError, UsageError

_ROUNDS = 8
_MORE_ROUNDS = 4
MOST_S = 110.0
"""After so long no further round is begun."""
_ENOUGH_FRAMES = 20
_HOPELESS = 1.3


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting, measured."""

    wanted: ContenderSpec
    label: str
    contender: str
    """The label as people see it."""
    ap50: float | None
    ap50_low: float | None
    ap50_high: float | None
    p95_ms: Estimate
    """Of what a frame costs, from preprocessing to published; where only one of N frames is detected, of the mean of N
    in a row: the frames between pay for it."""
    frame_p95_ms: Estimate
    """Of single frames, whichever."""
    fps: Estimate
    verdict: str
    """``holds`` or ``misses`` the budget, or ``cannot tell``."""
    engine: str | None = None
    """What ran the network, where it was a compact model."""

    @property
    def options(self) -> dict[str, str | int]:
        """Of ``edgevision run``."""
        values: dict[str, str | int] = {"model": self.wanted.model}
        if self.wanted.side_px is not None:
            values["imgsz"] = self.wanted.side_px
        if self.wanted.threads is not None:
            values["threads"] = self.wanted.threads
        values["workers"] = self.wanted.streams
        if self.engine is not None and self.engine != DEFAULT_ENGINE:
            values["engine"] = self.engine
        if self.wanted.detect_every > 1:
            values["detect_every"] = self.wanted.detect_every
        return values

    @property
    def command(self) -> str:
        words = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in self.options.items()]
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
        raise UsageError(f"--budget-ms: expected a time such as 33ms, or a rate such as 30fps, got {text!r}")
    value = float(found[1])
    return 1000 / value if found[2] == "fps" else value * 1000 if found[2] == "s" else value


def tune_settings(
    models: Sequence[str],
    budget_ms: float,
    *,
    source: str | None = None,
    data: Path | None = None,
    seconds: float = 4.0,
    engine: str = DEFAULT_ENGINE,
    most_s: float = MOST_S,
    clock: Callable[[], float] = time.monotonic,
    progress: Progress | None = None,
) -> Tuning:
    """Measure every candidate in turns, and choose.

    Settings that clearly miss the budget are dropped after a round or two; those that could still be the best and
    cannot be told from the budget get further rounds until ``most_s`` are spent. Raises `EdgeVisionError` where a model
    or source cannot be used.
    """
    began_s = clock()
    wanted = candidates(models, usable_cores(), engine)
    run = Bench(Settings(seconds=seconds, rounds=_ROUNDS), progress=progress or silent)
    labels: dict[str, ContenderSpec] = {}
    try:
        clip = run.add_clip(source if source is not None else str(BUNDLED))
        if clip.kind == "images":
            run.note("Detecting on some frames only was not tried: images in a folder have no capture times.")
        else:
            wanted = [replace(one, detect_every=every) for one in wanted for every in DETECT_EVERY]
        for one in wanted:
            labels[run.add_worker(one, cold_starts=1)] = one
        looked_at = {_eyes(one): label for label, one in reversed(labels.items())}
        run.measure(data, find=set(looked_at.values()), alone=False, race=partial(_out_of_the_race, labels, budget_ms))
        tuning = choose(run.result(), labels, budget_ms)
        while (close := _undecided(tuning)) and clock() - began_s < most_s:
            run.more(close, _MORE_ROUNDS)
            tuning = choose(run.result(), labels, budget_ms)
        return tuning
    finally:
        run.close()


def _out_of_the_race(labels: dict[str, ContenderSpec], budget_ms: float, tasks: list[Task]) -> set[str]:
    """Settings whose median frame alone is well over the budget: no further round could let them hold it."""
    out = set()
    for task in tasks:
        blocks = work_ms(task.series()) if task.measured else []
        spent = np.concatenate(blocks) if blocks else np.zeros(0)
        # Where 1 of N frames is detected, most frames are cheap: their median says nothing of the mean that counts.
        every = labels[task.label].detect_every
        if every == 1 and len(spent) >= _ENOUGH_FRAMES and float(np.median(spent)) > _HOPELESS * budget_ms:
            out.add(task.label)
    return out


def _undecided(tuning: Tuning) -> list[str]:
    """Labels of settings that could still be the best, but cannot be told from the budget."""
    known = [t.ap50 for t in tuning.tried if t.verdict == "holds" and t.ap50 is not None]
    least = max(known, default=0.0)
    return [t.label for t in tuning.tried if t.verdict == "cannot tell" and (t.ap50 is None or t.ap50 > least)]


def _eyes(wanted: ContenderSpec) -> tuple[str, int | None, int]:
    """What decides what is found."""
    return wanted.model, wanted.side_px, wanted.detect_every


def choose(run: BenchRun, labels: dict[str, ContenderSpec], budget_ms: float) -> Tuning:
    """The most accurate that surely holds; where accuracies are the same, the one with the most time to spare."""
    # Threads and streams do not change what is found: one of a model's settings was looked at for all of them.
    accuracy: dict[tuple[str, int | None, int], AccuracyFigure] = {}
    for figure in run.accuracy:
        if figure.data == run.accuracy[0].data:  # figures on different pictures cannot be compared
            accuracy.setdefault(_eyes(labels[figure.contender]), figure)
    engines = {c.label: c.engine for c in run.contenders}
    tried = []
    for f in figures(run):
        if f.kind != "loop" or f.label not in labels:
            continue
        seen = accuracy.get(_eyes(labels[f.label]))
        p95 = _p95_ms(run, f, labels[f.label].detect_every)
        tried.append(
            Tried(
                wanted=labels[f.label],
                label=f.label,
                contender=f.contender,
                ap50=None if seen is None else seen.ap50,
                ap50_low=None if seen is None else seen.low,
                ap50_high=None if seen is None else seen.high,
                p95_ms=p95,
                frame_p95_ms=f.work.p95,
                fps=f.fps,
                engine=engines.get(f.label),
                verdict=_holds(p95, f.fps, budget_ms, f.live),
            )
        )
    order = {"holds": 0, "cannot tell": 1, "misses": 2}
    worth = {label: _worth(one, accuracy) for label, one in labels.items()}
    tried.sort(key=lambda t: (order[t.verdict], -worth[t.label], t.wanted.detect_every, t.p95_ms.value))
    if tried and tried[0].verdict == "holds":
        # Of settings that cannot be told apart, the one that leaves most of the machine to others.
        first = tried[0]
        rivals = [
            t
            for t in tried
            if t.verdict == "holds"
            and (t.ap50, t.wanted.detect_every) == (first.ap50, first.wanted.detect_every)
            and t.p95_ms.low <= first.p95_ms.high
        ]
        least = min(rivals, key=lambda t: (_cores(t.wanted), t.p95_ms.value))
        tried.remove(least)
        tried.insert(0, least)
    best = tried[0] if tried and tried[0].verdict == "holds" else None
    return Tuning(budget_ms, tuple(tried), best, _notes(run, tried, best), run)


def _worth(wanted: ContenderSpec, accuracy: dict[tuple[str, int | None, int], AccuracyFigure]) -> float:
    """AP50 to choose by; 0 where it is not known. Predicted boxes never count as better than detected ones of the same
    model: where they seem so, that is chance."""
    seen, each = (accuracy.get(_eyes(one)) for one in (wanted, replace(wanted, detect_every=1)))
    return min((one.ap50 for one in (seen, each) if one is not None), default=0.0) if seen is not None else 0.0


def _p95_ms(run: BenchRun, loop: Figures, every: int) -> Estimate:
    """Of the mean of each ``every`` frames in a row."""
    series = find_series(run, loop.label, "loop", loop.clip)
    if every == 1 or series is None:
        return loop.work.p95
    return percentiles([_means(block, every) for block in work_ms(series)], (95.0,))[0]


def _means(work: FloatArray, count: int) -> FloatArray:
    count = max(1, min(count, len(work)))
    return np.convolve(work, np.full(count, 1 / count), "valid") if len(work) else work


def _cores(wanted: ContenderSpec) -> int:
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
    notes = [*run.notes]
    sparing = [t for t in tried if t.wanted.detect_every > 1]
    if sparing:
        frame = ""
        if best is not None and best in sparing:
            frame = f"; in the setting named, a frame takes {ms_text(best.frame_p95_ms)} ms at p95"
        notes.append(
            "Where 1 of N frames is detected, the time is the mean of N frames in a row: the detected one takes longer "
            f"than those between{frame}."
        )
    if all(t.ap50 is None for t in tried):
        notes.append(
            "There are no labels for this source, so the fastest setting is named, of those that detect on most "
            "frames; give --data for accuracy."
        )
    elif any(t.ap50 is None for t in sparing):
        notes.append(
            "The accuracy of detecting on 1 of N frames is not known from these labels, so it is named only where "
            "nothing else holds; the bundled clip and scene:// know theirs frame by frame."
        )
    if best is not None and best.ap50_low is not None:
        rivals = {
            _named(t.wanted)
            for t in tried
            if t.ap50_high is not None and t.ap50_high >= best.ap50_low and t.verdict == "holds"
        } - {_named(best.wanted)}
        if rivals:
            notes.append(f"Its accuracy is within the interval of {', '.join(sorted(rivals))} on these images.")
    return tuple(notes)


def _named(wanted: ContenderSpec) -> str:
    every = wanted.detect_every
    return wanted.model if every == 1 else f"{wanted.model} detecting on 1 of {every} frames"


def defaults_file() -> Path:
    """What `edgevision run` reads its defaults from."""
    return user_data_folder() / "run.toml"


def write_defaults(best: Tried) -> Path:
    """Write a setting into the user's ``run.toml``, which `edgevision run` reads.

    Raises `EdgeVisionError` where the disk refuses.
    """
    path = defaults_file()
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
