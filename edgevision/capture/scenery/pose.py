"""Where a body's joints are while it walks, stands or sits.

Proportions are those of an adult of 7.5 heads; the gait's angles follow the usual curves of hip, knee and ankle over
a stride (Winter, Biomechanics and Motor Control of Human Movement), simplified to a few cosines.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, radians, sin
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Posture = Literal["walk", "stand", "pockets", "phone", "akimbo", "sit"]
Point = NDArray[np.float64]

# In body heights.
THIGH, SHANK, ANKLE = 0.245, 0.240, 0.042
FOOT = 0.118
HIP_HALF, SHOULDER_HALF = 0.052, 0.104
SPINE = 0.285
"""Hips to the line of the shoulders."""
NECK = 0.058
"""Line of the shoulders to the base of the skull."""
UPPER_ARM, FOREARM, HAND = 0.170, 0.146, 0.068
SEAT = 0.270


@dataclass(frozen=True, slots=True)
class Joints:
    """Points (3,) in body heights: x to the person's left, y up from the ground, z forward.

    Pairs are (left, right).
    """

    pelvis: Point
    chest: Point
    skull: Point
    hips: tuple[Point, Point]
    knees: tuple[Point, Point]
    ankles: tuple[Point, Point]
    toes: tuple[Point, Point]
    shoulders: tuple[Point, Point]
    elbows: tuple[Point, Point]
    wrists: tuple[Point, Point]
    hands: tuple[Point, Point]
    lean_rad: float


def _swing(angle: float, length: float, out: float = 0.0) -> Point:
    """A limb hanging down, swung forward by ``angle`` and sideways by ``out`` (radians)."""
    return np.array([sin(out), -cos(out) * cos(angle), cos(out) * sin(angle)]) * length


def _turn(point: Point, angle: float) -> Point:
    """About the upright axis."""
    x, y, z = point
    return np.array([x * cos(angle) + z * sin(angle), y, -x * sin(angle) + z * cos(angle)])


def _gait(phase: float) -> tuple[float, float, float]:
    """Hip, knee and foot pitch (toe up) of one leg at ``phase`` (radians, heel strike near pi/2)."""
    hip = radians(3 + 24 * sin(phase))
    knee = radians(7 + 54 * max(0.0, cos(phase + 0.45)) ** 2 + 8 * max(0.0, cos(phase - 2.1)) ** 2)
    pitch = radians(20 * max(0.0, cos(phase - 1.25)) ** 4 - 44 * max(0.0, cos(phase + 1.2)) ** 3)
    return hip, knee, pitch


_ARMS: dict[Posture, tuple[tuple[float, float, float, float], ...]] = {
    # forward, outward, elbow bend, forearm inward; left then right, degrees
    "stand": ((2, 6, 12, 6), (2, 6, 12, 6)),
    "pockets": ((-14, 14, 48, 26), (-14, 14, 48, 26)),
    "phone": ((22, 6, 100, 26), (0, 7, 14, 6)),
    "akimbo": ((-14, 34, 82, 58), (4, 6, 14, 6)),
    "sit": ((24, 7, 48, 14), (24, 7, 48, 14)),
}


def joints(posture: Posture, phase: float) -> Joints:
    """The body at ``phase`` (0-1) of its stride, or of its idle swaying when it does not walk."""
    turn = 2 * pi * phase
    walking = posture == "walk"
    lean = radians(3.5 if walking else -7 if posture == "sit" else 1.0)
    twist = radians(6) * sin(turn) if walking else radians(2) * sin(turn)
    shift = 0.0 if walking else 0.008 * sin(turn)

    legs = []
    for side, offset in ((1, 0.0), (-1, pi)):
        if walking:
            hip, knee, pitch = _gait(turn + offset)
            out = radians(1.5) * side
        elif posture == "sit":
            hip, knee, pitch, out = radians(84), radians(80 + 4 * side), 0.0, radians(7) * side
        else:
            hip, knee, pitch, out = radians(1.5), radians(3), 0.0, radians(4.5) * side
        root = _turn(np.array([HIP_HALF * side, 0.0, 0.0]), -twist if walking else 0.0)
        knee_at = root + _swing(hip, THIGH, out)
        ankle_at = knee_at + _swing(hip - knee, SHANK, out * 0.4)
        toe_out = radians(9) * side
        forward = np.array([sin(toe_out) * cos(pitch), sin(pitch), cos(toe_out) * cos(pitch)])
        toe_at = ankle_at + forward * FOOT + np.array([0.0, -ANKLE * 0.62 * cos(pitch), 0.0])
        legs.append((root, knee_at, ankle_at, toe_at))
    lowest = min(min(leg[2][1] - ANKLE, leg[3][1] - ANKLE * 0.38) for leg in legs)
    pelvis_y = SEAT + 0.045 if posture == "sit" else -lowest
    pelvis = np.array([shift, pelvis_y, 0.0])
    if posture == "sit":
        pelvis[2] = -0.05

    chest = pelvis + np.array([-shift, SPINE * cos(lean), SPINE * sin(lean)])
    skull = chest + np.array([0.0, NECK, 0.012 + NECK * sin(lean)])
    arms = []
    for side, (fwd, out_deg, bend, inward) in zip((1, -1), _ARMS.get(posture, _ARMS["stand"]), strict=True):
        if walking:
            swing = -sin(turn + (0 if side == 1 else pi))
            fwd, out_deg, bend, inward = 2 + 22 * swing, 7.0, 20 + 12 * max(0.0, swing), 6.0
        else:
            bend = bend + 2.0 * sin(turn + side)
        shoulder = chest + _turn(np.array([SHOULDER_HALF * side, -0.018, 0.0]), twist)
        elbow = shoulder + _swing(radians(fwd), UPPER_ARM, radians(out_deg) * side)
        reach = radians(fwd + bend)
        across = radians(out_deg - inward) * side
        wrist = elbow + _swing(reach, FOREARM, across)
        hand = wrist + _swing(reach + radians(6), HAND, across)
        arms.append((shoulder, elbow, wrist, hand))

    def moved(leg: int, part: int) -> Point:
        at: Point = legs[leg][part] + pelvis
        return at

    return Joints(
        pelvis=pelvis,
        chest=chest,
        skull=skull,
        hips=(moved(0, 0), moved(1, 0)),
        knees=(moved(0, 1), moved(1, 1)),
        ankles=(moved(0, 2), moved(1, 2)),
        toes=(moved(0, 3), moved(1, 3)),
        shoulders=(arms[0][0], arms[1][0]),
        elbows=(arms[0][1], arms[1][1]),
        wrists=(arms[0][2], arms[1][2]),
        hands=(arms[0][3], arms[1][3]),
        lean_rad=lean,
    )
