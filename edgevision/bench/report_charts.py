"""Which charts a report has: a table of those over contenders, and those that each run has of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgevision.bench.charts import Entry, accuracy_chart, bars_chart, latency_chart, speed_chart, stage_chart
from edgevision.bench.glass_to_glass import glass_words
from edgevision.bench.records import BenchRun
from edgevision.bench.timeline_charts import glass_chart, machine_chart, sustained_chart, sustained_words
from edgevision.bench.wording import data_shown

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Tell runs apart where a report shows several."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart over contenders."""

    title: str
    needs: Callable[[Entry], object]
    """Whether there is something to draw of a contender; a chart of none is left out."""
    draw: Callable[[Sequence[Entry]], str]
    """SVG of those."""
    caption: Callable[[Sequence[Entry], Sequence[Entry]], str]
    """The conditions: of those that are drawn, and all entries."""


def report_charts(runs: Sequence[BenchRun], entries: Sequence[Entry]) -> Iterator[tuple[str, str, str]]:
    """(title, SVG, conditions) of each figure there is something for."""
    for chart in CHARTS:
        drawn = [e for e in entries if chart.needs(e)]
        if drawn:
            yield chart.title, chart.draw(drawn), chart.caption(drawn, entries)
    for k, run in enumerate(runs):
        yield from _charts_of_run(run, f"{LETTERS[k % 26]}: " if len(runs) > 1 else "")


def _charts_of_run(run: BenchRun, letter: str) -> Iterator[tuple[str, str, str]]:
    for s in run.sustained:
        name = letter + run.contender(s.contender).shown
        text = f"{name}, whole loop on {run.clip(s.clip).shown}. {sustained_words(s)}."
        yield "Sustained", sustained_chart(run, s, name), text
    for g in run.glass:
        if g.latencies_ms:
            name = letter + run.contender(g.contender).shown
            text = f"{name}. {glass_words(g)}. This includes the screen's delay and the camera's exposure."
            yield "Screen to result", glass_chart(g, name), text
    chart = machine_chart(run) if not run.sustained else None
    if chart:
        yield "The machine during the run", chart, f"{letter}sampled once a second during the run."


def _sources(entries: Sequence[Entry]) -> str:
    shown = sorted({e.loop.clip_shown for e in entries if e.loop})
    return f"on {', '.join(shown)}" if shown else ""


def _speed_caption(drawn: Sequence[Entry], entries: Sequence[Entry]) -> str:
    return (
        f"Full dot: whole loop (decode, prepare, infer, boxes) {_sources(entries)}, band: 95 % interval. "
        "Ring: inference alone, on inputs that are ready."
    )


def _latency_caption(drawn: Sequence[Entry], entries: Sequence[Entry]) -> str:
    frames = ", ".join(f"{e.loop.frames:,}".replace(",", "\u202f") for e in drawn if e.loop)
    return (
        f"From preparing a frame to its boxes, {_sources(entries)}. The line is the frame interval of 30 fps. "
        f"Frames: {frames}."
    )


def _stage_caption(drawn: Sequence[Entry], entries: Sequence[Entry]) -> str:
    return (
        f"Mean milliseconds, {_sources(entries)}. Capture (reading and decoding) runs in parallel and is "
        "not in the sum."
    )


def _accuracy_caption(drawn: Sequence[Entry], entries: Sequence[Entry]) -> str:
    data = sorted({f"{data_shown(e.run, e.accuracy.data)} ({e.accuracy.frames} images)" for e in drawn if e.accuracy})
    text = f"AP50 on {', '.join(data)} against p50 of a frame {_sources(entries)}. "
    text += "Dashed line: no other is both faster and more accurate. "
    if any(e.contender.random_weights for e in entries):
        text += "Models with random weights are left out: their accuracy is not measured."
    return text


def _memory_chart(drawn: Sequence[Entry]) -> str:
    return bars_chart("Peak memory", [(e, float(e.contender.peak_rss_mib or 0)) for e in drawn], "MiB")


def _start_chart(drawn: Sequence[Entry]) -> str:
    return bars_chart("Start to first result", [(e, min(e.contender.cold_start_ns) / 1e9) for e in drawn], "s")


CHARTS = (
    Chart("Frames a second", lambda e: e.loop or e.alone, speed_chart, _speed_caption),
    Chart("Time per frame", lambda e: e.loop, latency_chart, _latency_caption),
    Chart("Where the time goes", lambda e: e.loop, stage_chart, _stage_caption),
    Chart("Accuracy against time", lambda e: e.loop and e.accuracy, accuracy_chart, _accuracy_caption),
    Chart(
        "Memory",
        lambda e: e.contender.peak_rss_mib,
        _memory_chart,
        lambda *_: "Peak resident memory of a process with Python, this model and the sources.",
    ),
    Chart(
        "Start to first result",
        lambda e: e.contender.cold_start_ns,
        _start_chart,
        lambda *_: "From starting a process to its first result; the fastest start, with a warm disk cache.",
    ),
)
