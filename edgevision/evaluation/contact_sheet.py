"""Pictures of hits and misses, several on a sheet: what a figure of accuracy looks like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.datasets.storage import write_whole
from edgevision.evaluation.evaluate import Evaluation, ModelReport, Outcome
from edgevision.evaluation.plots import Line, plot, write_picture

Picture = NDArray[np.uint8]
HIT, FALSE, MISSED, DOUBTFUL = (60, 170, 50), (50, 50, 230), (0, 200, 255), (170, 170, 170)
"""BGR: green found, red false, yellow missed, grey not judged (a doubtful label, a class whose truth is not known)."""
_TILE_WH = (320, 240)
_LINE_PX = 18


def worst(report: ModelReport, count: int = 16) -> list[Outcome]:
    """Pictures with most misses and false boxes, at the model's own threshold."""
    wrong = [o for o in report.outcomes if o.wrongs]
    return sorted(wrong, key=lambda o: (-o.wrongs, o.picture.labels.file))[:count]


def best(report: ModelReport, count: int = 8) -> list[Outcome]:
    """Pictures with objects, none missed and nothing false; those with most objects first."""
    right = [o for o in report.outcomes if not o.wrongs and o.hit.any()]
    return sorted(right, key=lambda o: (-int(o.hit.sum()), o.picture.labels.file))[:count]


def sheet(outcomes: Sequence[Outcome], classes: Sequence[str], columns: int = 4) -> Picture:
    """Outcomes as tiles with their boxes, and a line that says what the colours are."""
    tiles = [_tile(o, classes) for o in outcomes]
    columns = max(1, min(columns, len(tiles)))
    blank = np.full((_TILE_WH[1] + _LINE_PX, _TILE_WH[0], 3), 255, np.uint8)
    filled = [*tiles, *[blank] * (-len(tiles) % columns)] or [blank]
    rows = [np.hstack(filled[k : k + columns]) for k in range(0, len(filled), columns)]
    picture = np.vstack([_key(rows[0].shape[1]), *rows])
    return np.asarray(picture, np.uint8)


def precision_recall(models: Sequence[ModelReport]) -> Picture:
    """Precision over recall at IoU 0.5: of each model, or for one model with several classes of each class."""
    lines = []
    if len(models) == 1 and len(models[0].by_class) > 1:
        model = models[0]
        with_labels = [v for v in model.verdicts if v.labels.sum()]
        for (name, ap), v in zip(model.by_class.items(), with_labels, strict=True):
            recall, precision = v.curve()
            lines.append(Line(f"{name} {ap.value:.2f}", *_thin(recall, precision)))
        title = f"{model.name}: AP50 {model.ap50.value:.3f}"
    else:
        for model in models:
            curves = [v.curve() for v in model.verdicts if v.labels.sum()]
            recall, precision = curves[0] if len(curves) == 1 else _mean_curve(curves)
            lines.append(Line(f"{model.name} {model.ap50.value:.2f}", *_thin(recall, precision)))
        title = "AP50"
    unit = (0.0, 1.0)
    return plot(title, lines, x_name="recall", y_name="precision", x_range=unit, y_range=unit, size_wh=(640, 480))


def write_sheets(evaluation: Evaluation, out: Path) -> None:
    """Write evaluation.json, precision-recall.png, and for the first model worst.png and best.png."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "evaluation.json", json.dumps(evaluation.as_json(), indent=1, ensure_ascii=False) + "\n")
    write_picture(out / "precision-recall.png", precision_recall(evaluation.models))
    for name, outcomes in (("worst.png", worst(evaluation.models[0])), ("best.png", best(evaluation.models[0], 16))):
        if outcomes:
            write_picture(out / name, sheet(outcomes, evaluation.classes))


def _boxes(pixels: Picture, scale: float, outcome: Outcome, classes: Sequence[str]) -> Picture:
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=way), np.uint8)
    rows = outcome.picture.labels.rows()
    for row in rows[rows[:, 5] <= 0]:
        _rectangle(picture, row[1:5] * scale, DOUBTFUL, 1)
    for number in outcome.missed:
        _rectangle(picture, rows[number, 1:5] * scale, MISSED, 2)
        _say(picture, classes[int(rows[number, 0])] if len(classes) > 1 else "", rows[number, 1:3] * scale, MISSED)
    found = outcome.found
    for box, score, k, hit, ignored in zip(
        found.boxes, found.scores, found.class_ids, outcome.hit, outcome.ignored, strict=True
    ):
        colour = HIT if hit else DOUBTFUL if ignored else FALSE
        _rectangle(picture, box * scale, colour, 2)
        name = f"{classes[k]} " if len(classes) > 1 else ""
        _say(picture, f"{name}{score:.2f}", box[:2] * scale, colour)
    return picture


def _tile(outcome: Outcome, classes: Sequence[str]) -> Picture:
    width, height = _TILE_WH
    tile = np.full((height + _LINE_PX, width, 3), 245, np.uint8)
    pixels = outcome.picture.read()
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    picture = _boxes(pixels, scale, outcome, classes)[:height, :width]
    y, x = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    tile[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    false = int((~outcome.hit & ~outcome.ignored).sum())
    name = outcome.picture.labels.file.rsplit("/", 1)[-1]
    text = f"{int(outcome.hit.sum())} hit, {len(outcome.missed)} missed, {false} false  "
    room = 46 - len(text)
    _text(tile, text + (name if len(name) <= room else f"..{name[-room:]}"), (4, height + 13), (40, 40, 40))
    tile[:, -1] = tile[-1] = 255
    return tile


def _key(width: int) -> Picture:
    line = np.full((24, width, 3), 255, np.uint8)
    x = 6
    for name, colour in (("hit", HIT), ("false", FALSE), ("missed", MISSED), ("not judged", DOUBTFUL)):
        cv2.rectangle(line, (x, 7), (x + 12, 17), colour, -1)
        _text(line, name, (x + 16, 16), (40, 40, 40))
        x += 30 + 8 * len(name)
    return line


def _rectangle(picture: Picture, box: NDArray[np.float32], colour: tuple[int, int, int], thick_px: int) -> None:
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thick_px)


def _say(picture: Picture, text: str, place: NDArray[np.float32], colour: tuple[int, int, int]) -> None:
    if text:
        x, y = round(float(place[0])), max(9, round(float(place[1])) - 3)
        _text(picture, text, (x, y), (0, 0, 0), 3)
        _text(picture, text, (x, y), colour)


def _text(picture: Picture, text: str, at: tuple[int, int], colour: tuple[int, int, int], thick_px: int = 1) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, thick_px, cv2.LINE_AA)


def _thin(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """A few hundred points say what ten thousand do."""
    if len(recall) == 0:
        return [], []
    # Even steps of recall, since half the detections of a model stand in its tail.
    steps = np.searchsorted(recall, np.linspace(0, recall[-1], 400))
    chosen = np.unique([0, *np.minimum(steps, len(recall) - 1), len(recall) - 1])
    return recall[chosen].tolist(), precision[chosen].tolist()


def _mean_curve(
    curves: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    at = np.linspace(0, 1, 201)
    rows = []
    for recall, precision in curves:
        smooth = np.maximum.accumulate(precision[::-1])[::-1] if len(precision) else precision
        place = np.searchsorted(recall, at)
        known = place < len(smooth)
        rows.append(np.where(known, smooth[np.minimum(place, len(smooth) - 1)], 0.0) if len(smooth) else at * 0)
    return at, np.mean(rows, axis=0)
