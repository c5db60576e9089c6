"""Figures over time: a sustained run, the machine's heat and clock meanwhile, and from screen to result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgevision.bench.formatting import digits
from edgevision.bench.glass_to_glass import glass_words
from edgevision.bench.records import BenchRun, Glass, Sample, Sustained
from edgevision.evaluation.svg import WIDTH, LinearAxis, Picture

_LEFT, _RIGHT = 40.0, WIDTH - 12.0
_PANEL = 110.0


def sustained_chart(run: BenchRun, sustained: Sustained, name: str) -> str:
    """fps over minutes against its line; below it temperature and clock, where the machine tells."""
    end_s = max((m.at_s for m in sustained.moments), default=1.0)
    began_s = sustained.began_ns / 1e9
    panels: list[tuple[str, list[tuple[float, float]], str]] = [
        ("fps", [(m.at_s, m.fps) for m in sustained.moments], "c0")
    ]
    for title, points, kind in machine_panels(run.samples):
        inside = [(t - began_s, v) for t, v in points if 0 <= t - began_s <= end_s]
        if inside:
            panels.append((title, inside, kind))
    words = sustained_words(sustained)
    picture = Picture(len(panels) * (_PANEL + 26) + 20, f"{name} over time", words)
    _panels(picture, panels, end_s, {"fps": sustained.line_fps})
    if sustained.under_line_at_s is not None:
        x = LinearAxis(0, end_s, _LEFT, _RIGHT)(sustained.under_line_at_s)
        picture.line(x, 16, x, 16 + _PANEL, "ink")
        picture.text(x, 13, f"under {digits(sustained.line_fps)} fps", "mark", "middle")
    return picture.render()


def sustained_words(sustained: Sustained) -> str:
    """How it held, in a sentence."""
    moments = sustained.moments
    end_s = max((m.at_s + m.span_s / 2 for m in moments), default=0.0)
    first = [m for m in moments if m.at_s <= end_s / 10] or list(moments[:1])
    last = [m for m in moments if m.at_s >= end_s * 0.9] or list(moments[-1:])
    early, late = (sum(m.frames for m in part) / max(1e-9, sum(m.span_s for m in part)) for part in (first, last))
    held = (
        f"never under {digits(sustained.line_fps)} fps for ten seconds"
        if sustained.under_line_at_s is None
        else f"under {digits(sustained.line_fps)} fps after {sustained.under_line_at_s:.0f} s"
    )
    return f"{end_s / 60:.1f} minutes: {digits(early)} fps in the first tenth, {digits(late)} in the last, {held}"


def glass_chart(glass: Glass, name: str) -> str:
    """How long after a flash the result came that shows it: a bar for each stretch of 10 ms or more."""
    values = np.array(glass.latencies_ms)
    width = max(10.0, float(np.ceil(np.ptp(values) / 250)) * 10)
    edges = np.arange(np.floor(values.min() / width) * width, values.max() + width * 1.001, width)
    counts, _ = np.histogram(values, edges)
    top, bottom = 16.0, 16 + _PANEL
    across = LinearAxis(0.0, float(edges[-1]), _LEFT, _RIGHT)
    up = LinearAxis(0.0, float(counts.max()), bottom, top)
    picture = Picture(bottom + 32, f"{name}: screen to result", glass_words(glass))
    for value in across.ticks(7):
        picture.line(across(value), top, across(value), bottom)
        picture.text(across(value), bottom + 12, f"{value:g}", "tick", "middle")
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        if count:
            hint = f"{low:g} to {high:g} ms: {count} flashes"
            picture.rect(
                across(low), up(count), max(1.5, across(high) - across(low) - 0.7), bottom - up(count), "c0", hint
            )
    for percent in (50, 95):
        x = across(float(np.percentile(values, percent)))
        picture.line(x, top - 4, x, bottom, "ink")
        picture.text(x + 3, top + 3, f"p{percent}", "small")
    picture.text(_LEFT - 4, up(counts.max()) + 3.5, str(counts.max()), "tick", "end")
    picture.text(2, 11, "flashes", "tick")
    picture.text(_RIGHT, bottom + 27, "milliseconds", "tick", "end")
    return picture.render()


def machine_panels(samples: Sequence[Sample]) -> list[tuple[str, list[tuple[float, float]], str]]:
    """(title, [(seconds, value)], colour) of what can be read on this machine."""
    found = []
    for title, key, kind in (("°C", "temperature_c", "c3"), ("MHz", "clock_mhz", "c2"), ("W", "power_w", "c4")):
        points = [(s.at_ns / 1e9, float(v)) for s in samples if (v := getattr(s, key)) is not None]
        if len(points) > 1:
            found.append((title, points, kind))
    return found


def machine_chart(run: BenchRun) -> str | None:
    """Temperature, clock and power during the whole run; None where the machine tells none of them."""
    panels = machine_panels(run.samples)
    if not panels:
        return None
    end_s = max(t for _, points, _ in panels for t, _ in points)
    words = "; ".join(
        f"{title} from {min(v for _, v in p):.0f} to {max(v for _, v in p):.0f}" for title, p, _ in panels
    )
    picture = Picture(len(panels) * (_PANEL + 26) + 20, "The machine during the run", words)
    _panels(picture, panels, end_s, {})
    return picture.render()


def _panels(
    picture: Picture,
    panels: Sequence[tuple[str, list[tuple[float, float]], str]],
    end_s: float,
    lines: dict[str, float],
) -> None:
    minutes = end_s > 120
    across = LinearAxis(0, end_s / 60 if minutes else end_s, _LEFT, _RIGHT)
    for k, (title, points, kind) in enumerate(panels):
        top = 16 + k * (_PANEL + 26)
        bottom = top + _PANEL
        values = [v for _, v in points] + ([lines[title]] if title in lines else [])
        # fps from 0, so that a dip looks as deep as it is; a temperature from where it was.
        low = 0.0 if title in ("fps", "W") else min(values) - 2
        up = LinearAxis(low, max(values) * 1.05, bottom, top)
        for value in up.ticks(4):
            picture.line(_LEFT, up(value), _RIGHT, up(value))
            picture.text(_LEFT - 4, up(value) + 3.5, f"{value:g}", "tick", "end")
        for value in across.ticks(6):
            picture.line(across(value), top, across(value), bottom)
            picture.text(across(value), bottom + 12, f"{value:g}", "tick", "middle")
        picture.text(2, top - 5, title, "tick")
        if title in lines:
            picture.line(_LEFT, up(lines[title]), _RIGHT, up(lines[title]), "line30")
        picture.path([(across(t / 60 if minutes else t), up(v)) for t, v in points], f"{kind} curve")
    picture.text(_RIGHT, picture.height - 4, "minutes" if minutes else "seconds", "tick", "end")
