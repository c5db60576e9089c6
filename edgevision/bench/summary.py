"""The figures of a run, computed from its raw times: the terminal, the report and `compare` all read these."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.bench.records import BenchRun, Block, Clip, Series
from edgevision.bench.statistics import Estimate, Rate, percentiles, ratio, verdict
from edgevision.types import STAGES

REAL_TIME_FPS = 30.0
PERCENTS = (50.0, 90.0, 95.0, 99.0, 100.0)
WORK = tuple(stage for stage in STAGES if stage not in ("capture", "wait"))
"""What a frame costs once it is there: capture mostly waits for the sensor, wait for the frame before."""
DROPS = 0.01

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds."""

    p50: Estimate
    p90: Estimate
    p95: Estimate
    p99: Estimate
    longest: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One contender, one way, one source."""

    contender: str
    """Its label, with "random weights" where they are."""
    label: str
    kind: str
    clip: str
    clip_shown: str
    """In a word or two."""
    live: bool
    frames: int
    blocks: int
    fps: Estimate
    work: Latency
    """Of a frame from preprocessing to published; alone: of an inference."""
    age: Latency | None
    """From exposure to published; of live sources only."""
    stages_ms: dict[str, float]
    """Mean of each stage, so that they add up."""
    dropped: int
    dropped_share: float
    cpu_percent: float
    """Of one core."""
    joule_per_frame: float | None
    warm_up_frames: int
    settled: bool
    drift: float
    """How much faster (above 0) the second half of the blocks was than the first."""
    verdict: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def figures(run: BenchRun) -> list[Figures]:
    """Of every series that has frames, in the run's order."""
    return [_figures(run, series) for series in run.series if counted(series)]


def counted(series: Series) -> list[Block]:
    """The blocks that count: all rounds; of a series cut short in its warm-up, none."""
    return [block for block in series.blocks if block.round >= 0 and block.published_ns]


def rate(series: Series) -> Rate:
    """Frames over time, block by block."""
    rows = [(*_span(series, block), block.round) for block in counted(series)]
    frames, spans = np.array([r[0] for r in rows], np.float64), np.array([r[1] for r in rows], np.float64)
    return Rate(frames, spans, tuple(r[2] for r in rows))


def _span(series: Series, block: Block) -> tuple[float, float]:
    """(frames, seconds). The loop's first fresh frame only starts its clock: fps is (n - 1) / (t_last - t_first).

    A block of one frame, as slow contenders have them, counts from its beginning.
    """
    published = block.published_ns
    first = lead_in(series, block)
    if series.kind == "alone" or len(published) == 1:
        return float(len(published)), published[-1] / 1e9
    return float(len(published) - 1 - first), (published[-1] - published[first]) / 1e9


def lead_in(series: Series, block: Block) -> int:
    """How many frames of a loop's block came before its clock starts: those exposed before the block began.

    A live source has one waiting, or a buffer full, from while it was another contender's turn.
    """
    if series.kind == "alone" or not block.live:
        return 0
    stale = 0
    for published, age in zip(block.published_ns[:-2], block.age_ns, strict=False):
        if published >= age:
            break
        stale += 1
    return stale


def work_ms(series: Series) -> list[FloatArray]:
    """What each frame cost, block by block."""
    names = ("infer",) if series.kind == "alone" else WORK
    return [
        np.sum([_times(series, block, name) for name in names if name in block.stages], axis=0) / 1e6
        for block in counted(series)
    ]


def _times(series: Series, block: Block, name: str) -> FloatArray:
    """One stage of a block's frames, without the one that starts its clock and those before it."""
    times = np.array(block.age_ns if name == "age" else block.stages[name], np.float64)
    return times[lead_in(series, block) + 1 :] if series.kind == "loop" and len(times) > 1 else times


