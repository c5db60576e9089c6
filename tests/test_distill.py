"""The compact detector's network, its loss, and its way to an int8 file. Needs torch."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgevision.detections import Detections  # noqa: E402
from edgevision.detector import OnnxDetector  # noqa: E402
from edgevision.distill import export, loss, teach, trainer  # noqa: E402
from edgevision.distill.dataset import PictureStore  # noqa: E402
from edgevision.distill.student import Student, StudentShape, boxes_from, cell_centres  # noqa: E402
from edgevision.manifest import InputRecipe, Manifest  # noqa: E402
from edgevision.session import Session  # noqa: E402

pytestmark = pytest.mark.extra
SMALL = StudentShape(widths=(8, 16, 16, 24), depths=(0, 1, 1, 1), neck_width=16)
SIDE = 64


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    made = Student(SMALL).train()
    for _ in range(8):  # batch norms that have seen something
        made(torch.rand(4, 3, SIDE, SIDE))
    return made.eval()


def detector(path):
    recipe = InputRecipe(width_px=SIDE, height_px=SIDE, dtype="uint8", layout="nhwc", channel_order="bgr")
    manifest = Manifest(name="small", family="ultralytics", classes=("thing",), input=recipe)
    return OnnxDetector(manifest, Session(path.read_bytes(), "small"), min_score=0.0)


def test_the_exported_graph_is_the_network(student, tmp_path):
    path = tmp_path / "float.onnx"
    export.export_float(student, SIDE, path)
    export.put_front_in_graph(path, {"names": "{0: 'thing'}"})
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    got = Session(path.read_bytes(), "small").run(pixels[None])[0][0].T
    with torch.no_grad():
        raw = student(torch.from_numpy(pixels.transpose(2, 0, 1)[None] / np.float32(255)))
    boxes = boxes_from(raw, *cell_centres((SIDE, SIDE)))[0].numpy()
    expected = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
    np.testing.assert_allclose(got[:, :4], expected, atol=2e-3)
    np.testing.assert_allclose(got[:, 4], raw[0, :, 4].sigmoid().numpy(), atol=1e-4)


def test_int8_stays_near_float_and_reads_pixels_directly(student, tmp_path):
    import onnx

    whole, small = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    export.export_float(student, SIDE, whole)
    rng = np.random.default_rng(0)
    export.quantise(whole, small, (rng.random((1, 3, SIDE, SIDE), np.float32) for _ in range(8)))
    for path in (whole, small):
        export.put_front_in_graph(path, {})
    kinds = [n.op_type for n in onnx.load(small).graph.node]
    assert kinds[:2] == ["Transpose", "DequantizeLinear"]
    pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    a, b = (Session(p.read_bytes(), p.name).run(pixels[None])[0][0] for p in (whole, small))
    assert np.abs(a[:4] - b[:4]).mean() < 1.0
    assert np.abs(a[4] - b[4]).max() < 0.02
    assert len(detector(small).detect(pixels)) > 0


def test_assignment_gives_a_cell_to_the_label_it_fits_and_ignores_regions():
    centres, strides = cell_centres((SIDE, SIDE))
    truth = torch.tensor([[[0, 8, 8, 40, 40, 1.0], [0, 44, 44, 62, 62, 0.0], [-1, 0, 0, 0, 0, 0]]])
    boxes = torch.cat([centres - 14, centres + 14], 1)[None]
    probabilities = torch.full((1, len(centres), 1), 0.5)
    targets, label, counts = loss.assign(probabilities, boxes, centres, strides, truth)
    positive = (label[0] == 0).nonzero().flatten()
    assert 1 <= len(positive) <= loss.TOP_CELLS
    inside = centres[positive]
    assert ((inside > 8) & (inside < 40)).all()
    best = positive[targets[0, positive, 0].argmax()]
    assert (centres[best] - 24).abs().max() <= 8
    ignored = ~counts[0]
    assert ignored.any()
    assert ((centres[ignored] > 44) & (centres[ignored] < 62)).all()


def test_ciou_is_its_formula():
    a, b = torch.tensor([0.0, 0, 10, 10]), torch.tensor([5.0, 0, 15, 20])
    iou = 50 / (100 + 200 - 50)
    diagonal, distance = 15**2 + 20**2, 5**2 + 5**2
    shape = 4 / np.pi**2 * (np.arctan(10 / 20) - np.arctan(1)) ** 2
    alpha = shape / (1 - iou + shape)
    expected = iou - distance / diagonal - alpha * shape
    assert float(loss.pair_iou(a, b, complete=True)) == pytest.approx(expected, abs=1e-5)


def test_training_learns_and_goes_on_after_a_stop(tmp_path):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)

    def pictures():
        for k in range(64):
            image = rng.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
            x, y = rng.integers(2, 36, 2)
            image[y : y + 24, x : x + 24] = 230
            path = tmp_path / f"{k}.png"
            cv2.imwrite(str(path), image)
            yield path.name, path, np.array([[0, x, y, x + 24, y + 24, 1]], np.float32)

    assert PictureStore.build(tmp_path / "store", pictures()) == 0
    recipe = trainer.Recipe(
        shape=SMALL, phases=((12, SIDE, 0.0),), batch=16, warm_up_steps=4, cool_down_epochs=4, average_decay=0.9,
        rate=4e-3, validate_every=12,
    )  # fmt: skip
    first = replace(recipe, phases=((3, SIDE, 0.0),))
    store = tmp_path / "store"
    trainer.train(first, store, store, tmp_path / "run", workers=0)
    trainer.train(recipe, store, store, tmp_path / "run", workers=0)
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in rows] == list(range(12))
    assert rows[-1]["class"] < rows[0]["class"] / 2
    loaded = export.load_student(tmp_path / "run" / "last.pt")
    assert loaded.shape == SMALL


class Fixed:
    name, classes = "fixed@1", ("person",)

    def __init__(self, width_px):
        self._width_px = width_px

    def detect(self, pixels):
        """One box that follows the picture's bright corner, so that mirroring moves it; one always at the left."""
        left = pixels[0, 0, 0] > 128
        x = 10.0 if left else self._width_px - 30.0
        rows = [[x, 10, x + 20, 30], [40, 50, 60, 60]]
        return Detections(np.array(rows, np.float32), np.array([0.8, 0.6], np.float32), np.zeros(2, np.int64))


def test_a_teacher_is_asked_twice():
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[:, :60] = 255
    found = teach.ask_twice(Fixed(120), pixels)
    rows = {tuple(b.round().astype(int)): round(float(s), 2) for b, s in zip(found.boxes, found.scores, strict=True)}
    assert rows == {(10, 10, 30, 30): 0.8, (40, 50, 60, 60): 0.3, (60, 50, 80, 60): 0.3}


def test_labels_of_people_go_before_a_teachers():
    own = np.array([[0, 10, 10, 30, 30]], np.float32)
    boxes = np.array([[11, 11, 31, 31], [50, 50, 70, 70], [80, 10, 95, 30], [0, 60, 9, 75]], np.float32)
    taught = Detections(boxes, np.array([0.9, 0.65, 0.3, 0.1], np.float32), np.zeros(4, np.int64))
    joined = teach.join(own, taught, teach.Trust())
    assert joined[:, 5].tolist() == [1, 1, 0]
    assert joined[:, 1].tolist() == [10, 50, 80]
