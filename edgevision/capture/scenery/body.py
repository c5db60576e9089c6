"""A body and what it wears: legs, torso, arms, skirt or coat, shoes, bag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scenery.painter import BAG, BOTTOM, DARK, FACELESS_PX, INNER, SECOND, SHOE, SKIN, TOP, Painter
from edgevision.capture.scenery.pose import SPINE, Joints, Point, Posture
from edgevision.capture.scenery.relief import Patch, Plane

_STRIPES = 13
"""Between hips and shoulders."""


def draw_body(p: Painter, j: Joints, posture: Posture) -> None:
    look, g = p.look, p.look.girth
    sitting = posture == "sit"
    for side in (0, 1):
        _leg(p, j, side, g)
    _torso(p, j, g)
    if look.bottom in ("skirt", "dress") or look.top == "coat":
        _skirt(p, j, g, sitting)
    for side in (0, 1):
        _arm(p, j, side, g)
    if look.bag == "backpack":
        low, high = j.pelvis * 0.62 + j.chest * 0.38, j.pelvis * 0.08 + j.chest * 0.92
        back = np.array([0.0, 0.0, -0.092 * g])
        patch = p.loft(low + back, high + back, (0.072, 0.08, 0.062), (0.042, 0.05, 0.036), 0.35)
        if patch is not None:
            p.relief.stamp(patch, BAG, 0.10, look.texture)
    elif look.bag == "satchel" and not sitting:
        hang = j.hips[0] + np.array([0.075 * g, 0.035, 0.0])
        patch = p.loft(hang, hang + np.array([0.0, -0.10, 0.0]), (0.022, 0.026), (0.085, 0.09), 0.15)
        if patch is not None:
            p.relief.stamp(patch, BAG, 0.08, look.texture)


def _leg(p: Painter, j: Joints, side: int, g: float) -> None:
    look = p.look
    hip, knee, ankle, toe = j.hips[side], j.knees[side], j.ankles[side], j.toes[side]
    bare = look.bottom in ("skirt", "dress")
    material = SKIN if bare else BOTTOM
    fold = 0.0 if bare else 0.11
    loose = {"trousers": 1.12, "jeans": 1.04, "shorts": 1.2}.get(look.bottom, 0.94)
    thigh = (0.058 * g * loose, 0.052 * g * loose, 0.039 * loose)
    if bare:
        thigh = (0.036 * g, 0.042 * g, 0.035)  # the skirt hides it, and must not be pierced by it
    p.limb(hip, knee, thigh, material, fold, key=side + 1)
    if look.bottom in ("trousers", "jeans"):
        hem = 0.037 if look.bottom == "trousers" else 0.029
        shin = (0.039 * loose, 0.038 * loose, hem)
        p.limb(knee, ankle + np.array([0.0, 0.004, 0.0]), shin, BOTTOM, fold, cap=0.6, key=side + 3)
    else:
        p.limb(knee, ankle, (0.034, 0.036, 0.021), SKIN)
    heel = ankle + (ankle - toe) * np.array([0.22, 0.0, 0.22]) + np.array([0.0, -0.019, 0.0])
    p.limb(heel, toe, (0.024, 0.027, 0.019), SHOE, cap=0.9)
    p.limb(ankle + np.array([0.0, 0.012, 0.0]), heel, (0.024, 0.024), SHOE)


def _torso(p: Painter, j: Joints, g: float) -> None:
    look = p.look
    puff = {"tee": 1.0, "shirt": 1.03, "jacket": 1.12, "coat": 1.14, "hoodie": 1.12}[look.top]
    slim = 0.93 if look.height_m < 1.7 else 1.0
    low = j.pelvis + np.array([0.0, -0.03, 0.0])
    w = [0.098 * g, 0.097 * g * puff, 0.084 * g * puff * slim, 0.094 * g * puff, 0.106 * puff, 0.096 * puff]
    d = [0.066 * g, 0.066 * g * puff, 0.060 * g * puff, 0.066 * g * puff, 0.068 * puff, 0.054 * puff]
    patch = p.loft(low, j.chest + np.array([0.0, -0.012, 0.0]), tuple(w), tuple(d), 0.5)
    if patch is not None:
        left, front = p.front_of(patch)
        p.relief.stamp(patch, _clothing(p, patch, left, front), 0.13, look.texture)
    # Shoulders: from arm to arm under the neck, and the slope up to it.
    slope = 0.033 * puff
    p.limb(j.shoulders[0], j.shoulders[1], (0.029 * puff, 0.038 * puff, 0.029 * puff), TOP, 0.1, cap=0.9)
    for side in (0, 1):
        inner = j.chest + np.array([0.0, 0.022, 0.0])
        p.limb(j.shoulders[side] * 0.75 + j.chest * 0.25, inner, (slope, 0.026), TOP, 0.1)


def _clothing(p: Painter, patch: Patch, left: Plane, front: Plane) -> NDArray[np.uint8]:
    """Which cloth shows where on the torso; ``along`` runs from hips to shoulders."""
    look, t = p.look, patch.along
    out = np.full(t.shape, TOP, np.uint8)
    if look.pattern == "stripes":
        out[(t * _STRIPES % 1) > 0.55] = SECOND
    elif look.pattern == "check":
        out[((t * 9 % 1) > 0.7) ^ ((left * 3.5 % 1) > 0.72)] = SECOND
    elif look.pattern == "print":
        out[(front > 0.2) & (np.abs(left) < 0.5) & (t > 0.52) & (t < 0.82)] = SECOND
    elif look.pattern == "block":
        out[t > 0.68] = SECOND
    ahead = front > 0.15
    if look.top in ("jacket", "coat"):
        out[ahead & (np.abs(left) < 0.10 + 0.30 * np.maximum(t - 0.35, 0)) & (t > 0.14)] = INNER
    elif look.top == "shirt":
        out[ahead & (np.abs(left) < 0.045)] = SECOND
    if look.top != "hoodie":
        opening = 0.80 if look.texture % 2 else 0.90
        out[ahead & (np.abs(left) < 0.28 * (t - opening) / (1 - opening))] = SKIN
    if look.bottom not in ("dress",):
        out[t < 0.10 + 0.02 * left] = BOTTOM
        if look.top in ("shirt", "tee") and look.texture % 3 == 0:
            out[(t < 0.21) & (t >= 0.17)] = DARK
            out[t < 0.17] = BOTTOM
    if look.bag == "backpack":
        out[ahead & (np.abs(left) > 0.42) & (np.abs(left) < 0.62) & (t > 0.4)] = BAG
    elif look.bag == "satchel":
        out[ahead & (np.abs(left + (t - 0.62) * 1.5) < 0.07)] = BAG
    return out


def _skirt(p: Painter, j: Joints, g: float, sitting: bool) -> None:
    coat = p.look.top == "coat" and p.look.bottom not in ("skirt", "dress")
    long = 0.20 if coat else 0.27 + 0.06 * (p.look.texture % 4) / 3
    knees = (j.knees[0] + j.knees[1]) / 2
    start = j.pelvis + np.array([0.0, 0.05, 0.0])
    if sitting:
        end = knees if not coat else (start + knees) / 2
        deep, wide = (0.06, 0.062, 0.06), (0.09 * g, 0.105 * g, 0.10 * g)
    else:
        stride = abs(float(j.knees[0][2] - j.knees[1][2])) / 2
        end = np.array([j.pelvis[0], start[1] - long, 0.02 + float(knees[2]) * 0.6])
        room = 1.2 if coat else 1.0
        deep = (0.074 * g * room, 0.09 * g * room, 0.08 * g * room + stride * 0.8)
        wide = (0.092 * g * room, 0.112 * g * room, 0.12 * g * room)
    patch = p.loft(start, end, wide, deep, 0.12)
    if patch is None:
        return
    out = np.full(patch.along.shape, TOP if coat or p.look.bottom == "dress" else BOTTOM, np.uint8)
    if coat:
        left, front = p.front_of(patch)
        out[(front > 0.2) & (np.abs(left) < 0.12)] = BOTTOM
    p.relief.stamp(patch, out, 0.15, p.look.texture + 77)


def _arm(p: Painter, j: Joints, side: int, g: float) -> None:
    look = p.look
    shoulder, elbow, wrist, hand = j.shoulders[side], j.elbows[side], j.wrists[side], j.hands[side]
    puff = {"tee": 1.0, "shirt": 1.05, "jacket": 1.18, "coat": 1.2, "hoodie": 1.2}[look.top]
    if look.long_sleeves:
        _sleeve(p, shoulder, elbow, (0.032 * puff * g, 0.030 * puff, 0.027 * puff), 0.9, side)
        _sleeve(p, elbow, wrist, (0.027 * puff, 0.026 * puff, 0.021 * puff), 0.7, side + 2)
    else:
        p.limb(shoulder, elbow, (0.028 * g, 0.028, 0.024), SKIN, cap=0.6)
        _sleeve(p, shoulder, shoulder * 0.38 + elbow * 0.62, (0.0345 * g, 0.035, 0.034), 0.8, side)
        p.limb(elbow, wrist, (0.025, 0.0245, 0.017), SKIN)
    p.limb(wrist, hand, (0.016, 0.022, 0.012), SKIN)
    if p.size_px < FACELESS_PX:
        return
    thumb = wrist * 0.75 + hand * 0.25 + np.array([0.0, -0.004, 0.018])
    p.limb(thumb, thumb + (hand - wrist) * 0.5, (0.008, 0.007), SKIN)


def _sleeve(p: Painter, start: Point, end: Point, radii: tuple[float, float, float], cap: float, key: int) -> None:
    """Of the torso's cloth: a stripe goes on down the arm."""
    sizes = [r * p.size_px for r in radii]
    patch = p.relief.patch(p.at(start), p.at(end), sizes, sizes, cap)
    if patch is None:
        return
    cloth = np.full(patch.along.shape, TOP, np.uint8)
    length = float(np.linalg.norm(end - start)) / SPINE
    if p.look.pattern == "stripes":
        cloth[(patch.along * (_STRIPES * length) % 1) > 0.55] = SECOND
    elif p.look.pattern == "check":
        cloth[(patch.along * (9 * length) % 1) > 0.7] = SECOND
    elif p.look.pattern == "block" and key < 2:
        cloth[:] = SECOND
    p.relief.stamp(patch, cloth, 0.12, p.look.texture + 700 * (key + 1))
