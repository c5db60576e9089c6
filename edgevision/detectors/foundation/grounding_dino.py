"""Grounding DINO (Liu et al., 2023), tiny: detection of phrases, by a Swin backbone and a text encoder."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.image_processor import (
    BILINEAR,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Fit,
    Recipe,
    read_recipe,
)
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.open_vocabulary import found_of
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.tokenizer import load_tokenizer, stand_in_ids
from edgevision.detectors.foundation.torch_base import TorchDetector, built_at_random, load_pretrained, need, weights_id
from edgevision.errors import UsageError

_FIRST_WORD = 1030
_BEGIN, _END, _STOP = 101, 102, 1012
"""BERT's [CLS], [SEP] and full stop: the network itself looks for them, to keep phrases apart."""


class GroundingDino(TorchDetector):
    """One caption of all prompts, a full stop after each; a prompt is as sure as its best token."""

    title = "Grounding DINO"
    default_weights = "IDEA-Research/grounding-dino-tiny"
    default_score = 0.3
    recipe = Recipe(Fit.BOUNDED, 800, 800, IMAGENET_MEAN, IMAGENET_STD, BILINEAR, most_px=1333)

    def __init__(
        self, order: FoundationOptions, prompts: Prompts, network: Any, recipe: Recipe, phrases: list[list[int]]
    ) -> None:
        label = "random" if order.random else weights_id(order.weights or self.default_weights)
        mode = f"open-vocabulary boxes, shorter side {recipe.side_px} px, longer at most {recipe.most_px} px"
        super().__init__(order, label, prompts.classes, mode, network)
        import torch

        self._prompts, self._recipe = prompts, recipe
        ids = [_BEGIN]
        starts = []
        for phrase in phrases:
            starts.append(len(ids))
            ids += [*phrase, _STOP]
        starts.append(len(ids))
        ids.append(_END)
        most = min(network.config.max_text_len, network.config.text_config.max_position_embeddings)
        if len(ids) > most:
            raise UsageError(
                f"{self.title} takes {most} tokens of prompts, got {len(ids)}; give fewer or shorter prompts"
            )
        self._ids = torch.tensor([ids], device=self.device)
        self._spans = [(start, end - 1) for start, end in pairwise(starts)]

    @classmethod
    def load(cls, order: FoundationOptions) -> Self:
        need("transformers", "foundation", cls.title)
        from transformers import GroundingDinoForObjectDetection

        prompts = order.prompts or Prompts.default()
        if order.random:
            network = built_at_random(cls.built)
            phrases = [[_FIRST_WORD + k for k in p] for p in stand_in_ids(len(prompts.flat), 2, 64)]
            return cls(order, prompts, network, cls.recipe, phrases)
        weights = order.weights or cls.default_weights
        network = load_pretrained(GroundingDinoForObjectDetection, weights, cls.title)
        tokenizer = load_tokenizer(weights, cls.title)
        texts = [text.lower().strip(" .") for text in prompts.flat]
        phrases = tokenizer(texts, add_special_tokens=False)["input_ids"]
        for text, phrase in zip(texts, phrases, strict=True):
            if not phrase or _STOP in phrase:
                raise UsageError(f"prompts: {cls.title} takes phrases without a full stop inside, got {text!r}")
        return cls(order, prompts, network, read_recipe(weights, cls.title, cls.recipe), phrases)

    @classmethod
    def built(cls) -> Any:
        """The tiny network, from its configuration."""
        from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

        return GroundingDinoForObjectDetection(GroundingDinoConfig())

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        import torch

        picture = self._recipe.tensor(pixels, self.device)
        output = self.network(pixel_values=picture, input_ids=self._ids, attention_mask=torch.ones_like(self._ids))
        tokens = output.logits[0].sigmoid()
        scores = torch.stack([tokens[:, start:end].amax(1) for start, end in self._spans], 1)
        frame_wh = (pixels.shape[1], pixels.shape[0])
        return found_of(output.pred_boxes[0], scores, self._prompts, frame_wh, self.min_score)
