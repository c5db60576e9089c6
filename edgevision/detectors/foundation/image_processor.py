"""A frame as a network wants it: the steps of the library's own image processors, without what they import.

transformers' processors need torchvision or Pillow, as the case may be, and copy a frame several times; the steps
themselves are few. They are read from the checkpoint's ``preprocessor_config.json``, so a checkpoint of another size
is fed its own size. Parity with the library's processors is tested.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.torch_base import local, translated
from edgevision.errors import ModelInvalid

if TYPE_CHECKING:
    import torch

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
LANCZOS, BILINEAR, BICUBIC = 1, 2, 3
"""Pillow's numbers, which configurations use too."""


class Fit(StrEnum):
    """How a frame is brought to the network's size."""

    STRETCH = "stretch"
    """To width and height, whatever its shape."""
    LONGEST = "longest"
    """The longer side to `side_px`, padded right and below to a square of it."""
    BOUNDED = "bounded"
    """The shorter side to `side_px`, unless the longer would pass `most_px`; not padded."""
    CROP = "crop"
    """The shorter side to `side_px`, then the middle `crop_wh`."""
    PAD_THEN_STRETCH = "pad-then-stretch"
    """Padded right and below to a square, then resized with antialiasing in floats."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """From a (H, W, 3) uint8 BGR frame to a (1, 3, H', W') float32 RGB tensor."""

    fit: Fit
    width_px: int
    height_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: int = BILINEAR
    most_px: int = 0
    crop_wh: tuple[int, int] = (0, 0)
    in_floats: bool = False
    """Resized after scaling to 0-1, by torch rather than Pillow, as the library does where it says so."""

    @property
    def side_px(self) -> int:
        return self.height_px

    def content_wh(self, width: int, height: int) -> tuple[int, int]:
        """Size in pixels of a whole frame (width, height) after resizing, before padding or cropping."""
        if self.fit in (Fit.STRETCH, Fit.PAD_THEN_STRETCH):
            return self.width_px, self.height_px
        if self.fit is Fit.LONGEST:
            scale = self.side_px / max(width, height)
            return int(width * scale + 0.5), int(height * scale + 0.5)
        return _by_shorter_side(width, height, self.side_px, self.most_px or None)

    def tensor(self, pixels: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """The network's input (1, 3, H', W') float32 for one frame."""
        import torch

        height, width = pixels.shape[:2]
        wh = self.content_wh(width, height)
        if self.in_floats or self.fit is Fit.PAD_THEN_STRETCH:
            return self._normalised(self._resized_in_floats(pixels, wh, device))
        rgb = torch.from_numpy(_resized(pixels, wh, self.resample)).to(device)
        if self.fit is Fit.CROP:
            rgb = _middle(rgb, self.crop_wh)
        tensor = self._normalised(rgb.permute(2, 0, 1)[None].float() / 255)
        if self.fit is Fit.LONGEST:
            # After normalising: the padding is zero in the network's own terms.
            room = (0, self.side_px - wh[0], 0, self.side_px - wh[1])
            tensor = torch.nn.functional.pad(tensor, room)
        return tensor.contiguous()

    def _resized_in_floats(self, pixels: NDArray[np.uint8], wh: tuple[int, int], device: torch.device) -> torch.Tensor:
        import torch

        rgb = torch.from_numpy(np.ascontiguousarray(pixels[:, :, ::-1])).to(device).permute(2, 0, 1)[None].float() / 255
        if self.fit is Fit.PAD_THEN_STRETCH:
            side = max(rgb.shape[2:])
            rgb = torch.nn.functional.pad(rgb, (0, side - rgb.shape[3], 0, side - rgb.shape[2]))
        mode = "bicubic" if self.resample == BICUBIC else "bilinear"
        return torch.nn.functional.interpolate(rgb, (wh[1], wh[0]), mode=mode, align_corners=False, antialias=True)

    def _normalised(self, rgb: torch.Tensor) -> torch.Tensor:
        import torch

        mean = torch.tensor(self.mean, device=rgb.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=rgb.device).view(1, -1, 1, 1)
        return (rgb - mean) / std