def find_series(run: BenchRun, label: str, kind: str, clip: str | None = None) -> Series | None:
    """The first that fits and has frames."""
    for series in run.series:
        if series.contender == label and series.kind == kind and clip in (None, series.clip) and counted(series):
            return series
    return None


def best_loop(run: BenchRun, label: str) -> Series | None:
    """The loop on a source that is not live, where there is one: a camera's own rate bounds no figure there."""
    loops = [s for s in run.series if s.contender == label and s.kind == "loop" and counted(s)]
    return min(loops, key=lambda s: run.clip(s.clip).live, default=None)


def speed_ratio(run: BenchRun, above: str, below: str, kind: str = "loop") -> Estimate | None:
    """How many times faster one contender is than another, in the same run on the same source."""
    if kind == "loop":
        one = best_loop(run, above)
        other = find_series(run, below, "loop", one.clip) if one else None
    else:
        one, other = find_series(run, above, kind), find_series(run, below, kind)
    return None if one is None or other is None else ratio(rate(one), rate(other), paired=True)


def _figures(run: BenchRun, series: Series) -> Figures:
    contender, clip = run.contender(series.contender), run.clip(series.clip)
    blocks = counted(series)
    measured = rate(series)
    fps = measured.estimate()
    frames = sum(len(b.published_ns) - lead_in(series, b) for b in blocks)
    dropped = sum(_dropped(series, b) for b in blocks)
    live = series.kind == "loop" and clip.live
    cpu = sum(b.cpu_ns for b in blocks) / max(1, sum(b.span_ns for b in blocks)) * 100
    energies = [b.energy_uj for b in blocks if b.energy_uj is not None]
    half = len(measured.frames) // 2
    early, late = (Rate(measured.frames[s], measured.spans_s[s]).fps for s in (slice(0, half), slice(half, None)))
    share = dropped / max(1, dropped + frames)
    return Figures(
        contender=contender.shown,
        label=contender.label,
        kind=series.kind,
        clip=series.clip,
        clip_shown=clip.shown,
        live=live,
        frames=frames,
        blocks=len(blocks),
        fps=fps,
        work=_latency(work_ms(series)),
        age=_latency([_times(series, b, "age") / 1e6 for b in blocks]) if live else None,
        stages_ms=_stage_means(series, blocks),
        dropped=dropped,
        dropped_share=share,
        cpu_percent=cpu,
        joule_per_frame=sum(energies) / 1e6 / frames if len(energies) == len(blocks) and frames else None,
        warm_up_frames=series.warm_up_frames,
        settled=series.settled,
        drift=late / early - 1 if half >= 2 and early > 0 else 0.0,
        verdict=_verdict(series, clip, fps, share),
    )


def _verdict(series: Series, clip: Clip, fps: Estimate, share: float) -> str:
    if series.kind == "alone":
        return ""
    if clip.live and clip.fps and clip.fps <= REAL_TIME_FPS * 1.02:
        # No fps above the source's own can be had: what tells is whether frames were lost.
        return f"keeps up with {clip.fps:g} fps" if share <= DROPS else f"drops {share:.0%} of {clip.fps:g} fps"
    line = f"{REAL_TIME_FPS:g} fps"
    return verdict(fps, REAL_TIME_FPS, f"above {line}", f"below {line}", f"cannot tell from {line}")


def _dropped(series: Series, block: Block) -> int:
    indices = block.indices[lead_in(series, block) :]
    return sum(max(0, b - a - 1) for a, b in pairwise(indices))


def _latency(blocks: list[FloatArray]) -> Latency:
    p50, p90, p95, p99, longest = percentiles(blocks, PERCENTS)
    return Latency(p50, p90, p95, p99, longest.value)


def _stage_means(series: Series, blocks: list[Block]) -> dict[str, float]:
    means = {}
    for stage in STAGES:
        values = [_times(series, b, stage) for b in blocks if stage in b.stages]
        if values:
            means[stage] = float(np.concatenate(values).mean()) / 1e6
    return means
