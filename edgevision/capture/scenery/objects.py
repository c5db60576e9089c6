"""Cut-outs that stand in places: plants, trees, cars. Each is (H, W, 4) RGB and alpha, drawn large."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scenery.look import Colour

Cutout = NDArray[np.uint8]
_SHIFT = 4


def pot_plant(rng: np.random.Generator) -> Cutout:
    """Long leaves out of a tapered pot."""
    out = np.zeros((420, 300, 4), np.uint8)
    for _ in range(70):
        green = rng.integers(60, 140)
        shade = (int(green * rng.uniform(0.35, 0.7)), int(green), int(green * rng.uniform(0.3, 0.6)), 255)
        angle, length = rng.uniform(-1.15, 1.15), rng.uniform(120, 260)
        points, width = [], rng.uniform(5, 11)
        for k in np.linspace(0, 1, 8):
            bend = angle * (0.4 + 0.9 * k)
            points.append(
                (150 + sin(bend) * length * k, 300 - cos(bend * 0.9) * length * k, width * sin(pi * (0.08 + 0.92 * k)))
            )
        left = [(x - w, y) for x, y, w in points]
        right = [(x + w, y) for x, y, w in reversed(points)]
        _fill(out, left + right, shade)
    for k in range(24):
        bright = 60 + 80 * sin(pi * (k + 1) / 26)
        x0, x1 = 90 + k * 5, 95 + k * 5
        tone = (int(bright * 1.1), int(bright), int(bright * 0.92), 255)
        _fill(out, [(x0, 300), (x1, 300), (105 + (x1 - 90) * 0.75, 420), (105 + (x0 - 90) * 0.75, 420)], tone)
    return out


def tree(rng: np.random.Generator) -> Cutout:
    """A trunk and a crown of leaves in clumps, lit from the upper left."""
    out = np.zeros((700, 520, 4), np.uint8)
    for k in range(20):
        bright = 40 + 60 * sin(pi * (k + 2) / 24)
        x0 = 244 + k * 1.6
        _fill(out, [(x0, 280), (x0 + 2, 280), (x0 + 3 + (k - 10), 700), (x0 - 1 + (k - 10), 700)],
              (int(bright * 1.1), int(bright * 0.92), int(bright * 0.75), 255))  # fmt: skip
    clumps = [
        (260 + 200 * sin(a) * r, 230 + 170 * cos(a) * r)
        for a, r in zip(rng.uniform(0, 2 * pi, 46), np.sqrt(rng.random(46)), strict=True)
    ]
    for x, y in sorted(clumps, key=lambda c: -c[1]):
        for _ in range(42):
            a, r = rng.uniform(0, 2 * pi), 62 * np.sqrt(rng.random())
            px, py = x + cos(a) * r, y + sin(a) * r * 0.8
            light = 0.62 + 0.38 * ((x - px) + (y - py) * 1.4) / 90 + 0.25 * (300 - y) / 400 + rng.normal() * 0.10
            tone = np.clip(np.array([92, 118, 60]) * light, 12, 200).astype(int)
            rgba = (int(tone[0]), int(tone[1]), int(tone[2]), 255)
            axes = (int(rng.integers(5, 12)), int(rng.integers(3, 7)))
            cv2.ellipse(out, (int(px), int(py)), axes, float(rng.uniform(0, 180)), 0, 360, rgba, -1, cv2.LINE_AA)
    return out


def car(paint: Colour, rng: np.random.Generator) -> Cutout:
    """A hatchback seen from its side, 4.2 m by 1.5 m."""
    out = np.zeros((300, 840, 4), np.uint8)
    flip = bool(rng.random() < 0.5)
    front = [(50, 246), (22, 236), (18, 205), (22, 150), (60, 128), (190, 112)]
    roof = [(288, 42), (340, 26), (560, 24), (640, 40)]
    rear = [(742, 116), (806, 132), (826, 170), (824, 230), (790, 246)]
    _fill(out, front + roof + rear, (*paint, 255))
    # Bands of reflected sky and ground make the sheet metal round.
    mask = out[..., 3] > 0
    y = np.arange(300, dtype=np.float32)[:, None]
    shine = (
        1.0
        + 0.35 * np.exp(-(((y - 128) / 14) ** 2))
        - 0.30 * np.clip((y - 150) / 100, 0, 1)
        + 0.25 * np.exp(-(((y - 30) / 10) ** 2))
    )
    shade = np.clip(out[..., :3] * shine[..., None], 0, 250)
    out[..., :3] = np.where(mask[..., None], shade, 0).astype(np.uint8)
    for glass in (
        [(214, 114), (298, 52), (346, 42), (432, 40), (432, 114)],
        [(448, 114), (448, 40), (556, 40), (622, 54), (690, 114)],
    ):
        _fill(out, glass, (42, 50, 58, 255))
        (x0, y0), (x1, y1) = glass[1], glass[0]
        _fill(out, [(x0 + 22, y0 + 4), (x0 + 50, y0 + 2), (x1 + 92, y1 - 4), (x1 + 52, y1 - 4)], (86, 98, 108, 255))
    line = tuple(int(c * 0.55) for c in paint)
    for x in (206, 440, 672):
        cv2.line(out, (x, 122), (x + 4, 232), (*line, 255), 2, cv2.LINE_AA)
    for x in (380, 600):
        cv2.line(out, (x, 140), (x + 32, 140), (*line, 255), 4, cv2.LINE_AA)
    _fill(out, [(20, 156), (62, 146), (70, 166), (22, 178)], (236, 232, 214, 255))
    _fill(out, [(796, 140), (824, 160), (822, 182), (790, 168)], (150, 30, 30, 255))
    for x in (166, 676):
        cv2.circle(out, (x, 236), 66, (26, 26, 28, 255), -1, cv2.LINE_AA)
        cv2.circle(out, (x, 240), 58, (34, 34, 36, 255), -1, cv2.LINE_AA)
        cv2.circle(out, (x, 240), 38, (150, 152, 156, 255), -1, cv2.LINE_AA)
        for k in range(5):
            a = 2 * pi * k / 5
            cv2.circle(out, (int(x + 24 * cos(a)), int(240 + 24 * sin(a))), 9, (60, 60, 64, 255), -1, cv2.LINE_AA)
    return np.ascontiguousarray(out[:, ::-1]) if flip else out


def _fill(out: Cutout, points: Sequence[tuple[float, float]], tone: tuple[int, ...]) -> None:
    shifted = np.round(np.array(points) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(out, [shifted], tone, cv2.LINE_AA, _SHIFT)
