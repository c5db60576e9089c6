"""``distill export``: a trained student as a model folder: graph, manifest, golden checks, card with images.

The float graph and the int8 one are measured on the same images in turns; an int8 that loses too much is refused.
"""

from __future__ import annotations

import hashlib
import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scene import scene_picture
from edgevision.datasets.annotations import LabelledData
from edgevision.deployment.golden import record_golden
from edgevision.deployment.model_folder import check_target, write_folder
from edgevision.detectors.manifest import Accuracy, Golden, Latency, Manifest, manifest_from, manifest_text
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.onnx_session import Session
from edgevision.errors import EdgeVisionError
from edgevision.evaluation.contact_sheet import best, precision_recall, sheet, worst
from edgevision.evaluation.evaluate import Evaluation, evaluate
from edgevision.evaluation.plots import write_chart, write_picture
from edgevision.training.export.model_card import ModelCardFields, card

MOST_LOSS = 0.015
"""AP50 that int8 may cost."""
_SCENES = ((1, 40), (4, 200), (7, 90), (11, 310))
"""Seed and frame of the built-in scene's pictures that golden checks are looked for in."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of the trained network."""

    kind: str
    """``float``, ``int8`` or ``half``: for notes and the card."""
    graph: bytes
    """ONNX."""


@dataclass(slots=True)
class PackagedModel:
    """What was written."""

    folder: Path
    manifest: Manifest
    evaluation: Evaluation | None
    float_ms: float
    ms: float
    notes: list[str] = field(default_factory=list)


def manifest_for(fields: ModelCardFields, classes: Sequence[str], side_px: int, order: str = "bgr") -> Manifest:
    """How a graph of ours with its front inside is fed and read."""
    return manifest_from(
        {
            "name": fields.name,
            "version": fields.version,
            "family": "ultralytics",
            "classes": list(classes),
            "licence": fields.licence,
            "input": {
                "name": "images",
                "width_px": side_px,
                "height_px": side_px,
                "layout": "nhwc",
                "dtype": "uint8",
                "channel_order": order,
            },
            "thresholds": {"score": fields.score, "iou": 0.6},
            "origin": {"teacher": fields.teacher, "recipe": fields.recipe, "data": list(fields.data)},
        },
        "export",
    )


