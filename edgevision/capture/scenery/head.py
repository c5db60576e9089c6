"""A head: neck, skull and face, hair, hat."""

from __future__ import annotations

from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scenery.painter import BLUSH, BROW, DARK, EYE, FACELESS_PX, HAIR, HAT, LIP, SKIN, WHITE, Painter
from edgevision.capture.scenery.pose import Joints, Point
from edgevision.capture.scenery.relief import Patch, Plane


def draw_head(p: Painter, j: Joints, head_rad: float) -> None:
    look = p.look
    c, s = cos(head_rad), sin(head_rad)
    ahead, aside, up = np.array([s, 0.0, c]), np.array([c, 0.0, -s]), np.array([0.0, 1.0, 0.0])
    base = j.skull
    p.limb(j.chest + up * 0.012, base + up * 0.012, (0.034, 0.031), SKIN, cap=0.5)
    chin, crown = base + ahead * 0.010 + up * 0.012, base + ahead * 0.012 + up * 0.094
    turned = p.turned(head_rad)
    spin = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    skull = turned.loft(
        spin @ chin, spin @ crown, (0.028, 0.040, 0.045, 0.047, 0.045), (0.034, 0.047, 0.053, 0.056, 0.053), 0.72
    )
    if skull is not None:
        left, front = turned.front_of(skull)
        p.relief.stamp(skull, _face(p, skull, left, front))
    if p.size_px < FACELESS_PX:
        _hair(turned, spin @ base)
        return
    nose = base + ahead * 0.058 + up * 0.042
    p.limb(nose + up * 0.018 - ahead * 0.006, nose, (0.006, 0.0095), SKIN, cap=0.8)
    for k in (1, -1):
        ear = base + aside * 0.046 * k + up * 0.052 - ahead * 0.004
        if look.hair in ("short", "bald", "bun"):
            p.limb(ear + up * 0.010, ear - up * 0.010, (0.010, 0.007), BLUSH)
    _hair(turned, spin @ base)


def _face(p: Painter, patch: Patch, left: Plane, front: Plane) -> NDArray[np.uint8]:
    look = p.look
    # Height on the face: 0 at the chin, 1 at the crown.
    high = np.clip((patch.along * 0.082 - patch.normal_y * 0.03 * (1 - patch.along) + 0.02) / 0.13, 0, 1)
    side = np.abs(left)
    out = np.full(left.shape, SKIN, np.uint8)
    facing = front > 0.25
    if look.beard:
        out[(high < 0.34) & (front > -0.1) & ~(facing & (side < 0.3) & (high > 0.24))] = BROW
    out[facing & (side < 0.30) & (np.abs(high - 0.275) < 0.026)] = LIP
    out[facing & (side < 0.17) & (np.abs(high - 0.385) < 0.022)] = BLUSH
    eye = facing & (np.abs(side - 0.40) < 0.15) & (np.abs(high - 0.535) < 0.032)
    out[eye] = WHITE
    out[eye & (np.abs(side - 0.40) < 0.07)] = EYE
    out[facing & (np.abs(side - 0.40) < 0.19) & (np.abs(high - 0.615) < 0.020)] = BROW
    if look.glasses:
        rim = facing & (np.abs(side - 0.40) < 0.24) & (np.abs(high - 0.53) < 0.075)
        out[rim & ~(facing & (np.abs(side - 0.40) < 0.19) & (np.abs(high - 0.53) < 0.055))] = DARK
        out[facing & (side < 0.18) & (np.abs(high - 0.555) < 0.012)] = DARK
    if look.hair != "bald":
        line = 0.78 - 0.06 * side
        hairy = (high > line) | ((front < 0.22) & (high > 0.50)) | ((front < -0.25) & (high > 0.16))
        out[hairy] = HAIR
    return out


def _hair(turned: Painter, base: Point) -> None:
    look = turned.look
    if look.hair != "bald":
        top = base + np.array([0.0, 0.084, -0.004])
        patch = turned.loft(base + np.array([0.0, 0.068, -0.018]), top, (0.050, 0.052), (0.053, 0.056), 0.75)
        if patch is not None:
            _, front = turned.front_of(patch)
            keep = patch.inside & ((front < 0.42) | (patch.normal_y < -0.72))
            turned.relief.stamp(_masked(patch, keep), HAIR, 0.30, look.texture + 5)
    if look.hair in ("bob", "long"):
        low = 0.005 if look.hair == "bob" else -0.075
        crown, ends = base + np.array([0.0, 0.075, -0.020]), base + np.array([0.0, low, -0.030])
        patch = turned.loft(crown, ends, (0.052, 0.058, 0.054), (0.046, 0.044, 0.034), 0.4)
        if patch is not None:
            _, front = turned.front_of(patch)
            turned.relief.stamp(_masked(patch, patch.inside & (front < 0.55)), HAIR, 0.34, look.texture + 9)
    elif look.hair == "bun":
        bun = base + np.array([0.0, 0.088, -0.066])
        patch = turned.loft(bun, bun + np.array([0.0, 0.012, 0.0]), (0.024, 0.024), (0.024, 0.024), 1.0)
        if patch is not None:
            turned.relief.stamp(patch, HAIR, 0.3, look.texture + 11)
    if look.hat != "none":
        low, high = base + np.array([0.0, 0.080, -0.006]), base + np.array([0.0, 0.096, -0.006])
        patch = turned.loft(low, high, (0.0545, 0.053), (0.061, 0.059), 0.8)
        if patch is not None:
            turned.relief.stamp(_masked(patch, patch.inside & (patch.normal_y < 0.35)), HAT, 0.12, look.texture)
        if look.hat != "beanie":
            reach = 0.046 if look.hat == "cap" else 0.0
            wide = 0.046 if look.hat == "cap" else 0.086
            long = 0.056 if look.hat == "cap" else 0.094
            rim = base + np.array([0.0, 0.079, reach])
            patch = turned.loft(rim, rim + np.array([0.0, 0.006, 0.0]), (wide, wide), (long, long), 0.13)
            if patch is not None:
                turned.relief.stamp(patch, HAT, 0.05, look.texture)


def _masked(patch: Patch, inside: NDArray[np.bool_]) -> Patch:
    return Patch(
        patch.rows, patch.columns, patch.along, patch.normal_x, patch.normal_y, patch.normal_z, patch.depth, inside
    )
