"""OWL-ViT and OWLv2 (Minderer et al., 2022 and 2023): open-vocabulary detection by a vision transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.image_processor import (
    BICUBIC,
    BILINEAR,
    CLIP_MEAN,
    CLIP_STD,
    Fit,
    Recipe,
    read_recipe,
)
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.open_vocabulary import found_of, projected
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.tokenizer import load_tokenizer, stand_in_ids
from edgevision.detectors.foundation.torch_base import TorchDetector, built_at_random, load_pretrained, need, weights_id

if TYPE_CHECKING:
    import torch


class _Owl(TorchDetector):
    default_weights: ClassVar[str]
    recipe: ClassVar[Recipe]

    def __init__(
        self,
        order: FoundationOptions,
        prompts: Prompts,
        network: Any,
        recipe: Recipe,
        ids: torch.Tensor,
        mask: torch.Tensor,
    ) -> None:
        label = "random" if order.random else weights_id(order.weights or self.default_weights)
        mode = f"open-vocabulary boxes, {recipe.width_px}×{recipe.height_px} px"
        super().__init__(order, label, prompts.classes, mode, network)
        self._prompts, self._recipe = prompts, recipe
        # The words stay, so their tower runs once; each frame pays for the picture alone.
        self._queries = self._text_features(ids.to(self.device), mask.to(self.device))

    @classmethod
    def load(cls, order: FoundationOptions) -> Self:
        need("transformers", "foundation", cls.title)
        import torch

        prompts = order.prompts or Prompts.default()
        if order.random:
            network = built_at_random(cls.built)
            length = network.config.text_config.max_position_embeddings
            vocabulary = network.config.text_config.vocab_size
            ids = torch.tensor(stand_in_ids(len(prompts.flat), length, vocabulary, last=vocabulary - 1))
            return cls(order, prompts, network, cls.recipe, ids, torch.ones_like(ids))
        weights = order.weights or cls.default_weights
        network = load_pretrained(cls.network_class(), weights, cls.title)
        recipe = read_recipe(weights, cls.title, cls.recipe)
        tokenizer = load_tokenizer(weights, cls.title)
        length = network.config.text_config.max_position_embeddings
        tokens = tokenizer(
            list(prompts.flat), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        return cls(order, prompts, network, recipe, tokens["input_ids"], tokens["attention_mask"])

    @classmethod
    def network_class(cls) -> Any:
        raise NotImplementedError

    @classmethod
    def built(cls) -> Any:
        """The network of the default checkpoint, from its configuration."""
        raise NotImplementedError

    def _towers(self) -> Any:
        raise NotImplementedError

    def _text_features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            features = projected(self._towers().get_text_features(input_ids=ids, attention_mask=mask))
            return (features / features.norm(dim=-1, keepdim=True))[None]

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        network = self.network
        feature_map, _ = network.image_embedder(self._recipe.tensor(pixels, self.device))
        features = feature_map.flatten(1, 2)
        logits, _ = network.class_predictor(features, self._queries)
        boxes = network.box_predictor(features, feature_map)
        scale_wh = self._scale_wh(pixels.shape[1], pixels.shape[0])
        return found_of(boxes[0], logits[0].sigmoid(), self._prompts, scale_wh, self.min_score)

    def _scale_wh(self, width: int, height: int) -> tuple[float, float]:
        return width, height


class OwlVit(_Owl):
    """OWL-ViT, base, 32 px patches."""

    title = "OWL-ViT"
    default_weights = "google/owlvit-base-patch32"
    recipe = Recipe(Fit.STRETCH, 768, 768, CLIP_MEAN, CLIP_STD, BICUBIC)

    @classmethod
    def network_class(cls) -> Any:
        from transformers import OwlViTForObjectDetection

        return OwlViTForObjectDetection

    @classmethod
    def built(cls) -> Any:
        from transformers import OwlViTConfig

        return cls.network_class()(OwlViTConfig())

    def _towers(self) -> Any:
        return self.network.owlvit


class OwlV2(_Owl):
    """OWLv2, base, 16 px patches."""

    title = "OWLv2"
    default_weights = "google/owlv2-base-patch16-ensemble"
    recipe = Recipe(Fit.PAD_THEN_STRETCH, 960, 960, CLIP_MEAN, CLIP_STD, BILINEAR)

    @classmethod
    def network_class(cls) -> Any:
        from transformers import Owlv2ForObjectDetection

        return Owlv2ForObjectDetection

    @classmethod
    def built(cls) -> Any:
        from transformers import Owlv2Config

        # The class's own default is 768 px; every published checkpoint of the base size is 960.
        return cls.network_class()(Owlv2Config(vision_config={"image_size": 960}))

    def _towers(self) -> Any:
        return self.network.owlv2

    def _scale_wh(self, width: int, height: int) -> tuple[float, float]:
        return max(width, height), max(width, height)  # boxes are shares of the padded square
