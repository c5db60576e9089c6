"""Average precision with regions to ignore and sizes, intervals, and the fusion of several detectors."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgevision.cli.distill import app
from edgevision.datasets.dataset import read_data
from edgevision.errors import UsageError
from edgevision.evaluation.average_precision import SIZES, Truth, difference_ap50, draws, judge, mean_ap50
from edgevision.evaluation.evaluate import evaluate, load_to_measure, of_part
from edgevision.evaluation.score import Labelled, class_accuracy
from edgevision.training.export import package_model
from edgevision.training.export.model_card import ModelCardFields
from edgevision.training.labelling.box_fusion import as_detections, fuse
from edgevision.types import Detections
from tests.support.models import blob_frame_pixels, blob_model


def detections(rows):
    """Rows of x1, y1, x2, y2, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def truth(rows, ignored=None):
    table = np.array(rows, np.float32).reshape(-1, 5)
    flags = np.zeros(len(table), bool) if ignored is None else np.array(ignored, bool)
    return Truth(table[:, :4], table[:, 4].astype(np.int64), flags)


def random_set(seed, pictures=25):
    """Labels, and detections that are near them, beside them, or twice."""
    rng = np.random.default_rng(seed)
    there, found = [], []
    for _ in range(pictures):
        corner = rng.uniform(0, 200, (rng.integers(0, 6), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(8, 140, corner.shape)], 1)
        there.append(truth(np.column_stack([boxes, rng.integers(0, 2, len(boxes))])))
        near = np.repeat(boxes, 2, 0) + rng.normal(0, 6, (2 * len(boxes), 4))
        more = rng.uniform(0, 200, (3, 2))
        every = np.concatenate([near, np.concatenate([more, more + rng.uniform(8, 100, more.shape)], 1)])
        every[:, 2:] = np.maximum(every[:, 2:], every[:, :2] + 1)
        found.append(
            detections(np.column_stack([every, rng.random(len(every)).round(2), rng.integers(0, 2, len(every))]))
        )
    return found, there


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_ap_is_the_cores_own_where_nothing_is_ignored(seed, threshold):
    found, there = random_set(seed)
    as_labelled = [Labelled(f.boxes, f.class_ids, f.scores) for f in found]
    labels = [Labelled(t.boxes, t.class_ids) for t in there]
    for k in (0, 1):
        expected = class_accuracy(as_labelled, labels, k, threshold).average_precision
        got = judge(found, there, k, (threshold,)).average_precision()[0]
        assert got == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_ap_by_size_is_pycocotools(seed):
    """Sizes, ignored labels and all thresholds against COCO's own code, where it is installed."""
    coco_module = pytest.importorskip("pycocotools.coco")
    eval_module = pytest.importorskip("pycocotools.cocoeval")
    found, there = random_set(seed)
    reference = coco_module.COCO()
    images = [{"id": i + 1} for i in range(len(there))]
    annotations = []
    for i, t in enumerate(there):
        for box, k in zip(t.boxes.tolist(), t.class_ids.tolist(), strict=True):
            x1, y1, x2, y2 = box
            area = (x2 - x1) * (y2 - y1)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i + 1, "category_id": k + 1, "iscrowd": 0,
                 "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area}
            )  # fmt: skip
    reference.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1}, {"id": 2}]}
    reference.createIndex()
    rows = [
        [i + 1, b[0], b[1], b[2] - b[0], b[3] - b[1], s, k + 1]
        for i, f in enumerate(found)
        for b, s, k in zip(f.boxes.tolist(), f.scores.tolist(), f.class_ids.tolist(), strict=True)
    ]
    run = eval_module.COCOeval(reference, reference.loadRes(np.array(rows)), "bbox")
    run.evaluate()
    run.accumulate()
    precision = run.eval["precision"]  # (T, R, K, area, most)
    for place, name in enumerate(SIZES, 1):
        for k in (0, 1):
            table = precision[:, :, k, place, 2]
            expected = np.nan if (table < 0).all() else table.mean(1)
            got = judge(found, there, k, size=SIZES[name]).average_precision()
            np.testing.assert_allclose(got, expected, atol=2e-3)


