"""Open-vocabulary detectors on transformers: what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.nms import nms

if TYPE_CHECKING:
    import torch

DUPLICATE_IOU = 0.7
"""These networks suppress duplicates by themselves, but not all: boxes that overlap more than this are one thing."""


def best_class(prompt_scores: NDArray[np.float32], prompts: Prompts) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores (N,) and class ids (N,) from (N, P) scores of all prompts: a class is as sure as its best prompt."""
    ids = np.asarray(prompts.class_ids, np.int64)
    best = prompt_scores.argmax(1)
    return prompt_scores[np.arange(len(best)), best], ids[best]


def found_of(
    centres: torch.Tensor,
    prompt_scores: torch.Tensor,
    prompts: Prompts,
    scale_wh: tuple[float, float],
    min_score: float,
) -> Found:
    """Boxes of a DETR-like network: (N, 4) centre x, y, width, height as shares of ``scale_wh`` px; (N, P) scores."""
    scores, class_ids = best_class(prompt_scores.float().cpu().numpy(), prompts)
    boxes = from_centres(centres.float().cpu().numpy()) * np.asarray([*scale_wh, *scale_wh], np.float32)
    return without_duplicates(Found(boxes, scores, class_ids), min_score)


def without_duplicates(found: Found, min_score: float, iou: float = DUPLICATE_IOU) -> Found:
    """Those from ``min_score`` on, less every box that a better one of its class covers."""
    if not np.isfinite(found.boxes).all() or not np.isfinite(found.scores).all():
        return found  # the caller refuses it
    sure = (found.scores >= min_score).nonzero()[0]
    boxes, scores, ids = found.boxes[sure], found.scores[sure], found.class_ids[sure]
    kept = nms(boxes, scores, ids, iou)
    return Found(boxes[kept], scores[kept], ids[kept])


def projected(output: Any) -> torch.Tensor:
    """The features of `get_text_features` and `get_image_features`: transformers 5 wraps what 4 gave bare."""
    features: torch.Tensor = getattr(output, "pooler_output", output)
    return features
