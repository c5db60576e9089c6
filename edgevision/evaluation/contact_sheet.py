"""Contact sheets of hits and misses: several images with their boxes on one sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.datasets.storage import write_whole
from edgevision.evaluation.evaluate import Evaluation, ModelReport, Outcome
from edgevision.evaluation.plots import Curve, Panel, plot, write_chart, write_picture

Picture = NDArray[np.uint8]
HIT, FALSE, MISSED, DOUBTFUL = (60, 170, 50), (50, 50, 230), (0, 200, 255), (170, 170, 170)
"""BGR: green hit, red false, yellow missed, grey not judged (an uncertain label, or a class without labels)."""
_TILE_WH = (480, 360)
_LINE_PX = 26
_FONT_SCALE = 0.5


def worst(report: ModelReport, count: int = 12) -> list[Outcome]:
    """Images with most missed objects and false boxes, at the model's own threshold."""
    wrong = [o for o in report.outcomes if o.wrongs]
    return sorted(wrong, key=lambda o: (-o.wrongs, o.picture.labels.file))[:count]


def best(report: ModelReport, count: int = 9) -> list[Outcome]:
    """Images with objects, none missed and none false; those with most objects first."""
    right = [o for o in report.outcomes if not o.wrongs and o.hit.any()]
    return sorted(right, key=lambda o: (-int(o.hit.sum()), o.picture.labels.file))[:count]


def sheet(outcomes: Sequence[Outcome], classes: Sequence[str], columns: int = 3) -> Picture:
    """Outcomes as tiles with their boxes, below a legend of the colours."""
    height = max((_height_px(o) for o in outcomes), default=_TILE_WH[1])
    tiles = [_tile(o, classes, height) for o in outcomes]
    columns = max(1, min(columns, len(tiles)))
    blank = np.full((height + _LINE_PX, _TILE_WH[0], 3), 255, np.uint8)
    filled = [*tiles, *[blank] * (-len(tiles) % columns)] or [blank]
    rows = [np.hstack(filled[k : k + columns]) for k in range(0, len(filled), columns)]
    picture = np.vstack([_key(rows[0].shape[1]), *rows])
    return np.asarray(picture, np.uint8)


def precision_recall(models: Sequence[ModelReport]) -> str:
    """Precision over recall at IoU 0.5, an SVG file: of each model, or for one model with several classes of each."""
    curves = []
    if len(models) == 1 and len(models[0].by_class) > 1:
        model = models[0]
        with_labels = [v for v in model.verdicts if v.labels.sum()]
        for (name, ap), v in zip(model.by_class.items(), with_labels, strict=True):
            curves.append(Curve(f"{name} {ap.value:.2f}", *_thin(*v.curve())))
        title = f"{model.name}: AP50 {model.ap50.value:.3f}"
    else:
        for model in models:
            by_class = [v.curve() for v in model.verdicts if v.labels.sum()]
            recall, precision = by_class[0] if len(by_class) == 1 else _mean_curve(by_class)
            curves.append(Curve(f"{model.name} {model.ap50.value:.2f}", *_thin(recall, precision)))
        title = f"{models[0].name}: AP50 {models[0].ap50.value:.3f}" if len(models) == 1 else "AP50"
    unit = (0.0, 1.0)
    return plot("Precision over recall", [Panel(title, curves, "recall", "precision", unit, unit)])


def write_sheets(evaluation: Evaluation, out: Path) -> None:
    """Write evaluation.json, precision-recall.svg, and for the first model worst.png and best.png."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "evaluation.json", json.dumps(evaluation.as_json(), indent=1, ensure_ascii=False) + "\n")
    write_chart(out / "precision-recall.svg", precision_recall(evaluation.models))
    for name, outcomes in (("worst.png", worst(evaluation.models[0])), ("best.png", best(evaluation.models[0], 12))):
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
    found = outcome.found
    for box, score, k, hit, ignored in zip(
        found.boxes, found.scores, found.class_ids, outcome.hit, outcome.ignored, strict=True
    ):
        colour = HIT if hit else DOUBTFUL if ignored else FALSE
        _rectangle(picture, box * scale, colour, 2)
        if colour is FALSE:
            name = f"{classes[k]} " if len(classes) > 1 else ""
            _say(picture, f"{name}{score:.2f}", box[:2] * scale, colour)
    for number in outcome.missed:
        # Last, so that no box lies over a name; below, since a false box's score is often right above.
        name = classes[int(rows[number, 0])] if len(classes) > 1 else "missed"
        _say(picture, name, rows[number, [1, 4]] * scale, MISSED, below=True)
    return picture


def _height_px(outcome: Outcome) -> int:
    """Height of an image that fills a tile's width, at most the tile's."""
    labels = outcome.picture.labels
    return min(_TILE_WH[1], round(_TILE_WH[0] * labels.height_px / max(1, labels.width_px)))


def _tile(outcome: Outcome, classes: Sequence[str], height: int) -> Picture:
    width = _TILE_WH[0]
    tile = np.full((height + _LINE_PX, width, 3), 245, np.uint8)
    pixels = outcome.picture.read()
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    picture = _boxes(pixels, scale, outcome, classes)[:height, :width]
    y, x = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    tile[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    false = int((~outcome.hit & ~outcome.ignored).sum())
    name = outcome.picture.labels.file.rsplit("/", 1)[-1]
    text = f"{int(outcome.hit.sum())} hit, {len(outcome.missed)} missed, {false} false  "
    room = 54 - len(text)
    _text(tile, text + (name if len(name) <= room else f"..{name[-room:]}"), (6, height + 18), (40, 40, 40))
    tile[:, -1] = tile[-1] = 255
    return tile


def _key(width: int) -> Picture:
    line = np.full((30, width, 3), 255, np.uint8)
    x = 8
    for name, colour in (("hit", HIT), ("false", FALSE), ("missed", MISSED), ("not judged", DOUBTFUL)):
        cv2.rectangle(line, (x, 8), (x + 14, 22), colour, -1)
        _text(line, name, (x + 20, 20), (40, 40, 40))
        x += 40 + 10 * len(name)
    return line


def _rectangle(picture: Picture, box: NDArray[np.float32], colour: tuple[int, int, int], thick_px: int) -> None:
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thick_px)


def _say(
    picture: Picture, text: str, place: NDArray[np.float32], colour: tuple[int, int, int], below: bool = False
) -> None:
    """A label in black on its box's colour, above the box or below it."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, 1)
    x = max(0, min(round(float(place[0])), picture.shape[1] - width - 4))
    y = round(float(place[1])) + (height + 5 if below else -4)
    y = max(height + 2, min(y, picture.shape[0] - 4))
    cv2.rectangle(picture, (x, y - height - 2), (x + width + 4, y + 3), colour, -1)
    _text(picture, text, (x + 2, y), (0, 0, 0))


def _text(picture: Picture, text: str, at: tuple[int, int], colour: tuple[int, int, int], thick_px: int = 1) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, at, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, colour, thick_px, cv2.LINE_AA)


def _thin(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """A few hundred points of a curve of thousands."""
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
