"""Rebuild the bundled person detector: label, train, quantise, measure, write its folder and card.

    python scripts/train_person.py --data ../shared/data --teacher picodet_s_416.onnx --run ../run --out models/person

Needs the extra [train]. ``--teacher`` is an .onnx with its manifest beside it (or a stored model) whose class 0 is a
person. A run that was stopped goes on where it stopped: call it again. Training takes hours on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from edgevision.capture.scene import SceneSource
from edgevision.detector import OnnxDetector
from edgevision.distill.augment import single
from edgevision.distill.dataset import PictureStore
from edgevision.distill.export import export_float, load_student, put_front_in_graph, quantise
from edgevision.distill.teach import Trust, ask_twice, join, read_yolo
from edgevision.distill.trainer import Recipe, train
from edgevision.score import Labelled, class_accuracy
from edgevision.stages import Detector
from edgevision.store import load_detector

SIDE_PX = 320
NOBODY_LABELLED = Trust(sure=0.38, doubt=0.2)
SCENE_SEEDS, SCENE_FRAMES = 40, 24
RECIPE = Recipe(phases=((13, 256, 0.6), (19, 320, 0.5), (21, 320, 0.0)), cool_down_epochs=7)


def labelled(data: Path, teacher: Detector) -> Iterator[tuple[str, Path, NDArray[np.float32]]]:
    """Pictures with people's labels, and what the teacher sees beside them: some people are not labelled."""
    for path in sorted((data / "person/images/train").iterdir()):
        yield from _taught(path, data, teacher, Trust(), _own_labels(path))


def unlabelled(data: Path, teacher: Detector) -> Iterator[tuple[str, Path, NDArray[np.float32]]]:
    """Pictures that the teacher alone labels."""
    for path in sorted([*data.glob("unlabelled/*/*"), *data.glob("face/images/train/*")]):
        yield from _taught(path, data, teacher, NOBODY_LABELLED, np.zeros((0, 5), np.float32))


def _own_labels(path: Path) -> NDArray[np.float32]:
    image = cv2.imread(str(path))
    if image is None:
        return np.zeros((0, 5), np.float32)
    text = path.parents[2] / "labels" / path.parent.name / f"{path.stem}.txt"
    return read_yolo(text, image.shape[1], image.shape[0])


def _taught(
    path: Path, data: Path, teacher: Detector, trust: Trust, own: NDArray[np.float32]
) -> Iterator[tuple[str, Path, NDArray[np.float32]]]:
    image = cv2.imread(str(path))
    if image is not None:
        pixels = np.asarray(image, np.uint8)
        yield str(path.relative_to(data)), path, join(own, ask_twice(teacher, pixels), trust)


