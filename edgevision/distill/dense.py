"""Soft targets at every cell, from a larger student of our own: its class probabilities and its distances.

Both networks look at the same augmented batch and have the same cells, so nothing is matched. Classes learn by the
Kullback-Leibler divergence of the two, softened by a temperature (Hinton et al., arXiv:1503.02531, for independent
classes), distances by L1 where the teacher sees something.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevision.distill.recipe import Soft
from edgevision.distill.weights import load_any
from edgevision.errors import UsageError


def load_dense_teacher(soft: Soft, classes: int) -> nn.Module:
    """The teacher's averaged weights, frozen. Raises `UsageError` where it has other classes."""
    # A network that is only looked at gives the same whatever its batch norms are fitted to.
    teacher = load_any(soft.teacher, lambda: [torch.rand(2, 3, 64, 64)])
    if teacher.shape.classes != classes:
        raise UsageError(
            f"soft.teacher: {soft.teacher} has {teacher.shape.classes} classes, the student {classes}: they must be "
            "the same"
        )
    return teacher.requires_grad_(False)


def dense_loss(raw: Tensor, taught: Tensor, soft: Soft) -> Tensor:
    """Loss of a student's raw output (B, A, 4 + C) against its teacher's on the same pictures."""
    raw, taught = raw.float(), taught.float()
    warm = taught[..., 4:] / soft.temperature
    aim = warm.sigmoid()
    cross = F.binary_cross_entropy_with_logits(raw[..., 4:] / soft.temperature, aim, reduction="none")
    own = F.binary_cross_entropy_with_logits(warm, aim, reduction="none")
    seen = taught[..., 4:].sigmoid().amax(-1)
    norm = seen.sum().clamp(min=1.0)
    classes = (cross - own).sum() * soft.temperature**2 / norm
    apart = (F.softplus(raw[..., :4]) - F.softplus(taught[..., :4])).abs().mean(-1)
    return soft.dense_weight * classes + soft.distance_weight * (apart * seen).sum() / norm


@torch.no_grad()
def taught_by(teacher: nn.Module, pixels: Tensor) -> Tensor:
    """What the teacher says of a batch."""
    out: Tensor = teacher(pixels)
    return out