def package(
    variants: Sequence[Variant],
    manifest: Manifest,
    target: Path,
    fields: ModelCardFields,
    data: LabelledData | None,
    say: Say = lambda text: None,
) -> PackagedModel:
    """Measure all variants on ``data``, and write the last one's folder to ``target``; the first is the original.

    Raises `EdgeVisionError` where the last one's AP50 is more than `MOST_LOSS` under the original's and the fields do
    not allow it, `UsageError` where the target is taken.
    """
    check_target(target, fields.replace)
    measured = _measure(variants, manifest, data, say)
    notes = []
    if measured.evaluation is not None and len(variants) > 1:
        notes.append(_compared(measured, fields))
        say(notes[0])
        if measured.took_ms[-1] > measured.took_ms[0]:
            say("int8 is slower than float on this machine: leave --int8 out, or measure on the one it is for")
    with write_folder(target) as folder:
        written = _write_model(folder, manifest, measured, fields)
        _write_card(folder, written, measured, fields)
    return PackagedModel(target, written, measured.evaluation, measured.took_ms[0], measured.took_ms[-1], notes)


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Variants on the same machine and images; lists are in the order of the variants."""

    variants: Sequence[Variant]
    detectors: Sequence[OnnxDetector]
    took_ms: Sequence[float]
    evaluation: Evaluation | None


def _measure(variants: Sequence[Variant], manifest: Manifest, data: LabelledData | None, say: Say) -> _Measured:
    detectors = [_detector(manifest, variant) for variant in variants]
    took_ms = median_ms(detectors)
    if data is None:
        return _Measured(variants, detectors, took_ms, None)
    say(f"measuring {' and '.join(v.kind for v in variants)} on {len(data.usable)} pictures")
    return _Measured(variants, detectors, took_ms, evaluate(detectors, data))


def _write_model(folder: Path, manifest: Manifest, measured: _Measured, fields: ModelCardFields) -> Manifest:
    """Graph, golden images and manifest of the last variant."""
    graph, detector, took_ms = measured.variants[-1].graph, measured.detectors[-1], measured.took_ms[-1]
    (folder / manifest.file).write_bytes(graph)
    written = manifest.model_copy(
        update={
            "sha256": hashlib.sha256(graph).hexdigest(),
            "golden": _golden(detector, folder, fields, measured.evaluation),
            "latency": (Latency(machine=machine_in_words(), threads=1, median_ms=round(took_ms, 2)),),
            "accuracy": _accuracy(measured.evaluation),
        }
    )
    (folder / "model.toml").write_text(manifest_text(written), encoding="utf-8")
    return written


def _write_card(folder: Path, manifest: Manifest, measured: _Measured, fields: ModelCardFields) -> None:
    """README.md and the images that it shows."""
    shown = _pictures(folder, measured.evaluation, measured.detectors[-1], fields)
    kinds = [v.kind for v in measured.variants]
    size_bytes = len(measured.variants[-1].graph)
    text = card(manifest, fields, measured.evaluation, kinds, measured.took_ms, size_bytes, shown, date.today())
    (folder / "README.md").write_text(text, encoding="utf-8")


def median_ms(detectors: Sequence[OnnxDetector], rounds: int = 60) -> list[float]:
    """Median ms of one inference of each, one thread, the tensor ready; in turns, so that all had the same minutes."""
    pixels, _ = scene_picture(3, 60, (640, 360))
    prepared = [d.prepare(pixels) for d in detectors]
    took: list[list[float]] = [[] for _ in detectors]
    for _ in range(rounds):
        for detector, tensor, mine in zip(detectors, prepared, took, strict=True):
            began = time.perf_counter()
            detector.session.run(tensor.tensor, 0, detector.manifest.input.name or None)
            mine.append((time.perf_counter() - began) * 1e3)
    return [statistics.median(mine) for mine in took]


def machine_in_words() -> str:
    """The processor as far as it decides int8's speed."""
    kind = platform.machine() or "unknown"
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{kind}, {platform.system()}"
    words = next((line.split(":", 1)[1].split() for line in text.splitlines() if line[:5] in ("flags", "Featu")), [])
    flags = [(f, w) for f, w in (("avx512_vnni", "AVX-512 VNNI"), ("avx_vnni", "AVX VNNI"), ("asimddp", "dot product"))]
    told = next((w for f, w in flags if f in words), "AVX2" if "avx2" in words else "")
    return f"{kind.replace('_', '-')}{f' with {told}' if told else ''}"


def _detector(manifest: Manifest, variant: Variant) -> OnnxDetector:
    named = manifest.model_copy(update={"version": f"{manifest.version} ({variant.kind})"})
    detector = OnnxDetector(named, Session(variant.graph, f"{manifest.name} ({variant.kind})", 1))
    detector.warm_up()
    return detector


def _compared(measured: _Measured, fields: ModelCardFields) -> str:
    """What the last variant costs against the original. Raises `EdgeVisionError` where that is too much."""
    assert measured.evaluation is not None
    before, after = measured.evaluation.models[0], measured.evaluation.models[-1]
    loss = before.ap50.value - after.ap50.value
    text = (
        f"AP50 {before.ap50.value:.3f} {measured.variants[0].kind}, {after.ap50.value:.3f} "
        f"{measured.variants[-1].kind} ({-loss * 100:+.2f} points) on {measured.evaluation.pictures} pictures; "
        f"{measured.took_ms[0]:.1f} ms and {measured.took_ms[-1]:.1f} ms, one thread"
    )
    if loss > MOST_LOSS and not math.isnan(loss) and not fields.allow_loss:
        raise EdgeVisionError(
            f"not shipped: {text}; more than {MOST_LOSS * 100:g} points are lost: train longer, "
            "calibrate on images like those in use, leave out --int8, or accept the loss with "
            "--allow-loss"
        )
    return text


