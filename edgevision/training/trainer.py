"""The student's training loop: AdamW, warm-up, steady rate, cosine cool-down, weight averaging, in rounds.

A steady rate with a cool-down at the end, rather than one cosine, lets a run be stopped, looked at and
lengthened: the checkpoint before the cool-down is a good place to go on from (arXiv:2405.18392).

Everything random is drawn from the seed and the epoch, so a run that was killed and goes on at its last checkpoint
is the run that was not.
"""

from __future__ import annotations

import copy
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from edgevision.errors import UsageError
from edgevision.evaluation.plots import training_curves, write_chart
from edgevision.training.checkpoints import LAST, take_over
from edgevision.training.device import Place
from edgevision.training.distillation.dense import WithOthers, dense_loss, load_dense_teacher, taught_by
from edgevision.training.distillation.onnx_teacher import ForeignTeacher
from edgevision.training.distillation.teacher_cache import TEACHER, CachedCrops, TeacherCache, collate_taught
from edgevision.training.image_cache import Draw, ImageCache, TrainingPictures, collate, fitting_pictures
from edgevision.training.loss import detection_loss
from edgevision.training.recipe import Recipe
from edgevision.training.student import Student, StudentShape, cell_centres
from edgevision.training.validate import validate

Tell = Callable[[int, int, int, dict[str, Any] | None], None]
"""Told (epoch, step, steps of an epoch, the epoch's log row at its end) by the leading process."""
Batch = tuple[Tensor, ...]
"""Images, labels and, where they are cached, the teacher's outputs."""


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
    """The rate of a step, counted over the whole run: each round warms up, stays and cools down."""
    schedule = recipe.schedule
    before = step // (recipe.round_epochs * steps_per_epoch)
    epochs = min(recipe.round_epochs, recipe.epochs - before * recipe.round_epochs)
    step -= before * recipe.round_epochs * steps_per_epoch
    warm = min(1.0, (step + 1) / schedule.warm_up_steps)
    start = (epochs - schedule.cool_down_epochs) * steps_per_epoch
    through = (step - start) / max(1, schedule.cool_down_epochs * steps_per_epoch)
    cool = 1.0 if through <= 0 else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, through)))
    return schedule.rate * schedule.later_rate**before * warm * cool


