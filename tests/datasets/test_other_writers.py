"""Datasets that other packages' own code has written: supervision's and Ultralytics', where they are installed."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.datasets.dataset import read_data
from tests.support.datasets import boxes_of, image, text

BOXES = {
    "a": [("person", (10, 20, 40, 60)), ("dog", (100, 10, 190, 90))],
    "b": [("dog", (0, 0, 200, 100))],
    "c": [],
}
CLASSES = ["person", "dog"]


@pytest.fixture
def dataset(tmp_path):
    """The same three images as supervision holds them."""
    supervision = pytest.importorskip("supervision")
    images, annotations = [], {}
    for k, (stem, boxes) in enumerate(BOXES.items()):
        path = str(image(tmp_path / f"source/{stem}.png", seed=k))
        images.append(path)
        corners = np.array([b for _, b in boxes], np.float32).reshape(-1, 4)
        ids = np.array([CLASSES.index(n) for n, _ in boxes], int)
        annotations[path] = supervision.Detections(xyxy=corners, class_id=ids)
    return supervision.DetectionDataset(classes=CLASSES, images=images, annotations=annotations)


def test_supervision_yolo(dataset, tmp_path):
    out = tmp_path / "out"
    dataset.as_yolo(str(out / "images"), str(out / "labels"), str(out / "data.yaml"))
    data = read_data(out)
    assert {stem: sorted(boxes) for stem, boxes in boxes_of(data).items()} == {s: sorted(b) for s, b in BOXES.items()}
    assert set(data.report.counts) <= {"nothing"}


def test_supervision_coco(dataset, tmp_path):
    out = tmp_path / "out"
    dataset.as_coco(str(out / "images"), str(out / "annotations.json"))
    assert {s: sorted(b) for s, b in boxes_of(read_data(out)).items()} == {s: sorted(b) for s, b in BOXES.items()}


def test_supervision_voc(dataset, tmp_path):
    """It counts pixels from 1."""
    out = tmp_path / "out"
    dataset.as_pascal_voc(str(out / "images"), str(out / "annotations"))
    data = read_data(out)
    got = {s: sorted(b) for s, b in boxes_of(data).items()}
    for stem, boxes in BOXES.items():
        assert [n for n, _ in got[stem]] == [n for n, _ in sorted(boxes)]
        for (_, one), (_, other) in zip(got[stem], sorted(boxes), strict=True):
            np.testing.assert_allclose(one, other, atol=1)
    assert data.report.first_failure() == ""


def results_of(tmp_path, **parts):
    ultralytics = pytest.importorskip("ultralytics.engine.results")
    torch = pytest.importorskip("torch")
    pixels = np.zeros((100, 200, 3), np.uint8)
    tensors = {name: torch.tensor(rows) for name, rows in parts.items()}
    return ultralytics.Results(pixels, str(tmp_path / "images/a.jpg"), dict(enumerate(CLASSES)), **tensors)


ONE = [[10.0, 20.0, 40.0, 60.0, 0.75, 1.0]]
TRACKED = [[10.0, 20.0, 40.0, 60.0, 7.0, 0.75, 1.0]]
POINTS = [[[15.0 + k, 25.0 + k, 0.9] for k in range(17)]]


@pytest.mark.extra
@pytest.mark.parametrize("conf", [False, True])
@pytest.mark.parametrize(
    "parts",
    [{"boxes": ONE}, {"boxes": TRACKED}, {"boxes": ONE, "keypoints": POINTS}, {"boxes": TRACKED, "keypoints": POINTS}],
    ids=["detect", "track", "pose", "pose and track"],
)
def test_ultralytics_save_txt(tmp_path, parts, conf):
    image(tmp_path / "images/a.jpg")
    (tmp_path / "labels").mkdir()
    results_of(tmp_path, **parts).save_txt(tmp_path / "labels/a.txt", save_conf=conf)
    shape = "kpt_shape: [17, 3]\n" if "keypoints" in parts else ""
    text(tmp_path / "data.yaml", f"names: {CLASSES}\n{shape}")
    data = read_data(tmp_path)
    assert data.report.first_failure() == ""
    assert boxes_of(data) == {"a": [("dog", (10, 20, 40, 60))]}
    assert data.pictures[0].labels.boxes[0].score == pytest.approx(0.75 if conf else 1)


@pytest.mark.extra
@pytest.mark.parametrize("conf", [False, True])
def test_ultralytics_save_txt_of_masks(tmp_path, conf):
    mask = np.zeros((1, 100, 200), np.float32)
    mask[0, 20:60, 10:40] = 1
    image(tmp_path / "images/a.jpg")
    (tmp_path / "labels").mkdir()
    results_of(tmp_path, boxes=ONE, masks=mask).save_txt(tmp_path / "labels/a.txt", save_conf=conf)
    text(tmp_path / "data.yaml", f"names: {CLASSES}\n")
    ((_, corners),) = boxes_of(read_data(tmp_path))["a"]
    np.testing.assert_allclose(corners, (10, 20, 40, 60), atol=1)


@pytest.mark.extra
def test_ultralytics_autosplit_and_coco_converter(tmp_path):
    pytest.importorskip("ultralytics")
    from ultralytics.data.split import autosplit

    for k in range(20):
        image(tmp_path / f"images/{k}.jpg", 20, 10)
        text(tmp_path / f"labels/{k}.txt", "1 0.5 0.5 0.2 0.4\n")
    autosplit(tmp_path / "images", weights=(0.5, 0.3, 0.2), annotated_only=False)
    yaml = "train: autosplit_train.txt\nval: autosplit_val.txt\ntest: autosplit_test.txt\n"
    text(tmp_path / "data.yaml", f"path: .\n{yaml}names: {CLASSES}\n")
    data = read_data(tmp_path)
    assert len(boxes_of(data)) == 20
    assert data.splits == {"train", "val", "test"}
    assert dict(data.report.counts) == {}
