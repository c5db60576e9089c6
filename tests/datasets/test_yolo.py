"""YOLO's folders as people bring them: places of labels, parts, lists, rows, numbers, encodings."""

from __future__ import annotations

import pytest

from edgevision.datasets.data_yaml import read_data_yaml
from edgevision.datasets.dataset import read_data
from edgevision.errors import UsageError
from tests.support.datasets import boxes_of, counts, image, text, yolo

DOG = {"a": [("dog", (80, 30, 120, 70))]}
ROW = "1 0.5 0.5 0.2 0.4\n"
NAMES = "names: [person, dog]\n"


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("images/a.jpg", "images/a.txt"),
        ("images/train/a.jpg", "images/train/a.txt"),
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("Images/a.jpg", "Labels/a.txt"),
        ("IMAGES/a.JPG", "LABELS/a.TXT"),
        ("obj_train_data/a.jpg", "obj_train_data/a.txt"),
        ("train/a.jpg", "train/a.txt"),
        ("train/images/a.jpg", "train/labels/a.txt"),
        ("train/a.jpg", "labels/train/a.txt"),
        ("train/a.jpg", "labels/a.txt"),
        ("train/a.jpg", "train/labels/a.txt"),
        ("images/day 1/b/a.jpg", "labels/day 1/b/a.txt"),
        ("images/a.jpg", "labels/a.jpg.txt"),
        ("data/images/a.jpg", "data/labels/a.txt"),
        ("a.jpg", "a.txt"),
        ("images/images/a.jpg", "images/labels/a.txt"),
        ("img/a.jpg", "labels/a.txt"),
    ],
)
@pytest.mark.parametrize("above", ["", "images/", "train/images/"])
def test_labels_are_found_near_their_images(tmp_path, above, picture, label):
    """Also where the dataset itself is below a folder called images."""
    root = tmp_path / (above + "set")
    image((root / picture).with_suffix(".jpg")).rename(root / picture)
    text(root / label, ROW)
    text(root / "classes.txt", "person\ndog\n")
    data = read_data(root)
    assert boxes_of(data) == DOG
    assert counts(data) == {}


def test_classes_txt_among_the_images_is_no_label(tmp_path):
    for stem in ("a", "classes"):
        image(tmp_path / f"images/{stem}.jpg")
    text(tmp_path / "images/a.txt", ROW)
    text(tmp_path / "images/classes.txt", "person\ndog\n")
    data = read_data(tmp_path)
    assert boxes_of(data) == DOG
    assert counts(data) == {"no labels": 1}


def test_labels_without_their_image_are_counted(tmp_path):
    text(yolo(tmp_path, ROW) / "labels/lost.txt", ROW)
    data = read_data(tmp_path)
    assert [str(r).rsplit("/", 1)[1] for r in data.report.of("orphan")] == [
        "lost.txt: has labels, and no image of its name is there"
    ]


@pytest.mark.parametrize(
    ("yaml", "train", "val"),
    [
        ("train: football-1/train/images\nval: football-1/valid/images\n", "train/images", "valid/images"),
        ("train: ../train/images\nval: ../valid/images\n", "train/images", "valid/images"),
        ("train: images/train\nval: images/val\n", "images/train", "images/valid"),
        ("train: /content/ds/images/train\nval: /content/ds/images/val\n", "images/train", "images/val"),
        ("train: 'C:\\data\\ds\\train\\images'\nval: 'C:\\data\\ds\\val\\images'\n", "train/images", "val/images"),
        ("path: ../datasets/ds\ntrain: images/train\nval: images/val\n", "images/train", "images/val"),
        ("path: /nowhere\ntrain: train\nval: val\n", "images/train", "images/val"),
        ("train: ./Train/Images/\nval: ./Valid/Images/\n", "train/images", "valid/images"),
        ("train: [images/train]\nval:\n  - images/val\n", "images/train", "images/val"),
        ("train: training\nvalidation: validation\n", "training", "validation"),
    ],
)
def test_parts_are_found_by_their_last_folders(tmp_path, yaml, train, val):
    if "path: /nowhere" in yaml:
        yaml = yaml.replace("train: train", "train: images/train").replace("val: val", "val: images/val")
    for part, stem in ((train, "a"), (val, "b")):
        image(tmp_path / part / f"{stem}.jpg")
        text((tmp_path / part / f"{stem}.txt"), ROW)
    text(tmp_path / "data.yaml", yaml + NAMES)
    data = read_data(tmp_path)
    assert {p.path.stem: p.labels.split for p in data.pictures} == {"a": "train", "b": "val"}
    assert len(boxes_of(data)) == 2
    assert counts(data) == {}


