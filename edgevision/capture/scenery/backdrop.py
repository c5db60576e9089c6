"""Still pictures of places, cast ray by ray from planes and boxes with procedural surfaces, once for a scene.

World and camera are those of `View`. Surfaces are functions of world positions in metres; fine detail fades where a
pixel covers more of the surface than the detail measures, so that the far floor does not shimmer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scenery.look import Colour
from edgevision.capture.scenery.view import View

Plane = NDArray[np.float32]
Field = NDArray[np.floating[Any]]
"""What arithmetic on planes may have made wider."""
Surface = Callable[["Hits"], Plane]
"""Gives (..., 3) RGB 0-255 at every hit."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Where rays meet a surface: arrays of one shape."""

    u: Field
    """Metres along the surface: to the right, or away for a wall at the side."""
    v: Field
    """Metres up a wall, or away over a floor."""
    span_u: Field
    """Metres of ``u`` that one pixel covers."""
    span_v: Field


class Noise:
    """A tile of soft noise, mean 0 and deviation about 1, that repeats without a seam."""

    def __init__(self, rng: np.random.Generator, side: int = 512) -> None:
        tile = np.zeros((side, side), np.float32)
        for octave in range(2, 8):
            cells = 1 << octave
            coarse = rng.standard_normal((cells, cells)).astype(np.float32)
            padded = np.pad(coarse, 2, mode="wrap")
            step = side // cells
            large = cv2.resize(padded, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
            tile += large[2 * step : 2 * step + side, 2 * step : 2 * step + side] * np.float32(0.75**octave)
        self.tile = tile / tile.std()
        self.side = side
        self._cells = rng.random(4096).astype(np.float32)

    def at(self, u: Field, v: Field, metres: float) -> Plane:
        """Noise whose tile spans ``metres``."""
        k = np.float32(self.side / metres)
        x, y = np.mod(u * k, self.side - 1), np.mod(v * k, self.side - 1)
        shape = x.shape
        x2, y2 = (np.ascontiguousarray(np.broadcast_to(a, shape), np.float32).reshape(shape[0], -1) for a in (x, y))
        return np.asarray(cv2.remap(self.tile, x2, y2, cv2.INTER_LINEAR), np.float32).reshape(shape)

    def cell(self, column: Field, row: Field, salt: int = 0) -> Plane:
        """A number in 0-1 for every cell of a grid."""
        key = column.astype(np.int64) * 73 + row.astype(np.int64) * 1999 + salt * 911
        return np.asarray(self._cells[key & 4095], np.float32)


def seam(position: Field, period: float, width: float, span: Field) -> Plane:
    """How much of each pixel is a line of ``width`` repeated every ``period`` metres: 0-1."""
    offset = np.abs(np.mod(position + period / 2, period) - period / 2)
    wide = np.maximum(span, 1e-5)
    near = np.clip((width / 2 - offset) / wide + 0.5, 0, 1) * np.minimum(1, width / wide)
    fade = np.clip(period / wide / 3 - 0.3, 0, 1)
    return np.asarray(near * fade + (1 - fade) * min(width / period, 1.0), np.float32)


def colour(rgb: Colour, bright: Field) -> Plane:
    """``rgb`` times a brightness of any shape."""
    return np.asarray(bright[..., None] * np.array(rgb, np.float32), np.float32)


def mix(a: Field, b: Field, share: Field) -> Plane:
    return np.asarray(a + (b - a) * share[..., None], np.float32)


def one_of(rng: np.random.Generator, colours: Sequence[Colour], shift: int = 0) -> Colour:
    """One of ``colours``, made lighter or darker by up to ``shift``."""
    red, green, blue = colours[int(rng.integers(len(colours)))]
    by = int(rng.integers(-shift, shift + 1))
    return red + by, green + by, blue + by


def near(distance_m: Field, reach_m: float) -> Plane:
    """1 at a distance of nothing or less, falling off over ``reach_m``."""
    return np.asarray(np.exp(-np.maximum(distance_m, 0) / np.float32(reach_m)), np.float32)


class Backdrop:
    """A picture being built, its depth beside it. ``margin_px`` more is drawn on every side, for sway."""

    def __init__(self, view: View, margin_px: int) -> None:
        self.view = view
        self.margin_px = margin_px
        height, width = view.height_px + 2 * margin_px, view.width_px + 2 * margin_px
        self.rgb = np.zeros((height, width, 3), np.float32)
        self.depth = np.full((height, width), np.inf, np.float32)
        x = np.arange(width, dtype=np.float32) - margin_px + 0.5
        y = np.arange(height, dtype=np.float32) - margin_px + 0.5
        self.dx = ((x - view.width_px / 2) / view.focal_px)[None, :]
        self.dy = ((view.horizon_px - y) / view.focal_px)[:, None]
        # A ray exactly along a plane would divide by nothing.
        self.dx[np.abs(self.dx) < 1e-6] = 1e-6
        self.dy[np.abs(self.dy) < 1e-6] = 1e-6

    def level(self, height_m: float, surface: Surface) -> None:
        """A floor or a ceiling without end."""
        drop = np.float32(height_m - self.view.camera_height_m)
        z = drop / self.dy
        rows = np.flatnonzero((z[:, 0] > 0) & (z[:, 0] < 500))
        if not len(rows):
            return
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        z = np.broadcast_to(z[part], (len(rows), self.dx.shape[1]))
        span = z / np.float32(self.view.focal_px)
        hits = Hits(z * self.dx, z, span, z * span / abs(drop))
        self._keep(part, slice(None), z, surface(hits), z < self.depth[part])

    def facing(self, z_m: float, surface: Surface) -> None:
        """A wall across the view."""
        shape = self.depth.shape
        z = np.full(shape, z_m, np.float32)
        u = np.broadcast_to(self.dx * np.float32(z_m), shape)
        v = np.broadcast_to(self.dy * np.float32(z_m) + np.float32(self.view.camera_height_m), shape)
        span = np.full(shape, z_m / self.view.focal_px, np.float32)
        self._keep(slice(None), slice(None), z, surface(Hits(u, v, span, span)), z < self.depth)

    def side(self, x_m: float, surface: Surface) -> None:
        """A wall along the view, at ``x_m``."""
        z = np.float32(x_m) / self.dx
        columns = np.flatnonzero((z[0] > 0) & (z[0] < 500))
        if not len(columns):
            return
        part = slice(int(columns[0]), int(columns[-1]) + 1)
        z = np.broadcast_to(z[:, part], (self.depth.shape[0], len(columns)))
        span = z / np.float32(self.view.focal_px)
        hits = Hits(z, self.dy * z + np.float32(self.view.camera_height_m), z * span / abs(x_m), span)
        self._keep(slice(None), part, z, surface(hits), z < self.depth[:, part])

    def box(
        self,
        x_m: tuple[float, float],
        y_m: tuple[float, float],
        z_m: tuple[float, float],
        surface: Surface,
        side_shade: float = 0.72,
        top_shade: float = 1.12,
    ) -> None:
        """A box; ``surface`` clothes each face, ``u`` across or away and ``v`` up or away."""
        view, m = self.view, self.margin_px
        columns = [view.column_px(x, z) + m for x in x_m for z in z_m]
        rows = [view.row_px(y, z) + m for y in y_m for z in z_m]
        part_x = slice(max(int(min(columns)) - 1, 0), max(int(max(columns)) + 2, 0))
        part_y = slice(max(int(min(rows)) - 1, 0), max(int(max(rows)) + 2, 0))
        dx, dy = self.dx[:, part_x], self.dy[part_y]
        if dx.size == 0 or dy.size == 0:
            return
        tx = (np.float32(x_m[0]) / dx, np.float32(x_m[1]) / dx)
        base = np.float32(view.camera_height_m)
        ty = ((np.float32(y_m[0]) - base) / dy, (np.float32(y_m[1]) - base) / dy)
        in_x, out_x = np.minimum(*tx), np.maximum(*tx)
        in_y, out_y = np.minimum(*ty), np.maximum(*ty)
        z = np.maximum(np.maximum(in_x, in_y), np.float32(z_m[0]))
        leave = np.minimum(np.minimum(out_x, out_y), np.float32(z_m[1]))
        hit = (z < leave) & (z > 0.05) & (z < self.depth[part_y, part_x])
        if not hit.any():
            return
        in_x, in_y = np.broadcast_to(in_x, z.shape), np.broadcast_to(in_y, z.shape)
        on_front = z <= np.float32(z_m[0] + 1e-4)
        on_side = ~on_front & (in_x >= in_y)
        x, y = dx * z, dy * z + base
        u = np.where(on_side, z, x).astype(np.float32)
        v = np.where(on_front | on_side, y, z).astype(np.float32)
        span = z / np.float32(view.focal_px)
        picture = surface(Hits(u, v, span, span))
        shade = np.where(on_front, 1.0, np.where(on_side, side_shade, top_shade)).astype(np.float32)
        self._keep(part_y, part_x, z, picture * shade[..., None], hit)

    def billboard(self, picture: NDArray[np.uint8], x_m: float, y_m: float, z_m: float, height_m: float) -> None:
        """A cut-out (H, W, 4) RGB and alpha standing with its foot's middle at ``x_m``, ``y_m``."""
        view, m = self.view, self.margin_px
        scale = height_m * view.scale_px_per_m(z_m) / picture.shape[0]
        wide, high = max(int(picture.shape[1] * scale), 1), max(int(picture.shape[0] * scale), 1)
        shrunk = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        left = int(view.column_px(x_m, z_m) + m - wide / 2)
        top = int(view.row_px(y_m, z_m) + m - high)
        height, width = self.depth.shape
        x0, x1, y0, y1 = max(left, 0), min(left + wide, width), max(top, 0), min(top + high, height)
        if x0 >= x1 or y0 >= y1:
            return
        cut = shrunk[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
        rows, columns = slice(y0, y1), slice(x0, x1)
        alpha = cut[..., 3] / 255 * (z_m < self.depth[rows, columns])
        self.rgb[rows, columns] = mix(self.rgb[rows, columns], cut[..., :3], np.asarray(alpha, np.float32))
        self.depth[rows, columns][alpha > 0.5] = z_m

    def darken_floor(self, x_m: tuple[float, float], z_m: tuple[float, float], soft_m: float, share: float) -> None:
        """The soft shadow of something standing on the ground over ``x_m`` by ``z_m``."""
        z = np.float32(-self.view.camera_height_m) / self.dy
        rows = np.flatnonzero((z[:, 0] > max(z_m[0] - 3 * soft_m, 0.1)) & (z[:, 0] < z_m[1] + 3 * soft_m))
        if not len(rows):
            return
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        z = z[part]
        x = z * self.dx
        away_x = np.maximum(np.maximum(x_m[0] - x, x - x_m[1]), 0)
        away_z = np.maximum(np.maximum(z_m[0] - z, z - z_m[1]), 0)
        dark = np.exp(-(away_x**2 + away_z**2) / np.float32(soft_m**2)) * np.float32(share)
        ground = np.abs(self.depth[part] - z) < 1e-3
        self.rgb[part] *= (1 - dark * ground)[..., None]

    def finished(self, vignette: float, soft_px: float) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """The picture (H, W, 3) BGR and its depth (H, W) in centimetres, 65535 where there is none."""
        height, width = self.depth.shape
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)[None]
        picture = self.rgb * (1 - vignette * (x * x + y * y) ** 1.3)[..., None]
        softened = cv2.GaussianBlur(np.clip(picture, 0, 252), (0, 0), soft_px)
        # The ground hides nobody: what stands on it is drawn over it.
        floor_z = np.float32(-self.view.camera_height_m) / self.dy
        ground = np.abs(self.depth - floor_z) < 1e-3
        centimetres = np.where(ground, 65535, np.minimum(self.depth * 100, 65535)).astype(np.uint16)
        return np.ascontiguousarray(softened[..., ::-1] + 0.5).astype(np.uint8), centimetres

    def _keep(self, rows: slice, columns: slice, z: Plane, picture: Plane, where: NDArray[np.bool_]) -> None:
        np.copyto(self.rgb[rows, columns], picture, where=where[..., None])
        np.copyto(self.depth[rows, columns], z, where=where)
