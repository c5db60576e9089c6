"""The data folder, and the layouts of other labelling tools, in and out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.datasets.annotations import Box, PictureLabels
from edgevision.datasets.convert import export_data, import_data
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.data_yaml import read_data_yaml
from edgevision.datasets.dataset import read_data
from edgevision.errors import UsageError

WIDTH, HEIGHT = 40, 20
BOXES = {"a": [(0, (4.0, 2.0, 14.0, 12.0))], "b": [(1, (20.0, 5.0, 40.0, 20.0)), (0, (0.0, 0.0, 8.0, 8.0))], "c": []}
NAMES = ("person", "hard hat")


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))


def yolo_lines(boxes) -> str:
    rows = []
    for k, (x1, y1, x2, y2) in boxes:
        shares = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
        rows.append(f"{k} " + " ".join(f"{v:.6f}" for v in shares))
    return "\n".join(rows) + "\n" * bool(rows)


def coco(folder_in_names: str = "", names=NAMES, first_id: int = 1, parent: bool = False):
    categories = [{"id": k + first_id, "name": n, "supercategory": "things"} for k, n in enumerate(names)]
    if parent:
        categories.insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    images, annotations = [], []
    for i, (stem, boxes) in enumerate(BOXES.items()):
        images.append({"id": 100 + i, "file_name": f"{folder_in_names}{stem}.png", "width": WIDTH, "height": HEIGHT})
        for k, (x1, y1, x2, y2) in boxes:
            annotations.append(
                {"id": len(annotations), "image_id": 100 + i, "category_id": k + first_id, "iscrowd": 0,
                 "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            )  # fmt: skip
    return {"categories": categories, "images": images, "annotations": annotations}


def ultralytics(root: Path) -> None:
    for stem, boxes in BOXES.items():
        part = "val" if stem == "b" else "train"
        picture(root / "images" / part / f"{stem}.png")
        label = root / "labels" / part / f"{stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(yolo_lines(boxes))
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames:\n  0: person\n  1: hard hat\n")


def roboflow_yolo(root: Path) -> None:
    for stem, boxes in BOXES.items():
        part = "valid" if stem == "b" else "train"
        picture(root / part / "images" / f"{stem}.png")
        label = root / part / "labels" / f"{stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(yolo_lines(boxes))
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['person', 'hard hat']\n"
    )


def roboflow_coco(root: Path) -> None:
    for part, stems in (("train", "ac"), ("valid", "b")):
        for stem in stems:
            picture(root / part / f"{stem}.png")
        values = coco(parent=True)
        keep = {i["id"] for i in values["images"] if i["file_name"][0] in stems}
        values["images"] = [i for i in values["images"] if i["id"] in keep]
        values["annotations"] = [a for a in values["annotations"] if a["image_id"] in keep]
        (root / part / "_annotations.coco.json").write_text(json.dumps(values))


def cvat_coco(root: Path) -> None:
    for stem in BOXES:
        picture(root / "images" / "default" / f"{stem}.png")
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_default.json").write_text(json.dumps(coco()))


def cvat_yolo(root: Path) -> None:
    for stem, boxes in BOXES.items():
        picture(root / "obj_train_data" / f"{stem}.png")
        (root / "obj_train_data" / f"{stem}.txt").write_text(yolo_lines(boxes))
    (root / "obj.names").write_text("person\nhard hat\n")
    (root / "obj.data").write_text("classes = 2\nnames = data/obj.names\n")


def label_studio_coco(root: Path) -> None:
    for stem in BOXES:
        picture(root / "images" / f"{stem}.png")
    (root / "result.json").write_text(json.dumps(coco("images/", first_id=0)))


def label_studio_yolo(root: Path) -> None:
    for stem, boxes in BOXES.items():
        picture(root / "images" / f"{stem}.png")
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{stem}.txt").write_text(yolo_lines(boxes))
    (root / "classes.txt").write_text("person\nhard hat\n")


def fiftyone_coco(root: Path) -> None:
    for stem in BOXES:
        picture(root / "data" / f"{stem}.png")
    (root / "labels.json").write_text(json.dumps(coco(first_id=0)))


def fiftyone_yolo(root: Path) -> None:
    ultralytics(root)
    (root / "data.yaml").rename(root / "dataset.yaml")
    (root / "dataset.yaml").write_text(
        "names:\n  - person\n  - hard hat\nnc: 2\npath: .\ntrain: ./images/train/\nval: ./images/val/\n"
    )


LAYOUTS = [
    ultralytics, roboflow_yolo, roboflow_coco, cvat_coco, cvat_yolo, label_studio_coco, label_studio_yolo,
    fiftyone_coco, fiftyone_yolo,
]  # fmt: skip


def found(data):
    """{stem: sorted [(class name, rounded corners)]}."""
    return {
        p.path.stem: sorted((data.classes[b.class_id], tuple(round(v, 2) for v in b.corners)) for b in p.labels.boxes)
        for p in data.pictures
    }


WANTED = {stem: sorted((NAMES[k], corners) for k, corners in boxes) for stem, boxes in BOXES.items()}


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda f: f.__name__)
def test_every_tools_layout_is_read(make, tmp_path):
    make(tmp_path)
    data = read_data(tmp_path)
    assert data.classes == NAMES
    assert found(data) == WANTED
    assert all(p.path.is_file() and p.labels.status == "done" for p in data.pictures)
    if make in (ultralytics, roboflow_yolo, roboflow_coco, fiftyone_yolo):
        assert {p.path.stem: p.labels.split for p in data.pictures} == {"a": "train", "b": "val", "c": "train"}


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("layout", ["yolo", "coco"])
def test_in_and_out_again_changes_nothing(make, layout, tmp_path):
    make(tmp_path / "theirs")
    summary = import_data(tmp_path / "theirs", tmp_path / "ours")
    assert summary.statuses == {"done": 3}
    assert found(read_data(tmp_path / "ours")) == WANTED
    export_data(tmp_path / "ours", tmp_path / "out", layout)
    again = read_data(tmp_path / "out")
    assert again.classes == NAMES
    for stem, boxes in found(again).items():
        for (name, got), (wanted_name, wanted) in zip(boxes, WANTED[stem], strict=True):
            assert name == wanted_name
            assert got == pytest.approx(wanted, abs=0.02)


def test_a_bad_picture_or_label_file_is_said_of_that_picture(tmp_path):
    ultralytics(tmp_path)
    (tmp_path / "images/train/broken.jpg").write_bytes(b"no picture")
    picture(tmp_path / "images/train/odd.png")
    (tmp_path / "labels/train/odd.txt").write_text("7 0.5 0.5 0.1 0.1\n")
    picture(tmp_path / "images/train/unlabelled.png")
    data = read_data(tmp_path)
    status = {p.path.stem: (p.labels.status, p.labels.error) for p in data.pictures}
    assert status["broken"][0] == "failed"
    assert "expected classes 0 to 1, got 7" in status["odd"][1]
    assert status["unlabelled"][0] == "new"
    assert data.empty_labels == 1
    assert {p.path.stem for p in data.usable} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: ['a', 'b c']\n", ("a", "b c")),
        ("names: [a, b]  # two\n", ("a", "b")),
        ("nc: 2\nnames:\n- a\n- 'b: c'\nval: x\n", ("a", "b: c")),
        ("names:\n  1: b\n  0: a  # first\npath: x\n", ("a", "b")),
        ("names: {0: a, 1: b}\n", ("a", "b")),
        ("names: ['a',\n  'b']\ntrain: x\n", ("a", "b")),
    ],
)
def test_names_as_tools_write_them(text, names, tmp_path):
    (tmp_path / "data.yaml").write_text(text)
    assert read_data_yaml(tmp_path / "data.yaml").names == names


def test_what_is_no_data_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="expected labelled images, found 0 images and no labels"):
        read_data(tmp_path)
    (tmp_path / "labels").mkdir()
    with pytest.raises(UsageError, match="expected class names"):
        read_data(tmp_path)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UsageError, match="expected COCO JSON"):
        read_data(tmp_path / "x.json")


LABELS = PictureLabels(
    "in/a.png", 40, 20, "review", (Box(1, (1, 2, 3.5, 4), 0.5, 0.0, "t@1"),), (Box(0, (0, 0, 5, 5), 0.1, 0, "t@1"),),
    teacher="t", doubts=("1 doubtful person",), split="val", group=3,
)  # fmt: skip


def test_a_data_folder_gives_back_what_was_put_in(tmp_path):
    with DataFolder(tmp_path, NAMES) as data:
        data.put(LABELS)
        data.put(PictureLabels("b.png", status="failed", error="is empty"))
        assert [p.file for p in data.to_review()] == ["in/a.png"]
    again = DataFolder(tmp_path, write=False)
    assert again.classes == NAMES
    assert again.pictures == {"in/a.png": LABELS, "b.png": PictureLabels("b.png", status="failed", error="is empty")}
    assert not (tmp_path / "labels.journal.jsonl").exists()


def test_a_kill_loses_the_picture_in_work_and_no_other(tmp_path):
    code = (
        "import sys, os, signal\n"
        "from pathlib import Path\n"
        "from edgevision.datasets.data_folder import DataFolder\n"
        "from edgevision.datasets.annotations import PictureLabels\n"
        "data = DataFolder(Path(sys.argv[1]), ('person',))\n"
        "for k in range(5): data.put(PictureLabels(f'{k}.png', 4, 4, 'labelled'))\n"
        'data._journal.write(\'{"file": "5.png", "wid\'); data._journal.flush()\n'
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "labels.journal.jsonl").stat().st_size > 0
    # Read without writing, then taken up again by who writes.
    assert sorted(DataFolder(tmp_path, write=False).pictures) == [f"{k}.png" for k in range(5)]
    with DataFolder(tmp_path) as data:
        data.put(PictureLabels("5.png", 4, 4, "labelled"))
    assert sorted(DataFolder(tmp_path, write=False).pictures) == [f"{k}.png" for k in range(6)]


def test_two_writers_are_refused_and_other_classes_too(tmp_path):
    with DataFolder(tmp_path, NAMES), pytest.raises(UsageError, match="another edgevision command is writing"):
        DataFolder(tmp_path)
    with pytest.raises(UsageError, match="has classes person, hard hat, but cat"):
        DataFolder(tmp_path, ["cat"])
    with DataFolder(tmp_path):
        pass


def test_soft_rows_weigh_what_the_teacher_scored():
    boxes = Box(0, (0, 0, 1, 1)), Box(0, (2, 2, 3, 3), 0.3, 0.0, "t")
    labels = PictureLabels("a.png", 9, 9, boxes=boxes, faint=(Box(0, (4, 4, 5, 5), 0.08, 0, "t"),))
    assert labels.rows()[:, 5].tolist() == [1, 0]
    assert labels.rows(0.05)[:, 5].tolist() == pytest.approx([1, 0.3, 0.08])
    assert labels.rows(0.1)[:, 5].tolist() == pytest.approx([1, 0.3])
