"""The report's figures. Each is made of the figures of one or several runs, and says what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgevision.bench.formatting import digits, fps_text, ms_text
from edgevision.bench.records import AccuracyFigure, BenchRun, ContenderRecord, Series
from edgevision.bench.summary import REAL_TIME_FPS, WORK, Figures, work_ms
from edgevision.evaluation.svg import COLOURS, WIDTH, LinearAxis, LogAxis, Picture, tick_text

LEFT, RIGHT = 8.0, WIDTH - 12.0
_ROW = 40.0
_STAGES = (*WORK, "capture")
"""Capture last: it runs beside the others."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One contender of one run, with what is drawn of it."""

    name: str
    """As shown: with the run's letter where there are several, and "random weights" where they are."""
    colour: int
    contender: ContenderRecord
    run: BenchRun
    loop: Figures | None
    """On the source that the figures are of."""
    loop_series: Series | None
    alone: Figures | None
    accuracy: AccuracyFigure | None

    @property
    def kind(self) -> str:
        return f"c{self.colour % COLOURS}"


def speed_chart(entries: Sequence[Entry]) -> str:
    """fps on a log axis, whole loop and inference alone, with the line of real time."""
    rows = [e for e in entries if e.loop or e.alone]
    values = [REAL_TIME_FPS]
    for e in rows:
        values += [v for f in (e.loop, e.alone) if f for v in (f.fps.value, f.fps.low, f.fps.high)]
    axis = LogAxis(values, LEFT + 4, RIGHT - 4)
    bottom = 24 + _ROW * len(rows)
    picture = Picture(bottom + 36, "Frames a second", "; ".join(_speed_words(e) for e in rows))
    _log_ticks(picture, axis, 18, bottom, "frames a second, log scale")
    x = axis(REAL_TIME_FPS)
    picture.line(x, 12, x, bottom, "line30")
    picture.text(x, 9, "30 fps", "mark", "middle")
    for k, e in enumerate(rows):
        y = 24 + _ROW * k
        _name(picture, e.name, y + 9)
        if e.loop:
            fps, at = e.loop.fps, y + 19
            if fps.has_interval:
                picture.rect(axis(fps.low), at - 3, axis(fps.high) - axis(fps.low), 6, f"{e.kind} faint")
            picture.dot(axis(fps.value), at, 4.5, e.kind, f"{e.name}, whole loop: {fps_text(fps)} fps")
            _beside(picture, axis(fps.value), at + 3.5, digits(fps.value))
        if e.alone:
            at = y + 31
            picture.dot(axis(e.alone.fps.value), at, 3.2, f"{e.kind} hollow", f"alone: {fps_text(e.alone.fps)} fps")
            _beside(picture, axis(e.alone.fps.value), at + 3.5, digits(e.alone.fps.value), "value muted")
    return picture.render()


def _speed_words(e: Entry) -> str:
    loop = f"{fps_text(e.loop.fps)} fps in the whole loop" if e.loop else ""
    alone = f"{fps_text(e.alone.fps)} fps alone" if e.alone else ""
    return f"{e.name}: {', '.join(w for w in (loop, alone) if w)}"


