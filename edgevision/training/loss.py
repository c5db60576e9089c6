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
    (images, cells, classes), most = probabilities.shape, truth.shape[1]
    kind, corners, weight = truth[..., 0].long().flatten(), truth[..., 1:5].reshape(-1, 4), truth[..., 5].flatten()
    known = kind >= 0
    teaches = known & (weight > 0)
    # A label smaller than a cell may hold no centre at all: give it the room of one cell.
    label, cell = _cells_within(corners, teaches, centres, strides, least_cells=0.75)
    at = label // most * cells + cell
    iou = pair_iou(corners[label], boxes.reshape(-1, 4)[at]).clamp(min=0)
    score = probabilities.reshape(-1, classes)[at, kind[label]]
    metric = score.pow(SCORE_EXPONENT) * iou.pow(IOU_EXPONENT)
    chosen = _best_of_each(label, metric, TOP_CELLS) & (metric > 1e-9)
    label, at, iou, metric = label[chosen], at[chosen], iou[chosen], metric[chosen]
    # A cell between two labels goes to the one it overlaps more.
    won = _best_of_each(at, iou, 1)
    label, at, iou, metric = label[won], at[won], iou[won], metric[won]
    strongest, top_iou = (_most_of_each(values, label, len(kind)) for values in (metric, iou))
    quality = metric * top_iou[label] / (strongest[label] + 1e-9)
    targets = probabilities.new_zeros((images * cells, classes))
    targets[at, kind[label]] = (quality * weight[label]).to(targets.dtype)
    owner = torch.full((images * cells,), -1, dtype=torch.long, device=truth.device)
    owner[at] = label % most

    def covered(by: Tensor) -> Tensor:
        inside, cell = _cells_within(corners, by, centres, strides)
        flat = torch.zeros(images * cells, dtype=torch.bool, device=truth.device)
        flat[inside // most * cells + cell] = True
        return flat

    counts = ((owner >= 0) | ~covered(known & ~teaches)).to(targets.dtype)
    if soft is not None:
        certain, unsure = covered(teaches & (weight >= soft.sure)), covered(teaches & (weight < soft.sure))
        # Where an object is certain, what else the teacher thought to see there takes nothing away.
        counts = torch.where(unsure & ~certain, counts * soft.doubt_weight, counts)
    return targets.view(images, cells, classes), owner.view(images, cells), counts.view(images, cells)


def _cells_within(
    corners: Tensor, wanted: Tensor, centres: Tensor, strides: Tensor, least_cells: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Pairs (label, cell) of the ``wanted`` labels (L,) and the cells whose centres lie in them, xyxy (L, 4).

    At stride 8 and below a label reaches at least ``least_cells`` strides from its middle. Cells that a label covers
    are found by counting, level by level: comparing all cells with all labels cost a third of a training step.
    """
    labels = wanted.nonzero(as_tuple=True)[0]
    middle = (corners[labels, :2] + corners[labels, 2:]) / 2
    half = (corners[labels, 2:] - corners[labels, :2]) / 2
    pairs: list[tuple[Tensor, Tensor]] = []
    begin = 0
    levels = strides.flatten().unique_consecutive(return_counts=True)
    for stride, count in zip(*(v.tolist() for v in levels), strict=True):
        columns = int((centres[begin : begin + count, 1] == centres[begin, 1]).sum())
        room = half.clamp(min=least_cells * stride) if stride <= 8 else half
        # Centres are at (k + 0.5) strides; those strictly within the room.
        first = ((middle - room) / stride - 0.5).floor().long() + 1
        last = ((middle + room) / stride - 0.5).ceil().long() - 1
        most = torch.tensor([columns - 1, count // columns - 1], device=corners.device)
        first, last = first.clamp(min=0), torch.minimum(last, most)
        wide, tall = (last - first + 1).clamp(min=0).unbind(-1)
        held = wide * tall
        row = torch.repeat_interleave(torch.arange(len(labels), device=corners.device), held)
        k = torch.arange(len(row), device=corners.device) - (held.cumsum(0) - held)[row]
        x, y = first[row, 0] + k % wide[row], first[row, 1] + k // wide[row]
        pairs.append((labels[row], begin + y * columns + x))
        begin += int(count)
    return torch.cat([label for label, _ in pairs]), torch.cat([cell for _, cell in pairs])


def _best_of_each(group: Tensor, values: Tensor, most: int) -> Tensor:
    """Which of ``values`` (P,) are among the ``most`` greatest of their ``group`` (P,); of equals the earlier."""
    order = values.argsort(descending=True, stable=True)
    order = order[group[order].argsort(stable=True)]
    sorted_group = group[order]
    begins = torch.searchsorted(sorted_group, sorted_group)
    within = torch.arange(len(order), device=group.device) - begins < most
    return torch.zeros_like(within).scatter_(0, order, within)


def _most_of_each(values: Tensor, group: Tensor, groups: int) -> Tensor:
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
