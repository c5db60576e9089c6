"""An articulated person drawn from a `Look` and a pose, from any side."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scenery.look import Look
from edgevision.capture.scenery.pose import Joints, Point, Posture, joints
from edgevision.capture.scenery.relief import Light, Patch, Plane, Relief

(_NONE, _SKIN, _HAIR, _TOP, _SECOND, _BOTTOM, _SHOE, _SOLE, _BAG, _HAT, _WHITE, _EYE, _LIP, _INNER, _DARK, _BLUSH, _BROW) = range(17)  # fmt: skip

_FACELESS_PX = 200
"""Figures less tall than this show neither nose, ears nor thumbs."""


@dataclass(frozen=True, slots=True)
class Sprite:
    """A figure ready to be laid on a picture."""

    pixels: NDArray[np.uint8]
    """(H, W, 4) premultiplied blue, green, red and alpha, cut to what is drawn."""
    foot_x_px: float
    """Column of the point on the ground under the pelvis."""
    foot_y_px: float
    scale_px_per_m: float
    area_px: int
    """Pixels that are more figure than background."""


def draw_figure(
    look: Look,
    posture: Posture,
    phase: float,
    yaw_rad: float,
    head_rad: float,
    lift: float,
    scale_px_per_m: float,
    light: Light,
    grain: Plane,
) -> Sprite:
    """The figure at ``phase`` (0-1) of its movement.

    ``yaw_rad`` 0 faces the camera, positive turns to the picture's right; ``head_rad`` turns the head
    further. ``lift`` is how far the camera looks down on it: rows per row of depth.
    """
    size_px = look.height_m * scale_px_per_m
    width, height = int(size_px * 0.98) + 8, int(size_px * (1.12 + 0.6 * lift)) + 8
    painter = _Painter(look, Relief(width, height, grain), yaw_rad, lift, size_px, (width / 2, size_px * 1.07 + 4))
    painter.body(joints(posture, phase), head_rad, posture)
    pixels = painter.relief.lit(_palette(look), light, size_px)
    x, y, w, h = cv2.boundingRect(pixels[..., 3])
    cut = np.ascontiguousarray(pixels[y : y + h, x : x + w])
    area = int(np.count_nonzero(cut[..., 3] > 127))
    return Sprite(cut, painter.origin[0] - x, painter.origin[1] - y, scale_px_per_m, area)


def _palette(look: Look) -> NDArray[np.float32]:
    skin = np.array(look.skin, np.float32)
    dark = np.array(look.hair_colour, np.float32)
    colours = np.zeros((17, 3), np.float32)
    colours[_SKIN] = skin
    colours[_HAIR] = dark
    colours[_TOP] = look.top_colour
    colours[_SECOND] = look.second_colour
    colours[_BOTTOM] = look.bottom_colour
    colours[_SHOE] = look.shoe_colour
    colours[_SOLE] = np.minimum(np.array(look.shoe_colour, np.float32) * 0.5 + 20, 200)
    colours[_BAG] = look.bag_colour
    colours[_HAT] = look.hat_colour
    colours[_WHITE] = (225, 222, 216)
    colours[_EYE] = (40, 30, 26)
    colours[_LIP] = skin * np.array([0.80, 0.58, 0.58], np.float32)
    colours[_INNER] = look.inner_colour
    colours[_DARK] = (24, 23, 25)
    colours[_BLUSH] = skin * np.array([0.90, 0.78, 0.74], np.float32)
    colours[_BROW] = dark * 0.6 + skin * 0.25
    return colours


class _Painter:
    def __init__(
        self, look: Look, relief: Relief, yaw_rad: float, lift: float, size_px: float, origin: tuple[float, float]
    ) -> None:
        self.look = look
        self.relief = relief
        self.origin = origin
        self._cos, self._sin = cos(yaw_rad), sin(yaw_rad)
        self._yaw = yaw_rad
        self._lift = lift
        self._size = size_px

    def _at(self, point: Point) -> tuple[float, float, float]:
        """Sprite column, row and nearness of a point in body heights."""
        x, y, z = float(point[0]), float(point[1]), float(point[2])
        across = x * self._cos + z * self._sin
        near = z * self._cos - x * self._sin
        row = self.origin[1] - (y - self._lift * near) * self._size
        return self.origin[0] + across * self._size, row, (near + 0.4 * self._lift * y) * self._size

    def _loft(
        self, start: Point, end: Point, widths: tuple[float, ...], depths: tuple[float, ...], cap: float
    ) -> Patch | None:
        """A body of elliptic section, ``widths`` to its sides and ``depths`` to its front, in body heights."""
        c2, s2 = self._cos**2, self._sin**2
        across = [sqrt(w * w * c2 + d * d * s2) * self._size for w, d in zip(widths, depths, strict=True)]
        toward = [sqrt(w * w * s2 + d * d * c2) * self._size for w, d in zip(widths, depths, strict=True)]
        return self.relief.patch(self._at(start), self._at(end), across, toward, cap)

    def _limb(
        self,
        start: Point,
        end: Point,
        radii: tuple[float, ...],
        material: int,
        fold: float = 0.0,
        cap: float = 1.0,
        key: int = 0,
    ) -> None:
        sizes = [r * self._size for r in radii]
        patch = self.relief.patch(self._at(start), self._at(end), sizes, sizes, cap)
        if patch is not None:
            self.relief.stamp(patch, material, fold, self.look.texture + key * 131)

    def _front(self, patch: Patch, further_rad: float = 0.0) -> tuple[Plane, Plane]:
        """The normal's parts toward the body's left and its front."""
        c, s = np.float32(cos(self._yaw + further_rad)), np.float32(sin(self._yaw + further_rad))
        return patch.normal_x * c - patch.normal_z * s, patch.normal_x * s + patch.normal_z * c

    def body(self, j: Joints, head_rad: float, posture: Posture) -> None:
        look, g = self.look, self.look.girth
        sitting = posture == "sit"
        for side in (0, 1):
            self._leg(j, side, g)
        self._torso(j, g)
        if look.bottom in ("skirt", "dress") or look.top == "coat":
            self._skirt(j, g, sitting)
        for side in (0, 1):
            self._arm(j, side, g)
        self._head(j, head_rad)
        if look.bag == "backpack":
            low, high = j.pelvis * 0.62 + j.chest * 0.38, j.pelvis * 0.08 + j.chest * 0.92
            back = np.array([0.0, 0.0, -0.092 * g])
            patch = self._loft(low + back, high + back, (0.072, 0.08, 0.062), (0.042, 0.05, 0.036), 0.35)
            if patch is not None:
                self.relief.stamp(patch, _BAG, 0.10, look.texture)
        elif look.bag == "satchel" and not sitting:
            hang = j.hips[0] + np.array([0.075 * g, 0.035, 0.0])
            patch = self._loft(hang, hang + np.array([0.0, -0.10, 0.0]), (0.022, 0.026), (0.085, 0.09), 0.15)
            if patch is not None:
                self.relief.stamp(patch, _BAG, 0.08, look.texture)

    def _leg(self, j: Joints, side: int, g: float) -> None:
        look = self.look
        hip, knee, ankle, toe = j.hips[side], j.knees[side], j.ankles[side], j.toes[side]
        bare = look.bottom in ("skirt", "dress")
        material = _SKIN if bare else _BOTTOM
        fold = 0.0 if bare else 0.11
        loose = {"trousers": 1.12, "jeans": 1.04, "shorts": 1.2}.get(look.bottom, 0.94)
        thigh = (0.058 * g * loose, 0.052 * g * loose, 0.039 * loose)
        if bare:
            thigh = (0.036 * g, 0.042 * g, 0.035)  # the skirt hides it, and must not be pierced by it
        self._limb(hip, knee, thigh, material, fold, key=side + 1)
        if look.bottom in ("trousers", "jeans"):
            hem = 0.037 if look.bottom == "trousers" else 0.029
            shin = (0.039 * loose, 0.038 * loose, hem)
            self._limb(knee, ankle + np.array([0.0, 0.004, 0.0]), shin, _BOTTOM, fold, cap=0.6, key=side + 3)
        else:
            self._limb(knee, ankle, (0.034, 0.036, 0.021), _SKIN)
        heel = ankle + (ankle - toe) * np.array([0.22, 0.0, 0.22]) + np.array([0.0, -0.019, 0.0])
        self._limb(heel, toe, (0.024, 0.027, 0.019), _SHOE, cap=0.9)
        self._limb(ankle + np.array([0.0, 0.012, 0.0]), heel, (0.024, 0.024), _SHOE)

    def _torso(self, j: Joints, g: float) -> None:
        look = self.look
        puff = {"tee": 1.0, "shirt": 1.03, "jacket": 1.12, "coat": 1.14, "hoodie": 1.12}[look.top]
        slim = 0.93 if look.height_m < 1.7 else 1.0
        low = j.pelvis + np.array([0.0, -0.02, 0.0])
        w = [0.094 * g, 0.096 * g * puff, 0.084 * g * puff * slim, 0.094 * g * puff, 0.106 * puff, 0.096 * puff]
        d = [0.066 * g, 0.066 * g * puff, 0.060 * g * puff, 0.066 * g * puff, 0.068 * puff, 0.054 * puff]
        patch = self._loft(low, j.chest + np.array([0.0, -0.012, 0.0]), tuple(w), tuple(d), 0.5)
        if patch is not None:
            left, front = self._front(patch)
            self.relief.stamp(patch, self._clothing(patch, left, front), 0.13, look.texture)
        # Shoulders: from arm to arm under the neck, and the slope up to it.
        slope = 0.033 * puff
        self._limb(j.shoulders[0], j.shoulders[1], (0.029 * puff, 0.038 * puff, 0.029 * puff), _TOP, 0.1, cap=0.9)
        for side in (0, 1):
            inner = j.chest + np.array([0.0, 0.022, 0.0])
            self._limb(j.shoulders[side] * 0.75 + j.chest * 0.25, inner, (slope, 0.026), _TOP, 0.1)

    def _clothing(self, patch: Patch, left: Plane, front: Plane) -> NDArray[np.uint8]:
        """Which cloth shows where on the torso; ``along`` runs from hips to shoulders."""
        look, t = self.look, patch.along
        out = np.full(t.shape, _TOP, np.uint8)
        if look.pattern == "stripes":
            out[(t * 13 % 1) > 0.55] = _SECOND
        elif look.pattern == "check":
            out[((t * 9 % 1) > 0.7) ^ ((left * 3.5 % 1) > 0.72)] = _SECOND
        elif look.pattern == "print":
            out[(front > 0.2) & (np.abs(left) < 0.5) & (t > 0.52) & (t < 0.82)] = _SECOND
        elif look.pattern == "block":
            out[t > 0.68] = _SECOND
        ahead = front > 0.15
        if look.top in ("jacket", "coat"):
            out[ahead & (np.abs(left) < 0.10 + 0.30 * np.maximum(t - 0.35, 0)) & (t > 0.14)] = _INNER
        elif look.top == "shirt":
            out[ahead & (np.abs(left) < 0.045)] = _SECOND
        if look.top != "hoodie":
            out[ahead & (np.abs(left) < 0.30 * (t - 0.80) / 0.2)] = _SKIN
        if look.bottom not in ("dress",):
            out[t < 0.10 + 0.02 * left] = _BOTTOM
            if look.top in ("shirt", "tee") and look.texture % 3 == 0:
                out[(t < 0.21) & (t >= 0.17)] = _DARK
                out[t < 0.17] = _BOTTOM
        if look.bag == "backpack":
            out[ahead & (np.abs(left) > 0.42) & (np.abs(left) < 0.62) & (t > 0.4)] = _BAG
        elif look.bag == "satchel":
            out[ahead & (np.abs(left + (t - 0.62) * 1.5) < 0.07)] = _BAG
        return out

    def _skirt(self, j: Joints, g: float, sitting: bool) -> None:
        coat = self.look.top == "coat" and self.look.bottom not in ("skirt", "dress")
        long = 0.20 if coat else 0.27 + 0.06 * (self.look.texture % 4) / 3
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
        patch = self._loft(start, end, wide, deep, 0.12)
        if patch is None:
            return
        out = np.full(patch.along.shape, _TOP if coat or self.look.bottom == "dress" else _BOTTOM, np.uint8)
        if coat:
            left, front = self._front(patch)
            out[(front > 0.2) & (np.abs(left) < 0.12)] = _BOTTOM
        self.relief.stamp(patch, out, 0.15, self.look.texture + 77)

    def _arm(self, j: Joints, side: int, g: float) -> None:
        look = self.look
        shoulder, elbow, wrist, hand = j.shoulders[side], j.elbows[side], j.wrists[side], j.hands[side]
        puff = {"tee": 1.0, "shirt": 1.05, "jacket": 1.18, "coat": 1.2, "hoodie": 1.2}[look.top]
        if look.long_sleeves:
            self._limb(shoulder, elbow, (0.032 * puff * g, 0.030 * puff, 0.027 * puff), _TOP, 0.12, key=side + 5)
            self._limb(elbow, wrist, (0.027 * puff, 0.026 * puff, 0.021 * puff), _TOP, 0.18, cap=0.8, key=side + 7)
        else:
            self._limb(shoulder, elbow, (0.028 * g, 0.028, 0.024), _SKIN, cap=0.6)
            self._limb(shoulder, shoulder * 0.38 + elbow * 0.62, (0.0345 * g, 0.035, 0.034), _TOP, 0.12, cap=0.8)
            self._limb(elbow, wrist, (0.025, 0.0245, 0.017), _SKIN)
        self._limb(wrist, hand, (0.016, 0.022, 0.012), _SKIN)
        if self._size < _FACELESS_PX:
            return
        thumb = wrist * 0.75 + hand * 0.25 + np.array([0.0, -0.004, 0.018])
        self._limb(thumb, thumb + (hand - wrist) * 0.5, (0.008, 0.007), _SKIN)

    def _head(self, j: Joints, head_rad: float) -> None:
        look = self.look
        c, s = cos(head_rad), sin(head_rad)
        ahead, aside, up = np.array([s, 0.0, c]), np.array([c, 0.0, -s]), np.array([0.0, 1.0, 0.0])
        base = j.skull
        self._limb(j.chest + up * 0.012, base + up * 0.012, (0.034, 0.031), _SKIN, cap=0.5)
        chin, crown = base + ahead * 0.010 + up * 0.012, base + ahead * 0.012 + up * 0.094
        turned = _Painter(look, self.relief, self._yaw + head_rad, self._lift, self._size, self.origin)
        spin = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        skull = turned._loft(
            spin @ chin, spin @ crown, (0.028, 0.040, 0.045, 0.047, 0.045), (0.034, 0.047, 0.053, 0.056, 0.053), 0.72
        )
        if skull is not None:
            left, front = turned._front(skull)
            self.relief.stamp(skull, self._face(skull, left, front))
        if self._size < _FACELESS_PX:
            self._hair(turned, spin @ base)
            return
        nose = base + ahead * 0.058 + up * 0.042
        self._limb(nose + up * 0.018 - ahead * 0.006, nose, (0.006, 0.0095), _SKIN, cap=0.8)
        for k in (1, -1):
            ear = base + aside * 0.046 * k + up * 0.052 - ahead * 0.004
            if look.hair in ("short", "bald", "bun"):
                self._limb(ear + up * 0.010, ear - up * 0.010, (0.010, 0.007), _BLUSH)
        self._hair(turned, spin @ base)

    def _face(self, patch: Patch, left: Plane, front: Plane) -> NDArray[np.uint8]:
        look = self.look
        # Height on the face: 0 at the chin, 1 at the crown.
        high = np.clip((patch.along * 0.082 - patch.normal_y * 0.03 * (1 - patch.along) + 0.02) / 0.13, 0, 1)
        side = np.abs(left)
        out = np.full(left.shape, _SKIN, np.uint8)
        facing = front > 0.25
        if look.beard:
            out[(high < 0.34) & (front > -0.1) & ~(facing & (side < 0.3) & (high > 0.24))] = _BROW
        out[facing & (side < 0.30) & (np.abs(high - 0.275) < 0.026)] = _LIP
        out[facing & (side < 0.17) & (np.abs(high - 0.385) < 0.022)] = _BLUSH
        eye = facing & (np.abs(side - 0.40) < 0.15) & (np.abs(high - 0.535) < 0.032)
        out[eye] = _WHITE
        out[eye & (np.abs(side - 0.40) < 0.07)] = _EYE
        out[facing & (np.abs(side - 0.40) < 0.19) & (np.abs(high - 0.615) < 0.020)] = _BROW
        if look.glasses:
            rim = facing & (np.abs(side - 0.40) < 0.24) & (np.abs(high - 0.53) < 0.075)
            out[rim & ~(facing & (np.abs(side - 0.40) < 0.19) & (np.abs(high - 0.53) < 0.055))] = _DARK
            out[facing & (side < 0.18) & (np.abs(high - 0.555) < 0.012)] = _DARK
        if look.hair != "bald":
            line = 0.78 - 0.06 * side
            hairy = (high > line) | ((front < 0.22) & (high > 0.50)) | ((front < -0.25) & (high > 0.16))
            out[hairy] = _HAIR
        return out

    def _hair(self, turned: _Painter, base: Point) -> None:
        look = self.look
        if look.hair != "bald":
            top = base + np.array([0.0, 0.084, -0.004])
            patch = turned._loft(base + np.array([0.0, 0.068, -0.018]), top, (0.050, 0.052), (0.053, 0.056), 0.75)
            if patch is not None:
                _, front = turned._front(patch)
                keep = patch.inside & ((front < 0.42) | (patch.normal_y < -0.72))
                self.relief.stamp(_masked(patch, keep), _HAIR, 0.30, look.texture + 5)
        if look.hair in ("bob", "long"):
            low = 0.005 if look.hair == "bob" else -0.075
            patch = turned._loft(
                base + np.array([0.0, 0.075, -0.020]), base + np.array([0.0, low, -0.030]), (0.052, 0.058, 0.054), (0.046, 0.044, 0.034), 0.4
            )  # fmt: skip
            if patch is not None:
                _, front = turned._front(patch)
                self.relief.stamp(_masked(patch, patch.inside & (front < 0.55)), _HAIR, 0.34, look.texture + 9)
        elif look.hair == "bun":
            bun = base + np.array([0.0, 0.088, -0.066])
            patch = turned._loft(bun, bun + np.array([0.0, 0.012, 0.0]), (0.024, 0.024), (0.024, 0.024), 1.0)
            if patch is not None:
                self.relief.stamp(patch, _HAIR, 0.3, look.texture + 11)
        if look.hat != "none":
            low, high = base + np.array([0.0, 0.080, -0.006]), base + np.array([0.0, 0.096, -0.006])
            patch = turned._loft(low, high, (0.0545, 0.053), (0.061, 0.059), 0.8)
            if patch is not None:
                self.relief.stamp(_masked(patch, patch.inside & (patch.normal_y < 0.35)), _HAT, 0.12, look.texture)
            if look.hat != "beanie":
                reach = 0.046 if look.hat == "cap" else 0.0
                wide = 0.046 if look.hat == "cap" else 0.086
                long = 0.056 if look.hat == "cap" else 0.094
                rim = base + np.array([0.0, 0.079, reach])
                patch = turned._loft(rim, rim + np.array([0.0, 0.006, 0.0]), (wide, wide), (long, long), 0.13)
                if patch is not None:
                    self.relief.stamp(patch, _HAT, 0.05, look.texture)


def _masked(patch: Patch, inside: NDArray[np.bool_]) -> Patch:
    return Patch(
        patch.rows, patch.columns, patch.along, patch.normal_x, patch.normal_y, patch.normal_z, patch.depth, inside
    )