def test_a_part_that_is_not_there_is_said(tmp_path):
    yolo(tmp_path, ROW, f"train: images\nval: other/val\ntest: # none\n{NAMES}")
    data = read_data(tmp_path)
    assert [str(r).rsplit("/", 1)[1] for r in data.report.remarks] == ["val is not there and left out"]
    assert "data.yaml: val: other/val" in str(data.report.remarks[0])


def test_an_image_in_two_parts_is_said(tmp_path):
    data = read_data(yolo(tmp_path, ROW, f"train: images\nval: images\n{NAMES}"))
    assert data.splits == {"train"}
    assert counts(data) == {"two parts": 1}


@pytest.mark.parametrize("prefix", ["./images/", "images/", "/home/me/ds/images/", "C:\\ds\\images\\"])
@pytest.mark.parametrize("named", [True, False])
def test_lists_of_images_keep_the_split(tmp_path, prefix, named):
    for stem in "abc":
        image(tmp_path / f"images/{stem}.jpg")
        text(tmp_path / f"labels/{stem}.txt", ROW)
    text(tmp_path / "autosplit_train.txt", f"{prefix}a.jpg\r\n{prefix}b.jpg\r\n")
    text(tmp_path / "autosplit_val.txt", f"{prefix}c.jpg\n{prefix}gone.jpg\n")
    lists = "train: autosplit_train.txt\nval: autosplit_val.txt\n" if named else ""
    text(tmp_path / "data.yaml", lists + NAMES)
    data = read_data(tmp_path)
    splits = {p.path.stem: (p.labels.split, p.labels.status) for p in data.pictures}
    assert splits == {"a": ("train", "done"), "b": ("train", "done"), "c": ("val", "done"), "gone": ("val", "failed")}
    assert "autosplit_val.txt:2: expected the image" in str(data.report.of("image missing")[0])


def test_darknets_lists_keep_the_split(tmp_path):
    for stem in "ab":
        image(tmp_path / f"obj_train_data/{stem}.jpg")
        text(tmp_path / f"obj_train_data/{stem}.txt", ROW)
    text(tmp_path / "obj.names", "person\ndog\n")
    text(tmp_path / "obj.data", "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nbackup = backup/\n")
    text(tmp_path / "train.txt", "data/obj_train_data/a.jpg\n")
    text(tmp_path / "valid.txt", "data/obj_train_data/b.jpg\n")
    data = read_data(tmp_path)
    assert {p.path.stem: p.labels.split for p in data.pictures} == {"a": "train", "b": "val"}


BOX = "1 .5 .5 .2 .4"


@pytest.mark.parametrize(
    ("rows", "shape", "score"),
    [
        (f"{BOX} .45 .4 .5 .5 .55 .6 .5 .45", "[4, 2]", 1),
        (f"{BOX} " + " ".join(f".5 .5 {k % 3}" for k in range(17)), "[17, 3]", 1),
        (f"{BOX} .45 .4 2 .5 .5 1 .9", "[2, 3]", 0.9),
        (f"{BOX} .45 .4 2 .5 .5 1 .9 7", "[2, 3]", 0.9),
        (f"{BOX} .5 .5", "[1, 2]", 1),
        (BOX, "[17, 3]", 1),
        (f"{BOX} " + " ".join(f".5 .5 {k % 3}" for k in range(17)), "", 1),
        (f"{BOX} .45 .4 2 .5 .5 1", "", 1),
        (f"{BOX} .9", "", 0.9),
        (f"{BOX} .9 12", "", 0.9),
        (f"{BOX} 12", "", 1),
        (f"{BOX} .9 1", "", 0.9),
        ("1 .4 .3 .6 .3 .6 .7 .4 .7", "", 1),
        ("1 .4 .3 .6 .3 .6 .7 .5 .7 .4 .7", "", 1),
        ("1 .4 .3 .6 .3 .6 .7 .5 .7 .4 .7 .8", "", 0.8),
        ("1 .4 .3 .6 .3 .6 .7 .4 .7 .8 3", "", 0.8),
        ("1 .4 .7 .6 .7 .5 .3", "", 1),
    ],
)
def test_rows_with_key_points_polygons_scores_and_tracks(tmp_path, rows, shape, score):
    yaml = NAMES + (f"kpt_shape: {shape}\n" if shape else "")
    data = read_data(yolo(tmp_path, rows + "\n", yaml))
    assert data.report.first_failure() == ""
    assert boxes_of(data) == DOG
    assert data.pictures[0].labels.boxes[0].score == pytest.approx(score)


def test_key_points_are_known_by_rows_of_one_length(tmp_path):
    points = " ".join([".45 .4 .5 .5 .55 .6 .5 .45"])
    yolo(tmp_path, f"{BOX} {points}\n" * 8)
    data = read_data(tmp_path)
    assert boxes_of(data) == {"a": DOG["a"] * 8}
    assert counts(data) == {"key points": 8}


