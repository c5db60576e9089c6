"""The pen that figures are drawn with: bodies given in body heights, stamped into a `Relief` from one side."""

from __future__ import annotations

from math import cos, sin, sqrt

import numpy as np

from edgevision.capture.scenery.look import Look
from edgevision.capture.scenery.pose import Point
from edgevision.capture.scenery.relief import Patch, Plane, Relief

# Materials, by the row of the palette that colours them; 0 is nothing.
(SKIN, HAIR, TOP, SECOND, BOTTOM, SHOE, SOLE, BAG, HAT, WHITE, EYE, LIP, INNER, DARK, BLUSH, BROW) = range(1, 17)

FACELESS_PX = 200
"""Figures less tall than this show neither nose, ears nor thumbs."""


class Painter:
    """One person seen from one side."""

    def __init__(
        self, look: Look, relief: Relief, yaw_rad: float, lift: float, size_px: float, origin: tuple[float, float]
    ) -> None:
        """``origin`` is the column and row of the ground under the pelvis, ``size_px`` the body's height."""
        self.look = look
        self.relief = relief
        self.origin = origin
        self.size_px = size_px
        self._cos, self._sin = cos(yaw_rad), sin(yaw_rad)
        self._yaw_rad = yaw_rad
        self._lift = lift

    def turned(self, further_rad: float) -> Painter:
        """The same, for a part that is turned about the upright axis."""
        return Painter(self.look, self.relief, self._yaw_rad + further_rad, self._lift, self.size_px, self.origin)

    def at(self, point: Point) -> tuple[float, float, float]:
        """Sprite column, row and nearness of a point in body heights."""
        x, y, z = float(point[0]), float(point[1]), float(point[2])
        across = x * self._cos + z * self._sin
        near = z * self._cos - x * self._sin
        row = self.origin[1] - (y - self._lift * near) * self.size_px
        return self.origin[0] + across * self.size_px, row, (near + 0.4 * self._lift * y) * self.size_px

    def loft(
        self, start: Point, end: Point, widths: tuple[float, ...], depths: tuple[float, ...], cap: float
    ) -> Patch | None:
        """A body of elliptic section, ``widths`` to its sides and ``depths`` to its front, in body heights."""
        c2, s2 = self._cos**2, self._sin**2
        across = [sqrt(w * w * c2 + d * d * s2) * self.size_px for w, d in zip(widths, depths, strict=True)]
        toward = [sqrt(w * w * s2 + d * d * c2) * self.size_px for w, d in zip(widths, depths, strict=True)]
        return self.relief.patch(self.at(start), self.at(end), across, toward, cap)

    def limb(
        self,
        start: Point,
        end: Point,
        radii: tuple[float, ...],
        material: int,
        fold: float = 0.0,
        cap: float = 1.0,
        key: int = 0,
    ) -> None:
        sizes = [r * self.size_px for r in radii]
        patch = self.relief.patch(self.at(start), self.at(end), sizes, sizes, cap)
        if patch is not None:
            self.relief.stamp(patch, material, fold, self.look.texture + key * 131)

    def front_of(self, patch: Patch) -> tuple[Plane, Plane]:
        """The normal's parts toward the body's left and its front."""
        c, s = np.float32(self._cos), np.float32(self._sin)
        return patch.normal_x * c - patch.normal_z * s, patch.normal_x * s + patch.normal_z * c
