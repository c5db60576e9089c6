"""Benchmark runs made of nothing, for the tests of what computes, compares and shows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgevision.bench.records import (
    AccuracyFigure,
    BenchRun,
    Block,
    Clip,
    ContenderRecord,
    Machine,
    Sample,
    Series,
    Settings,
)
from edgevision.types import STAGES

CLIP = Clip(
    name="clip.mp4", kind="video", sha256="a" * 64, width_px=640, height_px=360, fps=30.0, live=False, frames=90
)
LIVE = Clip(name="scene://?x=1", kind="scene", width_px=640, height_px=360, fps=30.0, live=True)
MACHINE = Machine(
    system="Linux 6", cpu="Test CPU", architecture="x86_64", cores=2, memory_mib=4096, governor="performance",
    python="3.11.7", packages={"onnxruntime": "1.32.0"}, providers=("CPUExecutionProvider",),
)  # fmt: skip


def alone_block(number: int, durations_ms: Sequence[float]) -> Block:
    durations = [round(d * 1e6) for d in durations_ms]
    ended = np.cumsum(durations).tolist()
    return Block(
        round=number, began_ns=max(0, number) * 10**9, span_ns=ended[-1], published_ns=ended,
        stages={"infer": durations}, cpu_ns=ended[-1],
    )  # fmt: skip


def loop_block(
    number: int,
    periods_ms: Sequence[float],
    *,
    live: bool = False,
    indices: Sequence[int] | None = None,
    infer: float = 0.8,
) -> Block:
    """Frames published so long after each other; ``infer`` is the share of a period that inference takes."""
    periods = [round(p * 1e6) for p in periods_ms]
    published = np.cumsum(periods).tolist()
    stages = {stage: tuple(0 for _ in periods) for stage in STAGES}
    stages["infer"] = tuple(round(p * infer) for p in periods)
    stages["preprocess"] = tuple(round(p * 0.1) for p in periods)
    stages["capture"] = tuple(round(p * 0.5) for p in periods)
    ages = tuple(min(p, t) // 2 for p, t in zip(periods, published, strict=True))
    return Block(
        round=number, live=live, began_ns=max(0, number) * 10**9, span_ns=published[-1], published_ns=published,
        indices=tuple(indices if indices is not None else range(len(periods))), age_ns=ages, stages=stages,
        cpu_ns=published[-1],
    )  # fmt: skip


def series_of(label: str, kind: str, clip: Clip, period_ms: float, rounds: int = 8, frames: int = 20) -> Series:
    """A steady contender, with a little noise that is the same each time."""
    rng = np.random.default_rng(len(label) + rounds)
    make = alone_block if kind == "alone" else loop_block
    blocks = tuple(make(k, period_ms * rng.uniform(0.98, 1.02, frames)) for k in range(rounds))
    return Series(contender=label, kind=kind, clip=clip.name, settled=True, warm_up_frames=2, blocks=blocks)


def run_of(
    periods_ms: dict[str, float],
    *,
    foundation: Sequence[str] = (),
    clips: Sequence[Clip] = (CLIP,),
    accuracy: dict[str, float] | None = None,
    machine: Machine = MACHINE,
    samples: Sequence[Sample] = (),
) -> BenchRun:
    """A run of contenders with these times a frame. Those in ``foundation`` have random weights."""
    contenders = tuple(
        ContenderRecord(
            label=label,
            model=f"{label}@1",
            kind="foundation" if label in foundation else "compact",
            sha256=None if label in foundation else "b" * 64,
            threads=1,
            spinning=False,
            random_weights=label in foundation,
            classes=("person",),
            cold_start_ns=(900_000_000, 700_000_000),
            peak_rss_mib=123.0 + len(label),
            alone="session.run on a tensor that is ready",
        )
        for label in periods_ms
    )
    series = [
        one
        for label, period in periods_ms.items()
        for one in (
            series_of(label, "alone", clips[0], period * 0.9),
            *(series_of(label, "loop", clip, period) for clip in clips),
        )
    ]
    figures = [
        AccuracyFigure(
            contender=label, data=clips[0].name, frames=50, labels=120, classes=("person",), ap50=ap, low=ap - 0.03,
            high=ap + 0.03, ap50_95=ap / 2,
        )
        for label, ap in (accuracy or {}).items()
    ]  # fmt: skip
    return BenchRun(
        made="2026-11-23T08:00:00+00:00", edgevision="0.1.0", commit="abc", machine=machine,
        settings=Settings(seconds=8.0, rounds=8), clips=tuple(clips), contenders=contenders, series=tuple(series),
        accuracy=tuple(figures), samples=tuple(samples), no_energy="no counter",
    )  # fmt: skip