def test_a_row_that_can_be_read_in_two_ways_is_refused(tmp_path):
    data = read_data(yolo(tmp_path, f"{BOX} .45 .4 .5 .5 .55 .6 .5 .45\n"))
    assert boxes_of(data) == {}
    assert "a.txt:1: 12 numbers can be a polygon or a box with key points; say kpt_shape" in data.report.first_failure()


def test_a_row_that_does_not_fit_the_key_points_is_refused(tmp_path):
    data = read_data(yolo(tmp_path, f"{BOX} .5 .5 .5\n", NAMES + "kpt_shape: [4, 2]\n"))
    assert "a.txt:1: expected 4 numbers, or 12 with kpt_shape [4, 2], got 7" in data.report.first_failure()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("0 80 40 80 40", "shares of the image, 0 to 1, got 80 40 80 40; pixels stand where shares are expected"),
        ("0 10 10 90 10 90 60 10 60", "got 10 to 90; pixels stand where shares are expected"),
        ("0 nan 0.5 0.2 0.2", "expected finite numbers, got nan"),
        ("0 0.5 0.5 inf 0.2", "expected finite numbers"),
        ("0 1.3 0.5 0.2 0.2", "shares of the image, 0 to 1, got 1.3 0.5 0.2 0.2"),
        ("0 -0.4 0.5 0.2 0.2", "shares of the image, 0 to 1, got -0.4"),
        ("0 0.5 0.5 -0.2 0.2", "shares of the image, 0 to 1, got 0.5 0.5 -0.2"),
        ("0 0.5 0.5 0.2 1.5", "shares of the image, 0 to 1"),
        ("0 1e400 0.5 0.2 0.2", "expected finite numbers"),
        ("0 1_0 0.5 0.2 0.2", "expected numbers"),
        ("0 0.5 0.5 0.2 0.2 7.5", "expected a score from 0 to 1 behind the box, got 7.5"),
        ("0 0.5, 0.5, 0.2, 0.2", "expected numbers"),
        ("nan 0.5 0.5 0.2 0.2", "expected a whole number as class"),
        ("1e30 0.5 0.5 0.2 0.2", "expected classes 0 to 1"),
    ],
)
def test_impossible_numbers_fail_their_image_with_file_and_line(tmp_path, row, said):
    data = read_data(yolo(tmp_path, f"1 0.5 0.5 0.2 0.4\n{row}\n"))
    assert boxes_of(data) == {}
    assert said in data.report.first_failure()
    assert "a.txt:2: " in data.report.first_failure()
    assert data.report.counts["with its image"] == 1


def test_a_label_of_no_size_is_left_out_and_said(tmp_path):
    data = read_data(yolo(tmp_path, "1 0.5 0.5 0.2 0.4\n0 0.5 0.5 0 0.3\n"))
    assert boxes_of(data) == DOG
    assert "a.txt:2: a label of 0 × 30 px is left out" in str(data.report.of("no size")[0])


def test_a_slight_overhang_is_clipped(tmp_path):
    data = read_data(yolo(tmp_path, "1 0.95 0.5 0.2 0.4\n0 0.0999 0.1 0.2 0.2\n"))
    assert boxes_of(data)["a"] == [("dog", (170, 30, 200, 70)), ("person", (0, 0, 40, 20))]
    assert [r.place.rsplit(":", 1)[1] for r in data.report.of("clipped")] == ["1"]


def test_a_polygon_may_hang_over_as_a_box_may(tmp_path):
    data = read_data(yolo(tmp_path, "1 0.6 0.1 1.05 0.1 1.05 0.9 0.6 0.9\n"))
    assert boxes_of(data) == {"a": [("dog", (120, 10, 200, 90))]}
    assert counts(data) == {"clipped": 1}


def test_a_label_mostly_outside_fails_its_image(tmp_path):
    data = read_data(yolo(tmp_path, "1 0.99 0.99 0.5 0.5\n"))
    assert "a.txt:1: expected a label inside the image of 200 × 100 px" in data.report.first_failure()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_in_any_unicode_encoding(tmp_path, encoding, end):
    yolo(tmp_path, f"1 0.5 0.5 0.2 0.4{end}".encode(encoding), f"names:{end}- person{end}- dog{end}".encode(encoding))
    assert boxes_of(read_data(tmp_path)) == DOG
    (tmp_path / "data.yaml").unlink()
    text(tmp_path / "classes.txt", f"person{end}dog{end}".encode(encoding))
    assert read_data(tmp_path).classes == ("person", "dog")


def test_chinese_names_in_gbk_are_read_and_said(tmp_path):
    (yolo(tmp_path, ROW) / "data.yaml").unlink()
    text(tmp_path / "classes.txt", "行人\n安全帽\n".encode("gbk"))
    data = read_data(tmp_path)
    assert data.classes == ("行人", "安全帽")
    assert counts(data) == {"encoding": 1}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1251", "shift-jis"])
