"""Soft targets at every cell, from a larger student of our own or from another's detector with the same cells.

Both networks look at the same augmented batch, so nothing is matched and what augmentation makes is taught too.
Classes learn by the Kullback-Leibler divergence of the two, softened by a temperature (Hinton et al., arXiv:1503.02531,
for independent classes), distances by L1 where the teacher sees something.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevision.distill.foreign import ForeignTeacher
from edgevision.distill.recipe import Soft
from edgevision.distill.student import STRIDES, Student, by_cell
from edgevision.distill.weights import is_ours, load_any, read_weights
from edgevision.errors import UsageError
from edgevision.store import find_model


def check_dense_teacher(soft: Soft, classes: Sequence[str] = ()) -> None:
    """That the teacher can be read, and knows ``classes`` where they are known. Raises `UsageError`."""
    if not is_ours(soft.teacher):
        ForeignTeacher(find_model(soft.teacher), classes)
        return
    try:
        read_weights(soft.teacher)
    except UsageError as exc:
        raise UsageError(
            f"{soft.teacher}: expected a NanoDet, PicoDet or YOLOX that is among the models (edgevision models add), a "
            f"model that `distill export` made, or a run of our trainer: {exc}"
        ) from exc


def load_dense_teacher(soft: Soft, classes: Sequence[str]) -> nn.Module:
    """The teacher's weights, frozen. Raises `UsageError` where it has other classes."""
    if not is_ours(soft.teacher):
        return ForeignTeacher(find_model(soft.teacher), classes).eval().requires_grad_(False)
    # A network that is only looked at gives the same whatever its batch norms are fitted to.
    teacher = load_any(soft.teacher, lambda: [torch.rand(2, 3, 64, 64)])
    if teacher.shape.classes != len(classes):
        raise UsageError(
            f"soft.teacher: {soft.teacher} has {teacher.shape.classes} classes, the student {len(classes)}: they must "
            "be the same"
        )
    return teacher.requires_grad_(False)


class WithOthers(nn.Module):
    """A student that, while it is trained, says what its teacher says of other classes too: (B, A, 4 + all classes).

    What it must know to tell a chair from a sofa keeps it from learning its few pictures by heart. The predictions of
    others are thrown away afterwards and cost the student nothing.
    """

    def __init__(self, student: Student, others: int) -> None:
        super().__init__()
        self.student = student
        self.others = nn.ModuleList(nn.Conv2d(student.shape.neck_width, others, 1) for _ in STRIDES)
        for prediction in self.others:
            assert isinstance(prediction, nn.Conv2d)
            assert prediction.bias is not None
            nn.init.normal_(prediction.weight, std=0.01)
            nn.init.constant_(prediction.bias, -6.0)

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.student.maps(pixels)
        return torch.cat([by_cell(maps, self.student.predictions), by_cell(maps, self.others)], -1)


def dense_loss(raw: Tensor, taught: Tensor, soft: Soft, classes: int | None = None) -> Tensor:
    """Loss of a student's raw output (B, A, 4 + C) against its teacher's on the same pictures.

    The first ``classes`` of C are the student's own, the rest others', which weigh ``soft.others_weight``.
    """
    raw, taught = raw.float(), taught.float()
    own = 4 + classes if classes is not None else raw.shape[-1]
    seen = taught[..., 4:own].sigmoid().amax(-1)
    norm = seen.sum().clamp(min=1.0)
    apart = (F.softplus(raw[..., :4]) - F.softplus(taught[..., :4])).abs().mean(-1)
    total = soft.dense_weight * _divergence(raw[..., 4:own], taught[..., 4:own], soft.temperature) / norm
    total = total + soft.distance_weight * (apart * seen).sum() / norm
    if own < raw.shape[-1]:
        theirs = taught[..., own:]
        amount = theirs.sigmoid().sum().clamp(min=1.0)
        total = total + soft.others_weight * _divergence(raw[..., own:], theirs, soft.temperature) / amount
    return total


def _divergence(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    warm = taught / temperature
    aim = warm.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits / temperature, aim, reduction="none")
    entropy = F.binary_cross_entropy_with_logits(warm, aim, reduction="none")
    return (cross - entropy).sum() * temperature**2


@torch.no_grad()
def taught_by(teacher: nn.Module, pixels: Tensor) -> Tensor:
    """What the teacher says of a batch."""
    out: Tensor = teacher(pixels)
    return out
