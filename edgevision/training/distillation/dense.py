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

from edgevision.detectors.registry import find_model
from edgevision.errors import ModelInvalid, ModelNotFound, UsageError
from edgevision.training.checkpoints import read_weights, unfolded
from edgevision.training.distillation.onnx_teacher import ForeignTeacher
from edgevision.training.export.restore import Exported
from edgevision.training.recipe import Soft
from edgevision.training.student import STRIDES, Student, by_cell


def read_dense_teacher(place: str, classes: Sequence[str] = ()) -> Student | Exported | ForeignTeacher:
    """A network of ours, as `read_weights` takes it, or another's detector of the store.

    ``classes`` are the student's, empty where they are not yet known. Raises `UsageError` where the teacher cannot be
    read or does not have them.
    """
    try:
        ours = read_weights(place)
    except UsageError as exc:
        stored, why = None, str(exc)
        try:
            stored = find_model(place)
        except ModelNotFound as absent:
            why = str(absent)
        except ModelInvalid:
            pass
        if stored is None or stored.manifest is None:
            raise UsageError(
                "expected a NanoDet, PicoDet or YOLOX that is among the models (edgevision models add), a model that "
                f"`distill export` made, or a run of our trainer: {why}"
            ) from exc
        return ForeignTeacher(stored, classes)
    count = len(ours.classes) if isinstance(ours, Exported) else ours.shape.classes
    if classes and count != len(classes):
        raise UsageError(f"{place} has {count} classes, the student {len(classes)}: they must be the same")
    return ours


def load_dense_teacher(soft: Soft, classes: Sequence[str]) -> nn.Module:
    """The teacher of a student of ``classes``, frozen: (B, 3, H, W) of 0-1 to (B, A, 4 + classes), a foreign one's
    other classes after those. Raises `UsageError`."""
    read = read_dense_teacher(soft.teacher, classes)
    if not isinstance(read, ForeignTeacher):
        # A network that is only looked at gives the same whatever its batch norms are fitted to.
        read = unfolded(read, lambda: [torch.rand(2, 3, 64, 64)])
    return read.eval().requires_grad_(False)


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