def test_other_encodings_are_refused_in_a_sentence(tmp_path, encoding):
    (yolo(tmp_path, ROW) / "data.yaml").unlink()
    names = {"latin-1": "caché\nfür", "cp1251": "человек\nсобака", "shift-jis": "ひと\nいぬ"}[encoding]
    text(tmp_path / "classes.txt", names.encode(encoding))
    with pytest.raises(UsageError, match=r"classes\.txt:\d: expected UTF-8 text, got the byte 0x.*save the file as"):
        read_data(tmp_path)


def test_a_binary_label_file_fails_its_image(tmp_path):
    data = read_data(yolo(tmp_path, b"\xff\xfe\x00\xd8\x00\xd8" * 3))
    assert boxes_of(data) == {}
    assert counts(data) in ({"bad text": 1}, {"bad row": 1})


@pytest.mark.parametrize(
    ("yaml", "names"),
    [
        ("names: ['a', 'b c']\n", ("a", "b c")),
        ("names:\n  2: c\n  0: a\n  # between\n  1: b # last\n", ("a", "b", "c")),
        ("names: {1: b, 0: a}\n", ("a", "b")),
        ("names: ['', person]\n", ("", "person")),
        ("names: ['a # b', \"c: d\"]\n", ("a # b", "c: d")),
        ("names:\n- a\n\n# comment\n- b\nval: x\n", ("a", "b")),
        ("names: [yes, no, on, 1.0, null, ~, 2024-01-01, 0x1F, 010]\n",
         ("yes", "no", "on", "1.0", "null", "~", "2024-01-01", "0x1F", "010")),
        ("base: &names [a, b]\nnames: *names\n", ("a", "b")),
        ("base: &base\n  names: [a, b]\n<<: *base\ntrain: x\n", ("a", "b")),
        ("names: person\n", ("person",)),
        ("names: >-\n  traffic\n  light\n", ("traffic light",)),
        ("names: [\n  'it''s',\n  \"caf\\u00e9\"\n]\n", ("it's", "café")),
        ("---\n'names': [a]\n...\n", ("a",)),
    ],
)  # fmt: skip
def test_names_as_yaml_has_them(tmp_path, yaml, names):
    assert read_data_yaml(text(tmp_path / "data.yaml", yaml)).names == names


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("names: [a, b\n", r"data\.yaml:2: expected YAML, got"),
        ("names:\n\t- a\n", r"data\.yaml:2: expected YAML, got"),
        ("names: {0: a, 2: b}\n", "a name for each class from 0 on, found numbers 0, 2"),
        ("names: {a: 0}\n", "expected a number before each name"),
        ("names: {0: a, 0: b}\n", "'0' stands twice"),
        ("names: [a]\nnames: [b]\n", "'names' stands twice"),
        ("names: []\n", "found numbers none"),
        ("names: [[a], b]\n", "expected a text for each class"),
        ("- a\n- b\n", "expected keys and values"),
        ("names: [a]\nkpt_shape: [17]\n", "kpt_shape:` expected"),
        ("!!python/object/apply:os.system ['true']\n", "expected keys and values"),
        ("[" * 3000, "expected YAML"),
    ],
)
def test_a_damaged_yaml_is_refused_in_a_sentence(tmp_path, yaml, said):
    with pytest.raises(UsageError, match=said) as caught:
        read_data_yaml(text(tmp_path / "data.yaml", yaml))
    assert len(str(caught.value).splitlines()) == 1


def test_an_empty_line_among_names_would_move_numbers(tmp_path):
    (yolo(tmp_path, ROW) / "data.yaml").unlink()
    text(tmp_path / "classes.txt", "person\n\ndog\n")
    with pytest.raises(UsageError, match=r"classes\.txt:2: expected a class name on each line"):
        read_data(tmp_path)


def test_odd_names_are_said(tmp_path):
    data = read_data(yolo(tmp_path, ROW, "nc: 3\nnames: [person, person]\n"))
    text(tmp_path / "classes.txt", "dog\nperson\n")
    said = [r.text for r in data.report.of("class names")]
    assert said == ["says nc: 3 and names 2 classes; the names are used", "2 classes are called 'person'"]
    assert "says other class names" in read_data(tmp_path).report.of("class names")[1].text


@pytest.mark.parametrize("line", [".", "..", "images/..", "/", "\x00", "C:\\"])
def test_a_list_s_line_that_is_no_name_is_said(tmp_path, line):
    yolo(tmp_path, ROW, "train: train.txt\n" + NAMES)
    text(tmp_path / "train.txt", f"images/a.jpg\n{line}\n")
    data = read_data(tmp_path)
    assert boxes_of(data) == DOG
    assert data.report.counts["image missing"] == 1
