"""The README.md in a taught model's folder: what it is, how good on what, from what it was made, where it fails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from edgevision.detectors.manifest import Manifest
from edgevision.evaluation.evaluate import Evaluation, ModelReport

_SIZE_WORDS = {"small": "small (under 32² px)", "medium": "medium (to 96² px)", "large": "large"}


def card(
    manifest: Manifest,
    wish: ModelCardFields,
    evaluation: Evaluation | None,
    kinds: Sequence[str],
    took_ms: Sequence[float],
    size_bytes: int,
    pictures: Sequence[tuple[str, str]],
    on: date,
) -> str:
    """Markdown. ``kinds`` and ``took_ms`` are the graphs that were measured, the shipped one last."""
    kind = kinds[-1]
    recipe = manifest.input
    classes = f"{len(manifest.classes)}: {', '.join(manifest.classes[:20])}" + ", …" * (len(manifest.classes) > 20)
    lines = [
        f"# {manifest.name}",
        "",
        f"Made on {on.isoformat()} by `edgevision distill`. Finds {', '.join(manifest.classes[:6])}.",
        "",
        "| | |",
        "|---|---|",
        f"| version | {manifest.version}, {kind}, {size_bytes / 1e6:.2f} MB |",
        f"| classes | {classes} |",
        f"| input | {recipe.in_words}, as {recipe.dtype} {recipe.layout}; normalisation is inside the graph |",
        "| output | `output0` 1×(4 + classes)×cells: centre x, centre y, width, height in px, scores |",
        f"| time | {took_ms[-1]:.1f} ms an inference, one thread, onnxruntime, {manifest.latency[0].machine} |",
        f"| threshold | score {manifest.thresholds.score:g}, IoU {manifest.thresholds.iou:g} |",
        f"| licence of the weights | {manifest.licence} |",
        "",
        "## Accuracy",
        "",
    ]
    lines += ["Not measured."] if evaluation is None else _accuracy(evaluation, kinds, took_ms)
    made = [f"- teacher: {wish.teacher}"] if wish.teacher else []
    made += [f"- recipe: {wish.recipe}"] if wish.recipe else []
    made += [f"- data: {entry}" for entry in wish.data]
    made += [f"- {note}" for note in wish.notes]
    lines += ["", "## How it was made", "", *(made or ["Not written down."])]
    lines += _shown(pictures)
    lines += [
        "",
        "## Use and limits",
        "",
        "Measured on the images named above only: on another camera it may be better or worse. It "
        "does not know what its training data did not show. Not for identifying people, and not for "
        "safety.",
    ]
    return "\n".join(lines) + "\n"


def _accuracy(evaluation: Evaluation, kinds: Sequence[str], took_ms: Sequence[float]) -> list[str]:
    model = evaluation.models[-1]
    lines = [f"On {evaluation.data}: {evaluation.pictures} images, {evaluation.labels} labelled objects."]
    if not evaluation.by_people:
        lines += ["", "**Labels of these images are (in part) the teacher's own**: this is agreement with the teacher."]
    lines += ["", "| | AP50 (95 % interval over images) | AP50-95 |", "|---|---|---|"]
    lines.append(f"| all | **{model.ap50}** | {_figure(model.ap50_95)} |")
    if len(model.by_class) > 1:
        lines += [f"| {name} | {i} | {_figure(model.ap50_95_by_class[name])} |" for name, i in model.by_class.items()]
    lines += _sizes(model)
    lines += [f"| {name} | no labels | |" for name in model.absent]
    lines += [
        "",
        f"At its threshold of {model.threshold:g}: {model.missed} objects missed, {model.false_boxes} false boxes.",
    ]
    if len(kinds) > 1:
        before = evaluation.models[0]
        lines += [
            "",
            f"Before quantising ({kinds[0]}): AP50 {before.ap50.value:.3f}, {took_ms[0]:.1f} ms; "
            f"after ({kinds[-1]}): {model.ap50.value:.3f}, {took_ms[-1]:.1f} ms.",
        ]
    return lines


def _sizes(model: ModelReport) -> list[str]:
    return [
        f"| {_SIZE_WORDS[size]}, {model.labels_by_size[size]} objects | {_figure(value)} | |"
        for size, value in model.by_size.items()
        if model.labels_by_size[size]
    ]


def _shown(pictures: Sequence[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    for file, words in pictures:
        lines += ["", f"![{words}]({file})", "", f"*{words}*"]
    return ["", "## Pictures", *lines] if lines else []


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


@dataclass(frozen=True, slots=True)
class ModelCardFields:
    """What the model's folder is to say of it."""

    name: str
    version: str = "1"
    licence: str = "unknown"
    score: float = 0.3
    teacher: str = ""
    recipe: str = ""
    data: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What is weak about the data or the measurement: for the card."""
    pictures: str = "data"
    """What the card shows: ``data``, ``scene`` (where the data's pictures may not be republished) or ``none``."""
    allow_loss: bool = False
    replace: bool = False
