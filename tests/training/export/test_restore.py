"""An exported model is a place to begin from; and labels find their cells as the plain way of counting finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytestmark = pytest.mark.extra

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from edgevision.detectors.manifest import read_manifest  # noqa: E402
from edgevision.detectors.onnx_session import Session  # noqa: E402
from edgevision.errors import UsageError  # noqa: E402
from edgevision.training import checkpoints, loss  # noqa: E402
from edgevision.training.export import onnx_export, quantize_int8, restore  # noqa: E402
from edgevision.training.recipe import Recipe, Soft, read_recipe  # noqa: E402
from edgevision.training.student import Student, StudentShape, cell_centres  # noqa: E402
from edgevision.training.train import train_student  # noqa: E402
from tests.support.models import blob_model  # noqa: E402

SMALL = StudentShape(2, (8, 16, 16, 24), (0, 1, 1, 1), 16)
SIDE = 64
RECIPES = Path(__file__).resolve().parents[3] / "scripts" / "recipes"
BUNDLED = Path(__file__).resolve().parents[3] / "models" / "person" / "model.onnx"


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    made = Student(SMALL).train()
    for _ in range(8):
        made(torch.rand(4, 3, SIDE, SIDE))
    for part in made.modules():  # gains and offsets as training leaves them, none of them 1 or 0
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return made.eval()


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    """The student as a float and as an int8 file, as `distill export` writes them."""
    folder = tmp_path_factory.mktemp("exported")
    paths = {kind: folder / f"{kind}.onnx" for kind in ("float", "int8", "half")}
    onnx_export.export_float(student, SIDE, paths["float"])
    rng = np.random.default_rng(0)
    quantize_int8.quantise(
        paths["float"], paths["int8"], (rng.random((1, 3, SIDE, SIDE), np.float32) for _ in range(8))
    )
    paths["half"].write_bytes(paths["float"].read_bytes())
    for path in paths.values():
        onnx_export.put_front_in_graph(path, {"names": "{0: 'a', 1: 'b'}"})
    onnx_export.halve_weights(paths["half"])
    return paths


def test_halved_weights_are_half_the_file_and_the_same_network(exported):
    assert exported["half"].stat().st_size < 0.65 * exported["float"].stat().st_size
    pixels = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    whole, half = (Session(exported[kind].read_bytes(), kind).run(pixels)[0] for kind in ("float", "half"))
    np.testing.assert_allclose(half[0, :4], whole[0, :4], atol=0.3)
    np.testing.assert_allclose(half[0, 4:], whole[0, 4:], atol=0.01)


@pytest.mark.parametrize(("kind", "apart"), [("float", 1e-3), ("half", 0.01), ("int8", 0.1)])
def test_an_unfolded_file_is_the_network_again(student, exported, kind, apart):
    read = restore.read_exported(exported[kind])
    assert read.shape == SMALL
    assert read.classes == ("a", "b")
    pictures = torch.rand(6, 3, SIDE, SIDE)
    again = restore.unfold(read, [pictures[:4], pictures[4:]])
    with torch.no_grad():
        assert float((again(pictures) - student(pictures)).abs().max()) < apart
        # In training the batch norms see what they were fitted to, so nothing jumps at the first step.
        before = again(pictures)
        after = again.train()(pictures)
    assert float((after - before).abs().max()) < 1e-2


def test_filters_have_the_size_that_the_optimiser_is_set_for(exported):
    again = restore.unfold(restore.read_exported(exported["int8"]), [torch.rand(4, 3, SIDE, SIDE)])
    filters = again.stage16[1][0].weight.detach()
    np.testing.assert_allclose(filters.pow(2).mean((1, 2, 3)).sqrt(), restore.FILTER_RMS, rtol=1e-3)


def test_a_student_of_other_classes_takes_all_but_the_predictions(exported):
    other = Student(StudentShape(3, SMALL.widths, SMALL.depths, SMALL.neck_width))
    taken, of = checkpoints.take_over(other, str(exported["float"]), lambda: [torch.rand(4, 3, SIDE, SIDE)])
    assert of - taken == 6  # weight and bias of three levels
    again = restore.unfold(restore.read_exported(exported["float"]), [torch.rand(4, 3, SIDE, SIDE)])
    torch.testing.assert_close(other.top[0].weight, again.top[0].weight)


def test_the_bundled_detector_is_a_place_to_begin_from():
    read = restore.read_exported(BUNDLED)
    assert read.classes == ("person",)
    made = restore.unfold(read, [torch.rand(2, 3, SIDE, SIDE)])
    assert made.shape == read.shape


@pytest.mark.parametrize("name", ["person", "person-tiny", "face", "hardhat"])
def test_a_bundled_model_is_what_its_recipe_makes(name):
    own = RECIPES / f"{name}.toml"
    recipe = read_recipe(str(own) if own.exists() else name)
    folder = BUNDLED.parent.parent / name
    network = recipe.student
    made = restore.read_exported(folder / "model.onnx").shape
    assert (made.widths, made.depths, made.neck_width) == (network.widths, network.depths, network.neck_width)
    assert read_manifest(folder / "model.toml").input.width_px == recipe.side_px


def test_what_is_not_ours_is_refused(tmp_path):
    blob = blob_model(tmp_path / "blob.onnx")
    for place in (str(blob), str(tmp_path / "none.onnx"), "no-such-model"):
        with pytest.raises(UsageError, match="distill export` made"):
            checkpoints.take_over(Student(SMALL), place, list)
        # And before a picture is looked at: there is none.
        with pytest.raises(UsageError, match=r"^init: .*distill export` made"):
            train_student([tmp_path / "data"], Recipe(init=place), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def assigned_by_counting_all(probabilities, boxes, centres, strides, truth, soft):
    """`loss.task_aligned_assign` as TOOD describes it, every label against every cell: slow, and plain to read."""
    cells, classes = probabilities.shape[1:]
    labels = truth[..., 0].long()
    valid = (labels >= 0) & (truth[..., 5] > 0)
    corners = truth[..., 1:5]
    middle = (corners[..., :2] + corners[..., 2:]) / 2
    half = (corners[..., 2:] - corners[..., :2]) / 2
    offset = (centres[None, None] - middle[:, :, None]).abs()
    room = torch.maximum(half[:, :, None], 0.75 * strides.view(1, 1, -1, 1) * (strides.view(1, 1, -1, 1) <= 8))
    inside = (offset < room).all(-1) & valid[..., None]
    iou = loss.pair_iou(corners[:, :, None], boxes[:, None]).clamp(min=0) * inside
    score = probabilities.transpose(1, 2).gather(1, labels.clamp(min=0)[..., None].expand(-1, -1, cells))
    metric = score.pow(loss.SCORE_EXPONENT) * iou.pow(loss.IOU_EXPONENT)
    top = metric.topk(loss.TOP_CELLS, dim=-1)
    chosen = torch.zeros_like(metric, dtype=torch.bool).scatter_(-1, top.indices, top.values > 1e-9)
    best = (iou * chosen).argmax(1)
    positive = chosen.any(1)
    only = F.one_hot(best, truth.shape[1]).transpose(1, 2).bool() & chosen
    metric = metric * only
    quality = (metric * (iou * only).amax(-1, keepdim=True) / (metric.amax(-1, keepdim=True) + 1e-9)).amax(1)
    weight = truth[..., 5].gather(1, best)
    targets = F.one_hot(labels.gather(1, best).clamp(min=0), classes) * (quality * weight * positive)[..., None]
    covered = (offset < half[:, :, None]).all(-1)
    ignored = ((labels >= 0) & (truth[..., 5] <= 0))[..., None] & covered
    counts = (positive | ~ignored.any(1)).float()
    if soft is not None:
        certain = (valid & (truth[..., 5] >= soft.sure))[..., None] & covered
        unsure = (valid & (truth[..., 5] < soft.sure))[..., None] & covered
        counts = torch.where(unsure.any(1) & ~certain.any(1), counts * soft.doubt_weight, counts)
    return targets, torch.where(positive, best, -1), counts


@pytest.mark.parametrize("seed", range(8))
def test_labels_find_the_cells_that_counting_all_finds(seed):
    """Also labels on cells' edges, smaller than a cell, over the picture's edge, doubtful, and pictures that are not
    square."""
    torch.manual_seed(seed)
    width, height = ((160, 160), (192, 96))[seed % 2]
    centres, strides = cell_centres((width, height))
    images, most, classes = 3, 24, 1 + seed % 3
    probabilities = torch.rand(images, len(centres), classes)
    spread = torch.rand(images, len(centres), 2, 2) * 60
    boxes = torch.cat([centres - spread[..., 0], centres + spread[..., 1]], -1)
    truth = torch.zeros(images, most, 6)
    truth[..., 0] = torch.randint(-1, classes, (images, most)).float()
    middle, half = torch.rand(images, most, 2) * torch.tensor([width, height]), torch.rand(images, most, 2) ** 3 * 70
    if seed % 4 >= 2:
        middle, half = (middle / 4).round() * 4, (half / 4).round() * 4 + 2
    truth[..., 1:3], truth[..., 3:5] = middle - half - 0.5, middle + half + 0.5
    truth[..., 5] = torch.tensor([0.0, 0.2, 0.6, 1.0])[torch.randint(0, 4, (images, most))]
    for soft in (None, Soft(targets="scores")):
        got = loss.task_aligned_assign(probabilities, boxes, centres, strides, truth, soft)
        expected = assigned_by_counting_all(probabilities, boxes, centres, strides, truth, soft)
        assert (got[1] >= 0).any()
        for mine, theirs in zip(got, expected, strict=True):
            torch.testing.assert_close(mine.float(), theirs.float(), atol=1e-5, rtol=1e-5)


def test_no_labels_at_all_teach_background():
    centres, strides = cell_centres((SIDE, SIDE))
    truth = torch.full((2, 1, 6), -1.0)
    boxes = torch.cat([centres, centres + 1], 1).expand(2, -1, -1)
    targets, label, counts = loss.task_aligned_assign(torch.rand(2, len(centres), 2), boxes, centres, strides, truth)
    assert not targets.any()
    assert (label == -1).all()
    assert (counts == 1).all()
