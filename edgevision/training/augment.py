"""Training images made from stored ones: mosaic, crop and scale, mirror, pasted objects, light, blur.

All on uint8 BGR with OpenCV, one warp an image: on a CPU the trainer must not wait for its pictures.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.training.recipe import Augmentation

Image = NDArray[np.uint8]
Labels = NDArray[np.float32]
"""(M, 6): class, x1, y1, x2, y2 in pixels, weight."""

PAD = 114
SMALLEST_PX = 3.0
_SURE = 0.5
_LEAST_PASTED_PX = 20.0
_ROUND_PASTED = 0.12
"""How much of what is around an object comes with it, in its sides."""
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


def paste(
    canvas: Image, labels: Labels, picture: tuple[Image, Labels], rng: np.random.Generator, how: Augmentation = _USUAL
) -> Labels:
    """Put one object of ``picture``, with a little of what is around it, into ``canvas``; the labels there then.

    Objects come to stand where none of their kind was ever seen (cut and paste, arXiv:1708.01642; here whole boxes with
    soft edges, for there are no masks). Nothing is done where the picture has no sure object of some size.
    """
    image, theirs = picture
    sides = theirs[:, 3:5] - theirs[:, 1:3]
    fit = np.flatnonzero((theirs[:, 5] >= _SURE) & (sides >= _LEAST_PASTED_PX).all(1))
    if not len(fit):
        return labels
    x1, y1, x2, y2 = theirs[rng.choice(fit), 1:5]
    room_x, room_y = _ROUND_PASTED * (x2 - x1), _ROUND_PASTED * (y2 - y1)
    left, top = max(0.0, x1 - room_x), max(0.0, y1 - room_y)
    wide = min(image.shape[1], x2 + room_x) - left
    tall = min(image.shape[0], y2 + room_y) - top
    height, width = canvas.shape[:2]
    largest = min(0.9 * height / tall, 0.9 * width / wide, 1.5)
    least = min(largest, _LEAST_PASTED_PX / min(x2 - x1, y2 - y1))
    scale = np.exp(rng.uniform(np.log(least), np.log(largest)))
    w, h = max(2, int(wide * scale)), max(2, int(tall * scale))
    at_x, at_y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    mirror = rng.random() < how.mirror
    from_left = image.shape[1] - left - wide if mirror else left
    window = (at_x, at_y, at_x + w, at_y + h)
    before = canvas[at_y : at_y + h, at_x : at_x + w].astype(np.float32)
    corner = (at_x - from_left * scale, at_y - top * scale)
    pasted = place(canvas, image, theirs, (scale, scale), corner, window, mirror)
    mask = np.zeros((h, w), np.float32)
    edge_x, edge_y = int(w * _ROUND_PASTED / 2), int(h * _ROUND_PASTED / 2)
    mask[edge_y : h - edge_y, edge_x : w - edge_x] = 1
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.5, 0.04 * min(w, h)), borderType=cv2.BORDER_CONSTANT)[..., None]
    view = canvas[at_y : at_y + h, at_x : at_x + w]
    view[:] = (before * (1 - soft) + view * soft).astype(np.uint8)
    return np.concatenate([_partly_hidden(labels, window), pasted])


def _partly_hidden(labels: Labels, window: tuple[int, int, int, int]) -> Labels:
    """``labels`` behind a window: what is mostly behind it teaches nothing."""
    if not len(labels):
        return labels
    across = np.minimum(labels[:, 3], window[2]) - np.maximum(labels[:, 1], window[0])
    down = np.minimum(labels[:, 4], window[3]) - np.maximum(labels[:, 2], window[1])
    area = (labels[:, 3] - labels[:, 1]) * (labels[:, 4] - labels[:, 2])
    hidden = across.clip(min=0) * down.clip(min=0) / np.maximum(area, 1e-6)
    left = labels.copy()
    left[hidden > 0.5, 5] = 0
    return left


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
