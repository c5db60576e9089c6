"""What every place of the scene tells: its picture, its light, and where people may be in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scenery.relief import Light
from edgevision.capture.scenery.view import View


@dataclass(frozen=True, slots=True)
class Spot:
    """Somewhere to stand or sit."""

    x_m: float
    z_m: float
    yaw_rad: float


@dataclass(frozen=True, slots=True)
class Ways:
    """Where people may be, in metres, clear of what stands in the place."""

    lanes_m: tuple[tuple[float, float], ...]
    """Depths (from, to) that can be walked across the view."""
    aisles_m: tuple[tuple[float, float, float, float], ...]
    """x from, x to, z from, z to: strips walked toward the camera and away."""
    half_width_m: float
    """Walls to the left and right; people walk out of the picture where it ends sooner."""
    stands: tuple[Spot, ...]
    seats: tuple[Spot, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A finished place."""

    name: str
    view: View
    pixels: NDArray[np.uint8]
    """(H + 2 margin, W + 2 margin, 3) BGR."""
    depth_cm: NDArray[np.uint16]
    """The same size: what of a figure at a depth is hidden. 65535 where nothing is."""
    margin_px: int
    light: Light
    ways: Ways
    near_m: tuple[float, float]
    """Depths at which somebody may stand before the camera, shown from the waist up."""
    shadow: float
    """How dark contact shadows are, 0-1."""
    haze_m: float
    """Depth at which the air takes away 63 % of the contrast."""
    haze_bgr: tuple[float, float, float]
