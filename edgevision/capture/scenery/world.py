"""A place with people in it, drawn frame by frame: the picture, and the boxes that are true of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, floor, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scenery.backdrop import Noise
from edgevision.capture.scenery.cast import cast
from edgevision.capture.scenery.figure import Sprite, draw_figure
from edgevision.capture.scenery.hall import hall
from edgevision.capture.scenery.office import office
from edgevision.capture.scenery.place import Place
from edgevision.capture.scenery.street import street
from edgevision.capture.scenery.walk import Moment, relative_yaw
from edgevision.types import Detections

PLACES: dict[str, Callable[[int, int, int, np.random.Generator], Place]] = {
    "hall": hall,
    "street": street,
    "office": office,
}

SCENE_FPS = 30.0
"""One frame is 1/30 s of the scene's time, whatever the rate it is served at."""
LEAST_VISIBLE = 0.15
"""A person who shows less than this share is no truth."""

_LEVELS_PX_PER_M = (10.0, 16.0, 25.0, 40.0, 64.0, 100.0, 160.0, 230.0, 330.0)
_FINEST_SHRUNK = 64.0
"""Figures smaller than this are drawn at it and shrunk: a face of three pixels cannot be painted."""
_FINEST_MOVING = 160.0
"""Of walkers in a picture 720 px high: new drawings are wanted all the time, and nobody sees more in motion."""
_YAW_STEPS, _STRIDE_STEPS, _IDLE_STEPS = 24, 24, 8
_HEAD_STEP_RAD, _LIFT_STEP = 0.15, 0.06
_CACHE_BYTES = 96 << 20
_NOISE_MEAN = 12
_REACH_M = 1.0
"""No part of anybody is farther aside from where they stand."""

