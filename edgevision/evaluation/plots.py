"""Plots drawn by OpenCV: a training run's curves, precision over recall. No plotting package is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import EdgeVisionError

Picture = NDArray[np.uint8]
_COLOURS = ((176, 90, 30), (40, 110, 220), (70, 150, 40), (160, 60, 150), (60, 60, 200), (140, 130, 0))
"""BGR, told apart on white."""
_INK, _FAINT = (40, 40, 40), (225, 225, 225)
_SCALE = 2
"""Drawn larger and made smaller: OpenCV's text has no smooth edges of its own at this size."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot; NaN leaves a point out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def plot(
    title: str,
    lines: Sequence[Line],
    *,
    x_name: str,
    y_name: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    size_wh: tuple[int, int] = (640, 400),
) -> Picture:
    """Lines over common axes as a picture (H, W, 3) BGR."""
    width, height = size_wh
    picture = np.full((height * _SCALE, width * _SCALE, 3), 255, np.uint8)
    left, right, top, bottom = 64, 16, 36, 48
    x_low, x_high = x_range or _span([v for line in lines for v in line.x])
    y_low, y_high = y_range or _span([v for line in lines for v in line.y])
    inner_w, inner_h = width - left - right, height - top - bottom

    def at(x: float, y: float) -> tuple[int, int]:
        px = left + (x - x_low) / (x_high - x_low) * inner_w
        py = top + (1 - (y - y_low) / (y_high - y_low)) * inner_h
        return round(px * _SCALE), round(py * _SCALE)

    for value in _ticks(y_low, y_high):
        cv2.line(picture, at(x_low, value), at(x_high, value), _FAINT, 1 * _SCALE, cv2.LINE_AA)
        text = f"{value:g}"
        _write(picture, text, (left - 8 - _text_px(text), at(x_low, value)[1] // _SCALE + 4))
    for value in _ticks(x_low, x_high):
        x = at(value, y_low)[0] // _SCALE
        _write(picture, f"{value:g}", (x - _text_px(f"{value:g}") // 2, height - bottom + 18))
    cv2.rectangle(picture, at(x_low, y_high), at(x_high, y_low), (150, 150, 150), _SCALE)
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [at(x, min(max(y, y_low), y_high)) for x, y in zip(line.x, line.y, strict=True) if np.isfinite(y)]
        if len(points) == 1:
            cv2.circle(picture, points[0], 3 * _SCALE, colour, -1, cv2.LINE_AA)
        elif points:
            cv2.polylines(picture, [np.array(points, np.int32)], False, colour, 2 * _SCALE, cv2.LINE_AA)
    _write(picture, title, (max(left, left + inner_w // 2 - _text_px(title, 1.15) // 2), 22), larger=1.15)
    _write(picture, x_name, (left + inner_w // 2 - _text_px(x_name) // 2, height - 10))
    _write(picture, y_name, (10, 30))
    _legend(picture, [line.name for line in lines], width - right - 8, top + 8)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def beside(pictures: Sequence[Picture], columns: int = 2) -> Picture:
    """Pictures of one size in rows."""
    blank = np.full_like(pictures[0], 255)
    filled = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.hstack(filled[k : k + columns]) for k in range(0, len(filled), columns)]
    return np.asarray(np.vstack(rows), np.uint8)


def training_curves(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> Picture:
    """Loss, accuracy and rate of a run by epoch, from its log."""
    epochs = [r["epoch"] + 1 for r in rows]
    x_range = (0.0, max(epochs, default=1) + 0.0)
    panels = [("box", "Box loss"), ("class", "Class loss")]
    panels += [("dense", "Loss against the dense teacher")] * any("dense" in r for r in rows)
    losses = [
        plot(title, [Line(key, epochs, [r.get(key, np.nan) for r in rows])], x_name="epoch", y_name="", x_range=x_range)
        for key, title in panels
    ]
    measured = [r for r in rows if "ap50" in r]
    at = [r["epoch"] + 1 for r in measured]
    accuracy = [Line("mean" if len(classes) > 1 else classes[0], at, [r["ap50"] for r in measured])]
    if len(classes) > 1:
        accuracy += [
            Line(name, at, [r.get("ap50_by_class", {}).get(name, np.nan) for r in measured]) for name in classes[:5]
        ]
    best = max((r["ap50"] for r in measured if r["ap50"] == r["ap50"]), default=float("nan"))
    title = f"AP50 on the validation pictures, best {best:.3f}"
    shown = plot(title, accuracy, x_name="epoch", y_name="", x_range=x_range, y_range=(0, 1))
    return beside([shown, *losses], 2 if len(losses) == 3 else 3)


def write_picture(path: Path, picture: Picture) -> None:
    """Write a PNG or JPEG, whole or not at all. Raises `EdgeVisionError`."""
    done, data = cv2.imencode(path.suffix, picture)
    try:
        if not done:
            raise OSError(f"cannot be encoded as {path.suffix}")
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(data.tobytes())
        fresh.replace(path)
    except OSError as exc:
        raise EdgeVisionError(f"{path}: cannot be written: {exc.strerror or exc}") from exc


def _span(values: Sequence[float]) -> tuple[float, float]:
    finite = [v for v in values if np.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(min((m * power for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough)))
    first = int(np.ceil(low / step - 1e-9))
    return [round(k * step, 10) for k in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def _legend(picture: Picture, names: Sequence[str], right: int, top: int) -> None:
    if len(names) < 2:
        return
    wide = max(map(_text_px, names))
    for number, name in enumerate(names):
        y = top + 10 + number * 17
        x = right - wide - 26
        start, end = (x * _SCALE, (y - 4) * _SCALE), ((x + 18) * _SCALE, (y - 4) * _SCALE)
        cv2.line(picture, start, end, _COLOURS[number % len(_COLOURS)], 3 * _SCALE, cv2.LINE_AA)
        _write(picture, name, (x + 24, y))


def _plain(text: str) -> str:
    """OpenCV's fonts are ASCII: everything else would be question marks."""
    return text.encode("ascii", "replace").decode()


def _text_px(text: str, larger: float = 1.0) -> int:
    return int(cv2.getTextSize(_plain(text), cv2.FONT_HERSHEY_SIMPLEX, 0.42 * larger, 1)[0][0])


def _write(picture: Picture, text: str, place: tuple[int, int], larger: float = 1.0) -> None:
    at = (place[0] * _SCALE, place[1] * _SCALE)
    size = 0.42 * larger * _SCALE
    cv2.putText(picture, _plain(text), at, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, _SCALE, cv2.LINE_AA)
