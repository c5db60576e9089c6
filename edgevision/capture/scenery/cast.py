"""Puts people into a place: who they are, and what each does there."""

from __future__ import annotations

import numpy as np

from edgevision.capture.scenery.look import Look, random_look
from edgevision.capture.scenery.place import Place, Spot
from edgevision.capture.scenery.pose import Posture
from edgevision.capture.scenery.walk import Actor, Standing, Walking

_GOLDEN = 0.6180339887498949
_PARTS, _PEOPLE = 11, 110
"""Streams of random numbers apart from each other, chosen so that seed 1, the demo, shows near and far people."""
_LANE_STEP = 2
"""Lanes are taken by turns, not side by side."""
_IDLE: tuple[Posture, ...] = ("stand", "stand", "pockets", "phone", "akimbo")


def cast(place: Place, people: int, seed: int) -> list[Actor]:
    """``people`` actors. The first n of a larger cast are those of a cast of n."""
    start = float(np.random.default_rng([seed, _PARTS]).random())
    offset = int(start * 1000)
    counts = {"close": offset, "sit": offset, "stay": offset, "down": offset, "across": offset}
    actors = []
    for k in range(people):
        # Steps of the golden ratio spread the parts evenly however few they are; within a part turns are taken.
        part = _part((start + k * _GOLDEN) % 1.0, place)
        counts[part] += 1
        actors.append(_actor(place, np.random.default_rng([seed, _PEOPLE, k]), part, counts[part]))
    return actors


def _part(share: float, place: Place) -> str:
    if share < 0.14:
        return "close"
    if share < 0.24 and place.ways.seats:
        return "sit"
    if share < 0.40 and place.ways.stands:
        return "stay"
    if share < 0.58 and place.ways.aisles_m:
        return "down"
    return "across"


def _actor(place: Place, rng: np.random.Generator, part: str, turn: int) -> Actor:
    look = random_look(rng)
    if part == "close":
        return _close(place, look, rng, turn)
    if part == "sit":
        return _stay(place.ways.seats, look, "sit", rng, turn)
    if part == "stay":
        return _stay(place.ways.stands, look, _IDLE[int(rng.integers(len(_IDLE)))], rng, turn)
    if part == "down":
        return _down(place, look, rng, turn)
    return _across(place, look, rng, turn)


def _close(place: Place, look: Look, rng: np.random.Generator, turn: int) -> Actor:
    z = float(rng.uniform(*place.near_m))
    side = 1 if turn % 2 else -1
    x = side * float(rng.uniform(0.35, 0.78)) * place.view.half_width_m(z)
    # Most look into the picture, some past the camera.
    yaw = float(-side * rng.uniform(0.0, 0.9))
    return Standing(look, x, z, yaw, _IDLE[int(rng.integers(len(_IDLE)))], float(rng.uniform(0, 60)))


def _stay(spots: tuple[Spot, ...], look: Look, posture: Posture, rng: np.random.Generator, turn: int) -> Actor:
    spot = spots[turn % len(spots)]
    jitter = 0.0 if posture == "sit" else 0.25
    x = spot.x_m + float(rng.uniform(-jitter, jitter))
    z = spot.z_m + float(rng.uniform(-jitter, jitter)) * 0.6
    yaw = spot.yaw_rad + float(rng.normal(0, 0.35))
    return Standing(look, x, z, yaw, posture, float(rng.uniform(0, 60)))


def _across(place: Place, look: Look, rng: np.random.Generator, turn: int) -> Actor:
    lanes = place.ways.lanes_m
    low, high = lanes[turn * _LANE_STEP % len(lanes)]
    z = float(rng.uniform(low, high))
    away = min(max(high - low, 0.2), 0.9)
    back = z + away if z + away <= high else z - away
    edge = min(place.ways.half_width_m, place.view.half_width_m(min(z, back)) * 1.06)
    left, right = -edge * float(rng.uniform(0.35, 1.0)), edge * float(rng.uniform(0.35, 1.0))
    slant = float(rng.uniform(0, abs(back - z)))
    corners = [(left, z), (right, z + (slant if back > z else -slant)), (right, back), (left, back)]
    return _walker(look, corners, rng)


def _down(place: Place, look: Look, rng: np.random.Generator, turn: int) -> Actor:
    x0, x1, z0, z1 = place.ways.aisles_m[turn % len(place.ways.aisles_m)]
    # Kept inside the picture at the near end.
    room = place.view.half_width_m(z0) * 0.85
    a, b = (float(np.clip(rng.uniform(x0, x1), -room, room)) for _ in range(2))
    far = float(rng.uniform(0.6 * z1 + 0.4 * z0, z1))
    c, d = (float(rng.uniform(x0, x1)) for _ in range(2))
    return _walker(look, [(a, z0), (c, far), (d, far), (b, z0)], rng)


def _walker(look: Look, corners: list[tuple[float, float]], rng: np.random.Generator) -> Actor:
    if rng.random() < 0.5:
        corners = corners[::-1]
    speed = float(np.clip(rng.normal(1.25, 0.18), 0.8, 1.8))
    return Walking(look, corners, speed, float(rng.random()))
