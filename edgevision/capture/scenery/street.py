"""A street seen across: pavement, parked cars, road, the far pavement with trees and lamps, fronts of houses, sky."""

from __future__ import annotations

import numpy as np

from edgevision.capture.scenery.backdrop import Backdrop, Hits, Noise, Plane, colour, mix, near, seam
from edgevision.capture.scenery.look import Colour
from edgevision.capture.scenery.objects import car, tree
from edgevision.capture.scenery.place import Place, Spot, Ways
from edgevision.capture.scenery.relief import Light
from edgevision.capture.scenery.view import View

_KERB, _FAR_KERB, _FRONT = 7.2, 15.5, 20.0
_PAINTS: tuple[Colour, ...] = (
    (150, 30, 34),
    (40, 66, 110),
    (200, 202, 204),
    (58, 60, 64),
    (34, 84, 70),
    (196, 160, 60),
)
_WALLS: tuple[Colour, ...] = (
    (176, 122, 96),
    (206, 190, 164),
    (150, 140, 132),
    (190, 158, 128),
    (134, 96, 84),
    (214, 208, 196),
)


def street(width_px: int, height_px: int, margin_px: int, rng: np.random.Generator) -> Place:
    """Seen by a person, or from a first-floor window."""
    noise = Noise(rng)
    view = View(
        width_px,
        height_px,
        focal_px=float(width_px * rng.uniform(0.82, 1.0)),
        horizon_px=float(height_px * rng.uniform(0.34, 0.42)),
        camera_height_m=float(rng.uniform(1.6, 2.4)),
    )
    back = Backdrop(view, margin_px)
    houses = np.cumsum(rng.uniform(5.5, 9.0, 12)) - 42.0
    walls = np.array(_WALLS, np.float32)[rng.permutation(12) % len(_WALLS)]
    blinds = np.array([[120, 40, 44], [40, 78, 62], [44, 62, 96], [150, 120, 60]], np.float32)

    def sky(h: Hits) -> Plane:
        clouds = np.clip(noise.at(h.u, h.v * 2.2, 900.0) * 0.6 + 0.2, 0, 1)
        blue = colour((142, 178, 216), 1.08 - 0.0008 * np.maximum(h.v, 0))
        return mix(blue, colour((236, 238, 240), np.ones_like(h.u)), clouds * 0.8)

    def ground(h: Hits) -> Plane:
        grit = 0.05 * noise.at(h.u, h.v, 1.4) * np.clip(1 - h.v / 14, 0, 1) + 0.05 * noise.at(h.u, h.v, 9.0)
        slab = noise.cell(np.floor(h.u / 0.6), np.floor(h.v / 0.6))
        joints = np.maximum(seam(h.u, 0.6, 0.012, h.span_u), seam(h.v, 0.6, 0.012, h.span_v))
        paving = colour((178, 172, 164), (0.88 + 0.10 * (slab - 0.5) + grit) * (1 - 0.35 * joints))
        road = colour((98, 98, 102), 0.92 + 1.3 * grit)
        dash = (np.abs(h.v - 11.4) < 0.07) & (np.mod(h.u + 1, 3.6) < 2.0)
        road = mix(road, colour((214, 212, 204), 0.92 + 2 * grit), dash.astype(np.float32) * 0.85)
        on_road = ((h.v > _KERB) & (h.v < _FAR_KERB)).astype(np.float32)
        out = mix(paving, road, on_road)
        gutter = near(np.abs(h.v - _KERB - 0.15), 0.12) + near(np.abs(h.v - _FAR_KERB + 0.1), 0.1)
        out = out * (1 - 0.35 * np.clip(gutter, 0, 1))[..., None]
        kerb = np.clip((0.11 - np.abs(h.v - _KERB + 0.1)) / h.span_v, 0, 1) + np.clip(
            (0.1 - np.abs(h.v - _FAR_KERB - 0.1)) / h.span_v, 0, 1
        )
        out = mix(out, colour((200, 196, 188), 0.95 + grit), np.clip(kerb, 0, 1))
        return np.asarray(out * (1 - 0.3 * near(_FRONT - h.v, 0.5))[..., None], np.float32)

    def fronts(h: Hits) -> Plane:
        x, up = h.u, h.v
        number = np.clip(np.searchsorted(houses, x.ravel()).reshape(x.shape), 0, 11)
        start = np.concatenate([[houses[0] - 7], houses])[number].astype(np.float32)
        local = x - start
        base = walls[number]
        brick = np.maximum(
            seam(up, 0.16, 0.02, h.span_v), seam(x + 0.16 * np.mod(np.floor(up / 0.16), 2), 0.32, 0.02, h.span_u)
        )
        laid = (number % 2 == 0).astype(np.float32)
        bright = 0.86 + 0.04 * noise.at(x, up, 2.5) - 0.12 * brick * laid - 0.20 * near(up, 0.5)
        out = base * bright[..., None]
        # Upper floors: framed windows on a grid of their own for every house.
        step = 1.7 + 0.3 * (number % 3)
        row, column = np.mod(up - 3.3, 2.9), np.mod(local, step)
        frame = (up > 3.9) & (row > 0.55) & (row < 2.35) & (column > 0.35) & (column < step - 0.35)
        pane = (up > 3.9) & (row > 0.63) & (row < 2.27) & (column > 0.43) & (column < step - 0.43)
        cross = np.maximum(seam(column - step / 2, 50.0, 0.06, h.span_u), seam(row - 1.8, 50.0, 0.06, h.span_v))
        lit = noise.cell(np.floor(local / step), np.floor((up - 3.3) / 2.9), 5)
        glass = colour((96, 112, 128), 0.55 + 0.5 * lit + 0.10 * noise.at(x, up, 5.0))
        glass = mix(glass, colour((232, 230, 222), np.ones_like(up)), cross)
        out = mix(out, colour((226, 222, 212), np.full_like(up, 0.95)), frame.astype(np.float32))
        out = mix(out, glass, pane.astype(np.float32))
        # Ground floor: a shop window, its door, a blind and a plain board over it.
        shop = (up > 0.55) & (up < 2.55) & (local > 0.5) & (local < step * 2 + 0.6)
        door = (up < 2.4) & (local > step * 2 + 0.9) & (local < step * 2 + 1.85)
        inside = colour((58, 60, 62), 0.9 + 0.22 * noise.at(x * 1.5, up, 3.0))
        inside = mix(
            inside,
            colour((190, 206, 220), np.ones_like(up)),
            np.clip(0.22 + 0.14 * noise.at((x + up) * 0.7, up * 0.5, 8.0), 0, 0.6),
        )
        out = mix(
            out,
            mix(inside, colour((50, 48, 46), np.ones_like(up)), seam(local, 1.3, 0.07, h.span_u)),
            shop.astype(np.float32),
        )
        out = mix(
            out, blinds[(number + 1) % 4] * (0.72 + 0.04 * noise.at(x * 5, up, 4.0))[..., None], door.astype(np.float32)
        )
        board = (up > 2.62) & (up < 3.25) & (local > 0.3) & (local < step * 2 + 2.0)
        out = mix(out, blinds[number % 4] * np.float32(0.9), board.astype(np.float32))
        ledge = np.clip(1 - np.abs(up - 3.42) / 0.09, 0, 1)
        return np.asarray(mix(out, colour((220, 214, 204), np.ones_like(up)), ledge), np.float32)

    back.facing(450.0, sky)
    back.level(0.0, ground)
    for k in range(12):
        left = houses[k - 1] if k else houses[0] - 7
        back.box(
            (float(left), float(houses[k])),
            (0, float(rng.uniform(7.5, 13.0))),
            (_FRONT, _FRONT + 8),
            fronts,
            top_shade=0.6,
        )

    def metal(h: Hits) -> Plane:
        return colour((64, 68, 70), 0.8 + 0.05 * noise.at(h.u, h.v, 1.0))

    def wood(h: Hits) -> Plane:
        return colour(
            (142, 102, 68),
            (0.86 + 0.10 * noise.at(h.u * 0.5, h.v * 9, 3.0)) * (1 - 0.5 * seam(h.v, 0.13, 0.02, h.span_v)),
        )

    for x in np.arange(-13.0, 14.0, 6.4) + rng.uniform(-1, 1):
        at = float(x)
        back.darken_floor((at - 1.6, at + 1.6), (15.8, 18.2), 0.9, 0.30)
        back.billboard(tree(rng), at, 0.0, 16.4, float(rng.uniform(5.0, 6.5)))
    for x in (-9.4 + float(rng.uniform(-1, 1)), 8.8 + float(rng.uniform(-1, 1))):
        back.box((x - 0.06, x + 0.06), (0, 4.6), (15.9, 16.02), metal)
    spaces = [s + float(rng.uniform(-0.5, 0.5)) for s in (-10.5, -5.2, 0.1, 5.4, 10.7)]
    for x in spaces:
        if rng.random() < 0.45:
            back.darken_floor((x - 1.9, x + 1.9), (7.9, 9.2), 0.28, 0.65)
            back.billboard(car(_PAINTS[int(rng.integers(len(_PAINTS)))], rng), x, 0.0, 8.1, 1.5)
    seats = []
    bench = float(rng.choice([-3.4, -2.2, 2.4, 3.3]))
    back.darken_floor((bench - 0.85, bench + 0.85), (6.3, 6.8), 0.22, 0.55)
    back.box((bench - 0.85, bench + 0.85), (0.42, 0.47), (6.3, 6.78), wood)
    back.box((bench - 0.85, bench + 0.85), (0.60, 0.92), (6.74, 6.79), wood)
    for leg in (bench - 0.75, bench + 0.70):
        back.box((leg, leg + 0.05), (0, 0.42), (6.33, 6.75), metal)
    seats += [Spot(bench - 0.4, 6.28, 0.1), Spot(bench + 0.4, 6.28, -0.1)]
    for x in np.arange(-5.5, 6.0, 2.2):
        if abs(x - bench) > 1.3:
            back.darken_floor((float(x) - 0.06, float(x) + 0.06), (6.9, 7.02), 0.12, 0.5)
            back.box((float(x) - 0.06, float(x) + 0.06), (0, 0.85), (6.9, 7.02), metal)
    pixels, depth = back.finished(0.14, 0.55)
    key = np.array([-0.45, -0.68, 0.58]) * np.array([float(rng.choice([-1, 1])), 1, 1])
    return Place(
        "street",
        view,
        pixels,
        depth,
        margin_px,
        Light(tuple(key / np.linalg.norm(key)), (0.66, 0.63, 0.56), (0.56, 0.59, 0.64), (0.30, 0.29, 0.27)),
        Ways(
            lanes_m=((4.4, 5.2), (17.0, 17.8), (5.2, 6.0), (18.0, 19.2), (3.7, 4.4)),
            aisles_m=((-2.0, 2.0, 9.8, 18.0),),
            half_width_m=12.0,
            stands=(
                Spot(-1.6, 5.0, 0.4),
                Spot(1.3, 4.7, -0.3),
                Spot(3.6, 18.6, 0.0),
                Spot(-4.4, 18.4, 1.2),
                Spot(0.6, 19.0, 0.2),
            ),
            seats=tuple(seats),
        ),
        near_m=(2.2, 3.2),
        shadow=0.55,
        haze_m=260.0,
        haze_bgr=(222, 214, 204),
    )
