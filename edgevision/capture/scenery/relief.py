"""A picture in relief: tapered bodies stamped into a depth map, then lit.

Each body is the silhouette of a lofted ellipse along a line, seen in parallel projection, with the depth and the
normal of every pixel. The nearest wins. Lighting reads the finished normals, so that limbs are round, folds and
creases show, and everything is anti-aliased by its coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Field = NDArray[np.floating[Any]]
"""What arithmetic on planes may, to the type checker, have made wider."""
_FAR = np.float32(-1e6)
_BATCH = 8192


@dataclass(frozen=True, slots=True)
class Patch:
    """The pixels one body covers, before depth decides: all (h, w)."""

    rows: slice
    columns: slice
    along: Plane
    """0 at the body's start, 1 at its end; beyond the ends clamped."""
    normal_x: Field
    normal_y: Field
    normal_z: Plane
    depth: Plane
    inside: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Light:
    """What falls on the figures, in view space (x right, y down, z to the camera)."""

    direction: tuple[float, float, float]
    """Unit vector toward the key light."""
    key_rgb: tuple[float, float, float]
    sky_rgb: tuple[float, float, float]
    """From above and around."""
    ground_rgb: tuple[float, float, float]
    """Thrown back from below."""


class Relief:
    """A depth map of ``height_px`` by ``width_px`` that bodies are stamped into."""

    def __init__(self, width_px: int, height_px: int, grain: Plane) -> None:
        shape = (height_px, width_px)
        self.depth = np.full(shape, _FAR, np.float32)
        self.normal_x = np.zeros(shape, np.float32)
        self.normal_y = np.zeros(shape, np.float32)
        self.fold = np.zeros(shape, np.float32)
        self.material = np.zeros(shape, np.uint8)
        self._grain = grain
        self._columns = np.arange(width_px, dtype=np.float32)
        self._rows = np.arange(height_px, dtype=np.float32)[:, None]

    def patch(
        self,
        start: tuple[float, float, float],
        end: tuple[float, float, float],
        widths_px: Sequence[float],
        depths_px: Sequence[float],
        cap: float = 1.0,
    ) -> Patch | None:
        """The silhouette of a body from ``start`` to ``end`` (x, y, depth; px), or None outside the picture.

        ``widths_px`` are half-widths at equal steps along it and ``depths_px`` half-depths; ``cap`` is how far its
        rounded ends reach beyond, in half-widths.
        """
        (ax, ay, az), (bx, by, bz) = start, end
        dx, dy = bx - ax, by - ay
        length = max(float(np.hypot(dx, dy)), 1e-3)
        ux, uy = (dx / length, dy / length) if length > 1e-2 else (0.0, 1.0)
        pad = max(widths_px) * max(1.0, cap) + 1
        height, width = self.depth.shape
        x0, x1 = max(int(min(ax, bx) - pad), 0), min(int(max(ax, bx) + pad) + 2, width)
        y0, y1 = max(int(min(ay, by) - pad), 0), min(int(max(ay, by) + pad) + 2, height)
        if x0 >= x1 or y0 >= y1:
            return None
        x = self._columns[x0:x1] - np.float32(ax)
        y = self._rows[y0:y1] - np.float32(ay)
        u = x * np.float32(ux) + y * np.float32(uy)
        v = y * np.float32(ux) - x * np.float32(uy)
        u *= np.float32(1 / length)
        along = np.maximum(u, 0)
        np.minimum(along, 1, out=along)
        half = _profile(widths_px, along)
        # Round bodies are as deep as they are wide.
        deep = half if depths_px is widths_px else _profile(depths_px, along)
        inverse = np.reciprocal(half)
        v *= inverse
        u -= along
        u *= inverse
        u *= np.float32(length / cap)
        q = v * v
        q += u * u
        inside = q < 1
        np.subtract(1, q, out=q)
        np.maximum(q, 0, out=q)
        nz = np.sqrt(q, out=q)
        depth = nz * deep
        depth += along * np.float32(bz - az)
        depth += np.float32(az)
        return Patch(
            slice(y0, y1),
            slice(x0, x1),
            along,
            u * np.float32(ux) - v * np.float32(uy),
            u * np.float32(uy) + v * np.float32(ux),
            nz,
            depth,
            inside,
        )

    def stamp(self, patch: Patch, material: int | NDArray[np.uint8], fold: float = 0.0, offset: int = 0) -> None:
        """Keep ``patch`` where it is nearer than what stands. ``fold`` is how creased its cloth is."""
        here = (patch.rows, patch.columns)
        wins = patch.inside & (patch.depth > self.depth[here])
        if not wins.any():
            return
        np.copyto(self.depth[here], patch.depth, where=wins)
        np.copyto(self.normal_x[here], patch.normal_x, where=wins)
        np.copyto(self.normal_y[here], patch.normal_y, where=wins)
        np.copyto(self.material[here], material, where=wins)
        if fold:
            height, width = wins.shape
            span = self._grain.shape[0]
            oy, ox = offset % max(span - height, 1), (offset * 7919) % max(span - width, 1)
            np.copyto(self.fold[here], self._grain[oy : oy + height, ox : ox + width] * np.float32(fold), where=wins)
        else:
            np.copyto(self.fold[here], np.float32(0), where=wins)

    def lit(self, palette: NDArray[np.float32], light: Light, scale_px: float) -> NDArray[np.uint8]:
        """The picture (H, W, 4), blue, green, red premultiplied by alpha, of materials coloured by ``palette``
        (K, 3) RGB 0-255. ``scale_px`` is the height of the figure, which sets how far creases soften."""
        x, y, w, h = cv2.boundingRect(self.material)
        margin = 2
        rows = slice(max(y - margin, 0), y + h + margin)
        columns = slice(max(x - margin, 0), x + w + margin)
        out = np.zeros((*self.material.shape, 4), np.uint8)
        material = self.material[rows, columns]
        covered = material > 0
        mask = covered.astype(np.float32)
        soft = int(scale_px * 0.012) | 1
        nx = np.asarray(cv2.blur(self.normal_x[rows, columns], (soft, soft)), np.float32)
        ny = np.asarray(cv2.blur(self.normal_y[rows, columns], (soft, soft)), np.float32)
        fold = self.fold[rows, columns]
        # Folds bend the surface: their slope is kept the same for every size of figure.
        steep = scale_px / 700
        nx += np.asarray(cv2.Sobel(fold, cv2.CV_32F, 1, 0, ksize=3, scale=steep), np.float32)
        ny += np.asarray(cv2.Sobel(fold, cv2.CV_32F, 0, 1, ksize=3, scale=steep), np.float32)
        # What lies behind its surroundings is darker: armpits, between the legs, under the chin.
        reach = int(scale_px * 0.05) | 1
        depth = np.where(covered, self.depth[rows, columns], np.float32(0))
        weight = cv2.blur(mask, (reach, reach))
        mean = cv2.blur(depth, (reach, reach))
        # From here on only the figure's own pixels, some at a time: what fits the processor's cache is quickest.
        at = np.flatnonzero(covered)
        colours = np.full((len(at), 4), 255, np.uint8)
        floats = [np.asarray(plane, np.float32).ravel() for plane in (nx, ny, mean, weight, depth, fold)]
        materials = material.ravel()
        for first in range(0, len(at), _BATCH):
            some = at[first : first + _BATCH]
            x1, y1, mean1, weight1, depth1, fold1 = (plane.take(some) for plane in floats)
            which = materials.take(some)
            hollow = (mean1 / weight1 - depth1) * np.float32(8.0 / scale_px)
            clear = (1 - np.minimum(np.maximum(hollow, 0), 0.55)) * (1 + fold1 * np.float32(0.35))
            key = _key_light(x1, y1, light.direction)
            up = 0.5 - 0.5 * y1
            for channel in range(3):
                rgb = 2 - channel
                sky, ground = light.sky_rgb[rgb], light.ground_rgb[rgb]
                shade = key * np.float32(light.key_rgb[rgb])
                shade += up * np.float32(sky - ground)
                shade += np.float32(ground)
                shade *= clear
                shade *= palette[:, rgb].take(which)
                colours[first : first + _BATCH, channel] = np.minimum(shade, 250)
        picture = np.zeros((*material.shape, 4), np.uint8)
        picture.reshape(-1, 4)[at] = colours
        out[rows, columns] = cv2.GaussianBlur(picture, (3, 3), 0)
        return out


def _key_light(normal_x: Plane, normal_y: Plane, direction: tuple[float, float, float]) -> Plane:
    """How squarely light from ``direction`` falls on each pixel: 0-1."""
    x, y, z = (np.float32(part) for part in direction)
    toward = np.sqrt(np.maximum(1 - normal_x * normal_x - normal_y * normal_y, np.float32(0.02)))
    return np.maximum(normal_x * x + normal_y * y + toward * z, 0)


def _profile(radii: Sequence[float], along: Plane) -> Plane:
    """Radii at equal steps, read at ``along``: a line through two, a parabola through three, else piecewise."""
    if len(radii) == 2:
        out = along * np.float32(radii[1] - radii[0])
    elif len(radii) == 3:
        a, b, c = radii
        out = along * np.float32(2 * (a - 2 * b + c))
        out += np.float32(-3 * a + 4 * b - c)
        out *= along
    else:
        knots = [k / (len(radii) - 1) for k in range(len(radii))]
        return np.interp(along, knots, radii).astype(np.float32)
    out += np.float32(radii[0])
    return out
