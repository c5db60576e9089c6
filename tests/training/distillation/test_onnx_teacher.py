"""Another's detector as a dense teacher: its cells as the student's, its other classes beside. Needs torch."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from edgevision.deployment.add_model import add_model  # noqa: E402
from edgevision.deployment.add_options import AddOptions  # noqa: E402
from edgevision.detectors.registry import StoredModel, find_model, load_detector  # noqa: E402
from edgevision.errors import UsageError  # noqa: E402
from edgevision.training.checkpoints import load_student, read_checkpoint  # noqa: E402
from edgevision.training.distillation import onnx_to_torch  # noqa: E402
from edgevision.training.distillation.dense import WithOthers, dense_loss, load_dense_teacher, read_dense_teacher  # noqa: E402
from edgevision.training.distillation.onnx_teacher import ForeignTeacher  # noqa: E402
from edgevision.training.distillation.onnx_to_torch import TorchGraph  # noqa: E402
from edgevision.training.recipe import Soft, recipe_from  # noqa: E402
from edgevision.training.student import Student, StudentShape, boxes_from, cell_centres  # noqa: E402
from edgevision.training.train import check_weights, train_student  # noqa: E402
from tests.support.models import squares_data  # noqa: E402
from tests.support.onnx_graphs import CLASSES, SIDE, in_folder, network, one_node  # noqa: E402

pytestmark = pytest.mark.extra
SHAPE = {"widths": (8, 16, 16, 24), "depths": (0, 1, 1, 1), "neck_width": 16}
RNG = np.random.default_rng(2)


def seen_by(teacher, picture):
    """(boxes, scores) of a teacher's cells for one uint8 picture of its size."""
    pixels = torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()).float() / 255
    raw = teacher(pixels)
    boxes = boxes_from(raw, *cell_centres((picture.shape[1], picture.shape[0])))
    return boxes[0].numpy(), raw[0, :, 4:].sigmoid().numpy()


@pytest.mark.parametrize("own", [("square",), ("flat", "round")])
@pytest.mark.parametrize("family", ["nanodet", "yolox"])
def test_its_cells_are_the_boxes_that_its_decoder_gives(tmp_path, own, family):
    made = network(levels=3, head="yolox" if family == "yolox" else "maps")
    stored = in_folder(tmp_path / "three", made, family)
    teacher = ForeignTeacher(stored, own).eval()
    assert teacher.classes[: len(own)] == own
    assert set(teacher.classes) == set(CLASSES)
    picture = RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    boxes, scores = seen_by(teacher, picture)
    detector = load_detector(tmp_path / "three", min_score=0.0, iou_threshold=1.0)
    found = detector.detect(picture)
    assert len(found) == len(boxes) == 64 + 16 + 4
    best, which = scores.max(1), scores.argmax(1)
    order, theirs = np.argsort(-best), np.argsort(-found.scores)
    np.testing.assert_allclose(best[order], found.scores[theirs], atol=1e-4)
    assert [teacher.classes[k] for k in which[order]] == [CLASSES[k] for k in found.class_ids[theirs]]
    inside = boxes.clip(0, SIDE)
    np.testing.assert_allclose(inside[order], found.boxes[theirs], atol=0.05)