def _accuracy(evaluation: Evaluation | None) -> tuple[Accuracy, ...]:
    if evaluation is None:
        return ()
    model = evaluation.models[-1]
    by = "" if evaluation.by_people else ", labelled by the teacher"
    where = f"{evaluation.data}, {evaluation.pictures} images{by}"
    rows = [
        Accuracy(data=where, value=_share(model.ap50.value), low=_share(model.ap50.low), high=_share(model.ap50.high))
    ]
    if len(model.by_class) > 1:
        rows += [
            Accuracy(data=f"{where}: {name}", value=_share(i.value), low=_share(i.low), high=_share(i.high))
            for name, i in model.by_class.items()
        ]
    rows.append(Accuracy(data=where, metric="AP50-95", value=_share(model.ap50_95)))
    return tuple(rows)


def _share(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 3)


def _golden(
    detector: OnnxDetector, folder: Path, fields: ModelCardFields, evaluation: Evaluation | None
) -> tuple[Golden, ...]:
    """Two pictures of the built-in scene; where the model sees nothing there, one of its best of the data too."""
    candidates = [_as_kept(scene_picture(seed, frame, (640, 360), people=4)[0]) for seed, frame in _SCENES]
    seen = [record_golden(detector, p, f"golden-{k}.jpg") for k, (p, _) in enumerate(candidates, 1)]
    order = sorted(range(len(seen)), key=lambda k: -sum(b.score for b in seen[k].boxes))[:2]
    chosen = [(seen[k], candidates[k]) for k in order]
    if not any(g.boxes for g, _ in chosen):
        chosen = chosen[:1]
        shown = best(evaluation.models[-1], 1) if evaluation is not None and fields.pictures == "data" else []
        for outcome in shown:
            kept = _as_kept(outcome.picture.read())
            chosen.append((record_golden(detector, kept[0], "golden-data.jpg"), kept))
    for golden, (_, encoded) in chosen:
        (folder / golden.picture).write_bytes(encoded)
    return tuple(golden for golden, _ in chosen)


def _as_kept(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bytes]:
    """A picture as it is read back from its JPEG, and the JPEG: a sixth of a PNG of the scene."""
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8), data.tobytes()


def _pictures(
    folder: Path, evaluation: Evaluation | None, detector: OnnxDetector, fields: ModelCardFields
) -> list[tuple[str, str]]:
    """Pictures for the card: (file, what it shows)."""
    shown: list[tuple[str, str]] = []
    if evaluation is not None:
        write_chart(folder / "precision-recall.svg", precision_recall([evaluation.models[-1]]))
        shown.append(("precision-recall.svg", "precision over recall at IoU 0.5"))
    if fields.pictures == "data" and evaluation is not None:
        model = evaluation.models[-1]
        for name, outcomes, what in (
            ("hits.jpg", best(model, 8), "images without errors"),
            ("misses.jpg", worst(model, 8), "images with most missed objects and false boxes"),
        ):
            if outcomes:
                write_picture(folder / name, sheet(outcomes, evaluation.classes))
                shown.append((name, what))
    if fields.pictures == "scene":
        write_picture(folder / "scene.jpg", _scene_sheet(detector, fields))
        shown.append(("scene.jpg", "on the built-in scene; the images of the dataset may not be republished"))
    return shown


def _scene_sheet(detector: OnnxDetector, fields: ModelCardFields) -> NDArray[np.uint8]:
    """Hits and misses on frames of the built-in scene. Its labels are of people only: detections of other
    classes are shown and not judged."""
    from edgevision.datasets.annotations import Box, Picture, PictureLabels
    from edgevision.evaluation.evaluate import outcome_of

    number = detector.classes.index("person") if "person" in detector.classes else None
    outcomes = []
    for seed in range(21, 27):
        pixels, truth = scene_picture(seed, 60 + 37 * seed, (640, 360), people=5)
        corners = truth.boxes.tolist() if number is not None else []
        boxes = tuple(Box(number or 0, (b[0], b[1], b[2], b[3])) for b in corners)
        labels = PictureLabels(f"scene {seed}", 640, 360, "done", boxes)
        outcome = outcome_of(Picture(Path(), labels, pixels), detector.detect(pixels), fields.score)
        unknown = np.array([k != number for k in outcome.found.class_ids.tolist()], bool)
        outcomes.append(replace(outcome, ignored=outcome.ignored | unknown))
    return sheet(outcomes, detector.classes)
