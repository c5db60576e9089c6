"""A dense teacher's outputs, computed once: what a crop of a cached image teaches. Needs torch."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from edgevision.errors import UsageError  # noqa: E402
from edgevision.training.checkpoints import read_checkpoint  # noqa: E402
from edgevision.training.distillation.onnx_teacher import ForeignTeacher  # noqa: E402
from edgevision.training.distillation.teacher_cache import TEACHER, CachedCrops, TeacherCache  # noqa: E402
from edgevision.training.recipe import Augmentation, recipe_from  # noqa: E402
from edgevision.training.student import boxes_from, cell_centres  # noqa: E402
from edgevision.training.train import train_student  # noqa: E402
from tests.support.models import squares_data  # noqa: E402
from tests.support.onnx_graphs import SIDE, in_folder, network  # noqa: E402

pytestmark = pytest.mark.extra
WHOLE = 128
BOX = (40.0, 24.0, 84.0, 100.0)
STILL = Augmentation(light=0.0, damage=0.0)


def one_object(pixels):
    """A teacher that sees one object at `BOX`: every cell within measures to it and scores by where the cell is."""
    centres, strides = cell_centres((WHOLE, WHOLE))
    distances = torch.cat([centres - torch.tensor(BOX[:2]), torch.tensor(BOX[2:]) - centres], 1) / strides
    inside = (distances > 0).all(1, keepdim=True)
    near = distances.clamp(min=0.01)
    raw = near + torch.log(-torch.expm1(-near))
    score = torch.where(inside, 0.2 + centres[:, :1] / WHOLE / 2, torch.tensor(0.01))
    other = torch.full_like(score, 0.25)
    assert pixels.shape == (1, 3, WHOLE, WHOLE)
    return torch.cat([raw, torch.logit(score), torch.logit(other)], 1)[None]


@pytest.fixture
def cache(tmp_path):
    image = torch.zeros(WHOLE, WHOLE, 3, dtype=torch.uint8)
    x1, y1, x2, y2 = (int(v) for v in BOX)
    image[y1:y2, x1:x2] = 200
    rows = torch.tensor([[0.0, *BOX, 1.0], [0.0, 2.0, 2.0, 20.0, 20.0, 1.0]])
    TeacherCache.build(tmp_path, iter([(image, rows)] * 3), 2, WHOLE, 1, one_object)
    return TeacherCache(tmp_path)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 2), (1, 1)])
def test_outputs_of_a_crop_are_those_of_the_image_at_its_cells(cache, corner, mirror):
    side = 64
    image, labels, taught = cache.crop(0, side, corner, mirror)
    x, y = corner[0] * 32, corner[1] * 32
    seen = np.array([BOX[0] - x, BOX[1] - y, BOX[2] - x, BOX[3] - y]).clip(0, side)
    expected = [side - seen[2], seen[1], side - seen[0], seen[3]] if mirror else seen.tolist()
    rows = [row for row in labels.tolist() if row[5] > 0 and row[3] - row[1] > 19]
    assert rows[0][1:5] == pytest.approx(expected)
    boxes = boxes_from(torch.from_numpy(taught), *cell_centres((side, side))).numpy()
    centres = cell_centres((side, side))[0].numpy()
    score = 1 / (1 + np.exp(-taught[:, 4]))
    inside = (centres[:, 0] > expected[0]) & (centres[:, 0] < expected[2])
    inside &= (centres[:, 1] > expected[1]) & (centres[:, 1] < expected[3])
    assert inside.sum() >= 5
    np.testing.assert_allclose(boxes[inside], np.tile(expected, (inside.sum(), 1)), atol=0.4)
    across = side - centres[:, 0] if mirror else centres[:, 0]
    np.testing.assert_allclose(score[inside], 0.2 + (across + x)[inside] / WHOLE / 2, atol=1e-3)
    assert (score[~inside] < 0.011).all()
    np.testing.assert_allclose(1 / (1 + np.exp(-taught[:, 5])), 0.25, atol=2e-3)
    middle = [int((expected[0] + expected[2]) / 2), int((expected[1] + expected[3]) / 2)]
    assert image[middle[1], middle[0], 0] > 180


def test_what_a_crop_hardly_shows_teaches_nothing(cache):
    _, labels, _ = cache.crop(1, 64, (1, 0), False)
    assert labels[:, 5].tolist() == [1.0]
    _, labels, _ = cache.crop(1, 32, (2, 0), False)
    assert labels[:, 5].tolist() == [0.0], "a corner of the object"


def test_an_epoch_takes_each_cached_image_once_and_differs_from_the_next(cache):
    first, second = (CachedCrops(cache, 64, STILL, 1, epoch) for epoch in (0, 1))
    assert len(first) == 2
    image, labels, taught = first[0]
    assert image.shape == (64, 64, 3)
    assert taught.shape == (64 + 16 + 4, 6)
    again = CachedCrops(cache, 64, STILL, 1, 0)[0]
    assert torch.equal(again[0], image)
    assert torch.equal(again[1], labels)
    assert any(not torch.equal(first[k][2], second[k][2]) for k in range(2))
    with pytest.raises(UsageError, match="fewer than the 160 px"):
        CachedCrops(cache, 160, STILL, 1, 0)


@pytest.mark.parametrize("family", ["nanodet", "yolox"])
def test_onnxruntime_gives_what_torch_gives(tmp_path, family):
    made = network(levels=3 if family == "yolox" else 4, head="yolox" if family == "yolox" else "maps")
    teacher = ForeignTeacher(in_folder(tmp_path / family, made, family), ("square",)).eval()
    assert teacher.size_wh == (SIDE, SIDE)
    pixels = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (1, 3, SIDE, SIDE), np.uint8)).float() / 255
    torch.testing.assert_close(teacher.on_onnxruntime(pixels), teacher(pixels), atol=2e-3, rtol=1e-3)


def recipe(root, epochs, **soft):
    values = {
        "student": {"widths": (8, 16, 16, 24), "depths": (0, 1, 1, 1), "neck_width": 16}, "batch": 10,
        "validate_every": 20, "phases": [{"epochs": epochs, "side_px": 32}],
        "schedule": {"rate": 4e-3, "warm_up_steps": 4, "cool_down_epochs": 1, "average_decay": 0.8},
        "soft": {"targets": "dense", "teacher": str(root / "teacher"), "cached_images": 20} | soft,
    }  # fmt: skip
    return recipe_from(values, "test")


class Killed(BaseException):
    pass


@pytest.fixture
def data(tmp_path):
    squares_data(tmp_path / "data", SIDE)
    in_folder(tmp_path / "teacher", network())
    return tmp_path


def test_a_run_asks_its_teacher_once_and_resumes_as_if_never_killed(data):
    whole, killed, asked = data / "whole", data / "killed", []

    def kill(done, total, words):
        asked.append(words)
        if words == "epoch 2":
            raise Killed

    train_student([data / "data"], recipe(data, 3), whole, workers=0, threads=1)
    with pytest.raises(Killed):
        train_student([data / "data"], recipe(data, 3), killed, workers=0, threads=1, progress=kill)
    assert asked.count("teacher outputs") == 20
    asked.clear()
    train_student(
        [data / "data"], recipe(data, 3), killed, workers=0, threads=1, resume=True,
        progress=lambda done, total, words: asked.append(words),
    )  # fmt: skip
    assert "teacher outputs" not in asked
    rows = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["dense"]) and row["dense"] > 0 for row in rows)
    a, b = read_checkpoint(whole), read_checkpoint(killed)
    assert a["others"]["0.bias"].shape == (2,)
    for name, tensor in a["average"].items():
        torch.testing.assert_close(b["average"][name], tensor, rtol=0, atol=0, msg=name)
    assert TeacherCache(whole / TEACHER).side_px == 64


def test_others_that_weigh_nothing_are_not_cached(data):
    train_student([data / "data"], recipe(data, 1, others_weight=0), data / "run", workers=0, threads=1)
    assert TeacherCache(data / "run" / TEACHER).others == 0
    assert read_checkpoint(data / "run")["others"] == {}


def test_cached_images_need_a_dense_teacher():
    with pytest.raises(UsageError, match="cached_images: only for targets 'dense'"):
        recipe_from({"soft": {"targets": "scores", "cached_images": 5}}, "test")
