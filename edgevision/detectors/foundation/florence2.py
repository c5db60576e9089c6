"""Florence-2 (Xiao et al., 2023), base: a small sequence-to-sequence model that answers with locations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.image_processor import (
    BICUBIC,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Fit,
    Recipe,
    recipe_from,
)
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.tokenizer import stand_in_ids
from edgevision.detectors.foundation.vlm import RANDOM_QUESTION, LanguageDetector
from edgevision.detectors.foundation.vlm_answers import SHARES, read_grounding
from edgevision.errors import UsageError

if TYPE_CHECKING:
    import torch

_TASK = "Locate the phrases in the caption: {caption}"
"""What ``<CAPTION_TO_PHRASE_GROUNDING>`` stands for: all classes in one question."""


class Florence2(LanguageDetector):
    """Phrase grounding. It was trained on captions that are true, so it tends to find a phrase that is not there."""

    title = "Florence-2"
    default_weights = "florence-community/Florence-2-base"
    settings: ClassVar[dict[str, Any]] = {}
    recipe = Recipe(Fit.STRETCH, 768, 768, IMAGENET_MEAN, IMAGENET_STD, BICUBIC)

    def __init__(
        self, order: FoundationOptions, prompts: Prompts, network: Any, tokenizer: Any, settings: dict[str, Any]
    ) -> None:
        self._recipe = recipe_from(settings, self.recipe, order.weights or self.default_weights)
        seen = f"{self._recipe.width_px}×{self._recipe.height_px} px"
        super().__init__(order, prompts, network, tokenizer, settings, f"phrase grounding, {seen}")
        shrink = math.prod(network.config.vision_config.patch_stride)
        # One token a place, and one for the whole.
        self._image_tokens = (self._recipe.width_px // shrink) * (self._recipe.height_px // shrink) + 1

    @classmethod
    def check(cls, order: FoundationOptions) -> None:
        if order.ask != "boxes":
            raise UsageError(f"{cls.title} locates phrases and answers no questions; ask it for boxes")

    @classmethod
    def network_class(cls) -> Any:
        from transformers import Florence2ForConditionalGeneration

        return Florence2ForConditionalGeneration

    @classmethod
    def built(cls) -> Any:
        from transformers import Florence2Config

        # The configuration class's own defaults do not fit each other: these are the base model's.
        text = {
            "model_type": "bart",
            "vocab_size": 51328,
            "d_model": 768,
            "encoder_layers": 6,
            "decoder_layers": 6,
            "encoder_attention_heads": 12,
            "decoder_attention_heads": 12,
            "encoder_ffn_dim": 3072,
            "decoder_ffn_dim": 3072,
            "max_position_embeddings": 4096,
        }
        return cls.network_class()(Florence2Config(text_config=text, vision_config={"projection_dim": 768}))

    def _inputs(self, pixels: NDArray[np.uint8]) -> tuple[dict[str, torch.Tensor], tuple[float, float]]:
        import torch

        config = self.network.config
        if self._tokenizer is None:
            words = stand_in_ids(1, RANDOM_QUESTION // 4, 1000)[0]
        else:
            caption = ". ".join(text.strip(" .") for text in self._prompts.flat)
            words = list(self._tokenizer(_TASK.format(caption=caption), add_special_tokens=False)["input_ids"])
        begin, end = config.text_config.bos_token_id, config.text_config.eos_token_id
        tensor = torch.tensor([[*[config.image_token_id] * self._image_tokens, begin, *words, end]], device=self.device)
        picture = self._recipe.tensor(pixels, self.device).to(self.network.dtype)
        return {"input_ids": tensor, "attention_mask": torch.ones_like(tensor), "pixel_values": picture}, SHARES

    def _read(self, ids: list[int], frame_wh: tuple[int, int], most: tuple[float, float]) -> Found:
        text = self._tokenizer.decode(ids, skip_special_tokens=False)
        for token in ("<s>", "</s>", "<pad>"):
            text = text.replace(token, "")
        return read_grounding(text, self._prompts, frame_wh)
