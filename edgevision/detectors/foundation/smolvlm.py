"""SmolVLM (Marafioti et al., 2025), 256M: the smallest vision-language model that answers in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.image_processor import HALF, LANCZOS, Fit, Recipe
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.vlm import LanguageDetector
from edgevision.detectors.foundation.vlm_answers import SHARES

if TYPE_CHECKING:
    import torch

_FENCE, _WHOLE, _IMAGE = "<fake_token_around_image>", "<global-img>", "<image>"


class SmolVlm(LanguageDetector):
    """The frame as one tile. The library can cut it into up to 17, which costs as many times more."""

    title = "SmolVLM"
    default_weights = "HuggingFaceTB/SmolVLM-256M-Instruct"
    settings: ClassVar[dict[str, Any]] = {
        "max_image_size": {"longest_edge": 512},
        "image_mean": HALF,
        "image_std": HALF,
    }

    def __init__(
        self, order: FoundationOptions, prompts: Prompts, network: Any, tokenizer: Any, settings: dict[str, Any]
    ) -> None:
        side = int(settings["max_image_size"]["longest_edge"])
        super().__init__(order, prompts, network, tokenizer, settings, f"one tile of {side}×{side} px")
        mean, std = tuple(settings["image_mean"]), tuple(settings["image_std"])
        self._recipe = Recipe(Fit.STRETCH, side, side, mean, std, LANCZOS)
        config = network.config
        # An image token stands for scale_factor² patches.
        self._image_tokens = (side // config.vision_config.patch_size) ** 2 // config.scale_factor**2

    @classmethod
    def built(cls) -> Any:
        from transformers import SmolVLMConfig

        text = {
            "model_type": "llama",
            "vocab_size": 49280,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": False,
        }
        vision = {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "image_size": 512,
            "patch_size": 16,
        }
        config = SmolVLMConfig(text_config=text, vision_config=vision, scale_factor=4, image_token_id=49190)
        return cls.network_class().from_config(config)

    def _inputs(self, pixels: NDArray[np.uint8]) -> tuple[dict[str, torch.Tensor], tuple[float, float]]:
        import torch

        picture = self._recipe.tensor(pixels, self.device)[None].to(self.network.dtype)
        image = self.network.config.image_token_id
        if self._tokenizer is None:
            ids = [1, *[image] * self._image_tokens, *self._question_ids("", "")]
        else:
            tile = f"{_FENCE}{_WHOLE}{_IMAGE * self._image_tokens}{_FENCE}"
            ids = self._question_ids(f"<|im_start|>User:{tile}", "<end_of_utterance>\nAssistant:")
        tensor = torch.tensor([ids], device=self.device)
        mask = torch.ones(picture.shape[:2] + picture.shape[3:], dtype=torch.long, device=self.device)
        return {
            "input_ids": tensor,
            "attention_mask": torch.ones_like(tensor),
            "pixel_values": picture,
            "pixel_attention_mask": mask,
        }, SHARES
