"""The student's training loop: AdamW, warm-up, steady rate, cosine cool-down, weight averaging.

A steady rate with a cool-down at the end, rather than one cosine, lets a run be stopped, looked at and
lengthened: the checkpoint before the cool-down is a good place to go on from (arXiv:2405.18392).
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from edgevision.boxes import nms
from edgevision.distill.augment import single
from edgevision.distill.dataset import PictureStore, TrainingPictures, collate
from edgevision.distill.loss import detection_loss
from edgevision.distill.student import Student, StudentShape, boxes_from, cell_centres
from edgevision.score import Labelled, class_accuracy


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run. ``phases`` are (last epoch, side px, mosaic share), in order."""

    shape: StudentShape = field(default_factory=StudentShape)
    phases: tuple[tuple[int, int, float], ...] = ((30, 256, 0.6), (40, 320, 0.5), (45, 320, 0.0))
    batch: int = 32
    rate: float = 2e-3
    cool_down_epochs: int = 12
    warm_up_steps: int = 500
    weight_decay: float = 0.02
    average_decay: float = 0.9995
    seed: int = 1
    validate_every: int = 3

    @property
    def epochs(self) -> int:
        return self.phases[-1][0]

    def phase(self, epoch: int) -> tuple[int, float]:
        """Side in px and mosaic share of an epoch."""
        for last, side, share in self.phases:
            if epoch < last:
                return side, share
        return self.phases[-1][1:]


class Average:
    """Exponential moving average of the weights, which is what is validated and exported."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / 1000))
        for mine, theirs in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs.to(mine.dtype), 1 - decay)
            else:
                mine.copy_(theirs)


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    warm = min(1.0, (step + 1) / recipe.warm_up_steps)
    start = (recipe.epochs - recipe.cool_down_epochs) * steps_per_epoch
    through = (step - start) / max(1, recipe.cool_down_epochs * steps_per_epoch)
    cool = 1.0 if through <= 0 else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, through)))
    return recipe.rate * warm * cool


@torch.no_grad()
def validate(model: nn.Module, store: PictureStore, side: int) -> float:
    """Person-style AP50 of class 0 over a store, letterboxed to ``side``."""
    centres, strides = cell_centres((side, side))
    detections, truth = [], []
    for i in range(len(store)):
        image, labels = single(store[i], (side, side), None)
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))[None]).float() / 255
        raw = model(pixels.contiguous(memory_format=torch.channels_last))
        boxes = boxes_from(raw, centres, strides)[0].numpy()
        scores, classes = raw[0, :, 4:].sigmoid().max(1)
        keep = (scores > 0.01).numpy()
        b, s, c = boxes[keep], scores.numpy()[keep], classes.numpy()[keep].astype(np.int64)
        kept = nms(b, s, c, 0.6)
        detections.append(Labelled(b[kept], c[kept], s[kept]))
        sure = labels[labels[:, 5] > 0]
        truth.append(Labelled(sure[:, 1:5], sure[:, 0].astype(np.int64)))
    values = [class_accuracy(detections, truth, c).average_precision for c in range(raw.shape[2] - 4)]
    return float(np.nanmean(values))


def train(recipe: Recipe, data: Path, validation: Path, run: Path, workers: int = 2) -> Path:
    """Train, or go on where ``run`` stopped; returns the path of the final checkpoint.

    ``data`` and ``validation`` are folders written by `PictureStore.build`. A checkpoint is written each epoch.
    """
    run.mkdir(parents=True, exist_ok=True)
    # Workers are forked: a pool of OpenCV's threads in this process would be a lock nobody holds in theirs.
    cv2.setNumThreads(0)
    torch.manual_seed(recipe.seed)
    store, held = PictureStore(data), PictureStore(validation)
    model: nn.Module = Student(recipe.shape).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(model, recipe.average_decay)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.rate,
    )
    checkpoint, first = run / "last.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        average.model.load_state_dict(state["average"])
        average.updates = state["updates"]
        optimiser.load_state_dict(state["optimiser"])
        first = state["epoch"] + 1
    (run / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    steps = len(store) // recipe.batch
    for epoch in range(first, recipe.epochs):
        side, share = recipe.phase(epoch)
        loader = DataLoader(
            TrainingPictures(store, (side, side), share, recipe.seed, epoch),
            recipe.batch,
            shuffle=True,
            num_workers=workers,
            collate_fn=collate,
            drop_last=True,
            prefetch_factor=4 if workers else None,
        )
        row = _epoch(model, average, optimiser, loader, recipe, epoch, steps, side)
        if (epoch + 1) % recipe.validate_every == 0 or epoch + 1 == recipe.epochs:
            row["ap50"] = validate(average.model, held, side)
        with (run / "log.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")
        state = {
            "model": model.state_dict(),
            "average": average.model.state_dict(),
            "updates": average.updates,
            "optimiser": optimiser.state_dict(),
            "epoch": epoch,
            "shape": asdict(recipe.shape),
        }
        torch.save(state, run / "next.pt")
        (run / "next.pt").replace(checkpoint)
    return checkpoint


def _epoch(
    model: nn.Module,
    average: Average,
    optimiser: torch.optim.Optimizer,
    loader: DataLoader[tuple[Tensor, Tensor]],
    recipe: Recipe,
    epoch: int,
    steps: int,
    side: int,
) -> dict[str, float]:
    model.train()
    centres, strides = cell_centres((side, side))
    began, sums, n = time.monotonic(), np.zeros(3), 0
    for n, (images, truth) in enumerate(loader):
        rate = learning_rate(recipe, epoch * steps + n, steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        # Already channels last, and never float32: the conversion took as long as the stem otherwise.
        pixels = images.to(torch.bfloat16).div_(255)
        with torch.autocast("cpu", torch.bfloat16):
            raw = model(pixels)
        parts = detection_loss(raw, centres, strides, truth)
        optimiser.zero_grad(set_to_none=True)
        parts.total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        average.update(model)
        sums += (parts.box, parts.classes, parts.positives / len(images))
    box, classes, positives = sums / (n + 1)
    seconds = time.monotonic() - began
    return {
        "epoch": epoch,
        "side": side,
        "rate": rate,
        "box": box,
        "class": classes,
        "positives": positives,
        "seconds": seconds,
        "img_s": (n + 1) * recipe.batch / seconds,
    }
