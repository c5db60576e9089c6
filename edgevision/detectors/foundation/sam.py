"""SAM (Kirillov et al., 2023) and SAM 2 (Ravi et al., 2024): segment anything, here everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.automatic_masks import CLASSES, MIN_RATING, Placed, mode_words, segment_everything
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
from edgevision.detectors.foundation.torch_base import TorchDetector, built_at_random, load_pretrained, need, weights_id

if TYPE_CHECKING:
    import torch


class Sam(TorchDetector):
    """SAM, ViT-B."""

    title = "SAM"
    default_weights: ClassVar[str] = "facebook/sam-vit-base"
    default_score = MIN_RATING
    recipe: ClassVar[Recipe] = Recipe(Fit.LONGEST, 1024, 1024, IMAGENET_MEAN, IMAGENET_STD, BILINEAR)

    def __init__(self, order: FoundationOptions, network: Any, recipe: Recipe) -> None:
        label = "random" if order.random else weights_id(order.weights or self.default_weights)
        super().__init__(order, label, CLASSES, mode_words(recipe.side_px), network)
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
        from transformers import SamModel

        return SamModel

    @classmethod
    def built(cls) -> Any:
        """The network of the default checkpoint, from its configuration."""
        from transformers import SamConfig

        return cls.network_class()(SamConfig())

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        network = self.network
        height, width = pixels.shape[:2]
        recipe = self._recipe
        picture = recipe.tensor(pixels, self.device)
        seen = network.get_image_embeddings(picture)
        placed = Placed((width, height), recipe.content_wh(width, height), (recipe.width_px, recipe.height_px))

        def decode(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            # One picture, each point a question of its own: (1, P, 1, 2).
            labels = points.new_ones((1, len(points), 1), dtype=torch.int)
            answer = network(
                image_embeddings=seen, input_points=points[None, :, None], input_labels=labels, multimask_output=True
            )
            return answer.pred_masks[0], answer.iou_scores[0]

        import torch

        return segment_everything(decode, placed, self.device, self.min_score)


class Sam2(Sam):
    """SAM 2.1, Hiera tiny. Its own image processor needs torchvision; ours does not."""

    title = "SAM 2"
    default_weights = "facebook/sam2.1-hiera-tiny"
    recipe = Recipe(Fit.STRETCH, 1024, 1024, IMAGENET_MEAN, IMAGENET_STD, BILINEAR)

    @classmethod
    def network_class(cls) -> Any:
        from transformers import Sam2Model

        return Sam2Model

    @classmethod
    def built(cls) -> Any:
        from transformers import Sam2Config

        return cls.network_class()(Sam2Config())
