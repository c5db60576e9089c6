"""Models that give features of a picture: what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.image_processor import Fit, Recipe
from edgevision.detectors.foundation.torch_base import TorchDetector
from edgevision.errors import ModelFailed

if TYPE_CHECKING:
    import torch

AT_ONCE = 32
"""Pictures in one batch: memory is bounded however many are given."""


class FeatureDetector(TorchDetector):
    """Pictures or crops in, one vector each out."""

    _recipe: Recipe

    def embed(self, pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(N, D) float32 unit vectors of N pictures, each (H, W, 3) uint8 BGR of any size; one picture is N = 1.

        Raises `ModelFailed`.
        """
        listed = [pictures] if isinstance(pictures, np.ndarray) and pictures.ndim == 3 else list(pictures)
        parts = [self._embedded(listed[k : k + AT_ONCE]) for k in range(0, len(listed), AT_ONCE)]
        if not parts:
            return np.zeros((0, self.dimensions), np.float32)
        return np.concatenate(parts)

    @property
    def dimensions(self) -> int:
        """Length of one vector."""
        raise NotImplementedError

    @property
    def side_px(self) -> int:
        """Of the square that the network sees."""
        recipe = self._recipe
        return recipe.crop_wh[1] if recipe.fit is Fit.CROP else recipe.height_px

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of R, G, B in 0-1."""
        return self._recipe.mean, self._recipe.std

    def features_of(self, batch: torch.Tensor) -> torch.Tensor:
        """(N, D) features of normalised (N, 3, H, W), not yet of unit length: for an export, with the graph kept."""
        return self._features(batch)

    def _embedded(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        for picture in pictures:
            self._check(picture)
        vectors: NDArray[np.float32] = self._in_inference(lambda: self._units(pictures).cpu().numpy(), pictures[0])
        if not np.isfinite(vectors).all():
            raise ModelFailed(f"{self.name}: gave features that are not finite; its weights are damaged or do not fit")
        return vectors

    def _units(self, pictures: list[NDArray[np.uint8]]) -> torch.Tensor:
        """(N, D) unit vectors on the device; inside inference mode."""
        import torch

        batch = torch.cat([self._recipe.tensor(picture, self.device) for picture in pictures])
        features = self._features(batch).float()
        return features / features.norm(dim=-1, keepdim=True).clamp(min=1e-12)

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        """(N, D) features of (N, 3, H, W)."""
        raise NotImplementedError
