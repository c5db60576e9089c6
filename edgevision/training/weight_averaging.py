"""``distill mean``: a run's weights averaged with those of networks it is kin to, such as the one it began from.

The mean of what a network was and what it became is often better than either on pictures that neither was trained on
(arXiv:2109.01903), and that of several runs from one beginning too (arXiv:2203.05482). Weights of networks that do not
share a beginning have no useful mean: the accuracy that is told shows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgevision.errors import UsageError
from edgevision.training.checkpoints import checkpoint_of, load_any, load_student, read_checkpoint
from edgevision.training.image_cache import Draw, ImageCache, fitting_pictures
from edgevision.training.run_folder import read_run
from edgevision.training.student import Student
from edgevision.training.validate import validate

FITTED_TO = 512
"""Pictures that the mean's batch norms are fitted to: their statistics are not the mean of statistics."""


def shares_in(words: Sequence[str]) -> list[tuple[str, float]]:
    """``person=0.35`` and the like. Raises `UsageError`."""
    shares = []
    for word in words:
        place, _, share = word.rpartition("=")
        try:
            shares.append((place, float(share)))
        except ValueError:
            place = ""
        if not place:
            raise UsageError(f"--with: expected NET=SHARE, such as person=0.35, got {word!r}")
    return shares


def mean_with(
    run: Path, others: Sequence[tuple[str, float]], out: Path, say: Callable[[str], None] = lambda text: None
) -> float:
    """Write to ``out`` a checkpoint with the mean of a run's weights and ``others``'; its AP50 on the run's pictures.

    ``others`` are runs, checkpoints or exported models with their shares in 0-1; the run has what is left. Raises
    `UsageError`, where a network is of another shape for one.
    """
    checkpoint = checkpoint_of(run)
    folder = checkpoint.parent
    info, state = read_run(folder), read_checkpoint(checkpoint)
    left = 1 - sum(share for _, share in others)
    if not others or any(not 0 < share < 1 for _, share in others) or left <= 0:
        raise UsageError("shares: expected others with shares above 0 that leave the run some of 1")
    for part in ("train", "val"):
        if not ImageCache.is_whole(folder / part):
            raise UsageError(f"{folder}: expected the run's own images in {part}, found none; train it again")
    out.parent.mkdir(parents=True, exist_ok=True)
    store, held, recipe = ImageCache(folder / "train"), ImageCache(folder / "val"), info.recipe
    draw = Draw(store.names, recipe.times)
    student = load_student(checkpoint)
    nets = [(student, left)]
    for place, share in others:
        net = load_any(place, lambda: fitting_pictures(store, draw, recipe, 0))
        if net.shape != student.shape:
            raise UsageError(f"{place}: expected a network of the run's shape ({student.shape}), got {net.shape}")
        nets.append((net, share))
    mean = weighted(nets)
    fit_norms(mean, fitting_pictures(store, draw, recipe, recipe.epochs - 1, FITTED_TO))
    weights = mean.state_dict()
    # Its optimiser's state would be another network's: what is made here is exported or begun from, not gone on with.
    kept = {k: v for k, v in state.items() if k not in ("optimiser", "model", "others", "average")}
    fresh = out.with_name(out.name + ".new")
    torch.save({**kept, "average": weights, "mean": [[str(run), left], *map(list, others)]}, fresh)
    fresh.replace(out)
    ap50 = validate(mean, held, int(state.get("side_px") or recipe.side_px)).ap50
    say(f"{out}: " + ("no labels to measure on" if math.isnan(ap50) else f"AP50 {ap50:.3f}"))
    return ap50


def weighted(nets: Sequence[tuple[Student, float]]) -> Student:
    """A network whose weights are the mean of ``nets``' by their shares, which sum to 1."""
    mean = Student(nets[0][0].shape)
    states = [(net.state_dict(), share) for net, share in nets]
    with torch.no_grad():
        for name, value in mean.state_dict().items():
            if value.dtype.is_floating_point:
                value.copy_(torch.stack([state[name] * share for state, share in states]).sum(0))
            else:
                value.copy_(states[0][0][name])
    return mean.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


@torch.no_grad()
def fit_norms(student: Student, pictures: Iterable[Tensor]) -> None:
    """Give the batch norms the statistics of ``pictures``: batches (B, 3, H, W) of 0-1."""
    norms = [m for m in student.modules() if isinstance(m, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
    student.train()
    for batch in pictures:
        student(batch.contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    student.eval()