_Key = tuple[int, str, int, int, int, int, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """Which pixels of the picture are one person's."""

    left_px: int
    top_px: int
    mask: NDArray[np.uint8]
    whole_px: float
    """How many there would be with nothing in front and no edge of the picture."""


class World:
    """The scene of a seed. Draws any frame, in any order; the same frame is always the same pixels.

    Not safe to draw from two threads at once: figures drawn lately are kept for the next frame.
    """

    def __init__(self, seed: int, people: int, size_wh: tuple[int, int], place: str | None = None) -> None:
        width, height = size_wh
        names = tuple(PLACES)
        self.name = place or names[(seed - 1) % len(names)]
        margin = max(width // 160, 2)
        self.place = PLACES[self.name](width, height, margin, np.random.default_rng([seed, 0]))
        self.cast = cast(self.place, people, seed)
        self.size_wh = size_wh
        self._seed = seed
        enough = _FINEST_MOVING * max(height / 720, 1)
        self._finest_moving = max(s for s in _LEVELS_PX_PER_M if s <= enough)
        noise_rng = np.random.default_rng([seed, 3])
        self._grain = Noise(noise_rng, 1024).tile
        speckle = noise_rng.normal(_NOISE_MEAN, 2.4, (height + 61, width + 67, 3))
        self._speckle = np.clip(np.rint(speckle), 0, 255).astype(np.uint8)
        self._shadow = _soft_ellipse(self.place.shadow)
        self._sprites: OrderedDict[_Key, Sprite] = OrderedDict()
        self._kept_bytes = 0

    def draw(self, index: int) -> tuple[NDArray[np.uint8], Detections]:
        """Frame ``index``: pixels (H, W, 3) BGR, and the visible people, nearest first, score 1, class 0.

        A box is tight around what can be seen of a person, as annotators draw it.
        """
        scene_s = index / SCENE_FPS
        margin = self.place.margin_px
        drift_x = round(margin * 0.35 * (sin(0.29 * scene_s) + 0.5 * sin(0.83 * scene_s + 1)))
        drift_y = round(margin * 0.25 * (sin(0.37 * scene_s + 2) + 0.5 * sin(0.71 * scene_s)))
        x0, y0 = margin + drift_x, margin + drift_y
        width, height = self.size_wh
        here = (slice(y0, y0 + height), slice(x0, x0 + width))
        picture = self.place.pixels[here].copy()
        depth = self.place.depth_cm[here]
        moments = [(number, actor.at(scene_s)) for number, actor in enumerate(self.cast)]
        moments.sort(key=lambda pair: -pair[1].z_m)
        for _, moment in moments:
            self._cast_shadow(picture, depth, moment, drift_x, drift_y)
        drawn = [self._draw_person(picture, depth, number, m, drift_x, drift_y) for number, m in moments]
        self._expose(picture, scene_s, index)
        return picture, _truth([d for d in drawn if d is not None])

    def _expose(self, picture: NDArray[np.uint8], scene_s: float, index: int) -> None:
        """Light that comes and goes slowly, and the sensor's noise, in place."""
        gain = 1 + 0.05 * sin(2 * pi * scene_s / 23) + 0.025 * sin(2 * pi * scene_s / 7.3 + self._seed)
        rng = np.random.default_rng([self._seed, 4, index])
        dy, dx = int(rng.integers(61)), int(rng.integers(67))
        height, width = picture.shape[:2]
        speckle = self._speckle[dy : dy + height, dx : dx + width]
        cv2.addWeighted(picture, gain, speckle, 1.0, -_NOISE_MEAN, dst=picture)

    def _cast_shadow(
        self, picture: NDArray[np.uint8], depth: NDArray[np.uint16], moment: Moment, drift_x: int, drift_y: int
    ) -> None:
        view = self.place.view
        scale = view.scale_px_per_m(moment.z_m)
        steep = view.camera_height_m / moment.z_m
        wide, high = int(1.15 * scale), int(0.85 * scale * steep) + 1
        left = round(view.column_px(moment.x_m, moment.z_m) - drift_x - wide / 2)
        top = round(view.row_px(0, moment.z_m) - drift_y - high * 0.5)
        part = _overlap(left, top, wide, high, picture)
        if part is None:
            return
        rows, columns = part
        whole = cv2.resize(self._shadow, (wide, high), interpolation=cv2.INTER_LINEAR)
        dark = whole[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        # What stands nearer stays unshaded.
        hidden = depth[rows, columns] < np.uint16(moment.z_m * 100)
        if hidden.any():
            dark = np.where(hidden, np.uint8(255), dark)
        target = picture[rows, columns]
        picture[rows, columns] = cv2.multiply(target, cv2.merge((dark, dark, dark)), scale=1 / 255)

    def _draw_person(
        self,
        picture: NDArray[np.uint8],
        depth: NDArray[np.uint16],
        number: int,
        moment: Moment,
        drift_x: int,
        drift_y: int,
    ) -> _Drawn | None:
        view = self.place.view
        scale = view.scale_px_per_m(moment.z_m)
        column = view.column_px(moment.x_m, moment.z_m) - drift_x
        if abs(column - view.width_px / 2) > view.width_px / 2 + _REACH_M * scale:
            return None
        sprite = self._sprite(number, moment, scale)
        ratio = scale / sprite.scale_px_per_m
        left = column - sprite.foot_x_px * ratio
        top = view.row_px(0, moment.z_m) - drift_y - sprite.foot_y_px * ratio
        high, wide = sprite.pixels.shape[:2]
        part = _overlap(floor(left), floor(top), int(wide * ratio) + 2, int(high * ratio) + 2, picture)
        if part is None:
            return None
        rows, columns = part
        centre = (ratio - 1) / 2  # Pixel centres, not corners, are what is moved.
        matrix = np.array([[ratio, 0, left - columns.start + centre], [0, ratio, top - rows.start + centre]])
        size = (columns.stop - columns.start, rows.stop - rows.start)
        figure = cv2.warpAffine(sprite.pixels, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
        behind = np.uint16(moment.z_m * 100)
        before = depth[rows, columns]
        if before.min() < behind:
            figure *= (before >= behind)[..., None]
        alpha = figure[..., 3]
        target = picture[rows, columns]
        clear = cv2.bitwise_not(alpha)
        kept = cv2.multiply(target, cv2.merge((clear, clear, clear)), scale=1 / 255)
        picture[rows, columns] = cv2.add(kept, cv2.cvtColor(figure, cv2.COLOR_BGRA2BGR))
        mask = (alpha > 127).view(np.uint8)
        return _Drawn(columns.start, rows.start, mask, sprite.area_px * ratio * ratio)

    def _sprite(self, number: int, moment: Moment, scale: float) -> Sprite:
        """The figure as it is now, from those drawn lately where it is among them."""
        view = self.place.view
        moving = moment.posture == "walk"
        steps = _STRIDE_STEPS if moving else _IDLE_STEPS
        level = next((s for s in _LEVELS_PX_PER_M if s >= scale), _LEVELS_PX_PER_M[-1])
        if moving:
            level = min(level, self._finest_moving)
        # From where it is seen matters little to a walker's look, and would ask for new drawings all along the way.
        yaw = moment.yaw_rad if moving else relative_yaw(moment, moment.x_m / moment.z_m)
        lift = min(max((view.camera_height_m - 0.9) / moment.z_m, 0.0), 0.5)
        key = (
            number,
            moment.posture,
            int(moment.phase * steps) % steps,
            round(yaw / (2 * pi) * _YAW_STEPS) % _YAW_STEPS,
            round(moment.head_rad / _HEAD_STEP_RAD),
            round(lift / _LIFT_STEP),
            level,
        )
        found = self._sprites.get(key)
        if found is not None:
            self._sprites.move_to_end(key)
            return found
        finest = max(level, _FINEST_SHRUNK)
        sprite = draw_figure(
            self.cast[number].look,
            moment.posture,
            (key[2] + 0.5) / steps,
            key[3] * 2 * pi / _YAW_STEPS,
            key[4] * _HEAD_STEP_RAD,
            key[5] * _LIFT_STEP,
            finest,
            self.place.light,
            self._grain,
        )
        if level < finest:
            sprite = _shrunk(sprite, level)
        haze = 1 - exp(-view.focal_px / level / self.place.haze_m)
        sprite = _hazed(sprite, haze, self.place.haze_bgr)
        self._sprites[key] = sprite
        self._kept_bytes += sprite.pixels.nbytes
        while self._kept_bytes > _CACHE_BYTES:
            _, oldest = self._sprites.popitem(last=False)
            self._kept_bytes -= oldest.pixels.nbytes
        return sprite


def _shrunk(sprite: Sprite, level: float) -> Sprite:
    ratio = level / sprite.scale_px_per_m
    high, wide = sprite.pixels.shape[:2]
    size = max(round(wide * ratio), 1), max(round(high * ratio), 1)
    small = cv2.resize(sprite.pixels, size, interpolation=cv2.INTER_AREA)
    area = max(int(np.count_nonzero(small[..., 3] > 127)), 1)
    foot_x, foot_y = sprite.foot_x_px * size[0] / wide, sprite.foot_y_px * size[1] / high
    return Sprite(np.asarray(small, np.uint8), foot_x, foot_y, level, area)


def _hazed(sprite: Sprite, share: float, haze_bgr: tuple[float, float, float]) -> Sprite:
    if share < 0.02:
        return sprite
    alpha = sprite.pixels[..., 3:].astype(np.float32)
    air = alpha / 255 * np.array(haze_bgr, np.float32)
    mixed = sprite.pixels[..., :3] * (1 - share) + air * share
    pixels = np.dstack([mixed + 0.5, alpha]).astype(np.uint8)
    return Sprite(pixels, sprite.foot_x_px, sprite.foot_y_px, sprite.scale_px_per_m, sprite.area_px)


def _soft_ellipse(dark: float) -> NDArray[np.uint8]:
    """What light a contact shadow leaves, (64, 128) uint8, 255 all of it."""
    y, x = np.mgrid[-1:1:64j, -1:1:128j]
    share = np.clip(1 - (x * x + y * y), 0, 1) ** 1.6
    return np.asarray(255 * (1 - dark * share), np.uint8)


def _overlap(left: int, top: int, wide: int, high: int, picture: NDArray[np.uint8]) -> tuple[slice, slice] | None:
    """Rows and columns of the picture under a rectangle, or None outside."""
    height, width = picture.shape[:2]
    rows = slice(max(top, 0), min(top + high, height))
    columns = slice(max(left, 0), min(left + wide, width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    return rows, columns


def _truth(drawn: list[_Drawn]) -> Detections:
    """Boxes of what is left of each person (given farthest first) by those before them; nearest first."""
    boxes = []
    for k, person in enumerate(drawn):
        mask = person.mask
        height, width = mask.shape
        for other in drawn[k + 1 :]:
            x, y = other.left_px - person.left_px, other.top_px - person.top_px
            x0, x1 = max(x, 0), min(x + other.mask.shape[1], width)
            y0, y1 = max(y, 0), min(y + other.mask.shape[0], height)
            if x0 < x1 and y0 < y1:
                mask[y0:y1, x0:x1] &= other.mask[y0 - y : y1 - y, x0 - x : x1 - x] ^ 1
        seen = cv2.countNonZero(mask)
        if seen < LEAST_VISIBLE * person.whole_px or seen == 0:
            continue
        x, y, w, h = cv2.boundingRect(mask)
        x, y = x + person.left_px, y + person.top_px
        boxes.append((x, y, x + w, y + h))
    boxes.reverse()
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4), np.ones(count, np.float32), np.zeros(count, np.int64)
    )
