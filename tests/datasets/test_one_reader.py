"""Cases in which the three readers of labels, of swap, bench and distill, used to differ. One is left."""

from __future__ import annotations

import json

import pytest

from edgevision.bench.image_sets import data_set
from edgevision.capture.images import SUFFIXES
from edgevision.datasets.annotations import Box, PictureLabels
from edgevision.datasets.convert import import_data
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.dataset import VALIDATION, read_data
from edgevision.errors import UsageError
from tests.support.datasets import boxes_of, coco, counts, image, text, yolo


def test_names_as_a_map_out_of_order(tmp_path):
    data = read_data(yolo(tmp_path, "1 0.5 0.5 0.2 0.4\n", "names:\n  1: b\n  0: a\n"))
    assert data.classes == ("a", "b")
    assert boxes_of(data) == {"a": [("b", (80, 30, 120, 70))]}


def test_a_quoted_name_with_a_comma(tmp_path):
    assert read_data(yolo(tmp_path, yaml="names: ['a, big', \"b\"]\n")).classes == ("a, big", "b")


def test_a_sixth_column_is_a_score_and_kept_apart(tmp_path):
    (picture,) = read_data(yolo(tmp_path, "1 0.5 0.5 0.2 0.4 0.75\n")).pictures
    assert picture.labels.boxes == (Box(1, pytest.approx((80, 30, 120, 70)), 0.75, 1.0),)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("0.7 0.5 0.5 0.2 0.4", "a.txt:2: expected a whole number as class, got 0.7"),
        ("2 0.5 0.5 0.2 0.4", "a.txt:2: expected classes 0 to 1, got 2"),
        ("-1 0.5 0.5 0.2 0.4", "a.txt:2: expected classes 0 to 1, got -1"),
        ("person 0.5 0.5 0.2 0.4", "a.txt:2: expected numbers, got 'person 0.5"),
        ("0 0.5 0.5 0.2", "a.txt:2: expected class, x, y, width, height, got 4 numbers"),
    ],
)
def test_a_row_that_cannot_be_a_label_fails_its_image(tmp_path, row, said):
    """And no other: a set of which one row is damaged can be trained on, but not on that image as background."""
    yolo(tmp_path, f"0 0.5 0.5 0.2 0.4\n{row}\n")
    image(tmp_path / "images/b.jpg")
    text(tmp_path / "labels/b.txt", "1 0.5 0.5 0.2 0.4\n")
    data = read_data(tmp_path)
    assert boxes_of(data) == {"b": [("dog", (80, 30, 120, 70))]}
    assert said in data.pictures[0].labels.error
    assert data.report.counts["with its image"] == 1
    with pytest.raises(UsageError, match=r"a\.txt:2: expected"):
        data_set(tmp_path)


def test_no_label_file_is_not_labelled_and_an_empty_one_shows_nothing(tmp_path):
    yolo(tmp_path)
    image(tmp_path / "images/empty.jpg")
    text(tmp_path / "labels/empty.txt", "")
    image(tmp_path / "images/new.jpg")
    data = read_data(tmp_path)
    assert {p.path.stem: p.labels.status for p in data.pictures} == {"a": "done", "empty": "done", "new": "new"}
    assert len(data_set(tmp_path)[0].files) == 2
    assert counts(data) == {"nothing": 1, "no labels": 1}


@pytest.mark.parametrize(
    "name",
    ["data.yaml", "dataset.yml", "my_own.yaml", "classes.txt", "obj.names", "names.txt", "labels/classes.txt",
     "images/classes.txt", "_darknet.labels"],
)  # fmt: skip
def test_names_come_from_any_file_that_tools_write(tmp_path, name):
    (yolo(tmp_path) / "data.yaml").unlink()
    text(tmp_path / name, "names: [person, dog]\n" if name.endswith(("yaml", "yml")) else "person\ndog\n")
    assert read_data(tmp_path).classes == ("person", "dog")