class Training:
    """One run: the network, its average, its optimiser, and where they are kept."""

    def __init__(
        self,
        recipe: Recipe,
        data: Path,
        validation: Path,
        run: Path,
        classes: Sequence[str],
        place: Place,
        workers: int = 2,
    ) -> None:
        """``data`` and ``validation`` are folders written by `ImageCache.build`; ``run`` may hold a checkpoint.

        Raises `UsageError` where they do not go together.
        """
        self.recipe, self.run, self.classes, self.place, self.workers = recipe, run, tuple(classes), place, workers
        torch.manual_seed(recipe.seed)
        self.store, self.held = ImageCache(data), ImageCache(validation)
        if recipe.batch % place.world:
            raise UsageError(f"batch: expected a multiple of the {place.world} processes, got {recipe.batch}")
        self.draw = Draw(self.store.names, recipe.times)
        self.cache = TeacherCache(run / TEACHER) if recipe.soft.cached_images else None
        samples = len(self.draw if self.cache is None else self.cache)
        self.steps = samples // recipe.batch
        if self.steps == 0:
            raise UsageError(f"batch: expected at most the {samples} pictures of an epoch, got {recipe.batch}")
        net = recipe.student
        shape = StudentShape(len(self.classes), net.widths, tuple(net.depths), net.neck_width)  # type: ignore[arg-type]
        student = Student(shape)
        if recipe.init and not (run / LAST).exists():
            take_over(student, recipe.init, lambda: fitting_pictures(self.store, self.draw, recipe, 0))
        self.student = student.to(place.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.student, recipe.schedule.average_decay)
        self.teacher: nn.Module | None = None
        trained: nn.Module = self.student
        others = 0
        if self.cache is not None:
            others = self.cache.others
        elif recipe.soft.targets == "dense":
            self.teacher = load_dense_teacher(recipe.soft, self.classes).to(place.device)
            others = len(self.teacher.classes) - len(self.classes) if isinstance(self.teacher, ForeignTeacher) else 0
        if others and recipe.soft.others_weight:
            trained = WithOthers(self.student, others).to(place.device)
        self.trained = trained
        """What is trained: the student, or the student and what is thrown away afterwards."""
        self.optimiser = self._fresh_optimiser()
        self.first = self._go_on(shape)
        self.model = place.wrapped(trained)

    def _go_on(self, shape: StudentShape) -> int:
        """Take up the last checkpoint, where there is one; the epoch to begin with."""
        checkpoint = self.run / LAST
        if not checkpoint.exists():
            return 0
        state = torch.load(checkpoint, weights_only=True, map_location=self.place.device)
        kept = json.loads(json.dumps(state["shape"]))
        if kept != json.loads(json.dumps(asdict(shape))):
            raise UsageError(f"{self.run}: holds a student of another shape ({kept}); train into another folder")
        self.student.load_state_dict(state["model"])
        if isinstance(self.trained, WithOthers):
            self.trained.others.load_state_dict(state["others"])
        self.average.model.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["epoch"]) + 1

    def _fresh_optimiser(self) -> torch.optim.Optimizer:
        decayed = [p for p in self.trained.parameters() if p.ndim > 1]
        plain = [p for p in self.trained.parameters() if p.ndim <= 1]
        decay = self.recipe.schedule.weight_decay
        groups = [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.recipe.schedule.rate)

    def _begin_round(self) -> None:
        self.student.load_state_dict(self.average.model.state_dict())
        self.average.updates = 0
        self.optimiser = self._fresh_optimiser()

    def train(self, tell: Tell | None = None) -> Path:
        """All epochs that are left. A checkpoint after each; the log and the curves beside it. Its path."""
        log = self.run / "log.jsonl"
        rows = read_log(log, self.first)
        if self.place.leads:
            # A kill between log and checkpoint leaves a row of an epoch that will be done again.
            _write_log(log, rows)
        for epoch in range(self.first, self.recipe.epochs):
            if epoch and epoch % self.recipe.round_epochs == 0:
                self._begin_round()
            row = self._epoch(epoch, tell)
            if self.place.leads:
                if (epoch + 1) % self.recipe.validate_every == 0 or epoch + 1 == self.recipe.epochs:
                    accuracy = validate(self.average.model, self.held, self.recipe.side_px)
                    row["ap50"] = accuracy.ap50
                    if len(self.classes) > 1:
                        named = zip(self.classes, accuracy.by_class, strict=True)
                        row["ap50_by_class"] = {name: ap for name, ap in named if not math.isnan(ap)}
                rows.append(row)
                _write_log(log, rows)
                self._keep(epoch)
                if "ap50" in row:
                    write_chart(self.run / "curves.svg", training_curves(rows, self.classes))
                if tell is not None:
                    tell(epoch, self.steps, self.steps, row)
            self.place.wait_for_all()
        return self.run / LAST

    def _keep(self, epoch: int) -> None:
        state = {
            "model": self.student.state_dict(),
            "others": self.trained.others.state_dict() if isinstance(self.trained, WithOthers) else {},
            "average": self.average.model.state_dict(),
            "updates": self.average.updates,
            "optimiser": self.optimiser.state_dict(),
            "epoch": epoch,
            "shape": asdict(self.student.shape),
            "classes": list(self.classes),
            "side_px": self.recipe.side_px,
        }
        torch.save(state, self.run / "next.pt")
        (self.run / "next.pt").replace(self.run / LAST)

    def _loader(self, epoch: int) -> DataLoader[Batch]:
        recipe, phase = self.recipe, self.recipe.phase(epoch)
        pictures: Dataset[Batch]
        if self.cache is not None:
            pictures = CachedCrops(self.cache, phase.side_px, recipe.augmentation, recipe.seed, epoch)
        else:
            pictures = TrainingPictures(
                self.store, self.draw, (phase.side_px,) * 2, phase.mosaic, recipe.augmentation, recipe.seed, epoch
            )
        # Each process takes its part of every batch, so that the batches are the same however many there are.
        mine = range(self.place.rank, self.steps * recipe.batch, self.place.world)
        return DataLoader(
            Subset(pictures, mine),
            recipe.batch // self.place.world,
            num_workers=self.workers,
            collate_fn=collate if self.cache is None else collate_taught,
            drop_last=True,
            prefetch_factor=4 if self.workers else None,
            multiprocessing_context=_worker_context() if self.workers else None,
            pin_memory=self.place.device.type == "cuda",
        )

    def _epoch(self, epoch: int, tell: Tell | None) -> dict[str, Any]:
        recipe, place = self.recipe, self.place
        self.model.train()
        side = recipe.phase(epoch).side_px
        centres, strides = cell_centres((side, side), place.device)
        soft = None if recipe.soft.targets == "boxes" else recipe.soft
        began, sums, n, rate = time.monotonic(), np.zeros(4), 0, 0.0
        for n, (images, labels, *cached) in enumerate(self._loader(epoch)):
            rate = learning_rate(recipe, epoch * self.steps + n, self.steps)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            pixels, truth = place.pixels(images), labels.to(place.device)
            with place.autocast():
                raw = self.model(pixels)
                taught = None if self.teacher is None else taught_by(self.teacher, pixels)
            taught = cached[0].to(place.device) if cached else taught
            own = 4 + len(self.classes)
            parts = detection_loss(raw[..., :own], centres, strides, truth, recipe.loss, soft)
            total, extra = parts.total, 0.0
            if taught is not None:
                more = dense_loss(raw, taught[..., : raw.shape[-1]], recipe.soft, len(self.classes))
                total, extra = total + more, float(more.detach())
            self.optimiser.zero_grad(set_to_none=True)
            total.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
            self.optimiser.step()
            self.average.update(self.student)
            sums += (parts.box, parts.classes, parts.positives / len(images), extra)
            if tell is not None and place.leads:
                tell(epoch, n + 1, self.steps, None)
        box, classes, positives, extra = (sums / (n + 1)).tolist()
        seconds = time.monotonic() - began
        row = {"epoch": epoch, "side": side, "rate": rate, "box": box, "class": classes, "positives": positives}
        row |= {"dense": extra} if recipe.soft.targets == "dense" else {}
        return row | {"seconds": seconds, "img_s": (n + 1) * recipe.batch / seconds}


def _worker_context() -> multiprocessing.context.BaseContext:
    """How workers begin. Never by forking this process: OpenCV, onnxruntime and FFmpeg may have threads in it, and a
    lock that one of them holds would be held for ever in the copy."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["edgevision.training.image_cache"])
    return context


def read_log(path: Path, before_epoch: int) -> list[dict[str, Any]]:
    """A run's log rows of epochs before one."""
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # cut off by a kill
        if row["epoch"] < before_epoch:
            rows.append(row)
    return rows


def _write_log(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    fresh.replace(path)