def latency_chart(entries: Sequence[Entry]) -> str:
    """What a frame costs: the distribution of each contender, log scale."""
    rows = [(e, np.concatenate(work_ms(e.loop_series))) for e in entries if e.loop and e.loop_series]
    everything = np.concatenate([v for _, v in rows])
    axis = LogAxis([float(everything.min()), float(everything.max()), 1000 / REAL_TIME_FPS], LEFT + 4, RIGHT - 4)
    height = 58.0
    bottom = 24 + height * len(rows)
    picture = Picture(bottom + 36, "Time a frame takes", "; ".join(_latency_words(e) for e, _ in rows))
    _log_ticks(picture, axis, 18, bottom, "milliseconds a frame, log scale")
    x = axis(1000 / REAL_TIME_FPS)
    picture.line(x, 12, x, bottom, "line30")
    picture.text(x, 9, "33 ms", "mark", "middle")
    for k, (e, values) in enumerate(rows):
        assert e.loop is not None
        y = 24 + height * k
        _name(picture, e.name, y + 9)
        middle, half = y + 27, 11.0
        edges = np.geomspace(values.min() * 0.98, values.max() * 1.02, min(48, 6 + len(values) // 4))
        counts, _ = np.histogram(values, edges)
        # Broad for many, but never so thin that a single late frame is not seen.
        wide = np.where(counts > 0, 1.0 + (half - 1.0) * counts / counts.max(), 0.0)
        for low, high, w in zip(edges, edges[1:], wide, strict=False):
            if w:
                picture.rect(axis(low), middle - w, max(1.2, axis(high) - axis(low)), 2 * w, e.kind)
        work = e.loop.work
        for name, value in (("p50", work.p50.value), ("p95", work.p95.value), ("p99", work.p99.value)):
            picture.line(axis(value), middle - half - 2, axis(value), middle + half + 2, "ink")
            picture.dot(axis(value), middle + half + 2, 1.4, "inkfill", f"{e.name} {name}: {ms_text(value)} ms")
        words = f"p50 {ms_text(work.p50.value)} · p95 {ms_text(work.p95.value)} · p99 {ms_text(work.p99.value)}"
        picture.text(RIGHT, y + 53, f"{words} · max {ms_text(work.longest)} ms", "small", "end")
    return picture.render()


def _latency_words(e: Entry) -> str:
    assert e.loop is not None
    return f"{e.name}: p50 {ms_text(e.loop.work.p50.value)} ms, p95 {ms_text(e.loop.work.p95.value)} ms"


def stage_chart(entries: Sequence[Entry]) -> str:
    """Where the time of a frame goes: means, as shares."""
    rows = [e for e in entries if e.loop]
    used = [s for s in _STAGES if any(_stage(e, s) > 0.0005 * max(_total(e), 1e-9) for e in rows)]
    height = 44.0
    top = 24.0
    picture = Picture(top + height * len(rows) + 4, "Where a frame's time goes", "; ".join(map(_stage_words, rows)))
    x = LEFT
    for stage in used:
        picture.rect(x, 4, 9, 9, f"s{_STAGES.index(stage)}")
        picture.text(x + 12, 12, stage, "small")
        x += 24 + 5.6 * len(stage)
    for k, e in enumerate(rows):
        y = top + height * k
        _name(picture, e.name, y + 11)
        picture.text(RIGHT, y + 11, f"{ms_text(_total(e) - _stage(e, 'capture'))} ms", "value", "end")
        x = LEFT
        for stage in used:
            width = _stage(e, stage) / max(_total(e), 1e-9) * (RIGHT - LEFT)
            hint = f"{stage}: {ms_text(_stage(e, stage))} ms"
            kind = f"s{_STAGES.index(stage)}"
            picture.rect(
                x, y + 16 if stage != "capture" else y + 20, width, 16 if stage != "capture" else 8, kind, hint
            )
            words = ms_text(_stage(e, stage))
            if width > 7 * len(words) and stage != "capture":
                picture.text(x + width / 2, y + 28, words, "inside", "middle")
            x += width
    return picture.render()


def _stage(e: Entry, stage: str) -> float:
    """Mean ms. A live source's capture is waiting for the sensor, which is no cost."""
    assert e.loop is not None
    return 0.0 if stage == "capture" and e.loop.live else e.loop.stages_ms.get(stage, 0.0)


def _total(e: Entry) -> float:
    return sum(_stage(e, stage) for stage in _STAGES)


def _stage_words(e: Entry) -> str:
    parts = [f"{s} {ms_text(_stage(e, s))} ms" for s in _STAGES if _stage(e, s) > 0]
    return f"{e.name}: {', '.join(parts)}"


def accuracy_chart(entries: Sequence[Entry]) -> str:
    """Accuracy against time, with those that no other beats in both."""
    rows = [(e, e.loop, e.accuracy) for e in entries if e.loop and e.accuracy]
    axis = LogAxis([loop.work.p50.value for _, loop, _ in rows] + [1000 / REAL_TIME_FPS], LEFT + 36, RIGHT - 16)
    top, bottom = 16.0, 196.0
    upright = LinearAxis(0.0, 1.0, bottom, top)
    words = "; ".join(f"{e.name}: AP50 {a.ap50:.3f} at {ms_text(f.work.p50.value)} ms" for e, f, a in rows)
    picture = Picture(bottom + 34 + 15 * len(rows), "Accuracy against time", words)
    _log_ticks(picture, axis, top, bottom, "milliseconds a frame (p50), log scale")
    for value in upright.ticks():
        picture.line(LEFT + 32, upright(value), RIGHT, upright(value))
        picture.text(LEFT + 28, upright(value) + 3.5, f"{value:.1f}", "tick", "end")
    picture.text(LEFT, 10, "AP50", "tick")
    x = axis(1000 / REAL_TIME_FPS)
    picture.line(x, top, x, bottom, "line30")
    picture.text(x, top - 5, "33 ms", "mark", "middle")
    front = pareto([(loop.work.p50.value, a.ap50) for _, loop, a in rows])
    steps: list[tuple[float, float]] = []
    for ms, ap in front:
        if steps:
            steps.append((axis(ms), steps[-1][1]))
        steps.append((axis(ms), upright(ap)))
    picture.path(steps, "front")
    for k, (e, loop, a) in enumerate(rows):
        x, y = axis(loop.work.p50.value), upright(a.ap50)
        if a.low is not None and a.high is not None:
            picture.line(x, upright(a.low), x, upright(a.high), f"{e.kind} stroke")
        picture.dot(x, y, 5, e.kind, f"{e.name}: AP50 {a.ap50:.3f} at {ms_text(loop.work.p50.value)} ms")
        at = bottom + 40 + 15 * k
        picture.dot(LEFT + 5, at - 3.5, 4, e.kind)
        interval = f" [{a.low:.3f}–{a.high:.3f}]" if a.low is not None and a.high is not None else ""
        picture.text(LEFT + 14, at, f"{_short(e.name, 44)}: {a.ap50:.3f}{interval}", "small")
    return picture.render()


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (time, accuracy) points those that none other beats in both, fastest first."""
    front: list[tuple[float, float]] = []
    for ms, ap in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or ap > front[-1][1]:
            front.append((ms, ap))
    return front


def bars_chart(title: str, rows: Sequence[tuple[Entry, float]], unit: str) -> str:
    """One bar a contender, on a scale from 0."""
    axis = LinearAxis(0.0, max(v for _, v in rows), LEFT, RIGHT - 70)
    words = "; ".join(f"{e.name}: {digits(v)} {unit}" for e, v in rows)
    picture = Picture(34.0 * len(rows) + 2, title, words)
    for k, (e, value) in enumerate(rows):
        y = 34.0 * k
        _name(picture, e.name, y + 11)
        picture.rect(LEFT, y + 15, max(1.0, axis(value) - LEFT), 12, e.kind, f"{digits(value)} {unit}")
        picture.text(axis(value) + 5, y + 25, f"{digits(value)} {unit}", "value")
    return picture.render()


def _log_ticks(picture: Picture, axis: LogAxis, top: float, bottom: float, words: str) -> None:
    for value in axis.ticks():
        picture.line(axis(value), top, axis(value), bottom)
        picture.text(axis(value), bottom + 12, tick_text(value), "tick", "middle")
    picture.text((LEFT + RIGHT) / 2, bottom + 27, words, "tick", "middle")


def _beside(picture: Picture, x: float, y: float, words: str, kind: str = "value") -> None:
    """To the right of a mark, or to its left where there is no room."""
    if x + 12 + 6.2 * len(words) > RIGHT:
        picture.text(x - 8, y, words, kind, "end")
    else:
        picture.text(x + 8, y, words, kind)


def _name(picture: Picture, name: str, y: float) -> None:
    picture.text(LEFT, y, _short(name, 58), "name")


def _short(name: str, most: int) -> str:
    """Cut in the middle: what stands at the end (random weights) must stay."""
    if len(name) <= most:
        return name
    return f"{name[: most - 26]}…{name[-25:]}"
