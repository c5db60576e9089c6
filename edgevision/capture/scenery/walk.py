"""Who is where at any moment: routes, stops and gaits in closed form, so that any frame can be had at once."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, pi, sin

import numpy as np

from edgevision.capture.scenery.look import Look
from edgevision.capture.scenery.pose import Posture

STRIDE_HEIGHTS = 0.80
"""Two steps, in body heights."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One person at one time."""

    x_m: float
    z_m: float
    yaw_rad: float
    """0 toward the camera's plane, positive to the picture's right."""
    head_rad: float
    posture: Posture
    phase: float
    """0-1 of the stride, or of idle swaying."""


class Standing:
    """Someone who stays: stands or sits, sways a little, looks about."""

    def __init__(self, look: Look, x_m: float, z_m: float, yaw_rad: float, posture: Posture, offset_s: float) -> None:
        self.look = look
        self._where = (x_m, z_m)
        self._yaw = yaw_rad
        self._posture = posture
        self._offset_s = offset_s

    def at(self, scene_s: float) -> Moment:
        local = scene_s + self._offset_s
        # A glance is a slow wave with its middle cut out: mostly ahead, at times aside.
        wave = 1.6 * sin(local * 0.37) * sin(local * 0.23 + 1)
        head = max(abs(wave) - 0.6, 0.0) * (1 if wave > 0 else -1) * 0.8
        return Moment(*self._where, self._yaw, head, self._posture, (local / 4.2) % 1.0)


class Walking:
    """Someone who walks a closed round of straight legs and rounded corners, at a steady pace."""

    def __init__(self, look: Look, corners_m: list[tuple[float, float]], speed_m_per_s: float, offset: float) -> None:
        self.look = look
        points = _rounded(corners_m)
        steps = np.hypot(*np.diff(np.vstack([points, points[:1]]), axis=0).T)
        self._distance = np.concatenate([[0.0], np.cumsum(steps)])
        self._x = np.append(points[:, 0], points[0, 0])
        self._z = np.append(points[:, 1], points[0, 1])
        self._speed = speed_m_per_s
        self._start = offset * float(self._distance[-1])
        # A whole number of strides to the round, so that every round is stepped alike and its drawings serve again.
        strides = max(round(float(self._distance[-1]) / (STRIDE_HEIGHTS * look.height_m)), 1)
        self._stride = float(self._distance[-1]) / strides

    def _place(self, walked_m: float) -> tuple[float, float]:
        along = walked_m % float(self._distance[-1])
        x, z = np.interp(along, self._distance, self._x), np.interp(along, self._distance, self._z)
        return float(x), float(z)

    def at(self, scene_s: float) -> Moment:
        walked = self._start + scene_s * self._speed
        x, z = self._place(walked)
        (x0, z0), (x1, z1) = self._place(walked - 0.15), self._place(walked + 0.15)
        yaw = atan2(x1 - x0, z0 - z1)
        return Moment(x, z, yaw, 0.0, "walk", (walked / self._stride) % 1.0)


Actor = Standing | Walking


def _rounded(corners: list[tuple[float, float]], radius_m: float = 0.35, steps: int = 8) -> np.ndarray:
    """The closed way through ``corners`` with each corner replaced by a curve."""
    points = []
    count = len(corners)
    for k in range(count):
        before, here, after = (np.array(corners[(k + d) % count], float) for d in (-1, 0, 1))
        arms = []
        for other in (before, after):
            away = other - here
            length = max(float(np.hypot(*away)), 1e-6)
            arms.append(here + away / length * min(radius_m, length / 2))
        bend = np.linspace(0, 1, steps)
        points += [(1 - t) ** 2 * arms[0] + 2 * t * (1 - t) * here + t**2 * arms[1] for t in bend]
    return np.array(points)


def relative_yaw(moment: Moment, focal_offset: float) -> float:
    """The side of a person that the camera sees: their yaw less the direction they are seen in.

    ``focal_offset`` is x over z. In -pi to pi.
    """
    turned = moment.yaw_rad + atan2(focal_offset, 1.0)
    return (turned + pi) % (2 * pi) - pi
