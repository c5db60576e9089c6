"""From a camera frame to a network's input, and boxes back: resize, pad, colour order, normalise.

This is where swapped models go wrong unnoticed: a wrong recipe still gives plausible boxes. So the recipe
is one value, `InputRecipe`, that comes from the model's manifest and from nowhere else.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import clip
from edgevision.detectors.manifest import InputRecipe, Resize


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How one frame lies in the network's input."""

    frame_wh: tuple[int, int]
    input_wh: tuple[int, int]
    scale_xy: tuple[float, float]
    """Input pixels per frame pixel; both alike unless stretched."""
    pad_left_px: int
    pad_top_px: int

    @classmethod
    def fit(cls, frame_wh: tuple[int, int], input_wh: tuple[int, int], resize: Resize) -> Letterbox:
        """Geometry of a frame (width, height) in an input (width, height)."""
        (fw, fh), (iw, ih) = frame_wh, input_wh
        if resize is Resize.STRETCH:
            return cls(frame_wh, input_wh, (iw / fw, ih / fh), 0, 0)
        scale = min(iw / fw, ih / fh)
        box = cls(frame_wh, input_wh, (scale, scale), 0, 0)
        if resize is Resize.LETTERBOX_TOP_LEFT:
            return box
        w, h = box.content_wh
        # Ultralytics' rounding: an odd pixel of padding goes to the right and below.
        left, top = round((iw - w) / 2 - 0.1), round((ih - h) / 2 - 0.1)
        return cls(frame_wh, input_wh, (scale, scale), left, top)

    @property
    def content_wh(self) -> tuple[int, int]:
        """Size of the resized frame inside the input, pixels."""
        w, h = self.frame_wh
        return (
            max(1, min(self.input_wh[0], round(w * self.scale_xy[0]))),
            max(1, min(self.input_wh[1], round(h * self.scale_xy[1]))),
        )

    def to_frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (N, 4) xyxy from input pixels to frame pixels, clipped to the frame."""
        pad = np.array([self.pad_left_px, self.pad_top_px] * 2, np.float32)
        scale = np.array(self.scale_xy * 2, np.float32)
        return clip(((boxes - pad) / scale).astype(np.float32), *self.frame_wh)


@dataclass(slots=True)
class Prepared:
    """A tensor ready for the network, borrowed from its `Preprocessor` until `Preprocessor.give_back`."""

    tensor: NDArray[Any]
    """(1, 3, H, W) or (1, H, W, 3), as the recipe says."""
    letterbox: Letterbox
    canvas: NDArray[np.uint8]


class Preprocessor:
    """Frames to tensors by one recipe, in buffers that are used again. Safe from several threads."""

    def __init__(self, recipe: InputRecipe) -> None:
        self.recipe = recipe
        self._free: list[Prepared] = []
        self._lock = threading.Lock()
        self._mean = np.array(recipe.mean, np.float32)
        self._factor = (1.0 / np.array(recipe.std, np.float64)).astype(np.float32)

    def prepare(self, pixels: NDArray[np.uint8]) -> Prepared:
        """The tensor of one (H, W, 3) uint8 BGR picture."""
        recipe = self.recipe
        size = (pixels.shape[1], pixels.shape[0])
        with self._lock:
            held = self._free.pop() if self._free else None
        if held is None:
            held = self._allocate(size)
        elif held.letterbox.frame_wh != size:
            held = self._refit(held, size)
        box, canvas = held.letterbox, held.canvas
        w, h = box.content_wh
        view = canvas[box.pad_top_px : box.pad_top_px + h, box.pad_left_px : box.pad_left_px + w]
        if (w, h) == size:
            np.copyto(view, pixels)
        else:
            cv2.resize(pixels, (w, h), dst=view, interpolation=cv2.INTER_LINEAR)
        if recipe.channel_order == "rgb" and recipe.layout == "nhwc":
            cv2.cvtColor(view, cv2.COLOR_BGR2RGB, dst=view)
        if recipe.dtype == "uint8" and recipe.layout == "nhwc":
            return held
        self._normalise(canvas, held.tensor)
        return held

    def give_back(self, prepared: Prepared) -> None:
        """The network has read the tensor: its buffers may be used for another frame."""
        with self._lock:
            self._free.append(prepared)

    def _normalise(self, canvas: NDArray[np.uint8], tensor: NDArray[Any]) -> None:
        recipe = self.recipe
        if recipe.layout == "nhwc":
            np.subtract(canvas, self._mean, out=tensor[0], casting="unsafe")
            tensor[0] *= self._factor
            return
        order = (2, 1, 0) if recipe.channel_order == "rgb" else (0, 1, 2)
        planes = cv2.split(canvas)
        for k, channel in enumerate(order):
            target = tensor[0, k]
            if recipe.dtype == "uint8":
                np.copyto(target, planes[channel])
                continue
            np.multiply(planes[channel], self._factor[k], out=target, casting="unsafe")
            if self._mean[k]:
                target -= self._mean[k] * self._factor[k]

    def _allocate(self, frame_wh: tuple[int, int]) -> Prepared:
        recipe = self.recipe
        canvas = np.full((recipe.height_px, recipe.width_px, 3), recipe.pad_value, np.uint8)
        shape = (1, 3, *canvas.shape[:2]) if recipe.layout == "nchw" else (1, *canvas.shape)
        whole = recipe.dtype == "uint8" and recipe.layout == "nhwc"
        tensor = canvas[None] if whole else np.empty(shape, recipe.dtype)
        return Prepared(tensor, self._fit(frame_wh), canvas)

    def _refit(self, held: Prepared, frame_wh: tuple[int, int]) -> Prepared:
        """The stream changed size: the padding of the old size must not stay in the picture."""
        held.canvas[...] = self.recipe.pad_value
        return Prepared(held.tensor, self._fit(frame_wh), held.canvas)

    def _fit(self, frame_wh: tuple[int, int]) -> Letterbox:
        return Letterbox.fit(frame_wh, (self.recipe.width_px, self.recipe.height_px), self.recipe.resize)
