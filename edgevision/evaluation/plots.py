"""Charts of one model as SVG files: a training run's curves, precision over recall. And images written whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import EdgeVisionError
from edgevision.evaluation.svg import COLOURS, WIDTH, LinearAxis, Picture, tick_text

_LEFT, _RIGHT = 34.0, WIDTH - 12.0
_PANEL_PX, _LEGEND_PX = 150.0, 13.0


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a panel; NaN leaves a point out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over common axes."""

    title: str
    curves: Sequence[Curve]
    x_name: str
    y_name: str = ""
    x_range: tuple[float, float] | None = None
    """By default from the least value to the greatest."""
    y_range: tuple[float, float] | None = None


def plot(title: str, panels: Sequence[Panel]) -> str:
    """Panels below each other, as an SVG file."""
    legends = [len(p.curves) if len(p.curves) > 1 else 0 for p in panels]
    heights = [_PANEL_PX + 54 + _LEGEND_PX * names for names in legends]
    description = "; ".join(f"{p.title}: {', '.join(c.name for c in p.curves)}" for p in panels)
    picture = Picture(sum(heights), title, description)
    top = 0.0
    for panel, height in zip(panels, heights, strict=True):
        _draw(picture, panel, top)
        top += height
    return picture.render_file()


def training_curves(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> str:
    """Accuracy and losses of a run by epoch, from its log, as an SVG file."""
    epochs = [r["epoch"] + 1 for r in rows]
    x_range = (0.0, float(max(epochs, default=1)))
    measured = [r for r in rows if "ap50" in r]
    at = [r["epoch"] + 1 for r in measured]
    accuracy = [Curve("mean" if len(classes) > 1 else classes[0], at, [r["ap50"] for r in measured])]
    if len(classes) > 1:
        accuracy += [
            Curve(name, at, [r.get("ap50_by_class", {}).get(name, np.nan) for r in measured]) for name in classes[:5]
        ]
    best = max((r["ap50"] for r in measured if r["ap50"] == r["ap50"]), default=float("nan"))
    title = f"AP50 on the validation set, best {best:.3f}"
    panels = [Panel(title, accuracy, "epoch", x_range=x_range, y_range=(0, 1))]
    losses = [("box", "Box loss"), ("class", "Class loss")]
    losses += [("dense", "Loss against the dense teacher")] * any("dense" in r for r in rows)
    for key, name in losses:
        curve = Curve(key, epochs, [r.get(key, np.nan) for r in rows])
        panels.append(Panel(name, [curve], "epoch", x_range=x_range))
    return plot("Training", panels)


def write_chart(path: Path, svg: str) -> None:
    """Write an SVG file, whole or not at all. Raises `EdgeVisionError`."""
    _write(path, svg.encode())


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a PNG or JPEG, whole or not at all. Raises `EdgeVisionError`."""
    done, data = cv2.imencode(path.suffix, picture)
    if not done:
        raise EdgeVisionError(f"{path}: cannot be encoded as {path.suffix}")
    _write(path, data.tobytes())


def _write(path: Path, data: bytes) -> None:
    try:
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as exc:
        raise EdgeVisionError(f"{path}: cannot be written: {exc.strerror or exc}") from exc


def _draw(picture: Picture, panel: Panel, top: float) -> None:
    upper, lower = top + 24, top + 24 + _PANEL_PX
    across = LinearAxis(*_range(panel.x_range, [v for c in panel.curves for v in c.x]), _LEFT, _RIGHT)
    up = LinearAxis(*_range(panel.y_range, [v for c in panel.curves for v in c.y]), lower, upper)
    picture.text(_LEFT, top + 14, panel.title, "name")
    if panel.y_name:
        picture.text(_RIGHT, top + 14, panel.y_name, "tick", "end")
    for value in up.ticks():
        picture.line(_LEFT, up(value), _RIGHT, up(value))
        picture.text(_LEFT - 4, up(value) + 3.5, tick_text(round(value, 10)), "tick", "end")
    for value in across.ticks():
        picture.line(across(value), upper, across(value), lower)
        picture.text(across(value), lower + 11, tick_text(round(value, 10)), "tick", "middle")
    picture.text(_RIGHT, lower + 22, panel.x_name, "tick", "end")
    for number, curve in enumerate(panel.curves):
        kind = f"c{number % COLOURS}"
        points = [(across(x), up(y)) for x, y in zip(curve.x, curve.y, strict=True) if np.isfinite(y)]
        picture.path(points, f"{kind} curve")
        if len(points) == 1:
            picture.dot(*points[0], 2.5, kind)
        if len(panel.curves) > 1:
            y = lower + 24 + _LEGEND_PX * number
            picture.rect(_LEFT, y - 6, 12, 4, kind)
            picture.text(_LEFT + 18, y, curve.name)


def _range(given: tuple[float, float] | None, values: Sequence[float]) -> tuple[float, float]:
    finite = [v for v in values if np.isfinite(v)]
    low, high = given or ((min(finite), max(finite)) if finite else (0.0, 1.0))
    return (low, high) if high > low else (low - 0.5, low + 0.5)
