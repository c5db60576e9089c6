"""DINOv2 (Oquab et al., 2023) and DINOv3 (Siméoni et al., 2025), small: features of a picture, and no boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.embedding import FeatureDetector
from edgevision.detectors.foundation.image_processor import (
    BICUBIC,
    BILINEAR,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Fit,
    Recipe,
    read_recipe,
)
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.torch_base import built_at_random, load_pretrained, need, weights_id

if TYPE_CHECKING:
    import torch


class _Dino(FeatureDetector):
    """`embed` gives features. As a `Detector` it works out the frame's features and finds nothing: that is its time."""

    default_weights: ClassVar[str]
    recipe: ClassVar[Recipe]

    def __init__(self, order: FoundationOptions, network: Any, recipe: Recipe) -> None:
        label = "random" if order.random else weights_id(order.weights or self.default_weights)
        wh = recipe.crop_wh if recipe.fit is Fit.CROP else (recipe.width_px, recipe.height_px)
        super().__init__(order, label, (), f"features, no boxes, {wh[0]}×{wh[1]} px", network)
        self._recipe = recipe

    @classmethod
    def load(cls, order: FoundationOptions) -> Self:
        need("transformers", "foundation", cls.title)
        if order.random:
            return cls(order, built_at_random(cls.built), cls.recipe)
        weights = order.weights or cls.default_weights
        network = load_pretrained(cls.network_class(), weights, cls.title)
        return cls(order, network, read_recipe(weights, cls.title, cls.recipe))

    @classmethod
    def network_class(cls) -> Any:
        raise NotImplementedError

    @classmethod
    def built(cls) -> Any:
        """The network of the default checkpoint, from its configuration."""
        raise NotImplementedError

    @property
    def dimensions(self) -> int:
        return int(self.network.config.hidden_size)

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(pixel_values=batch).pooler_output
        return features

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        self._units([pixels]).cpu()
        return Found.nothing()


class DinoV2(_Dino):
    """DINOv2, ViT-S/14."""

    title = "DINOv2"
    default_weights = "facebook/dinov2-small"
    recipe = Recipe(Fit.CROP, 256, 256, IMAGENET_MEAN, IMAGENET_STD, BICUBIC, crop_wh=(224, 224))

    @classmethod
    def network_class(cls) -> Any:
        from transformers import Dinov2Model

        return Dinov2Model

    @classmethod
    def built(cls) -> Any:
        from transformers import Dinov2Config

        config = Dinov2Config(hidden_size=384, num_attention_heads=6, num_hidden_layers=12, image_size=518)
        return cls.network_class()(config)


class DinoV3(_Dino):
    """DINOv3, ViT-S/16. Its own image processor needs torchvision; ours does not."""

    title = "DINOv3"
    default_weights = "facebook/dinov3-vits16-pretrain-lvd1689m"
    recipe = Recipe(Fit.STRETCH, 224, 224, IMAGENET_MEAN, IMAGENET_STD, BILINEAR, in_floats=True)

    @classmethod
    def network_class(cls) -> Any:
        from transformers import DINOv3ViTModel

        return DINOv3ViTModel

    @classmethod
    def built(cls) -> Any:
        from transformers import DINOv3ViTConfig

        small = DINOv3ViTConfig(
            hidden_size=384,
            intermediate_size=1536,
            num_attention_heads=6,
            num_hidden_layers=12,
            image_size=224,
            patch_size=16,
            num_register_tokens=4,
        )
        return cls.network_class()(small)