@pytest.mark.parametrize(
    ("inside", "labels", "part"),
    [
        ("images/val", "labels/val", "val"),
        ("images/val", "images/labels/val", "val"),
        ("images", "labels", ""),
        ("valid", "valid/labels", "val"),
        ("valid/images", "valid/labels", "val"),
        ("test", "test", "test"),
    ],
)
def test_a_part_is_read_with_the_names_above_it(tmp_path, inside, labels, part):
    image(tmp_path / inside / "a.jpg")
    text(tmp_path / labels / "a.txt", "1 0.5 0.5 0.2 0.4\n")
    text(tmp_path / "data.yaml", "names: [person, dog]\n")
    data = read_data(tmp_path / inside)
    assert boxes_of(data) == {"a": [("dog", (80, 30, 120, 70))]}
    assert data.splits == {part}


def test_train_and_val_are_known_and_val_is_measured_on(tmp_path):
    for part in ("train", "val"):
        image(tmp_path / f"images/{part}/{part}.jpg")
        text(tmp_path / f"labels/{part}/{part}.txt", "0 0.5 0.5 0.2 0.4\n")
    text(tmp_path / "data.yaml", "train: images/train\nval: images/val\nnames: [person]\n")
    assert {p.path.stem: p.labels.split for p in read_data(tmp_path).pictures} == {"train": "train", "val": "val"}
    data = read_data(tmp_path, part=VALIDATION)
    assert list(boxes_of(data)) == ["val"]
    assert "its part val is read: 1 of 2 images" in str(data.report.of("selection")[0])


def test_coco_as_every_command_reads_it(tmp_path):
    """Ids out of order, a crowd, a file of any name, an image that is missing."""
    coco(
        tmp_path,
        images=[{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "gone.jpg"}],
        categories=[{"id": 9, "name": "dog"}, {"id": 3, "name": "person"}],
        annotations=[
            {"id": 1, "image_id": 7, "category_id": 9, "bbox": [10, 20, 30, 40]},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
        name="some.json",
    )
    for place in (tmp_path, tmp_path / "some.json"):
        data = read_data(place)
        assert data.classes == ("person", "dog")
        annotations = data.pictures[0].labels.annotations()
        assert annotations.class_ids.tolist() == [1, 0]
        assert annotations.ignored.tolist() == [False, True]
        assert data.pictures[1].labels.status == "failed"


def test_our_own_folder_is_read_by_all_and_doubts_are_no_truth(tmp_path):
    image(tmp_path / "images/a.jpg")
    with DataFolder(tmp_path, ("person",)) as folder:
        boxes = (Box(0, (0, 0, 9, 9)), Box(0, (20, 20, 40, 40), 0.3, 0.0, "teacher"))
        folder.put(PictureLabels("a.jpg", 200, 100, "labelled", boxes, split="val"))
    annotations = read_data(tmp_path, part=VALIDATION).pictures[0].labels.annotations()
    assert annotations.ignored.tolist() == [False, True]
    assert data_set(tmp_path)[1].labels == 1


def test_a_limit_spreads_evenly_and_is_said(tmp_path):
    for k in range(10):
        image(tmp_path / f"images/{k}.png", 8, 8)
        text(tmp_path / f"labels/{k}.txt", "0 0.5 0.5 0.5 0.5\n")
    text(tmp_path / "classes.txt", "person\n")
    data = read_data(tmp_path, limit=5)
    assert [p.path.stem for p in data.pictures] == ["0", "2", "4", "6", "8"]
    assert counts(data) == {"selection": 1}


def test_every_format_of_images_is_taken(tmp_path):
    for suffix in SUFFIXES:
        image(tmp_path / "images" / f"{suffix[1:]}{suffix}", 8, 8)
        text(tmp_path / "labels" / f"{suffix[1:]}.txt", "0 0.5 0.5 0.5 0.5\n")
    text(tmp_path / "classes.txt", "person\n")
    assert len(read_data(tmp_path).usable) == len(SUFFIXES)


def test_what_distill_wrote_can_be_imported_measured_and_written(tmp_path):
    import_data(yolo(tmp_path / "theirs"), tmp_path / "ours")
    values = json.loads((tmp_path / "ours/labels.json").read_text())
    assert values["annotations"][0]["bbox"] == pytest.approx([80, 30, 40, 40])
    assert data_set(tmp_path / "ours")[1].labels == 1
