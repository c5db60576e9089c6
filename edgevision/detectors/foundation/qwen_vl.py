"""The Qwen-VL family (Wang et al., 2024; Bai et al., 2025), by default Qwen3-VL 2B: boxes asked for in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.image_processor import BICUBIC, CLIP_MEAN, CLIP_STD, HALF, Fit, Recipe
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.vlm import LanguageDetector
from edgevision.detectors.foundation.vlm_answers import SHARES
from edgevision.errors import ModelInvalid

if TYPE_CHECKING:
    import torch

MOST_IMAGE_TOKENS = 768
"""The family takes up to 16 384 tokens a picture, and each costs; a frame of 1024×768 px is shown whole with these."""
_IN_PIXELS = ("qwen2_5_vl",)
"""Those trained to answer in pixels of the picture as they saw it; the others answer in thousandths."""
_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


class QwenVl(LanguageDetector):
    """Qwen2-VL, Qwen2.5-VL or Qwen3-VL, whichever the weights are."""

    title = "Qwen-VL"
    default_weights = "Qwen/Qwen3-VL-2B-Instruct"
    settings: ClassVar[dict[str, Any]] = {"image_mean": None, "image_std": None}

    def __init__(
        self, order: FoundationOptions, prompts: Prompts, network: Any, tokenizer: Any, settings: dict[str, Any]
    ) -> None:
        most = f"at most {MOST_IMAGE_TOKENS} picture tokens"
        super().__init__(order, prompts, network, tokenizer, settings, most)
        config = network.config
        if not str(config.model_type).startswith("qwen") or getattr(config, "vision_config", None) is None:
            raise ModelInvalid(f"{order.weights}: is not a checkpoint of {self.title}, but of {config.model_type}")
        vision = config.vision_config
        self._patch = int(vision.patch_size)
        self._merge = int(vision.spatial_merge_size)
        self._temporal = int(vision.temporal_patch_size)
        newest = config.model_type.startswith("qwen3")
        mean = settings.get("image_mean") or (HALF if newest else CLIP_MEAN)
        std = settings.get("image_std") or (HALF if newest else CLIP_STD)
        self._mean, self._std = tuple(mean), tuple(std)
        self._least_px, self._most_px = self._area_limits(settings)
        self._pixels_meant = config.model_type in _IN_PIXELS
        self._system = "" if newest else _SYSTEM

    @classmethod
    def built(cls) -> Any:
        import torch
        from transformers import Qwen3VLConfig

        text = {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 262144,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5_000_000,
                "mrope_section": [24, 20, 20],
                "mrope_interleaved": True,
            },
        }
        vision = {
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "deepstack_visual_indexes": [5, 11, 17],
        }
        config = Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)
        # The published weights are in bfloat16, and the library keeps them so.
        return cls.network_class().from_config(config, dtype=torch.bfloat16)

    def _area_limits(self, settings: dict[str, Any]) -> tuple[int, int]:
        """Least and most pixels of a picture, in the words of older and newer checkpoints."""
        factor = self._patch * self._merge
        size = settings.get("size") or {}
        least = settings.get("min_pixels") or size.get("shortest_edge") or 4 * factor**2
        most = settings.get("max_pixels") or size.get("longest_edge") or MOST_IMAGE_TOKENS * factor**2
        return int(least), min(int(most), MOST_IMAGE_TOKENS * factor**2)

    def _inputs(self, pixels: NDArray[np.uint8]) -> tuple[dict[str, torch.Tensor], tuple[float, float]]:
        import torch

        factor = self._patch * self._merge
        width, height = fitted(pixels.shape[1], pixels.shape[0], factor, self._least_px, self._most_px)
        recipe = Recipe(Fit.STRETCH, width, height, self._mean, self._std, BICUBIC)
        picture = patches(recipe.tensor(pixels, self.device)[0], self._patch, self._merge, self._temporal)
        grid = (height // self._patch, width // self._patch)
        count = grid[0] * grid[1] // self._merge**2
        image = self.network.config.image_token_id
        if self._tokenizer is None:
            ids = [1, *[image] * count, *self._question_ids("", "")]
        else:
            before = f"{self._system}<|im_start|>user\n<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>"
            after = "<|im_end|>\n<|im_start|>assistant\n"
            ids = self._question_ids(before, after, in_pixels=self._pixels_meant)
        tensor = torch.tensor([ids], device=self.device)
        inputs = {
            "input_ids": tensor,
            "attention_mask": torch.ones_like(tensor),
            "mm_token_type_ids": (tensor == image).int(),
            "pixel_values": picture.to(self.network.dtype),
            "image_grid_thw": torch.tensor([[1, *grid]], device=self.device),
        }
        return inputs, ((float(width), float(height)) if self._pixels_meant else SHARES)


def fitted(width: int, height: int, factor: int, least_px: int, most_px: int) -> tuple[int, int]:
    """Width and height in multiples of ``factor``, with an area in the limits and much the same shape.

    As the family's `smart_resize` rounds.
    """
    w, h = (max(factor, round(side / factor) * factor) for side in (width, height))
    if w * h > most_px:
        shrink = math.sqrt(width * height / most_px)
        w, h = (max(factor, math.floor(side / shrink / factor) * factor) for side in (width, height))
    elif w * h < least_px:
        grow = math.sqrt(least_px / (width * height))
        w, h = (math.ceil(side * grow / factor) * factor for side in (width, height))
    return w, h


def patches(picture: torch.Tensor, patch: int, merge: int, temporal: int) -> torch.Tensor:
    """(3, H, W) as the family's (H/p · W/p, 3 · t · p · p): merged neighbours together, the picture t times in time."""
    channels, height, width = picture.shape
    rows, columns = height // patch // merge, width // patch // merge
    cut = picture.reshape(channels, rows, merge, patch, columns, merge, patch).permute(1, 4, 2, 5, 0, 3, 6)
    cut = cut[:, :, :, :, :, None].expand(-1, -1, -1, -1, -1, temporal, -1, -1)
    return cut.reshape(rows * columns * merge * merge, channels * temporal * patch * patch)
