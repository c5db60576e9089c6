"""Segment anything's everything mode: a grid of points, a mask for each, and the masks' boxes.

The order of work is the original's (Kirillov et al., 2023, `SamAutomaticMaskGenerator`): masks that the network itself
rates low go, then those whose outline wavers with the threshold, then duplicates. The boxes are class-agnostic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.detectors.foundation.base import Found
from edgevision.detectors.nms import nms

if TYPE_CHECKING:
    import torch

CLASSES = ("object",)
POINTS_A_SIDE = 8
"""The original's 32 cost sixteen times as much, and nearly all of it is here, not in the encoder; small things between
the points are lost."""
POINTS_AT_ONCE = 64
MIN_RATING = 0.88
"""The original's least IoU that the network predicts for a mask of its own."""
MIN_STABILITY = 0.95
STABILITY_OFFSET = 1.0
DUPLICATE_IOU = 0.7
MASKS_AT_ONCE = 16

Decode = Callable[["torch.Tensor"], "tuple[torch.Tensor, torch.Tensor]"]
"""(P, 2) points in input pixels to mask logits (P, M, h, w) and ratings (P, M)."""


def mode_words(side_px: int) -> str:
    """How the mode is named beside its figures."""
    return f"everything mode ({POINTS_A_SIDE}×{POINTS_A_SIDE} points), class-agnostic, {side_px} px"


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a frame lies in the network's input: at its top left, scaled."""

    frame_wh: tuple[int, int]
    content_wh: tuple[int, int]
    input_wh: tuple[int, int]


def segment_everything(decode: Decode, placed: Placed, device: torch.device, min_rating: float) -> Found:
    """Boxes of all that stands out from its surroundings, with the network's own ratings as scores."""
    import torch

    points = grid(placed.content_wh, POINTS_A_SIDE).to(device)
    boxes: list[torch.Tensor] = []
    scores: list[torch.Tensor] = []
    for some in points.split(POINTS_AT_ONCE):
        logits, ratings = decode(some)
        logits, ratings = logits.flatten(0, 1).float(), ratings.flatten().float()
        keep = ratings >= min_rating
        logits, ratings = logits[keep], ratings[keep]
        steady = stability(logits) >= MIN_STABILITY
        logits, ratings = logits[steady], ratings[steady]
        if not len(ratings):
            continue
        for few, their in zip(logits.split(MASKS_AT_ONCE), ratings.split(MASKS_AT_ONCE), strict=True):
            found, there = outlines(few, placed)
            boxes.append(found[there])
            scores.append(their[there])
    if not boxes:
        return Found.nothing()
    all_boxes = torch.cat(boxes).cpu().numpy().astype(np.float32)
    all_scores = torch.cat(scores).clamp(0, 1).cpu().numpy().astype(np.float32)
    ids = np.zeros(len(all_scores), np.int64)
    if not (np.isfinite(all_boxes).all() and np.isfinite(all_scores).all()):
        return Found(all_boxes, all_scores, ids)  # the caller refuses it
    kept = nms(all_boxes, all_scores, ids, DUPLICATE_IOU)
    return Found(all_boxes[kept], all_scores[kept], ids[kept])


def grid(content_wh: tuple[int, int], a_side: int) -> torch.Tensor:
    """(a_side², 2) points x, y in input pixels, in the middle of each cell of the frame."""
    import torch

    steps = (torch.arange(a_side, dtype=torch.float32) + 0.5) / a_side
    y, x = torch.meshgrid(steps * content_wh[1], steps * content_wh[0], indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def stability(logits: torch.Tensor) -> torch.Tensor:
    """(N,) in 0-1: IoU of each mask (N, h, w) drawn a little tighter with itself drawn a little wider."""
    tight = (logits > STABILITY_OFFSET).sum((1, 2))
    wide = (logits > -STABILITY_OFFSET).sum((1, 2))
    return tight / wide.clamp(min=1)


def outlines(logits: torch.Tensor, placed: Placed) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (N, 4) in frame pixels of masks (N, h, w), and whether each mask (N,) has a pixel inside the frame."""
    import torch

    (width, height), (input_w, input_h) = placed.content_wh, placed.input_wh
    whole = torch.nn.functional.interpolate(logits[None], (input_h, input_w), mode="bilinear", align_corners=False)[0]
    mask = whole[:, :height, :width] > 0
    columns, rows = mask.any(1), mask.any(2)
    there = columns.any(1)
    left, right = _ends(columns)
    top, bottom = _ends(rows)
    scale_x, scale_y = placed.frame_wh[0] / width, placed.frame_wh[1] / height
    return torch.stack([left * scale_x, top * scale_y, right * scale_x, bottom * scale_y], 1), there


def _ends(line: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First and one past the last True of each row of (N, K), as floats."""
    length = line.shape[1]
    numbers = line.int()
    return numbers.argmax(1).float(), (length - numbers.flip(1).argmax(1)).float()
