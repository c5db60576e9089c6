"""COCO JSON as people bring it: names that lead out, ids as text, masks, other tasks beside it, sizes, encodings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgevision.datasets.coco_boxes import run_lengths
from edgevision.datasets.convert import import_data
from edgevision.datasets.dataset import read_data
from edgevision.errors import UsageError
from tests.support.datasets import boxes_of, coco, counts, image, text

DOG = {"a": [("dog", (10, 20, 40, 60))]}


def annotation(**changes):
    return {"id": 5, "image_id": 1, "category_id": 9, "bbox": [10, 20, 30, 40], **changes}


LEADING_OUT = [
    "../../escaped/a.jpg", "/etc/../escaped/a.jpg", "C:\\data\\a.jpg", "..\\..\\a.jpg", "\\\\server\\share\\a.jpg",
    "images/../../a.jpg", "file:///data/a.jpg", "C:a.jpg",
]  # fmt: skip


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_name_that_leads_out_stays_inside(tmp_path, name):
    coco(tmp_path / "theirs", images=[{"id": 1, "file_name": name}])
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    summary = import_data(tmp_path / "theirs", tmp_path / "ours")
    assert boxes_of(read_data(tmp_path / "ours")) == DOG
    assert summary.report.counts["name"] == 1
    new = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    assert new == {tmp_path / "ours" / n for n in ("images/a.jpg", "labels.json", ".lock")}


@pytest.mark.parametrize("name", ["", "/", "..", "../..", "\x00", "C:\\"])
def test_a_name_that_is_none_is_said(tmp_path, name):
    coco(tmp_path, images=[{"id": 1, "file_name": name}, {"id": 2, "file_name": "a.jpg"}])
    data = read_data(tmp_path)
    assert data.report.counts["image missing"] == 1


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "images/a.jpg", "sub/a.jpg", "images\\a.jpg", "A.JPG", "/data/local-files/?d=ds/a.jpg",
     "https://host/data/upload/1/a.jpg"],
)  # fmt: skip
def test_images_are_found_by_their_last_name(tmp_path, name):
    data = read_data(coco(tmp_path, images=[{"id": 1, "file_name": name}]))
    assert boxes_of(data) == DOG


def test_names_with_percent_signs_are_found(tmp_path):
    coco(tmp_path, images=[{"id": 1, "file_name": "my%20dog.jpg"}])
    image(tmp_path / "images/my dog.jpg")
    assert list(boxes_of(read_data(tmp_path))) == ["my dog"]


def test_two_names_that_fit_one_image_are_not_guessed(tmp_path):
    images = [{"id": 1, "file_name": "day1/a.jpg"}, {"id": 2, "file_name": "day2/a.jpg"}]
    data = read_data(coco(tmp_path, images=images))
    assert boxes_of(data) == {}
    assert counts(data)["ambiguous name"] == 1
    for day in (1, 2):
        image(tmp_path / f"images/day{day}/a.jpg")
    assert len(read_data(tmp_path).usable) == 2


def test_one_name_that_fits_two_images_is_not_guessed(tmp_path):
    coco(tmp_path, images=[{"id": 1, "file_name": "x.jpg"}])
    for day in (1, 2):
        image(tmp_path / f"pictures/day{day}/x.jpg")
    data = read_data(tmp_path)
    assert boxes_of(data) == {}
    assert counts(data) == {"ambiguous name": 1, "image missing": 1}


def test_one_name_under_two_ids_is_merged_and_said(tmp_path):
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "./a.jpg"}]
    both = [annotation(), annotation(id=6, image_id=2), annotation(id=7, image_id=2, category_id=3)]
    data = read_data(coco(tmp_path, both, images))
    assert boxes_of(data) == {"a": [("dog", (10, 20, 40, 60)), ("person", (10, 20, 40, 60))]}
    assert counts(data) == {"merged": 1, "repeated": 1}


def test_two_images_under_one_id_fail(tmp_path):
    image(tmp_path / "images/b.jpg")
    data = read_data(coco(tmp_path, images=[{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]))
    assert boxes_of(data) == {}
    assert "image 1: two images have this id" in data.report.first_failure()


@pytest.mark.parametrize(
    ("image_id", "category_id"), [("1", "9"), (1.0, 9.0), (" 1", 9), (1, "9")]
)  # fmt: skip
def test_ids_are_compared_as_text(tmp_path, image_id, category_id):
    data = read_data(coco(tmp_path, [annotation(image_id=image_id, category_id=category_id)]))
    assert boxes_of(data) == DOG


def test_ids_may_be_words(tmp_path):
    coco(
        tmp_path,
        [annotation(image_id="a.jpg", category_id="dog")],
        [{"id": "a.jpg", "file_name": "a.jpg"}],
        [{"id": "dog", "name": "dog"}],
    )
    assert boxes_of(read_data(tmp_path)) == DOG


def test_labels_of_images_that_are_not_listed_are_counted(tmp_path):
    data = read_data(coco(tmp_path, [annotation(), annotation(id=6, image_id=77), "no dict", annotation(id=8)]))
    assert counts(data) == {"orphan": 2}
    assert "annotation 6: is of image 77, which is not listed" in str(data.report.of("orphan")[0])


PULLED = [10, 20, 40, 20, 40, 60, 10, 60]


@pytest.mark.parametrize("segmentation", [[PULLED], PULLED, [PULLED[:4], PULLED[4:]]])
@pytest.mark.parametrize("bbox", [None, []])
def test_a_box_is_made_of_a_polygon(tmp_path, segmentation, bbox):
    assert boxes_of(read_data(coco(tmp_path, [annotation(bbox=bbox, segmentation=segmentation)]))) == DOG


def test_a_box_is_made_of_a_run_length_mask(tmp_path):
    mask = np.zeros((100, 200), np.uint8)
    mask[20:60, 10:40] = 1
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, len(flat)]).tolist()
    plain = {"size": [100, 200], "counts": runs}
    assert boxes_of(read_data(coco(tmp_path, [annotation(bbox=None, segmentation=plain)]))) == DOG
    tools = pytest.importorskip("pycocotools.mask")
    packed = tools.encode(np.asfortranarray(mask))
    assert run_lengths(packed["counts"].decode(), "x").tolist() == runs
    text_mask = {"size": [100, 200], "counts": packed["counts"].decode()}
    assert boxes_of(read_data(coco(tmp_path, [annotation(bbox=None, segmentation=text_mask)]))) == DOG


@pytest.mark.parametrize("seed", range(5))
def test_extents_of_masks_agree_with_pycocotools(tmp_path, seed):
    tools = pytest.importorskip("pycocotools.mask")
    mask = (np.random.default_rng(seed).random((100, 200)) > 0.9995 - seed * 0.0002).astype(np.uint8)
    mask[30 + seed, 40:90] = 1
    packed = tools.encode(np.asfortranarray(mask))
    x, y, w, h = tools.toBbox(packed).tolist()
    shape = {"size": [100, 200], "counts": packed["counts"].decode()}
    data = read_data(coco(tmp_path, [annotation(bbox=None, segmentation=shape)]))
    assert data.pictures[0].labels.boxes[0].corners == (x, y, x + w, y + h)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bbox": [10, 20, 30]}, "bbox: expected x, y, width, height, got 3 numbers"),
        ({"bbox": "10 20 30 40"}, "expected a list of numbers"),
        ({"bbox": [10, 20, "wide", 40]}, "expected numbers, got"),
        ({"bbox": [10, 20, -30, 40]}, "expected a positive width and height, got -30 and 40 px"),
        ({"bbox": [10, 20, float("nan"), 40]}, "expected finite numbers"),
        ({"bbox": [10, 20, float("inf"), 40]}, "expected finite numbers"),
        ({"bbox": [10, 20, 10**400, 40]}, "expected numbers"),
        ({"bbox": [900, 20, 30, 40]}, "expected a label inside the image of 200 × 100 px, got (900, 20, 930, 60)"),
        ({"bbox": None}, "expected a bbox or a segmentation, got neither"),
        ({"bbox": None, "segmentation": []}, "expected a bbox or a segmentation, got neither"),
        ({"bbox": None, "segmentation": [[1, 2, 3]]}, "expected pairs of x and y, got 3 numbers"),
        ({"bbox": None, "segmentation": {"size": [9, 9], "counts": [1, 99]}}, "do not fit 9 × 9"),
        (
            {"bbox": None, "segmentation": {"size": [100, 200], "counts": "oops\u20ac"}},
            "the text of the mask is damaged",
        ),
        ({"bbox": None, "segmentation": {"counts": [1, 2]}}, "expected size [height, width]"),
        ({"category_id": 77}, "category 77 is in no list of categories"),
        ({"category_id": None}, "category None is in no list"),
        ({"score": "high"}, "score: expected a number from 0 to 1, got high"),
    ],
)
def test_what_is_no_label_fails_its_image(tmp_path, changes, said):
    data = read_data(coco(tmp_path, [annotation(id=4), annotation(**changes)]))
    assert boxes_of(data) == {}
    assert "instances.json: annotation 5: " in data.report.first_failure()
    assert said in data.report.first_failure()
    assert data.report.counts["with its image"] == 1


def test_a_label_of_no_size_is_left_out(tmp_path):
    data = read_data(coco(tmp_path, [annotation(), annotation(bbox=[5, 5, 0, 9])]))
    assert boxes_of(data) == DOG
    assert counts(data) == {"no size": 1}


@pytest.mark.parametrize("crowd", [1, "1", True])
def test_a_crowd_is_a_region_to_ignore(tmp_path, crowd):
    data = read_data(coco(tmp_path, [annotation(iscrowd=crowd), annotation(iscrowd="0")]))
    assert data.pictures[0].labels.annotations().ignored.tolist() == [True, False]


# Files beside each other


def test_instances_are_read_and_other_tasks_said(tmp_path):
    coco(tmp_path, name="annotations/instances_val2017.json")
    coco(tmp_path, [annotation(category_id=3, keypoints=[1, 2, 2])], name="annotations/person_keypoints_val2017.json")
    coco(tmp_path, [{"id": 1, "image_id": 1, "caption": "a dog"}], name="annotations/captions_val2017.json")
    coco(tmp_path, [annotation(category_id=3)], name="annotations/stuff_val2017.json")
    coco(tmp_path, [{"image_id": 1, "segments_info": []}], name="annotations/panoptic_val2017.json")
    coco(tmp_path, [], name="annotations/image_info_test2017.json")
    data = read_data(tmp_path)
    assert boxes_of(data) == DOG
    assert data.splits == {"val"}
    left = {r.place.rsplit("/", 1)[1].split("_")[0] for r in data.report.of("other files")}
    assert left == {"person", "captions", "stuff", "panoptic", "image"}


def test_key_points_are_read_where_they_are_alone(tmp_path):
    coco(tmp_path, [annotation(category_id=3, keypoints=[1, 2, 2])], name="annotations/person_keypoints_train2017.json")
    data = read_data(tmp_path)
    assert boxes_of(data) == {"a": [("person", (10, 20, 40, 60))]}
    assert counts(data) == {}


@pytest.mark.parametrize("name", ["captions.json", "annotations/my_captions.json"])
def test_captions_alone_are_named(tmp_path, name):
    coco(tmp_path, [{"id": 1, "image_id": 1, "caption": "a dog"}], name=name)
    with pytest.raises(UsageError, match=r"expected labels of YOLO, COCO or Pascal VOC; .*captions"):
        read_data(tmp_path)


def test_parts_by_file_names(tmp_path):
    for part in ("train", "val"):
        image(tmp_path / f"{part}2017/{part}.jpg")
        coco(tmp_path, [], [{"id": 1, "file_name": f"{part}.jpg"}], name=f"annotations/instances_{part}2017.json")
    data = read_data(tmp_path)
    assert {p.path.stem: p.labels.split for p in data.pictures} == {"train": "train", "val": "val"}


def test_an_image_in_the_files_of_two_parts_is_said(tmp_path):
    for part in ("train", "val"):
        coco(tmp_path, name=f"annotations/instances_{part}.json")
    data = read_data(tmp_path)
    assert boxes_of(data) == DOG
    assert counts(data) == {"two parts": 1}


def test_yolos_labels_beside_coco_are_said(tmp_path):
    coco(tmp_path)
    text(tmp_path / "labels/a.txt", "0 0.5 0.5 0.1 0.1\n")
    assert boxes_of(read_data(tmp_path)) == DOG
    text(tmp_path / "data.yaml", "names: [cat]\n")
    data = read_data(tmp_path)
    assert data.classes == ("cat",)
    assert "is not read, since YOLO's labels are there" in data.report.of("other files")[0].text


# Sizes


def test_the_images_own_size_counts(tmp_path):
    data = read_data(coco(tmp_path, images=[{"id": 1, "file_name": "a.jpg", "width": 100, "height": 200}]))
    labels = data.pictures[0].labels
    assert (labels.width_px, labels.height_px) == (200, 100)
    assert boxes_of(data) == DOG
    assert "image 1: says 100 × 200, the image has 200 × 100, which counts" in str(data.report.of("size")[0])


@pytest.mark.parametrize(
    "size", [{}, {"width": 0, "height": 0}, {"width": None, "height": None}, {"width": "?", "height": []}]
)
def test_no_size_is_the_images_own(tmp_path, size):
    stated = dict(zip(("width", "height"), size, strict=False))
    data = read_data(coco(tmp_path, images=[{"id": 1, "file_name": "a.jpg", **stated}]))
    assert (data.pictures[0].labels.width_px, data.pictures[0].labels.height_px) == (200, 100)
    assert counts(data) == {}


def test_labels_drawn_before_a_resize_are_scaled_where_they_prove_it(tmp_path):
    stated = {"file_name": "a.jpg", "width": 400, "height": 200}
    data = read_data(coco(tmp_path, [annotation(bbox=[300, 100, 80, 60])], [{"id": 1, **stated}]))
    assert boxes_of(data) == {"a": [("dog", (150, 50, 190, 80))]}
    assert counts(data) == {"size": 1, "scaled": 1}
    # Without a label that only fits the stated size nothing is proven: pixels are pixels.
    assert boxes_of(read_data(coco(tmp_path, images=[{"id": 1, **stated}]))) == DOG


# The file itself


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "gbk"])
def test_json_in_any_encoding(tmp_path, encoding):
    name = "狗" if encoding == "gbk" else "dög"
    values = coco(tmp_path, categories=[{"id": 9, "name": name}]) / "annotations/instances.json"
    text(values, json.dumps(json.loads(values.read_text()), ensure_ascii=False).encode(encoding))
    assert read_data(tmp_path).classes == (name,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", r"instances\.json:1: expected JSON"),
        ('{"images": [],\n "categories": [}', r"instances\.json:2: expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ('{"images": [], "categories": [{"id": 1}]}', "categories: expected an id and a name"),
        ('{"images": [], "categories": [{"id": 1, "name": "a"}, {"id": "1", "name": "b"}]}', "two have the id 1"),
        ('{"images": [], "categories": [], "annotations": {}}', "found none"),
        ('{"images": [], "categories": [], "annotations": 3}', "annotations: expected a list"),
        ("", "expected JSON"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, content, said):
    text(tmp_path / "annotations/instances.json", content)
    with pytest.raises(UsageError, match=said) as caught:
        read_data(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_beside_annotations_finds_its_images(tmp_path):
    data = read_data(coco(tmp_path) / "annotations/instances.json")
    assert boxes_of(data) == DOG
