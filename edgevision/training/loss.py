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

from edgevision.training.recipe import Loss, Soft
from edgevision.training.student import boxes_from

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
def task_aligned_assign(
    probabilities: Tensor,
    boxes: Tensor,
    centres: Tensor,
    strides: Tensor,
    truth: Tensor,
    soft: Soft | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Task-aligned assignment (TAL): which cell learns which label (section 3.2 of TOOD, arXiv:2108.07755).

    B images, A cells, C classes, M labels an image: ``probabilities`` (B, A, C), ``boxes`` (B, A, 4) xyxy px,
    ``truth`` (B, M, 6): class, xyxy, weight; class -1 pads. Gives class targets (B, A, C) in 0-1, the label index of
    each cell (B, A), -1 where it has none, and how much its class loss counts (B, A): not at all in a region of
    weight 0, and with ``soft`` less where the teacher was in doubt.
    """
    class_id, corners, weight = truth[..., 0].long(), truth[..., 1:5], truth[..., 5]  # (B, M), (B, M, 4), (B, M)
    known = class_id >= 0
    teaches = known & (weight > 0)

    # 1. Candidates: P pairs of a label and a cell whose centre lies in its box; image, label and cell are (P,).
    #    A label smaller than a cell may hold no centre at all: it is given the room of one cell.
    image, label, cell = _cells_within(corners, teaches, centres, strides, least_cells=0.75)

    # 2. How well each cell solves both tasks: t = score^alpha * IoU^beta, (P,).
    iou = pair_iou(corners[image, label], boxes[image, cell]).clamp(min=0)
    score = probabilities[image, cell, class_id[image, label]]
    alignment = score.pow(SCORE_EXPONENT) * iou.pow(IOU_EXPONENT)

    # 3. Each label takes its best cells; a cell that several labels take goes to the one that it overlaps most.
    taken = _best_of_each(_number(image, label, teaches), alignment, TOP_CELLS) & (alignment > 1e-9)
    image, label, cell, iou, alignment = (values[taken] for values in (image, label, cell, iou, alignment))
    won = _best_of_each(_number(image, cell, probabilities), iou, 1)
    image, label, cell, iou, alignment = (values[won] for values in (image, label, cell, iou, alignment))

    # 4. Class targets: t, scaled so that each label's greatest is the greatest IoU of its cells.
    group = _number(image, label, teaches)
    best_alignment, best_iou = (_greatest_of_each(v, group, teaches.numel()) for v in (alignment, iou))
    quality = alignment * best_iou[group] / (best_alignment[group] + 1e-9)
    targets = torch.zeros_like(probabilities)
    targets[image, cell, class_id[image, label]] = (quality * weight[image, label]).to(targets.dtype)
    owner = torch.full(probabilities.shape[:2], -1, dtype=torch.long, device=truth.device)
    owner[image, cell] = label

    def covered(by: Tensor) -> Tensor:
        """(B, A): whether a cell's centre lies in one of these labels (B, M)."""
        image, _, cell = _cells_within(corners, by, centres, strides)
        inside = torch.zeros_like(owner, dtype=torch.bool)
        inside[image, cell] = True
        return inside

    counts = ((owner >= 0) | ~covered(known & ~teaches)).to(targets.dtype)
    if soft is not None:
        certain, unsure = covered(teaches & (weight >= soft.sure)), covered(teaches & (weight < soft.sure))
        # Where an object is certain, what else the teacher thought to see there takes nothing away.
        counts = torch.where(unsure & ~certain, counts * soft.doubt_weight, counts)
    return targets, owner, counts


def _number(image: Tensor, place: Tensor, of: Tensor) -> Tensor:
    """One number (P,) for each pair of an image and a place in it, of a tensor (images, places, …)."""
    return image * of.shape[1] + place


def _cells_within(
    corners: Tensor, wanted: Tensor, centres: Tensor, strides: Tensor, least_cells: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """All P pairs of a ``wanted`` label (B, M) and a cell whose centre lies in its box, ``corners`` (B, M, 4) xyxy.

    Gives image, label and cell of each, (P,). At stride 8 and below a label reaches at least ``least_cells`` strides
    from its middle. The cells in a box are counted off, level by level: a comparison of all cells with all labels
    cost a third of a training step.
    """
    image, label = wanted.nonzero(as_tuple=True)  # (L,) each
    boxes = corners[image, label]  # (L, 4)
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    pairs: list[tuple[Tensor, Tensor]] = []
    begin = 0  # the level's first cell
    levels = strides.flatten().unique_consecutive(return_counts=True)
    for stride, count in zip(*(v.tolist() for v in levels), strict=True):
        columns = int((centres[begin : begin + count, 1] == centres[begin, 1]).sum())
        room = half.clamp(min=least_cells * stride) if stride <= 8 else half
        # Centres are at (k + 0.5) strides; first and last column and row strictly within the room, (L, 2).
        first = ((middle - room) / stride - 0.5).floor().long() + 1
        last = ((middle + room) / stride - 0.5).ceil().long() - 1
        limit = torch.tensor([columns - 1, count // columns - 1], device=corners.device)
        first, last = first.clamp(min=0), torch.minimum(last, limit)
        wide, tall = (last - first + 1).clamp(min=0).unbind(-1)
        which = torch.repeat_interleave(torch.arange(len(boxes), device=corners.device), wide * tall)
        before = (wide * tall).cumsum(0) - wide * tall
        k = torch.arange(len(which), device=corners.device) - before[which]  # 0, 1, … within each box
        x, y = first[which, 0] + k % wide[which], first[which, 1] + k // wide[which]
        pairs.append((which, begin + y * columns + x))
        begin += int(count)
    which = torch.cat([one for one, _ in pairs])
    return image[which], label[which], torch.cat([cell for _, cell in pairs])


def _best_of_each(group: Tensor, values: Tensor, most: int) -> Tensor:
    """Which of ``values`` (P,) are among the ``most`` greatest of their ``group`` (P,); of equals the earlier."""
    order = values.argsort(descending=True, stable=True)
    order = order[group[order].argsort(stable=True)]
    sorted_group = group[order]
    begins = torch.searchsorted(sorted_group, sorted_group)
    within = torch.arange(len(order), device=group.device) - begins < most
    return torch.zeros_like(within).scatter_(0, order, within)


def _greatest_of_each(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """The greatest of ``values`` (P,) of each group (groups,); 0 where it has none."""
    return values.new_zeros(groups).scatter_reduce_(0, group, values, "amax")


def detection_loss(
    raw: Tensor,
    centres: Tensor,
    strides: Tensor,
    truth: Tensor,
    parts: Loss | None = None,
    soft: Soft | None = None,
) -> LossParts:
    """Loss of one batch: raw (B, A, 4 + C) against truth (B, M, 6), as in `task_aligned_assign`."""
    parts = parts or Loss()
    raw = raw.float()
    boxes = boxes_from(raw, centres, strides)
    logits = raw[..., 4:]
    targets, label, counts = task_aligned_assign(logits.sigmoid(), boxes, centres, strides, truth, soft)
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
