"""``distill train`` as a call: prepare the run, then the own trainer, or Ultralytics' where the recipe says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgevision.concurrency import usable_cores
from edgevision.errors import UsageError
from edgevision.training.extras import need_train, need_ultralytics
from edgevision.training.recipe import Recipe
from edgevision.training.run_folder import begin, read_run


def epoch_line(row: dict[str, Any], epochs: int) -> str:
    """One epoch of a training run."""
    text = f"epoch {row['epoch'] + 1}/{epochs}: box {row['box']:.3f}, class {row['class']:.3f}"
    text += f", soft {row['dense']:.3f}" if "dense" in row else ""
    text += f", {row['side']} px, {row['img_s']:.0f} img/s"
    return text + (f", AP50 {row['ap50']:.3f}" if "ap50" in row else "")


Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]


def train_student(
    data: Sequence[Path],
    recipe: Recipe,
    run: Path,
    *,
    validation: Path | None = None,
    resume: bool = False,
    workers: int = 2,
    threads: int | None = None,
    device: str | None = None,
    say: Say = lambda text: None,
    progress: Progress | None = None,
) -> Path:
    """Train a student, or go on where ``run`` stopped; its last checkpoint.

    Under ``torchrun`` every process calls this; the first makes the run ready for all. Raises `UsageError` and
    `MissingExtra`.
    """
    if recipe.trainer == "ultralytics":
        need_train("training a student")
        need_ultralytics("the trainer 'ultralytics'")
        from edgevision.training.ultralytics_trainer import train_ultralytics

        return train_ultralytics(
            data, recipe, run, validation=validation, resume=resume, workers=workers, device=device, say=say
        )
    need_train("training a student")
    from edgevision.training.device import chosen_place
    from edgevision.training.distillation.teacher_cache import cache_outputs
    from edgevision.training.trainer import Training

    with chosen_place(device, threads) as place:
        if place.leads:
            check_weights(recipe, run)
            info = begin(data, recipe, run, validation=validation, resume=resume, say=say)
            if recipe.soft.cached_images:
                cache_outputs(recipe, run, info.classes, progress)
        place.wait_for_all()
        info = read_run(run)
        training = Training(recipe, run / "train", run / "val", run, info.classes, place, workers)
        if place.leads:
            for glob in training.draw.unused:
                say(f"times: no image is named {glob!r}")
            say(
                f"{len(training.store)} pictures, {len(training.held)} to validate on, {recipe.epochs} epochs, on "
                f"{place.in_words}" + (f"; going on at epoch {training.first + 1}" if training.first else "")
            )

        def tell(epoch: int, step: int, steps: int, row: dict[str, object] | None) -> None:
            if progress is not None:
                progress(epoch * steps + step, recipe.epochs * steps, f"epoch {epoch + 1}")
            if row is not None:
                say(epoch_line(row, recipe.epochs))

        return training.train(tell)


def check_weights(recipe: Recipe, run: Path, classes: Sequence[str] = ()) -> None:
    """That what a run begins and learns from can be read and knows ``classes``, where they are known, before its
    pictures are labelled or decoded. Raises `UsageError`."""
    from edgevision.training.checkpoints import LAST, read_weights
    from edgevision.training.distillation.dense import read_dense_teacher

    key = "init"
    try:
        # A run that goes on has its own weights, wherever those have gone that it began from.
        if recipe.init and not (run / LAST).exists():
            read_weights(recipe.init)
        key = "soft.teacher"
        if recipe.soft.teacher:
            read_dense_teacher(recipe.soft.teacher, recipe.classes or classes)
    except UsageError as exc:
        raise UsageError(f"{key}: {exc}") from exc


def usual_workers() -> int:
    """Processes that make samples: one a core, at most 8; the network wants the rest."""
    return max(1, min(8, usable_cores()))
