"""Training images made from stored ones: mosaic, crop and scale, mirror, light, blur.

All on uint8 BGR with OpenCV, one warp an image: on a CPU the trainer must not wait for its pictures.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.distill.recipe import Augmentation

Image = NDArray[np.uint8]
Labels = NDArray[np.float32]
"""(M, 6): class, x1, y1, x2, y2 in pixels, weight."""

PAD = 114
SMALLEST_PX = 3.0
_USUAL = Augmentation()


def place(
    canvas: Image,
    image: Image,
    labels: Labels,
    scale_xy: tuple[float, float],
    corner: tuple[float, float],
    window: tuple[int, int, int, int],
    mirror: bool,
) -> Labels:
    """Warp ``image`` into the ``window`` (x1, y1, x2, y2) of ``canvas`` and return its labels there.

    ``corner`` is where the image's top-left comes to lie, in canvas pixels.
    """
    x1, y1, x2, y2 = window
    width = image.shape[1]
    sx, sy = scale_xy
    matrix = np.array([[sx, 0, corner[0] - x1], [0, sy, corner[1] - y1]], np.float32)
    if mirror:
        matrix[0] = [-sx, 0, corner[0] - x1 + sx * width]
    view = cv2.warpAffine(
        image,
        matrix,
        (x2 - x1, y2 - y1),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PAD, PAD, PAD),
    )
    canvas[y1:y2, x1:x2] = view
    if not len(labels):
        return labels
    moved = labels.copy()
    xs = labels[:, [1, 3]]
    if mirror:
        xs = width - xs[:, ::-1]
    moved[:, [1, 3]] = xs * sx + corner[0]
    moved[:, [2, 4]] = labels[:, [2, 4]] * sy + corner[1]
    area = (moved[:, 3] - moved[:, 1]) * (moved[:, 4] - moved[:, 2])
    moved[:, [1, 3]] = moved[:, [1, 3]].clip(x1, x2)
    moved[:, [2, 4]] = moved[:, [2, 4]].clip(y1, y2)
    w, h = moved[:, 3] - moved[:, 1], moved[:, 4] - moved[:, 2]
    visible = w * h / np.maximum(area, 1e-6)
    # A sliver of a person teaches nothing, but calling it background would teach the wrong thing.
    moved[visible < 0.2, 5] = 0
    return moved[(w > 1) & (h > 1)]


def mosaic(
    pictures: list[tuple[Image, Labels]],
    size_wh: tuple[int, int],
    rng: np.random.Generator,
    how: Augmentation = _USUAL,
) -> tuple[Image, Labels]:
    """Four pictures around a random centre."""
    width, height = size_wh
    canvas = np.full((height, width, 3), PAD, np.uint8)
    cx = int(width * rng.uniform(0.3, 0.7))
    cy = int(height * rng.uniform(0.3, 0.7))
    windows = ((0, 0, cx, cy), (cx, 0, width, cy), (0, cy, cx, height), (cx, cy, width, height))
    found = []
    for (image, labels), window in zip(pictures, windows, strict=True):
        ww, wh = window[2] - window[0], window[3] - window[1]
        h, w = image.shape[:2]
        scale = max(ww / w, wh / h) * np.exp(rng.uniform(*np.log(how.mosaic_scale)))
        stretch = np.exp(rng.uniform(-how.stretch, how.stretch))
        sx, sy = scale * stretch, scale / stretch
        slack_x, slack_y = ww - w * sx, wh - h * sy
        corner = (window[0] + slack_x * rng.random(), window[1] + slack_y * rng.random())
        found.append(place(canvas, image, labels, (sx, sy), corner, window, rng.random() < how.mirror))
    return canvas, np.concatenate(found)


def single(
    picture: tuple[Image, Labels],
    size_wh: tuple[int, int],
    rng: np.random.Generator | None,
    how: Augmentation = _USUAL,
) -> tuple[Image, Labels]:
    """One picture, letterboxed; with ``rng``, at a random scale and place."""
    image, labels = picture
    width, height = size_wh
    canvas = np.full((height, width, 3), PAD, np.uint8)
    h, w = image.shape[:2]
    fit = min(width / w, height / h)
    if rng is None:
        corner = ((width - w * fit) / 2, (height - h * fit) / 2)
        return canvas, place(canvas, image, labels, (fit, fit), corner, (0, 0, width, height), False)
    scale = fit * np.exp(rng.uniform(*np.log(how.single_scale)))
    stretch = np.exp(rng.uniform(-how.stretch, how.stretch))
    sx, sy = scale * stretch, scale / stretch
    corner = ((width - w * sx) * rng.random(), (height - h * sy) * rng.random())
    mirror = rng.random() < how.mirror
    return canvas, place(canvas, image, labels, (sx, sy), corner, (0, 0, width, height), mirror)


def relight(image: Image, rng: np.random.Generator, how: Augmentation = _USUAL) -> Image:
    """Light, contrast and colour of another camera, at times grey, blurred, noisy or re-compressed."""
    far = how.light
    gamma = np.exp(rng.uniform(-0.5, 0.5) * far)
    ramp = np.linspace(0, 1, 256) ** gamma
    gain = (1 + rng.uniform(-0.25, 0.25) * far) * (1 + rng.uniform(-0.12, 0.12, 3) * far)
    shift = rng.uniform(-0.1, 0.1) * far
    table = np.clip((ramp[:, None] * gain + shift) * 255, 0, 255).astype(np.uint8)
    lit: cv2.typing.MatLike = cv2.LUT(image, table[None])
    pick = rng.random()
    if pick < 0.10 * far:
        grey = cv2.cvtColor(lit, cv2.COLOR_BGR2GRAY)
        lit = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    elif pick < 0.30 * far:
        amount = rng.uniform(0.3, 1.6)
        grey = cv2.cvtColor(cv2.cvtColor(lit, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        lit = cv2.addWeighted(lit, amount, grey, 1 - amount, 0)
    pick = rng.random()
    if pick < 0.3 * how.damage:
        lit = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.4, 1.2))
    elif pick < 0.6 * how.damage:
        noise = rng.normal(0, rng.uniform(2, 9), size=image.shape)
        lit = np.clip(lit + noise, 0, 255).astype(np.uint8)
    elif pick < how.damage:
        packed = cv2.imencode(".jpg", lit, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 70))])[1]
        decoded = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        lit = lit if decoded is None else decoded
    return np.asarray(lit, np.uint8)