def scenes(folder: Path) -> Iterator[tuple[str, Path, NDArray[np.float32]]]:
    """Frames of the built-in scene, so that the demo is detected too; no part of any figure of accuracy."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    for seed in range(100, 100 + SCENE_SEEDS):
        with SceneSource(people=int(rng.integers(2, 12)), size_wh=(768, 432), seed=seed, live=False) as scene:
            for k in range(SCENE_FRAMES):
                pixels, truth = scene.render(97 * k + int(rng.integers(60)))
                path = folder / f"scene_{seed}_{k}.png"
                cv2.imwrite(str(path), cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
                rows = np.column_stack([truth.class_ids, truth.boxes / 2, np.ones(len(truth))])
                yield path.name, path, rows.astype(np.float32)


def validation(data: Path) -> Iterator[tuple[str, Path, NDArray[np.float32]]]:
    for path in sorted((data / "person/images/val").iterdir()):
        own = _own_labels(path)
        yield path.name, path, np.column_stack([own, np.ones(len(own))]).astype(np.float32)


def build(data: Path, teacher: str, run: Path) -> tuple[Path, Path]:
    """The training and validation stores; made once."""
    stores = run / "train", run / "val"
    if not (stores[0] / "index.json").exists():
        asked = load_detector(teacher, min_score=0.05)
        pictures = (
            p for part in (labelled(data, asked), unlabelled(data, asked), scenes(run / "scenes")) for p in part
        )
        left_out = PictureStore.build(stores[0], pictures)
        print(f"training store made, {left_out} pictures left out")
    if not (stores[1] / "index.json").exists():
        PictureStore.build(stores[1], validation(data))
    return stores


def accuracy(detector: OnnxDetector, held: PictureStore) -> tuple[float, float, float]:
    """AP50 with its 95 % interval over images (bootstrap, 200 draws)."""
    found, truth = [], []
    for i in range(len(held)):
        image, labels = held[i]
        seen = detector.detect(image)
        found.append(Labelled(seen.boxes, seen.class_ids, seen.scores))
        truth.append(Labelled(labels[:, 1:5], labels[:, 0].astype(np.int64)))
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(200):
        chosen = rng.integers(len(truth), size=len(truth))
        draws.append(class_accuracy([found[i] for i in chosen], [truth[i] for i in chosen], 0).average_precision)
    low, high = np.percentile(draws, [2.5, 97.5])
    return class_accuracy(found, truth, 0).average_precision, float(low), float(high)


def median_ms(detector: OnnxDetector, held: PictureStore) -> float:
    """One inference, one thread, tensor ready."""
    prepared = [detector.prepare(held[i][0]) for i in range(32)]
    took = []
    for _ in range(5):
        for tensor in prepared:
            began = time.perf_counter()
            detector.session.run(tensor.tensor)
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3


def calibration(store: PictureStore) -> Iterator[NDArray[np.float32]]:
    for i in np.random.default_rng(0).choice(len(store), 256, replace=False):
        image, _ = single(store[int(i)], (SIDE_PX, SIDE_PX), None)
        yield (image.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)


def write_manifest(folder: Path, version: str, figures: str) -> None:
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "model.toml").write_text(MANIFEST.format(version=version, sha256=sha256, side=SIDE_PX, figures=figures))


MANIFEST = """\
name = "person"
version = "{version}"
sha256 = "{sha256}"
family = "ultralytics"
classes = ["person"]
licence = "Apache-2.0"

[input]
name = "images"
width_px = {side}
height_px = {side}
layout = "nhwc"
dtype = "uint8"
channel_order = "bgr"

[thresholds]
score = 0.3
iou = 0.6

[origin]
teacher = "picodet_s_416 (PaddleDetection, Apache-2.0)"
recipe = "scripts/train_person.py"
data = [
    "Capston2 v11, Roboflow, siwookim: stated CC BY 4.0",
    "Hard hat detection v2, Roboflow, iaespecializacion: CC BY 4.0",
    "COCO128 (training half) and tiny-coco: annotations CC BY 4.0, pictures under Flickr's terms of each",
    "FDDB, news photographs: published for research",
    "Human-Detection-Dataset, Mouso00; street set, LS-chen; ImageNet samples, EliSchwartz: licences not stated",
    "built-in scene of edgevision: Apache-2.0",
]
{figures}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="export this one and train nothing")
    parser.add_argument("--model-version", default="1")
    options = parser.parse_args()
    training, held = build(options.data, options.teacher, options.run)
    checkpoint = options.checkpoint or train(RECIPE, training, held, options.run / "student")
    options.out.mkdir(parents=True, exist_ok=True)
    float_path, int8_path = options.run / "float.onnx", options.out / "model.onnx"
    export_float(load_student(checkpoint), SIDE_PX, float_path)
    quantise(float_path, int8_path, calibration(PictureStore(training)))
    metadata = {"names": "{0: 'person'}", "imgsz": f"[{SIDE_PX}, {SIDE_PX}]", "license": "Apache-2.0"}
    for path in (float_path, int8_path):
        put_front_in_graph(path, metadata)
    onnx.checker.check_model(onnx.load(int8_path))
    write_manifest(options.out, options.model_version, "")
    detector = load_detector(options.out, min_score=0.01, threads=1)
    store = PictureStore(held)
    (ap, low, high), took_ms = accuracy(detector, store), median_ms(detector, store)
    name = f"data/person val, {len(store)} images"
    figures = (
        f'\n[[accuracy]]\ndata = "{name}"\nmetric = "AP50"\nvalue = {ap:.3f}\nlow = {low:.3f}\nhigh = {high:.3f}\n'
        f'\n[[latency]]\nmachine = "x86-64 with AVX-512 VNNI"\nthreads = 1\nmedian_ms = {took_ms:.1f}\n'
    )
    write_manifest(options.out, options.model_version, figures)
    print(f"AP50 {ap:.3f} ({low:.3f}-{high:.3f}) on {name}; {took_ms:.1f} ms; {int8_path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
