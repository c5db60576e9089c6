"""The scene's camera: a pinhole over a ground plane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """A level camera, its horizon moved by a shifted lens, so that upright things stay upright.

    The world has x to the right, y up from the ground, z away from the camera, in metres.
    """

    width_px: int
    height_px: int
    focal_px: float
    horizon_px: float
    """Row of the horizon from the top."""
    camera_height_m: float

    def scale_px_per_m(self, z_m: float) -> float:
        """How large a metre at depth ``z_m`` is."""
        return self.focal_px / z_m

    def column_px(self, x_m: float, z_m: float) -> float:
        return self.width_px / 2 + self.focal_px * x_m / z_m

    def row_px(self, y_m: float, z_m: float) -> float:
        return self.horizon_px + self.focal_px * (self.camera_height_m - y_m) / z_m

    def half_width_m(self, z_m: float) -> float:
        """Half of what the picture shows across at depth ``z_m``."""
        return self.width_px / 2 * z_m / self.focal_px
