"""An office: desks with screens, shelves, a window, a board, carpet; seen from eye level."""

from __future__ import annotations

import numpy as np

from edgevision.capture.scenery.backdrop import Backdrop, Hits, Noise, Plane, colour, mix, near, one_of, seam
from edgevision.capture.scenery.objects import pot_plant
from edgevision.capture.scenery.place import Place, Spot, Ways
from edgevision.capture.scenery.relief import Light
from edgevision.capture.scenery.view import View

_LEFT, _RIGHT, _BACK, _HIGH = -4.6, 4.6, 10.5, 2.75


def office(width_px: int, height_px: int, margin_px: int, rng: np.random.Generator) -> Place:
    """As a camera on a screen or a shelf sees it."""
    noise = Noise(rng)
    view = View(
        width_px,
        height_px,
        focal_px=float(width_px * rng.uniform(0.78, 0.92)),
        horizon_px=float(height_px * rng.uniform(0.38, 0.46)),
        camera_height_m=float(rng.uniform(1.35, 1.7)),
    )
    back = Backdrop(view, margin_px)
    carpet = one_of(rng, ((104, 108, 118), (120, 112, 104), (92, 108, 112), (128, 122, 118)), 6)
    accent = one_of(rng, ((70, 110, 130), (150, 96, 70), (96, 120, 84), (110, 92, 130)))
    window_x = float(rng.uniform(-2.6, -1.2))

    def floor(h: Hits) -> Plane:
        tile = noise.cell(np.floor(h.u / 0.5), np.floor(h.v / 0.5))
        pile = 0.07 * noise.at(h.u, h.v, 1.1) * np.clip(1 - h.v / 9, 0, 1)
        joints = np.maximum(seam(h.u, 0.5, 0.006, h.span_u), seam(h.v, 0.5, 0.006, h.span_v))
        bright = (
            0.92 + 0.08 * (tile - 0.5) + pile + 0.14 * np.exp(-((h.u - window_x) ** 2) / 4 - ((h.v - 8.6) ** 2) / 5)
        )
        bright = bright * (1 - 0.2 * joints) * (1 - 0.3 * near(_BACK - h.v, 0.3))
        return colour(carpet, bright * (1 - 0.3 * near(h.u - _LEFT, 0.3)) * (1 - 0.3 * near(_RIGHT - h.u, 0.3)))

    def ceiling(h: Hits) -> Plane:
        grid = np.maximum(seam(h.u, 0.6, 0.025, h.span_u), seam(h.v, 0.6, 0.025, h.span_v))
        lamp = ((np.mod(h.u + 0.3, 2.4) < 0.6) & (np.mod(h.v + 0.6, 1.8) < 1.2)).astype(np.float32)
        out = colour((214, 214, 210), 0.92 - 0.14 * grid + 0.02 * noise.at(h.u, h.v, 1.2))
        return mix(out, colour((252, 251, 246), np.ones_like(grid)), lamp * (1 - grid))

    def paint(h: Hits) -> Plane:
        out = colour((214, 210, 202), 0.88 + 0.015 * noise.at(h.u, h.v, 3.0) + 0.03 * h.v)
        return mix(out, colour((238, 236, 232), np.full_like(h.u, 0.9)), (h.v < 0.09).astype(np.float32))

    def end(h: Hits) -> Plane:
        x, up = h.u, h.v
        out = paint(h)
        across, above = np.abs(x - window_x), np.abs(up - 1.55)
        frame = ((across < 1.5) & (above < 0.88)).astype(np.float32)
        pane = ((across < 1.43) & (above < 0.81)).astype(np.float32)
        bars = seam(x - window_x, 0.955, 0.05, h.span_u)
        outside = colour((206, 222, 236), 0.98 + 0.03 * noise.at(x, up, 4.0))
        blocks = noise.cell(np.floor(x / 0.55), np.zeros_like(x), 9) * 0.7 + 0.85 > up
        outside = mix(
            outside, colour((150, 152, 160), 0.9 + 0.08 * seam(up, 0.09, 0.04, h.span_v)), blocks.astype(np.float32)
        )
        out = mix(out, colour((240, 240, 238), np.full_like(up, 0.92)), frame)
        out = mix(out, mix(outside, colour((236, 236, 234), np.full_like(up, 0.9)), bars), pane)
        blind = (pane > 0) & (up > 2.02)
        out = mix(out, colour((222, 218, 208), 0.95 - 0.25 * seam(up, 0.05, 0.018, h.span_v)), blind.astype(np.float32))
        board_x = window_x + 3.6
        rim = ((np.abs(x - board_x) < 1.0) & (np.abs(up - 1.55) < 0.58)).astype(np.float32)
        sheet = ((np.abs(x - board_x) < 0.96) & (np.abs(up - 1.55) < 0.54)).astype(np.float32)
        out = mix(out, colour((128, 130, 134), np.ones_like(up)), rim)
        out = mix(out, colour((242, 243, 244), 0.96 + 0.01 * noise.at(x, up, 2.0)), sheet)
        words = (noise.at(x * 3, np.floor(up / 0.1) * 0.7, 1.6) > 0.15) & (np.mod(up, 0.1) < 0.025)
        inked = words & (np.abs(x - board_x) < 0.75) & (np.abs(up - 1.65) < 0.34)
        return mix(out, colour((60, 74, 130), np.ones_like(up)), inked.astype(np.float32) * 0.8)

    def left(h: Hits) -> Plane:
        out = paint(h)
        stripe = ((h.v > 0.95) & (h.v < 1.25)).astype(np.float32)
        out = mix(out, colour(accent, 0.95 + 0.02 * noise.at(h.u, h.v, 2.0)), stripe)
        door = ((h.u > 6.6) & (h.u < 7.6) & (h.v < 2.1)).astype(np.float32)
        return mix(out, colour((158, 128, 96), 0.9 + 0.05 * noise.at(h.u * 8, h.v * 0.4, 4.0)), door)

    back.level(0.0, floor)
    back.level(_HIGH, ceiling)
    back.facing(_BACK, end)
    back.side(_LEFT, left)
    back.side(_RIGHT, paint)

    def top(h: Hits) -> Plane:
        return colour((214, 196, 168), 0.88 + 0.04 * noise.at(h.u, h.v * 6, 3.0))

    def metal(h: Hits) -> Plane:
        return colour((150, 152, 156), 0.85 + 0.03 * noise.at(h.u, h.v, 1.0))

    def dark(h: Hits) -> Plane:
        return colour((44, 46, 50), 0.9 + 0.06 * noise.at(h.u, h.v, 0.8))

    def sheets(h: Hits) -> Plane:
        return colour((228, 226, 218), np.full_like(h.u, 0.92))

    def books(h: Hits) -> Plane:
        shelf, slot = np.floor(h.v / 0.36), np.floor(h.u / 0.05)
        hue = np.stack([noise.cell(slot, shelf, k) for k in (1, 2, 3)], -1)
        tall = 0.22 + 0.10 * noise.cell(slot, shelf, 4)
        height = np.mod(h.v, 0.36)
        filled = (height > 0.03) & (height < tall) & (noise.cell(np.floor(slot / 7), shelf, 6) > 0.25)
        out = colour((96, 78, 60), 0.5 + 0.2 * seam(h.v, 0.36, 0.06, h.span_v) * 4)
        spines = (70 + 130 * hue) * (0.75 + 0.3 * np.mod(h.u / 0.05, 1) * (1 - np.mod(h.u / 0.05, 1)) * 2)[..., None]
        return mix(out, np.asarray(spines, np.float32), filled.astype(np.float32))

    back.box((2.9, 4.5), (0, 2.15), (_BACK - 0.4, _BACK - 0.01), books)
    back.box((-4.6, -4.15), (0, 1.3), (4.6, 6.2), metal)
    seats: list[Spot] = []
    for x, z in ((-2.3, 4.9), (2.3, 4.9), (-2.2, 8.0), (2.2, 8.0)):
        x += float(rng.uniform(-0.2, 0.2))
        back.darken_floor((x - 0.8, x + 0.8), (z, z + 0.75), 0.2, 0.5)
        back.box((x - 0.36, x + 0.36), (0.55, 0.98), (z + 1.18, z + 1.24), dark)
        back.box((x - 0.25, x + 0.25), (0.42, 0.50), (z + 0.85, z + 1.2), dark)
        back.box((x - 0.8, x + 0.8), (0.70, 0.74), (z, z + 0.75), top)
        back.box((x - 0.78, x + 0.78), (0.30, 0.68), (z + 0.03, z + 0.05), metal)
        for leg in (x - 0.76, x + 0.71):
            back.box((leg, leg + 0.05), (0, 0.70), (z + 0.03, z + 0.10), metal)
        screen = x + float(rng.uniform(-0.3, 0.3))
        back.box((screen - 0.03, screen + 0.03), (0.74, 0.90), (z + 0.36, z + 0.39), dark)
        back.box((screen - 0.28, screen + 0.28), (0.86, 1.18), (z + 0.33, z + 0.36), dark)
        for _ in range(3):
            paper = x + float(rng.uniform(-0.7, 0.55))
            back.box((paper, paper + 0.2), (0.74, 0.75 + float(rng.uniform(0, 0.08))), (z + 0.05, z + 0.3), sheets)
        seats.append(Spot(x + float(rng.choice([-0.5, 0.5])), z + 0.95, 0.0))
    back.darken_floor((3.7, 4.1), (6.7, 7.1), 0.3, 0.5)
    back.billboard(pot_plant(rng), 3.9, 0.0, 6.9, float(rng.uniform(1.1, 1.5)))
    back.billboard(pot_plant(rng), -4.0, 1.3, 5.2, 0.5)
    pixels, depth = back.finished(0.18, 0.6)
    key = np.array([-0.34, -0.66, 0.66])
    return Place(
        "office",
        view,
        pixels,
        depth,
        margin_px,
        Light(tuple(key / np.linalg.norm(key)), (0.46, 0.45, 0.43), (0.66, 0.66, 0.65), (0.36, 0.35, 0.34)),
        Ways(
            lanes_m=((3.4, 4.3), (6.6, 7.4), (9.4, 9.9)),
            aisles_m=((-0.9, 0.9, 3.0, 9.6),),
            half_width_m=3.8,
            stands=(Spot(0.5, 4.2, -0.4), Spot(-0.7, 6.8, 0.6), Spot(1.6, 9.6, 2.8), Spot(-3.3, 6.9, 0.9)),
            seats=tuple(seats),
        ),
        near_m=(1.3, 2.1),
        shadow=0.45,
        haze_m=1e6,
        haze_bgr=(215, 215, 212),
    )