def test_the_coarsest_stride_is_folded_into_the_students_own(tmp_path):
    stored = in_folder(tmp_path / "four", network())
    teacher = ForeignTeacher(stored, ("square",)).eval()
    picture = RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    boxes, scores = seen_by(teacher, picture)
    assert len(boxes) == 64 + 16 + 4
    graph = TorchGraph.from_onnx(stored.path).eval()
    pixels = torch.from_numpy(picture[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((123.0, 116.0, 103.0), (58.0, 57.0, 56.0)))
    maps = graph((pixels - mean) / std)
    thirty_two, sixty_four = maps[2][0], maps[3][0]
    surer = (sixty_four[0, 0] > thirty_two[:, 0]).numpy()
    expected = np.where(surer[:, None], sixty_four.numpy(), thirty_two.numpy())
    np.testing.assert_allclose(scores[-4:], expected, atol=1e-5)
    assert 0 < surer.sum() < 4, "some cells of each kind"
    bins = maps[7][0].reshape(4, 8).softmax(-1) @ torch.arange(8.0)
    left, top, right, bottom = (bins * 64).tolist()
    for box, centre in zip(boxes[-4:][surer], np.array([(16, 16), (48, 16), (16, 48), (48, 48)])[surer], strict=True):
        # A cell never lies outside its own box, however little of one stride 64 saw.
        low, high = np.minimum((32 - left, 32 - top), centre), np.maximum((32 + right, 32 + bottom), centre)
        np.testing.assert_allclose(box, [*low, *high], atol=0.1)


def test_nanodet_plus_measures_from_the_corner(tmp_path):
    """All levels but the coarsest are its decoder's boxes; the coarsest is folded, which has its own test."""
    stored = in_folder(tmp_path / "plus", network(head="plus"))
    picture = RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    boxes, scores = seen_by(ForeignTeacher(stored, CLASSES).eval(), picture)
    found = load_detector(tmp_path / "plus", min_score=0.0, iou_threshold=1.0).detect(picture)
    fine = slice(0, 64 + 16)
    for box, score in zip(boxes[fine].clip(0, SIDE), scores[fine].max(1), strict=True):
        near = (np.abs(found.boxes - box).max(1) < 0.05) & (np.abs(found.scores - score) < 1e-4)
        assert near.any()


def test_what_cannot_teach_is_refused_in_a_sentence(tmp_path):
    stored = in_folder(tmp_path / "good", network())
    with pytest.raises(UsageError, match="teacher does not know helmet"):
        ForeignTeacher(stored, ("square", "helmet"))
    other = in_folder(tmp_path / "ssd", network(), family="ssd")
    with pytest.raises(UsageError, match=r"families nanodet, yolox, got .* of the family ssd"):
        ForeignTeacher(other, ("square",))
    with pytest.raises(UsageError, match="of the family none"):
        ForeignTeacher(StoredModel(stored.path, None), ("square",))
    one_node(stored.path, "Sigmoid", shape=(1, 3, SIDE, SIDE))
    with pytest.raises(UsageError, match=r"teacher: (expected|cannot be run)"):
        ForeignTeacher(stored, ("square",))
    one_node(stored.path, "Erf")
    with pytest.raises(UsageError, match="operators Erf"):
        read_dense_teacher(str(tmp_path / "good"))
    with pytest.raises(UsageError, match=r"expected a NanoDet, PicoDet or YOLOX .*: no model named 'nowhere'"):
        read_dense_teacher("nowhere")


def test_a_graph_that_torch_reads_otherwise_does_not_teach(tmp_path, monkeypatch):
    stored = in_folder(tmp_path / "good", network())
    ForeignTeacher(stored, ("square",))
    monkeypatch.setitem(onnx_to_torch._OPERATORS, "LeakyRelu", lambda given, values: given[0].relu())
    with pytest.raises(UsageError, match="teacher: its graph gives other numbers in PyTorch than in onnxruntime"):
        ForeignTeacher(stored, ("square",))


def test_a_teacher_whose_front_was_put_in_its_graph_sees_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    bare = in_folder(tmp_path / "bare", network())
    add_model(bare.path, AddOptions(name="fronted", classes=",".join(CLASSES), input="64 rgb stretch imagenet"))
    fronted = find_model("fronted")
    assert fronted.manifest.input.dtype == "uint8"
    picture = RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    values = bare.manifest.model_copy(
        update={"input": bare.manifest.input.model_copy(
            update={"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
        )}
    )  # fmt: skip
    plain = ForeignTeacher(StoredModel(bare.path, values), ("square",)).eval()
    for one, other in zip(seen_by(plain, picture), seen_by(ForeignTeacher(fronted, ("square",)), picture), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_other_classes_are_learnt_beside_and_are_no_part_of_the_student():
    torch.manual_seed(1)
    student = Student(StudentShape(1, **SHAPE))
    both = WithOthers(student, 2)
    pixels = torch.rand(2, 3, SIDE, SIDE)
    both.eval()
    with torch.no_grad():
        raw = both(pixels)
        torch.testing.assert_close(raw[..., :5], student(pixels))
    assert raw.shape[-1] == 4 + 3
    taught = raw.clone()
    taught[..., 5:] += 1.0
    soft = Soft(targets="dense", teacher="x")
    assert float(dense_loss(raw, raw, soft, 1)) == pytest.approx(0, abs=1e-6)
    alone = float(dense_loss(raw, taught, soft, 1))
    assert alone > 1e-3
    twice = float(dense_loss(raw, taught, soft.model_copy(update={"others_weight": 2.0}), 1))
    assert twice == pytest.approx(2 * alone, rel=1e-5)
    assert float(dense_loss(raw[..., :5], taught[..., :5], soft, 1)) == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("foreign")
    squares_data(root / "data", SIDE)
    in_folder(root / "teacher", network())
    return root


def wanted(root, epochs, **soft):
    values = {
        "student": SHAPE, "batch": 10, "validate_every": 20, "phases": [{"epochs": epochs, "side_px": SIDE}],
        "schedule": {"rate": 4e-3, "warm_up_steps": 4, "cool_down_epochs": 1, "average_decay": 0.8},
        "soft": {"targets": "dense", "teacher": str(root / "teacher")} | soft,
    }  # fmt: skip
    return recipe_from(values, "test")


class Killed(BaseException):
    pass


def test_a_run_under_a_foreign_teacher_goes_on_as_if_it_was_not_killed(data):
    whole, killed = data / "whole", data / "killed"
    train_student([data / "data"], wanted(data, 3), whole, workers=0, threads=1)
    rows = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(r["dense"]) and r["dense"] > 0 for r in rows)
    assert rows[-1]["dense"] < rows[0]["dense"]

    def kill(done, total, words):
        if words == "epoch 2":
            raise Killed

    with pytest.raises(Killed):
        train_student([data / "data"], wanted(data, 3), killed, workers=0, threads=1, progress=kill)
    train_student([data / "data"], wanted(data, 3), killed, workers=0, threads=1, resume=True)
    a, b = read_checkpoint(whole), read_checkpoint(killed)
    assert a["others"]["0.bias"].shape == (len(CLASSES) - 1,)
    for part in ("model", "average", "others"):
        for name, tensor in a[part].items():
            torch.testing.assert_close(b[part][name], tensor, rtol=0, atol=0, msg=name)
    assert load_student(killed).shape == StudentShape(1, **SHAPE)


def test_others_that_weigh_nothing_are_not_learnt(data):
    run = data / "alone"
    train_student([data / "data"], wanted(data, 1, others_weight=0), run, workers=0, threads=1)
    assert read_checkpoint(run)["others"] == {}


def test_a_teacher_without_the_students_class_is_refused_before_training(data):
    in_folder(data / "stranger", network(), classes=("a", "b", "c"))
    recipe = wanted(data, 1, teacher=str(data / "stranger"))
    with pytest.raises(UsageError, match=r"soft.teacher: teacher does not know square, only a, b, c"):
        check_weights(recipe, data / "strange", ("square",))
    with pytest.raises(UsageError, match="teacher does not know square"):
        train_student([data / "data"], recipe, data / "strange", workers=0, threads=1)
    assert load_dense_teacher(wanted(data, 1).soft, ("square",)).classes[0] == "square"
