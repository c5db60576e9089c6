"""CLIP (Radford et al., 2021), ViT-B/32: whether a class is in a picture or a region, by comparing it with words."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import clip
from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.embedding import AT_ONCE, FeatureDetector
from edgevision.detectors.foundation.image_processor import BICUBIC, CLIP_MEAN, CLIP_STD, Fit, Recipe, read_recipe
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.open_vocabulary import projected
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.tokenizer import load_tokenizer, stand_in_ids
from edgevision.detectors.foundation.torch_base import built_at_random, load_pretrained, need, weights_id

if TYPE_CHECKING:
    import torch

NEUTRAL = ("a photo", "a photo of a scene", "a photo of an empty place", "a photo of something else")
"""What each class is held against: alone, a similarity says nothing."""


class Clip(FeatureDetector):
    """Presence of each class as a box of the whole frame with its probability; features; classes of given boxes.

    The picture is seen as CLIP was trained: its middle square.
    """

    title = "CLIP"
    default_weights = "openai/clip-vit-base-patch32"
    default_score = 0.5
    recipe = Recipe(Fit.CROP, 224, 224, CLIP_MEAN, CLIP_STD, BICUBIC, crop_wh=(224, 224))

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
        mode = f"presence in the frame's middle square, {recipe.crop_wh[0]}×{recipe.crop_wh[1]} px"
        super().__init__(order, label, prompts.classes, mode, network)
        self._recipe = recipe
        # The words stay, so their tower runs once.
        self._words, self._neutral = self._text_features(prompts, ids.to(self.device), mask.to(self.device))
        self._scale = float(network.logit_scale.detach().exp())

    @classmethod
    def load(cls, order: FoundationOptions) -> Self:
        need("transformers", "foundation", cls.title)
        import torch

        prompts = order.prompts or Prompts.default()
        texts = [*prompts.flat, *NEUTRAL]
        if order.random:
            network = built_at_random(cls.built)
            vocabulary = network.config.text_config.vocab_size
            length = network.config.text_config.max_position_embeddings
            ids = torch.tensor(stand_in_ids(len(texts), length, vocabulary, last=vocabulary - 1))
            return cls(order, prompts, network, cls.recipe, ids, torch.ones_like(ids))
        from transformers import CLIPModel

        weights = order.weights or cls.default_weights
        network = load_pretrained(CLIPModel, weights, cls.title)
        recipe = read_recipe(weights, cls.title, cls.recipe)
        length = network.config.text_config.max_position_embeddings
        tokens = load_tokenizer(weights, cls.title)(
            texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        return cls(order, prompts, network, recipe, tokens["input_ids"], tokens["attention_mask"])

    @classmethod
    def built(cls) -> Any:
        """The network of the default checkpoint, from its configuration."""
        from transformers import CLIPConfig, CLIPModel

        return CLIPModel(CLIPConfig())

    @property
    def dimensions(self) -> int:
        return int(self.network.config.projection_dim)

    def presence(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(C,) probability of each class, each by itself: they need not add up to 1. Raises `ModelFailed`."""
        self._check(pixels)
        chances: NDArray[np.float32] = self._in_inference(
            lambda: self._each_alone(self._units([pixels]))[0].cpu().numpy(), pixels
        )
        return chances

    def classify(self, pixels: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C) probabilities of the classes in each of the boxes (N, 4) xyxy px, zero-shot.

        Classes exclude each other here; what is missing to 1 is the chance of none of them. Raises `ModelFailed`.
        """
        height, width = self._check(pixels)
        crops = _crops(pixels, clip(np.asarray(boxes, np.float32).reshape(-1, 4), width, height))
        parts = [crops[k : k + AT_ONCE] for k in range(0, len(crops), AT_ONCE)]
        given = [self._in_inference(partial(self._shares, part), pixels) for part in parts]
        return np.concatenate([np.zeros((0, len(self.classes)), np.float32), *given])

    def _shares(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.asarray(self._among_each_other(self._units(pictures)).cpu().numpy(), np.float32)

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        chances = self._each_alone(self._units([pixels]))[0].cpu().numpy()
        whole = np.tile(np.array([0, 0, pixels.shape[1], pixels.shape[0]], np.float32), (len(chances), 1))
        return Found(whole, chances, np.arange(len(chances), dtype=np.int64))

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        return projected(self.network.get_image_features(pixel_values=batch))

    def _text_features(
        self, prompts: Prompts, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit vectors of the classes (C, D), each the mean of its prompts, and of what is neutral (1, D)."""
        import torch

        with torch.inference_mode():
            features = projected(self.network.get_text_features(input_ids=ids, attention_mask=mask)).float()
            features = features / features.norm(dim=-1, keepdim=True)
            owner = torch.tensor([*prompts.class_ids, *[len(prompts.classes)] * len(NEUTRAL)], device=self.device)
            means = torch.stack([features[owner == k].mean(0) for k in range(len(prompts.classes) + 1)])
            means = means / means.norm(dim=-1, keepdim=True)
            return means[:-1], means[-1:]

    def _each_alone(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, C): each class against what is neutral."""
        return ((pictures @ self._words.T - pictures @ self._neutral.T) * self._scale).sigmoid()

    def _among_each_other(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, C): the classes and what is neutral against each other."""
        import torch

        every = torch.cat([self._words, self._neutral])
        return (pictures @ every.T * self._scale).softmax(-1)[:, :-1]


def _crops(pixels: NDArray[np.uint8], boxes: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """The pixels in each box, whole pixels outward, at least one."""
    height, width = pixels.shape[:2]
    crops = []
    for x1, y1, x2, y2 in boxes:
        left, top = min(int(x1), width - 1), min(int(y1), height - 1)
        right, bottom = max(left + 1, int(np.ceil(x2))), max(top + 1, int(np.ceil(y2)))
        crops.append(pixels[top:bottom, left:right])
    return crops
