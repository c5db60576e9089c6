"""The compact detector's network, its loss, and its way to an int8 file. Needs torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

onnx = pytest.importorskip("onnx")

from edgevision.cli.distill import app  # noqa: E402
from edgevision.datasets.annotations import ScoreThresholds  # noqa: E402
from edgevision.deployment.golden import check_golden  # noqa: E402
from edgevision.detectors.manifest import InputRecipe, Manifest, read_manifest  # noqa: E402
from edgevision.detectors.onnx_detector import OnnxDetector  # noqa: E402
from edgevision.detectors.onnx_session import Session  # noqa: E402
from edgevision.detectors.registry import load_detector  # noqa: E402
from edgevision.errors import EdgeVisionError, UsageError  # noqa: E402
from edgevision.training import checkpoints, loss, trainer, workflow  # noqa: E402
from edgevision.training.device import Place  # noqa: E402
from edgevision.training.distillation import dense  # noqa: E402
from edgevision.training.export import export_run, onnx_export, quantize_int8  # noqa: E402
from edgevision.training.export.model_card import ModelCardFields  # noqa: E402
from edgevision.training.export.options import ExportOptions  # noqa: E402
from edgevision.training.image_cache import ImageCache  # noqa: E402
from edgevision.training.labelling import flip_tta  # noqa: E402
from edgevision.training.recipe import Recipe, Soft, recipe_from  # noqa: E402
from edgevision.training.student import Student, StudentShape, boxes_from, cell_centres  # noqa: E402
from edgevision.types import Detections  # noqa: E402
from tests.support.models import blob_model, squares_data  # noqa: E402

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
    onnx_export.export_float(student, SIDE, path)
    onnx_export.put_front_in_graph(path, {"names": "{0: 'thing'}"})
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    got = Session(path.read_bytes(), "small").run(pixels[None])[0][0].T
    with torch.no_grad():
        raw = student(torch.from_numpy(pixels.transpose(2, 0, 1)[None] / np.float32(255)))
    boxes = boxes_from(raw, *cell_centres((SIDE, SIDE)))[0].numpy()
    expected = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
    np.testing.assert_allclose(got[:, :4], expected, atol=2e-3)
    np.testing.assert_allclose(got[:, 4], raw[0, :, 4].sigmoid().numpy(), atol=1e-4)


def test_int8_stays_near_float_and_reads_pixels_directly(student, tmp_path):
    whole, small = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx_export.export_float(student, SIDE, whole)
    rng = np.random.default_rng(0)
    quantize_int8.quantise(whole, small, (rng.random((1, 3, SIDE, SIDE), np.float32) for _ in range(8)))
    for path in (whole, small):
        onnx_export.put_front_in_graph(path, {})
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
    targets, label, counts = loss.task_aligned_assign(probabilities, boxes, centres, strides, truth)
    positive = (label[0] == 0).nonzero().flatten()
    assert 1 <= len(positive) <= loss.TOP_CELLS
    inside = centres[positive]
    assert ((inside > 8) & (inside < 40)).all()
    best = positive[targets[0, positive, 0].argmax()]
    assert (centres[best] - 24).abs().max() <= 8
    ignored = counts[0] == 0
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


def recipe(epochs, **more):
    values = {
        "student": {"widths": SMALL.widths, "depths": SMALL.depths, "neck_width": SMALL.neck_width},
        "phases": [{"epochs": epochs, "side_px": SIDE, "mosaic": 0.3}],
        "schedule": {"warm_up_steps": 4, "cool_down_epochs": 2, "average_decay": 0.9, "rate": 4e-3},
        "batch": 16,
        "validate_every": 12,
    }
    return recipe_from(values | more, "test")


HERE = Place(torch.device("cpu"), torch.bfloat16)


def train(wanted: Recipe, store, run, **more):
    run.mkdir(exist_ok=True)
    return trainer.Training(wanted, store, store, run, ("thing",), HERE, workers=0).train(**more)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """64 dark pictures with one bright square each."""
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)

    def pictures():
        for k in range(64):
            image = rng.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
            x, y = rng.integers(2, 36, 2)
            image[y : y + 24, x : x + 24] = 230
            path = folder / f"{k}.png"
            cv2.imwrite(str(path), image)
            yield path.name, path, np.array([[0, x, y, x + 24, y + 24, 1]], np.float32)

    assert ImageCache.build(folder / "store", pictures()) == 0
    return folder / "store"


def test_training_learns(store, tmp_path):
    train(recipe(12), store, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in rows] == list(range(12))
    assert rows[-1]["class"] < rows[0]["class"] / 2
    assert (tmp_path / "run" / "curves.svg").read_text().startswith("<svg xmlns")
    assert checkpoints.load_student(tmp_path / "run").shape == SMALL


class Killed(BaseException):
    pass


def test_a_killed_run_goes_on_as_the_run_that_was_not_killed(store, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(recipe(4), store, whole)

    def kill(epoch, step, steps, row):
        if epoch == 2 and step == 2:
            raise Killed

    with pytest.raises(Killed):
        train(recipe(4), store, killed, tell=kill)
    # As a kill between the log and the checkpoint leaves it.
    with (killed / "log.jsonl").open("a") as log:
        log.write('{"epoch": 2, "box": 1.0}\n{"epo')
    train(recipe(4), store, killed)
    a, b = (checkpoints.read_checkpoint(run) for run in (whole, killed))
    for key in ("model", "average"):
        for name, tensor in a[key].items():
            torch.testing.assert_close(b[key][name], tensor, rtol=0, atol=0, msg=name)
    rows = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (whole, killed)]
    one, other = ([(r["epoch"], r["box"]) for r in part] for part in rows)
    assert one == other


def test_soft_positives_are_taught_their_score_and_doubts_count_less():
    centres, strides = cell_centres((SIDE, SIDE))
    boxes = torch.cat([centres - 10, centres + 10], 1)[None]
    probabilities = torch.full((1, len(centres), 1), 0.5)
    truth = torch.tensor([[[0, 2, 2, 22, 22, 0.2], [0, 42, 42, 62, 62, 1.0]]])
    soft = Soft(targets="scores", sure=0.45, doubt_weight=0.25)
    targets, label, counts = loss.task_aligned_assign(probabilities, boxes, centres, strides, truth, soft)
    faint, sure = (targets[0, label[0] == k, 0].max() for k in (0, 1))
    assert float(faint) == pytest.approx(0.2 * float(sure), rel=0.1)
    near = ((centres > 2) & (centres < 22)).all(1)
    assert (counts[0, near] == 0.25).all()
    assert (counts[0, ~near] == 1).all()
    hard = loss.task_aligned_assign(probabilities, boxes, centres, strides, truth)[2]
    assert (hard == 1).all()


def test_dense_targets_are_least_where_the_student_is_its_teacher(student):
    pictures = torch.rand(2, 3, SIDE, SIDE)
    soft = Soft(targets="dense", teacher="somewhere", temperature=2.0)
    with torch.no_grad():
        taught = student(pictures)
    assert float(dense.dense_loss(taught, taught, soft)) == pytest.approx(0, abs=1e-6)
    aside = taught.clone()
    aside[..., 4:] += 0.5
    boxed = taught.clone()
    boxed[..., :4] += 0.5
    assert float(dense.dense_loss(aside, taught, soft)) > 1e-4
    assert float(dense.dense_loss(boxed, taught, soft)) > 1e-4
    # The divergence by its formula, one cell and class.
    p, q = 1 / (1 + np.exp(-0.3 / 2)), 1 / (1 + np.exp(0.8 / 2))
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    one = Soft(targets="dense", teacher="x", temperature=2.0, dense_weight=1, distance_weight=0)
    rows = [torch.tensor([[[0.0, 0, 0, 0, v]]]) for v in (-0.8, 0.3)]
    assert float(dense.dense_loss(rows[0], rows[1], one)) == pytest.approx(4 * divergence, rel=1e-4)


def test_a_student_comes_to_say_what_its_dense_teacher_says():
    torch.manual_seed(4)
    shape = StudentShape(1, (8, 16, 16, 24), (0, 1, 1, 1), 16)
    teacher, student = Student(shape).train(), Student(shape).train()
    with torch.no_grad():
        for prediction in teacher.predictions:
            prediction.weight.normal_(std=0.5)
            prediction.bias[4:] = 0.0
    soft = Soft(targets="dense", teacher="somewhere", temperature=2.0)
    pictures = torch.rand(4, 3, SIDE, SIDE)
    taught = dense.taught_by(teacher, pictures)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    losses = []
    for _ in range(80):
        loss = dense.dense_loss(student(pictures), taught, soft)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 4


def test_every_kind_of_soft_target_trains(store, tmp_path):
    train(recipe(6), store, tmp_path / "teacher")
    for kind in ("scores", "dense"):
        more = {"targets": kind, "teacher": str(tmp_path / "teacher") if kind == "dense" else ""}
        train(recipe(3, soft=more), store, tmp_path / kind)
        rows = [json.loads(line) for line in (tmp_path / kind / "log.jsonl").read_text().splitlines()]
        assert all(np.isfinite(r["box"]) and np.isfinite(r["class"]) for r in rows)
        assert all(r.get("dense", 0) > 0 for r in rows) == (kind == "dense")
    other = recipe(1, soft={"targets": "dense", "teacher": str(tmp_path / "teacher")})
    with pytest.raises(UsageError, match="1 classes, the student 2"):
        trainer.Training(other, store, store, tmp_path / "new", ("a", "b"), HERE, workers=0)


def test_a_run_begins_from_anothers_weights_where_shapes_match(store, tmp_path):
    train(recipe(2), store, tmp_path / "first")
    wider = recipe(1, init=str(tmp_path / "first"))
    (tmp_path / "second").mkdir()
    made = trainer.Training(wider, store, store, tmp_path / "second", ("a", "b", "c"), HERE, workers=0).student
    theirs = checkpoints.read_checkpoint(tmp_path / "first")["average"]
    mine = made.state_dict()
    torch.testing.assert_close(mine["stem.0.0.weight"], theirs["stem.0.0.weight"], check_device=False)
    assert mine["predictions.0.weight"].shape != theirs["predictions.0.weight"].shape
    with pytest.raises(UsageError, match="expected a checkpoint of our own trainer"):
        (tmp_path / "bad.pt").write_bytes(b"nothing")
        checkpoints.read_checkpoint(tmp_path / "bad.pt")


def test_a_checkpoint_of_the_first_trainer_is_still_read(student, tmp_path):
    """As runs of the first version left it: no classes, no input size."""
    state = {"average": student.state_dict(), "shape": {"classes": 1, "widths": (8, 16, 16, 24), "depths": (0, 1, 1, 1), "neck_width": 16}}  # fmt: skip  # noqa: E501
    torch.save(state | {"model": student.state_dict(), "updates": 3, "epoch": 5}, tmp_path / "last.pt")
    (tmp_path / "recipe.json").write_text(json.dumps({"phases": [[3, 32, 0.5], [6, 64, 0.0]]}))
    wish = ModelCardFields("old", pictures="none")
    with pytest.raises(UsageError, match="say --classes"):
        export_run.export_run(tmp_path, tmp_path / "out", wish, ExportOptions())
    shipped = export_run.export_run(tmp_path, tmp_path / "out", wish, ExportOptions(classes=("thing",)))
    assert shipped.manifest.input.width_px == 64
    assert load_detector(tmp_path / "out").classes == ("thing",)


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """YOLO-labelled pictures of bright squares."""
    return squares_data(tmp_path_factory.mktemp("squares"), SIDE)


RECIPE = """
batch = 10
validate_every = 10
[student]
widths = [8, 16, 16, 24]
depths = [0, 1, 1, 1]
neck_width = 16
[[phases]]
epochs = 14
side_px = 64
mosaic = 0.2
[schedule]
rate = 6e-3
warm_up_steps = 4
cool_down_epochs = 4
average_decay = 0.8
"""


@pytest.fixture(scope="module")
def trained(squares, tmp_path_factory):
    """A run by the command line."""
    folder = tmp_path_factory.mktemp("line")
    (folder / "recipe.toml").write_text(RECIPE)
    words = ["train", str(squares), "--student", str(folder / "recipe.toml"), "--out", str(folder / "run")]
    command(*words, "--workers", "0")
    return folder


def command(*words, fails=None):
    got = CliRunner().invoke(app, [str(w) for w in words])
    if fails is not None:
        assert isinstance(got.exception, fails), got.output
        return str(got.exception)
    if got.exception is not None and not isinstance(got.exception, SystemExit):
        raise got.exception
    assert got.exit_code == 0, got.output
    return got.stderr


def test_the_command_line_trains_exports_and_evaluates(trained, squares, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(trained / "store"))
    told = command("export", trained / "run", "--name", "square", "--int8", "--replace", "--origin", "squares: ours")
    assert "int8" in told and "ms on one thread" in told
    folder = trained / "store/edgevision/models/square"
    manifest = read_manifest(folder / "model.toml")
    assert manifest.classes == ("square",)
    assert manifest.accuracy[0].value > 0.5
    assert manifest.latency[0].threads == 1
    assert manifest.origin.data == ("squares: ours",)
    detector = load_detector("square", threads=1)
    assert all(o.passed for o in check_golden(detector, detector.manifest, folder))
    card = (folder / "README.md").read_text()
    assert "Before quantising" in card and "10 images, 10 labelled objects" in card
    for name in ("precision-recall.svg", "hits.jpg"):
        assert (folder / name).stat().st_size > 1000 and name in card
    assert "square@1" in command("evaluate", "square", "--data", squares)
    assert "exists already" in command("export", trained / "run", "--name", "square", fails=UsageError)
    assert workflow.add_to_store(folder) == "square@1"
    assert read_manifest(folder / "model.toml") == manifest


def test_int8_that_loses_too_much_is_not_shipped(trained, monkeypatch, tmp_path):
    def spoil(whole, path, pictures):
        model = onnx.load(whole)
        last = [t for t in model.graph.initializer if t.name.startswith("student.predictions")]
        for tensor in last:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 0, tensor.name))
        onnx.save(model, path)

    monkeypatch.setattr(export_run, "quantise", spoil)
    words = ["export", trained / "run", "--name", "spoilt", "--int8", "--out", tmp_path / "spoilt"]
    assert "more than 1.5 points are lost" in command(*words, fails=EdgeVisionError)
    assert not (tmp_path / "spoilt").exists()
    command(*words, "--allow-loss")
    assert (tmp_path / "spoilt/model.onnx").exists()


def test_a_run_is_not_overwritten_and_is_gone_on_with(trained, squares, tmp_path):
    words = ["train", squares, "--student", trained / "recipe.toml", "--out", trained / "run", "--workers", "0"]
    assert "resume it with --resume" in command(*words, fails=UsageError)
    (tmp_path / "other.toml").write_text(RECIPE.replace("neck_width = 16", "neck_width = 24"))
    other = ["train", squares, "--student", tmp_path / "other.toml", "--out", trained / "run", "--resume"]
    assert "another recipe (student differ)" in command(*other, fails=UsageError)
    assert "differs in phases" in command(*words, "--resume", "--epochs", "15")
    assert len((trained / "run/log.jsonl").read_text().splitlines()) == 15


def test_two_processes_train_one_model(squares, tmp_path):
    """torchrun with two workers: gradients averaged, one writer, batches divided."""
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("epochs = 14", "epochs = 2"))
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from edgevision.cli.distill import app\n"
        f"app(['train', {str(squares)!r}, '--student', {str(tmp_path / 'recipe.toml')!r}, '--out', "
        f"{str(tmp_path / 'run')!r}, '--workers', '0', '--device', 'cpu'])\n"
    )
    (tmp_path / "go.py").write_text(code)
    words = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(tmp_path / "go.py"),
    ]
    root = Path(__file__).resolve().parents[2]
    env = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=env, cwd=tmp_path, timeout=300, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 processes" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in rows] == [0, 1]
    assert checkpoints.load_student(tmp_path / "run").shape.classes == 1


def test_the_whole_line_is_gone_on_with_where_it_was_killed(tmp_path, monkeypatch):
    """Folder of pictures, a real teacher, two kills; ends among the user's models."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "store"))
    teacher = blob_model(tmp_path / "blobs", "blobs")
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(3)
    (tmp_path / "in").mkdir()
    for k in range(36):
        background = cv2.resize(rng.integers(0, 90, (4, 4, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        x, y = rng.integers(0, 6, 2) * 8
        background[..., 2] = 0
        background[y : y + 8, x : x + 8] = (0, 0, 255)
        cv2.imwrite(str(tmp_path / "in" / f"{k}.png"), background)
    (tmp_path / "in/broken.jpg").write_bytes(b"nothing")
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("epochs = 14", "epochs = 3"))
    words = ["all", "--source", tmp_path / "in", "--out", tmp_path / "line", "--name", "taught", "--teacher", teacher]
    words += [
        "--prompts",
        "spot: blob",
        "--student",
        tmp_path / "recipe.toml",
        "--workers",
        "0",
        "--allow-loss",
        "--no-swap",
    ]

    def kill(*args, **more):
        raise Killed

    for place in ("edgevision.training.workflow._label", "edgevision.training.trainer.Training._keep", "edgevision.training.workflow.add_to_store"):  # fmt: skip  # noqa: E501
        with monkeypatch.context() as patch:
            patch.setattr(place, kill)
            with pytest.raises(Killed):
                command(*words)
    told = command(*words)
    assert "[5/7] export: done before" in told
    assert "taught@1 is among your models" in told
    manifest = load_detector("taught").manifest
    assert (manifest.classes, manifest.origin.teacher) == (("spot",), str(teacher))
    assert "labelled by the teacher" in manifest.accuracy[0].data
    assert manifest.golden
    done = json.loads((tmp_path / "line/line.json").read_text())["done"]
    assert done["label"] == "36 pictures, 1 failed"
    assert "training continues" not in command(*words)
    (tmp_path / "line/run").rename(tmp_path / "thrown-away")
    assert "[4/7] train: done before" in command(*words)
    (tmp_path / "thrown-away").rename(tmp_path / "line/run")
    told = command(*words, "--epochs", "4")
    assert "[3/7] label: done before" in told
    assert "training continues" in told
    assert "epoch 4/4" in told
    assert "epoch 3/4" not in told
    assert "taught@1 is among your models" in told
    other = [w if w != "taught" else "another" for w in words]
    assert "holds a workflow with another name" in command(*other, fails=UsageError)


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
    found = flip_tta.ask_twice(Fixed(120), pixels)
    rows = {tuple(b.round().astype(int)): round(float(s), 2) for b, s in zip(found.boxes, found.scores, strict=True)}
    assert rows == {(10, 10, 30, 30): 0.8, (40, 50, 60, 60): 0.3, (60, 50, 80, 60): 0.3}


def test_labels_of_people_go_before_a_teachers():
    own = np.array([[0, 10, 10, 30, 30]], np.float32)
    boxes = np.array([[11, 11, 31, 31], [50, 50, 70, 70], [80, 10, 95, 30], [0, 60, 9, 75]], np.float32)
    taught = Detections(boxes, np.array([0.9, 0.65, 0.3, 0.1], np.float32), np.zeros(4, np.int64))
    joined = flip_tta.join(own, taught, ScoreThresholds())
    assert joined[:, 5].tolist() == pytest.approx([1, 1, 0])
    assert joined[:, 1].tolist() == [10, 50, 80]