def test_a_hit_on_an_ignored_label_counts_neither_way():
    there = [truth([[0, 0, 10, 10, 0], [50, 50, 60, 60, 0]], [True, False])]
    alone = judge([detections([[50, 50, 60, 60, 0.5, 0]])], there, 0, (0.5,))
    assert alone.average_precision()[0] == 1
    both = judge([detections([[0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.5, 0]])], there, 0, (0.5,))
    assert both.average_precision()[0] == 1
    wrong = judge([detections([[80, 80, 90, 90, 0.9, 0], [50, 50, 60, 60, 0.5, 0]])], there, 0, (0.5,))
    assert wrong.average_precision()[0] == pytest.approx(0.5)


def test_sizes_take_labels_and_false_boxes_of_their_own():
    there = [truth([[0, 0, 20, 20, 0], [100, 100, 300, 300, 0]])]
    found = [detections([[0, 0, 20, 20, 0.9, 0], [400, 400, 600, 600, 0.95, 0], [100, 100, 300, 300, 0.8, 0]])]
    by_size = {name: judge(found, there, 0, (0.5,), span) for name, span in SIZES.items()}
    assert by_size["small"].average_precision()[0] == 1
    assert np.isnan(by_size["medium"].average_precision()[0])
    assert by_size["large"].average_precision()[0] == pytest.approx(0.5)


def test_the_interval_holds_the_figure_and_a_draw_is_a_new_matching():
    found, there = random_set(5, 40)
    verdicts = [judge(found, there, k, (0.5,)) for k in (0, 1)]
    drawn = draws(40, 60)
    told = mean_ap50(verdicts, drawn)
    assert told.low < told.value < told.high
    chosen = np.repeat(np.arange(40), drawn[0])
    afresh = [judge([found[i] for i in chosen], [there[i] for i in chosen], k, (0.5,)) for k in (0, 1)]
    # Not to the last digit: equal scores may stand in another order.
    assert mean_ap50(verdicts, drawn[:1]).low == pytest.approx(mean_ap50(afresh).value, abs=0.02)


def test_a_better_model_is_told_from_a_worse_one():
    found, there = random_set(6, 60)
    worse = [f.select(np.arange(len(f)) % 3 == 0) for f in found]
    a, b = ([judge(f, there, k, (0.5,)) for k in (0, 1)] for f in (found, worse))
    lead = difference_ap50(a, b, draws(60, 80))
    assert lead.low > 0
    assert difference_ap50(a, a, draws(60, 20)).high == 0


def test_fusion_is_the_papers_equations():
    one = detections([[0, 0, 100, 100, 0.9, 0], [300, 0, 340, 40, 0.6, 0], [0, 0, 100, 100, 0.5, 1]])
    two = detections([[10, 0, 110, 100, 0.6, 0], [310, 200, 340, 240, 0.4, 0]])
    clusters = fuse([one, two], iou_threshold=0.55)
    fused = as_detections(clusters)
    first = [k for k, c in enumerate(clusters) if c.class_id == 0][0]  # noqa: RUF015
    # Corners weighted by scores (1), score their mean (2), times min(boxes, models) / models (the last equation).
    wanted = (0.9 * np.array([0, 0, 100, 100]) + 0.6 * np.array([10, 0, 110, 100])) / 1.5
    np.testing.assert_allclose(fused.boxes[first], wanted, rtol=1e-6)
    assert fused.scores[first] == pytest.approx(0.75)
    assert clusters[first].seen_by == {0, 1}
    alone = {round(float(s), 3) for k, s in enumerate(fused.scores) if k != first}
    assert alone == {0.3, 0.25, 0.2}
    weighted = fuse([one, two], [3, 1], 0.55)
    best = weighted[0]
    confidences = np.array([0.9 * 3, 0.6])
    assert best.score == pytest.approx(confidences.mean() * 2 / 4)


@pytest.mark.parametrize("seed", range(5))
def test_fusion_is_its_authors_code(seed):
    reference = pytest.importorskip("ensemble_boxes")
    found, _ = random_set(seed, 3)
    boxes = [np.clip(f.boxes / 400, 0, 1).tolist() for f in found]
    scores = [np.clip(f.scores, 0.01, 1).tolist() for f in found]
    labels = [f.class_ids.tolist() for f in found]
    weights = [2, 1, 1]
    expected = reference.weighted_boxes_fusion(boxes, scores, labels, weights, iou_thr=0.55)
    given = [
        Detections(np.array(b, np.float32), np.array(s, np.float32), np.array(k, np.int64))
        for b, s, k in zip(boxes, scores, labels, strict=True)
    ]
    clusters = fuse(given, weights, 0.55)
    got = sorted((c.class_id, round(c.score, 4), *c.box.round(4).tolist()) for c in clusters)
    wanted = sorted((int(k), round(float(s), 4), *np.round(b, 4).tolist()) for b, s, k in zip(*expected, strict=True))
    np.testing.assert_allclose(got, wanted, atol=2e-4)


