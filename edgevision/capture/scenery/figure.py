"""An articulated person drawn from a `Look` and a pose, from any side."""

from __future__ import annotations

from dataclasses import dataclass
from math import sin

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scenery import painter as p
from edgevision.capture.scenery.body import draw_body
from edgevision.capture.scenery.head import draw_head
from edgevision.capture.scenery.look import Look
from edgevision.capture.scenery.pose import Posture, joints
from edgevision.capture.scenery.relief import Light, Plane, Relief


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
    # Seen from the side, legs and arms reach out.
    reach = {"walk": 0.46, "sit": 0.56}.get(posture, 0.20) * abs(sin(yaw_rad))
    width, height = int(size_px * (0.56 + reach)) + 8, int(size_px * (1.12 + 0.6 * lift)) + 8
    painter = p.Painter(look, Relief(width, height, grain), yaw_rad, lift, size_px, (width / 2, size_px * 1.07 + 4))
    pose = joints(posture, phase)
    draw_body(painter, pose, posture)
    draw_head(painter, pose, head_rad)
    pixels = painter.relief.lit(_palette(look), light, size_px)
    x, y, w, h = cv2.boundingRect(pixels[..., 3])
    cut = np.ascontiguousarray(pixels[y : y + h, x : x + w])
    area = int(np.count_nonzero(cut[..., 3] > 127))
    return Sprite(cut, painter.origin[0] - x, painter.origin[1] - y, scale_px_per_m, area)


def _palette(look: Look) -> NDArray[np.float32]:
    skin = np.array(look.skin, np.float32)
    dark = np.array(look.hair_colour, np.float32)
    colours = np.zeros((17, 3), np.float32)
    colours[p.SKIN] = skin
    colours[p.HAIR] = dark
    colours[p.TOP] = look.top_colour
    colours[p.SECOND] = look.second_colour
    colours[p.BOTTOM] = look.bottom_colour
    colours[p.SHOE] = look.shoe_colour
    colours[p.SOLE] = np.minimum(np.array(look.shoe_colour, np.float32) * 0.5 + 20, 200)
    colours[p.BAG] = look.bag_colour
    colours[p.HAT] = look.hat_colour
    colours[p.WHITE] = (225, 222, 216)
    colours[p.EYE] = (40, 30, 26)
    colours[p.LIP] = skin * np.array([0.80, 0.58, 0.58], np.float32)
    colours[p.INNER] = look.inner_colour
    colours[p.DARK] = (24, 23, 25)
    colours[p.BLUSH] = skin * np.array([0.90, 0.78, 0.74], np.float32)
    colours[p.BROW] = dark * 0.6 + skin * 0.25
    return colours
