"""MobileSAM (Zhang et al., 2023): segment anything with a small encoder, from ultralytics (AGPL-3.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.automatic_masks import CLASSES, MIN_RATING, Placed, mode_words, segment_everything
from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.torch_base import TorchDetector, built_at_random, weights_id
from edgevision.detectors.foundation.ultralytics_loader import load_state, need_ultralytics
from edgevision.errors import ModelInvalid

if TYPE_CHECKING:
    import torch

_GREY = 114
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class MobileSam(TorchDetector):
    """MobileSAM, TinyViT encoder."""

    title = "MobileSAM"
    default_weights = "mobile_sam.pt"
    default_score = MIN_RATING

    def __init__(self, order: FoundationOptions, network: Any) -> None:
        label = "random" if order.random else weights_id(order.weights or self.default_weights)
        self._side_px = int(network.image_encoder.img_size)
        super().__init__(order, label, CLASSES, mode_words(self._side_px), network)

    @classmethod
    def load(cls, order: FoundationOptions) -> Self:
        need_ultralytics(cls.title)
        network = built_at_random(cls.built)
        if order.random:
            return cls(order, network)
        weights = order.weights or cls.default_weights
        try:
            network.load_state_dict(load_state(weights, cls.title))
        except RuntimeError as exc:
            reason = " ".join(str(exc).split())[:160]
            raise ModelInvalid(f"{weights}: is not a checkpoint of {cls.title}: {reason}") from exc
        return cls(order, network)

    @classmethod
    def built(cls) -> Any:
        """The network, from its configuration."""
        from ultralytics.models.sam.build import build_mobile_sam

        return build_mobile_sam()

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        network = self.network
        height, width = pixels.shape[:2]
        picture, content_wh = self._prepared(pixels)
        seen = network.image_encoder(picture)
        positions = network.prompt_encoder.get_dense_pe()

        def decode(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            labels = points.new_ones((len(points), 1), dtype=torch.int)
            sparse, dense = network.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
            logits, ratings = network.mask_decoder(
                image_embeddings=seen,
                image_pe=positions,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
            )
            return logits, ratings

        import torch

        placed = Placed((width, height), content_wh, (self._side_px, self._side_px))
        return segment_everything(decode, placed, self.device, self.min_score)

    def _prepared(self, pixels: NDArray[np.uint8]) -> tuple[torch.Tensor, tuple[int, int]]:
        """As ultralytics' predictor: the frame at the top left of a grey square. (1, 3, S, S), and its size there."""
        import torch

        height, width = pixels.shape[:2]
        scale = self._side_px / max(height, width)
        wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        square = np.full((self._side_px, self._side_px, 3), _GREY, np.uint8)
        square[: wh[1], : wh[0]] = cv2.resize(pixels, wh, interpolation=cv2.INTER_LINEAR)
        rgb = torch.from_numpy(np.ascontiguousarray(square[:, :, ::-1])).to(self.device).permute(2, 0, 1)[None].float()
        mean = torch.tensor(_MEAN, device=self.device).view(1, 3, 1, 1)
        std = torch.tensor(_STD, device=self.device).view(1, 3, 1, 1)
        return (rgb - mean) / std, wh