@pytest.fixture
def blobs(tmp_path):
    """The blob model, and YOLO-labelled pictures of blobs: a third of the labels are of a place without one."""
    model = blob_model(tmp_path / "blobs")
    rng = np.random.default_rng(0)
    for k in range(9):
        cells = [(int(p) % 8 * 8, int(p) // 8 * 8) for p in rng.choice(64, 4, replace=False)]
        shown = cells[: 3 if k % 3 == 0 else 4]
        part = "val" if k >= 3 else "train"
        (tmp_path / f"data/images/{part}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"data/labels/{part}").mkdir(parents=True, exist_ok=True)
        boxes = [(x, y, x + 8, y + 8) for x, y in shown]
        cv2.imwrite(str(tmp_path / f"data/images/{part}/{k}.png"), blob_frame_pixels(64, 64, boxes))
        rows = [f"0 {(x + 4) / 64} {(y + 4) / 64} 0.125 0.125\n" for x, y in cells]
        (tmp_path / f"data/labels/{part}/{k}.txt").write_text("".join(rows))
    (tmp_path / "data/data.yaml").write_text("train: images/train\nval: images/val\nnames: [Blob]\n")
    return model, tmp_path / "data"


def test_a_real_model_is_measured(blobs):
    model, data = blobs
    held = of_part(read_data(data), "")
    assert len(held.pictures) == 6
    evaluation = evaluate([load_to_measure(str(model), held.classes)], held, bootstrap=30)
    report = evaluation.models[0]
    assert (evaluation.labels, report.missed, report.false_boxes) == (24, 2, 0)
    # 22 of 24 found, none false: every recall up to 22/24 reads precision 1.
    assert report.ap50.value == pytest.approx(np.floor(22 / 24 * 100 + 1) / 101, abs=1e-6)
    assert report.by_size["small"] == report.ap50.value
    assert report.labels_by_size == {"small": 24, "medium": 0, "large": 0}


def test_evaluate_writes_figures_and_sheets_and_compares_models(blobs, tmp_path):
    model, data = blobs
    blind = blob_model(tmp_path / "blind", "blind", channel=2)
    out = tmp_path / "out"
    words = ["evaluate", str(model), "--data", str(data), "--against", str(blind), "--out", str(out), "--json"]
    got = CliRunner().invoke(app, words)
    assert got.exit_code == 0, got.output
    told = json.loads(got.stdout)
    assert json.loads((out / "evaluation.json").read_text()) == told
    assert [m["model"] for m in told["models"]] == ["blobs@1", "blind@1"]
    assert told["models"][1]["lead_of_asked_model"]["low"] > 0.5
    for name in ("precision-recall.png", "worst.png", "best.png"):
        picture = cv2.imread(str(out / name))
        assert picture is not None
        assert picture.std() > 5


def test_a_model_of_other_classes_and_a_part_that_is_not_there_are_refused(blobs):
    model, data = blobs
    held = read_data(data)
    (data / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    with pytest.raises(UsageError, match="knows none of the classes"):
        evaluate([load_to_measure(str(model), held.classes)], read_data(data))
    with pytest.raises(UsageError, match=r"expected a part of .* \(train, val\) or all, got 'test'"):
        of_part(held, "test")


class HatFinder:
    """Sees a hat and a person in the same corner of every picture."""

    classes = ("hat", "person")

    def detect(self, pixels):
        boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9]], np.float32)
        return Detections(boxes, np.array([0.9, 0.8], np.float32), np.array([0, 1]))


def test_a_card_does_not_call_a_class_false_that_the_scene_lacks(monkeypatch):
    shown = []
    monkeypatch.setattr(package_model, "sheet", lambda outcomes, classes: shown.extend(outcomes))
    package_model._scene_sheet(HatFinder(), ModelCardFields("hats"))
    assert [o.ignored.tolist() for o in shown] == [[True, False]] * 8
    assert sum(len(o.missed) for o in shown) > 8
