"""An entrance hall: tiled floor, windows to the left, pillars, benches, a desk, plants."""

from __future__ import annotations

import numpy as np

from edgevision.capture.scenery.backdrop import Backdrop, Hits, Noise, Plane, colour, mix, near, one_of, seam
from edgevision.capture.scenery.objects import pot_plant
from edgevision.capture.scenery.place import Place, Spot, Ways
from edgevision.capture.scenery.relief import Light
from edgevision.capture.scenery.view import View

_LEFT, _RIGHT, _BACK, _HIGH = -6.5, 6.5, 24.0, 4.6


def hall(width_px: int, height_px: int, margin_px: int, rng: np.random.Generator) -> Place:
    """Seen from a little above eye level."""
    noise = Noise(rng)
    view = View(
        width_px,
        height_px,
        focal_px=float(width_px * rng.uniform(0.80, 0.95)),
        horizon_px=float(height_px * rng.uniform(0.33, 0.40)),
        camera_height_m=float(rng.uniform(1.55, 2.0)),
    )
    stone = one_of(rng, ((188, 184, 178), (198, 186, 168), (178, 182, 188)), 12)
    accent = one_of(rng, ((120, 70, 50), (50, 84, 96), (92, 100, 70), (112, 96, 84)))
    back = Backdrop(view, margin_px)

    def floor(h: Hits) -> Plane:
        side = 0.9
        tile = noise.cell(np.floor(h.u / side), np.floor(h.v / side))
        lines = np.maximum(seam(h.u, side, 0.012, h.span_u), seam(h.v, side, 0.012, h.span_v))
        bright = 0.86 + 0.09 * (tile - 0.5) + 0.03 * np.clip(1 - h.v / 18, 0.15, 1) * noise.at(h.u, h.v, 5.0)
        # Daylight lies in bars before every window; the polished stone throws back the far end.
        bars = np.exp(-(((np.mod(h.v - 1.2, 4.0) - 1.6) / 1.0) ** 2)) * np.exp(-((h.u - _LEFT - 1.2) ** 2) / 7)
        gloss = 0.16 * np.clip(h.v / _BACK, 0, 1) ** 2
        bright = (bright + 0.20 * bars + gloss) * (1 - 0.30 * near(h.u - _LEFT, 0.4))
        bright = bright * (1 - 0.25 * near(_RIGHT - h.u, 0.4)) * (1 - 0.45 * lines)
        dark = ((np.abs(h.u) > 1.4) & (np.abs(h.u) < 1.7)).astype(np.float32)
        return mix(colour(stone, bright), colour((96, 92, 90), bright), 0.7 * dark)

    def ceiling(h: Hits) -> Plane:
        panel = np.maximum(seam(h.u, 1.2, 0.03, h.span_u), seam(h.v, 1.2, 0.03, h.span_v))
        bright = 0.90 - 0.10 * panel + 0.02 * noise.at(h.u, h.v, 6.0)
        lamp = ((np.mod(h.u + 0.6, 2.4) < 1.2) & (np.mod(h.v, 3.6) < 0.6)).astype(np.float32)
        return mix(colour((206, 204, 200), bright), colour((252, 250, 244), np.ones_like(bright)), lamp)

    def windows(h: Hits) -> Plane:
        along, up = np.mod(h.u - 1.2, 4.0), h.v
        pane = (along > 0.25) & (along < 3.2) & (up > 0.5) & (up < 3.9)
        bars = np.maximum(seam(along - 0.25, 0.98, 0.06, h.span_u), seam(up - 0.5, 1.14, 0.06, h.span_v))
        wall = colour(stone, 0.66 + 0.03 * noise.at(h.u, up, 3.0) - 0.15 * near(up, 0.3))
        hedge = noise.at(h.u * 0.6, up, 4.0) * 0.35 + 1.5 > up
        sky = colour((214, 228, 240), 0.92 + 0.03 * up / 4)
        out = mix(sky, colour((112, 134, 96), 0.9 + 0.14 * noise.at(h.u, up, 1.3)), hedge.astype(np.float32) * 0.85)
        out = mix(out, colour((92, 94, 98), np.ones_like(up)), bars)
        return mix(wall, out, pane.astype(np.float32))

    def right(h: Hits) -> Plane:
        along, up = h.u, h.v
        out = colour((206, 200, 190), 0.80 + 0.02 * noise.at(along, up, 3.0) + 0.03 * up)
        out = mix(out, colour(accent, 0.8 + 0.05 * noise.at(along * 6, up * 0.5, 4.0)), (up < 1.1).astype(np.float32))
        place = np.mod(along, 6.0)
        door = ((place > 1.0) & (place < 2.1) & (up < 2.15)).astype(np.float32)
        out = mix(out, colour((126, 104, 82), 0.9 + 0.06 * noise.at(along * 8, up * 0.4, 4.0)), door)
        frame = ((place > 3.2) & (place < 4.9) & (up > 1.35) & (up < 2.45)).astype(np.float32)
        art = ((place > 3.27) & (place < 4.83) & (up > 1.42) & (up < 2.38)).astype(np.float32)
        out = mix(out, colour((50, 46, 44), np.ones_like(up)), frame)
        hue = noise.cell(np.floor(along / 6.0), np.zeros_like(along), 3)[..., None]
        paint = np.stack([150 + 60 * hue[..., 0], 120 + 80 * (1 - hue[..., 0]), 120 + 0 * up], -1)
        return mix(out, paint * (0.9 + 0.2 * noise.at(along, up, 2.5))[..., None], art)

    def end(h: Hits) -> Plane:
        across, up = h.u, h.v
        out = colour((190, 184, 176), 0.78 + 0.02 * noise.at(across, up, 3.0))
        glass = ((np.abs(across) < 3.6) & (up < 3.2)).astype(np.float32)
        bars = np.maximum(seam(across, 1.2, 0.09, h.span_u), seam(up - 0.05, 2.3, 0.09, h.span_v))
        outside = colour((206, 214, 214), 0.86 + 0.05 * noise.at(across, up, 7.0) + 0.03 * up)
        outside = mix(
            outside, colour((112, 118, 102), 0.9 + 0.1 * noise.at(across, up, 2.0)), (up < 0.9).astype(np.float32)
        )
        out = mix(out, mix(outside, colour((62, 66, 72), np.ones_like(up)), bars), glass)
        sign = ((np.abs(across) < 2.2) & (np.abs(up - 3.75) < 0.24)).astype(np.float32)
        return mix(out, colour(accent, np.full_like(up, 0.9)), sign)

    back.level(0.0, floor)
    back.level(_HIGH, ceiling)
    back.facing(_BACK, end)
    back.side(_LEFT, windows)
    back.side(_RIGHT, right)

    def clad(h: Hits) -> Plane:
        joints = seam(h.v, 1.1, 0.015, h.span_v)
        return colour(
            (196, 190, 182), (0.86 + 0.03 * noise.at(h.u, h.v, 1.8)) * (1 - 0.4 * joints) * (1 - 0.3 * near(h.v, 0.25))
        )

    def wood(h: Hits) -> Plane:
        return colour((150, 112, 76), 0.86 + 0.10 * noise.at(h.u * 0.5, h.v * 9, 3.0))

    def steel(h: Hits) -> Plane:
        return colour((96, 98, 102), 0.8 + 0.05 * noise.at(h.u, h.v, 1.0))

    for z in (8.0, 14.0, 20.0):
        for x in (-4.1, 4.1):
            back.darken_floor((x - 0.28, x + 0.28), (z - 0.28, z + 0.28), 0.35, 0.5)
            back.box((x - 0.28, x + 0.28), (0, _HIGH), (z - 0.28, z + 0.28), clad)
    seats = []
    for x, z in ((-5.1, 10.8), (4.6, 10.6), (-4.9, 16.6)):
        back.darken_floor((x - 0.9, x + 0.9), (z, z + 0.5), 0.25, 0.55)
        back.box((x - 0.9, x + 0.9), (0.40, 0.46), (z, z + 0.5), wood)
        back.box((x - 0.9, x + 0.9), (0.62, 0.90), (z + 0.45, z + 0.50), wood)
        for leg in (x - 0.78, x + 0.72):
            back.box((leg, leg + 0.06), (0, 0.40), (z + 0.03, z + 0.47), steel)
        seats += [Spot(x - 0.42, z - 0.02, float(rng.uniform(-0.3, 0.3))), Spot(x + 0.42, z - 0.02, 0.1)]
    desk = float(rng.choice([-2.7, 2.5]))
    back.darken_floor((desk - 1.3, desk + 1.3), (17.0, 17.8), 0.3, 0.5)
    back.box((desk - 1.3, desk + 1.3), (0.0, 1.02), (17.0, 17.8), wood)
    back.box(
        (desk - 1.36, desk + 1.36),
        (1.02, 1.08),
        (16.92, 17.9),
        lambda h: colour((226, 222, 216), np.full_like(h.u, 0.86)),
    )
    for x, z in ((-3.4, 8.1), (3.4, 14.1), (5.7, 6.6)):
        back.darken_floor((x - 0.2, x + 0.2), (z - 0.2, z + 0.2), 0.3, 0.5)
        back.billboard(pot_plant(rng), x, 0.0, z, float(rng.uniform(1.2, 1.7)))
    pixels, depth = back.finished(0.16, 0.55)
    key = np.array([-0.52, -0.58, 0.62])
    return Place(
        "hall",
        view,
        pixels,
        depth,
        margin_px,
        Light(tuple(key / np.linalg.norm(key)), (0.52, 0.52, 0.51), (0.62, 0.62, 0.63), (0.33, 0.32, 0.30)),
        Ways(
            lanes_m=((4.6, 5.6), (6.4, 7.2), (9.0, 10.0), (11.8, 13.3), (15.0, 16.2), (18.4, 19.3), (21.0, 23.0)),
            aisles_m=((-2.6, -0.4, 4.8, 16.0), (0.4, 2.8, 4.8, 16.0)),
            half_width_m=5.6,
            stands=(
                Spot(-1.2, 6.0, 0.3),
                Spot(1.4, 7.2, -0.5),
                Spot(desk + 0.3, 18.3, 0.0),
                Spot(-2.7, 9.2, 0.9),
                Spot(2.3, 12.0, -1.2),
                Spot(0.8, 14.4, 2.6),
            ),
            seats=tuple(seats),
        ),
        near_m=(1.9, 3.0),
        shadow=0.5,
        haze_m=400.0,
        haze_bgr=(215, 215, 212),
    )