def read_recipe(weights: str, what: str, default: Recipe) -> Recipe:
    """The checkpoint's own recipe: what its ``preprocessor_config.json`` says, ``default`` where it is silent."""
    return recipe_from(processor_settings(weights, what), default, weights)


def processor_settings(weights: str, what: str) -> dict[str, Any]:
    """``preprocessor_config.json`` (or its like in ``processor_config.json``) of a checkpoint, read by transformers."""
    from transformers.image_processing_base import ImageProcessingMixin

    with translated(weights, what):
        settings, _ = ImageProcessingMixin.get_image_processor_dict(local(weights))
        return dict(settings)


def recipe_from(settings: dict[str, Any], default: Recipe, where: str) -> Recipe:
    """A recipe in transformers' words as ours. Raises `ModelInvalid` for one that we cannot follow."""
    try:
        recipe = replace(
            default,
            mean=tuple(float(v) for v in settings.get("image_mean") or default.mean),
            std=tuple(float(v) for v in settings.get("image_std") or default.std),
            resample=int(settings.get("resample") or default.resample),
        )
        scale = settings.get("rescale_factor")
        if scale is not None and abs(float(scale) * 255 - 1) > 1e-3:
            raise ValueError(f"rescale_factor {scale}")
        if settings.get("do_normalize") is False or settings.get("do_rescale") is False:
            raise ValueError("do_normalize or do_rescale is off")
        return _sized(recipe, settings)
    except (TypeError, ValueError, KeyError, AttributeError) as exc:
        raise ModelInvalid(f"{where}: its preprocessor_config.json cannot be followed here: {exc}") from exc


def _sized(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    size = settings.get("size")
    if size is not None:
        size = size if isinstance(size, dict) else {"side": int(size)}
        width = size.get("width") or size.get("side") or size.get("longest_edge")
        height = size.get("height") or size.get("side") or size.get("longest_edge")
        if recipe.fit in (Fit.BOUNDED, Fit.CROP):
            height = width = size.get("shortest_edge") or size.get("side") or size.get("height") or recipe.side_px
            recipe = replace(recipe, most_px=int(size.get("longest_edge") or recipe.most_px))
        if not width or not height:
            raise ValueError(f"size {size}")
        recipe = replace(recipe, width_px=int(width), height_px=int(height))
    if recipe.fit is Fit.CROP:
        crop = settings.get("crop_size") or {"height": recipe.crop_wh[1], "width": recipe.crop_wh[0]}
        crop = crop if isinstance(crop, dict) else {"height": crop, "width": crop}
        recipe = replace(recipe, crop_wh=(int(crop["width"]), int(crop["height"])))
    return recipe


def _by_shorter_side(width: int, height: int, shorter: int, most: int | None) -> tuple[int, int]:
    """As `get_resize_output_image_size` and DETR's `get_size_with_aspect_ratio` round."""
    small, large = min(width, height), max(width, height)
    raw: float | None = None
    if most is not None and large / small * shorter > most:
        raw = most * small / large
        shorter = round(raw)
    if small == shorter:
        return width, height
    other = int((raw if raw is not None else shorter) * large / small)
    return (shorter, other) if width <= height else (other, shorter)


def _resized(pixels: NDArray[np.uint8], wh: tuple[int, int], resample: int) -> NDArray[np.uint8]:
    """(h, w, 3) RGB of a BGR frame, by Pillow: its filters are those the networks were trained behind."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1]))
    if picture.size != wh:
        picture = picture.resize(wh, Image.Resampling(resample))
    return np.array(picture)


def _middle(rgb: torch.Tensor, wh: tuple[int, int]) -> torch.Tensor:
    """The middle of (H, W, 3), ``wh`` wide and high, black beyond its edge."""
    import torch

    height, width = rgb.shape[:2]
    short = (max(0, wh[0] - width), max(0, wh[1] - height))
    if any(short):
        room = (0, 0, -(-short[0] // 2), short[0] // 2, -(-short[1] // 2), short[1] // 2)
        rgb = torch.nn.functional.pad(rgb, room)
        height, width = rgb.shape[:2]
    left, top = (width - wh[0]) // 2, (height - wh[1]) // 2
    return rgb[top : top + wh[1], left : left + wh[0]]
