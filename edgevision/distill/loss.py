"""Target assignment and loss of the student.

Task-aligned assignment is TOOD's (arXiv:2108.07755) with the exponents that YOLOv8 and later use; boxes
learn by CIoU (arXiv:1911.08287). A label carries a weight: 1 for a person's label, less for a doubtful
one of a teacher, and 0 marks a region where neither object nor background is taught. With soft targets every
box of the teacher is a label that weighs its score, which is then the class target where the box fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edgevision.distill.recipe import Loss, Soft
from edgevision.distill.student import boxes_from

TOP_CELLS = 10
SCORE_EXPONENT = 0.5
IOU_EXPONENT = 6.0


@dataclass(frozen=True, slots=True)
class LossParts:
    total: Tensor
    box: float
    classes: float
    positives: int


def pair_iou(a: Tensor, b: Tensor, complete: bool = False) -> Tensor:
    """IoU, or CIoU, of xyxy boxes that broadcast against each other; last axis is the box."""
    ax1, ay1, ax2, ay2 = a.unbind(-1)
    bx1, by1, bx2, by2 = b.unbind(-1)
    inter = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0) * (
        torch.minimum(ay2, by2) - torch.maximum(ay1, by1)
    ).clamp(min=0)
    aw, ah, bw, bh = ax2 - ax1, ay2 - ay1, bx2 - bx1, by2 - by1
    iou = inter / (aw * ah + bw * bh - inter + 1e-7)
    if not complete:
        return iou
    cw = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    ch = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    diagonal = cw**2 + ch**2 + 1e-7
    distance = ((ax1 + ax2 - bx1 - bx2) ** 2 + (ay1 + ay2 - by1 - by2) ** 2) / 4
    shape = (4 / math.pi**2) * (torch.atan(bw / (bh + 1e-7)) - torch.atan(aw / (ah + 1e-7))) ** 2
    with torch.no_grad():
        alpha = shape / (shape - iou + 1 + 1e-7)
    return iou - distance / diagonal - alpha * shape


@torch.no_grad()
def assign(
    probabilities: Tensor,
    boxes: Tensor,
    centres: Tensor,
    strides: Tensor,
    truth: Tensor,
    soft: Soft | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Which cell learns which label.

    ``probabilities`` (B, A, C), ``boxes`` (B, A, 4) px, ``truth`` (B, M, 6): class, xyxy, weight; class -1 pads.
    Gives class targets (B, A, C) in 0-1, the label index of each cell (B, A), and how much its class loss counts
    (B, A): not at all in a region of weight 0, and with ``soft`` less where the teacher was in doubt.
    """
    cells, classes = probabilities.shape[1:]
    labels = truth[..., 0].long()
    valid = (labels >= 0) & (truth[..., 5] > 0)
    corners = truth[..., 1:5]
    # A label smaller than a cell may hold no centre at all: give it the room of one cell.
    middle = (corners[..., :2] + corners[..., 2:]) / 2
    half = (corners[..., 2:] - corners[..., :2]) / 2
    offset = (centres[None, None] - middle[:, :, None]).abs()
    room = torch.maximum(half[:, :, None], 0.75 * strides.view(1, 1, -1, 1) * (strides.view(1, 1, -1, 1) <= 8))
    inside = (offset < room).all(-1) & valid[..., None]
    # IoU of the few pairs that can match, instead of all: nine tenths of the pairs are padding or far apart.
    image, which, cell = inside.nonzero(as_tuple=True)
    iou = torch.zeros(inside.shape, dtype=boxes.dtype, device=boxes.device)
    near = pair_iou(corners[image, which], boxes[image, cell]).clamp(min=0)
    iou[image, which, cell] = near
    score = probabilities[image, cell, labels[image, which]]
    metric = torch.zeros_like(iou)
    metric[image, which, cell] = score.pow(SCORE_EXPONENT) * near.pow(IOU_EXPONENT)
    top = metric.topk(min(TOP_CELLS, cells), dim=-1)
    chosen = torch.zeros_like(metric, dtype=torch.bool).scatter_(-1, top.indices, top.values > 1e-9)
    # A cell between two labels goes to the one it overlaps more.
    best = (iou * chosen).argmax(1)
    positive = chosen.any(1)
    only = F.one_hot(best, truth.shape[1]).transpose(1, 2).bool() & chosen
    metric = metric * only
    strongest = metric.amax(-1, keepdim=True)
    top_iou = (iou * only).amax(-1, keepdim=True)
    quality = (metric * top_iou / (strongest + 1e-9)).amax(1)
    weight = truth[..., 5].gather(1, best)
    cell_class = labels.gather(1, best).clamp(min=0)
    targets = F.one_hot(cell_class, classes) * (quality * weight * positive)[..., None]
    covered = (offset < half[:, :, None]).all(-1)
    ignored = ((labels >= 0) & (truth[..., 5] <= 0))[..., None] & covered
    counts = (positive | ~ignored.any(1)).to(targets.dtype)
    if soft is not None:
        certain = (valid & (truth[..., 5] >= soft.sure))[..., None] & covered
        unsure = (valid & (truth[..., 5] < soft.sure))[..., None] & covered
        # Where an object is certain, what else the teacher thought to see there takes nothing away.
        counts = torch.where(unsure.any(1) & ~certain.any(1), counts * soft.doubt_weight, counts)
    return targets, torch.where(positive, best, -1), counts


def detection_loss(
    raw: Tensor,
    centres: Tensor,
    strides: Tensor,
    truth: Tensor,
    parts: Loss | None = None,
    soft: Soft | None = None,
) -> LossParts:
    """Loss of one batch: raw (B, A, 4 + C) against truth (B, M, 6), as in `assign`."""
    parts = parts or Loss()
    raw = raw.float()
    boxes = boxes_from(raw, centres, strides)
    logits = raw[..., 4:]
    targets, label, counts = assign(logits.sigmoid(), boxes, centres, strides, truth, soft)
    norm = targets.sum().clamp(min=1.0)
    class_loss = (
        F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * counts[..., None]
    ).sum() / norm
    positive = label >= 0
    if positive.any():
        wanted = truth[..., 1:5].gather(1, label.clamp(min=0)[..., None].expand(-1, -1, 4))[positive]
        strength = targets.sum(-1)[positive]
        box_loss = ((1 - pair_iou(boxes[positive], wanted, complete=True)) * strength).sum() / norm
    else:
        box_loss = raw.sum() * 0
    total = parts.classes * class_loss + parts.box * box_loss
    return LossParts(total, float(box_loss.detach()), float(class_loss.detach()), int(positive.sum()))
