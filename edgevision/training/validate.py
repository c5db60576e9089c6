"""Accuracy of a student's weights while they are trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from edgevision.datasets.annotations import Annotations
from edgevision.detectors.nms import nms
from edgevision.evaluation.average_precision import LEAST_SCORE, judge, mean_ap50
from edgevision.training.augment import single
from edgevision.training.image_cache import ImageCache
from edgevision.training.student import boxes_from, cell_centres
from edgevision.types import Detections

_NMS_IOU = 0.6


@dataclass(frozen=True, slots=True)
class Validation:
    """AP50 averaged over the classes that have labels, and of each (NaN where it has none)."""

    ap50: float
    by_class: tuple[float, ...]


@torch.no_grad()
def validate(model: nn.Module, store: ImageCache, side_px: int) -> Validation:
    """AP50 over a store's pictures, letterboxed to ``side_px``. Doubtful labels (weight 0) count neither way."""
    device = next(model.parameters()).device
    centres, strides = cell_centres((side_px, side_px), device)
    found, truth, classes = [], [], 1
    for i in range(len(store)):
        image, labels = single(store[i], (side_px, side_px), None)
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))[None]).to(device).float() / 255
        raw = model(pixels.contiguous(memory_format=torch.channels_last)).float()
        classes = raw.shape[2] - 4
        boxes = boxes_from(raw, centres, strides)[0].cpu().numpy()
        best, which = raw[0, :, 4:].sigmoid().max(1)
        scores, class_ids = best.cpu().numpy(), which.cpu().numpy().astype(np.int64)
        keep = scores > LEAST_SCORE
        b, s, c = boxes[keep], scores[keep], class_ids[keep]
        kept = nms(b, s, c, _NMS_IOU)
        found.append(Detections(b[kept], s[kept], c[kept]))
        truth.append(Annotations.from_rows(labels))
    verdicts = [judge(found, truth, k, (0.5,)) for k in range(classes)]
    by_class = tuple(float(v.average_precision()[0]) for v in verdicts)
    return Validation(mean_ap50(verdicts).value, by_class)
