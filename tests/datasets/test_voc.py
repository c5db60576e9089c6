"""Pascal VOC's XML, and layouts that are named and not read."""

from __future__ import annotations

import json

import pytest

from edgevision.datasets.dataset import read_data
from edgevision.datasets.xml_file import read_xml
from edgevision.errors import UsageError
from tests.support.datasets import boxes_of, counts, image, text, voc, voc_object

DOG = {"a": [("dog", (10, 20, 40, 60))]}
OBJECT = voc_object("dog", (10, 20, 40, 60))


@pytest.mark.parametrize(
    ("picture", "xml"),
    [
        ("JPEGImages/a.jpg", "Annotations/a.xml"),
        ("images/a.jpg", "annotations/a.xml"),
        ("train/a.jpg", "train/a.xml"),
        ("a.jpg", "a.xml"),
        ("VOC2012/JPEGImages/a.jpg", "VOC2012/Annotations/a.xml"),
        ("data/a.jpg", "labels/a.xml"),
        ("images/train/a.jpg", "annotations/train/a.xml"),
    ],
)
def test_layouts(tmp_path, picture, xml):
    image(tmp_path / picture)
    text(tmp_path / xml, voc(OBJECT))
    data = read_data(tmp_path)
    assert data.layout == "Pascal VOC"
    assert boxes_of(data) == DOG
    assert data.splits == ({"train"} if "train" in xml else {""})
    assert data.report.first_failure() == ""


def test_parts_of_image_sets(tmp_path):
    for stem in "abc":
        image(tmp_path / f"JPEGImages/{stem}.jpg")
        text(tmp_path / f"Annotations/{stem}.xml", voc(OBJECT, f"{stem}.jpg"))
    text(tmp_path / "ImageSets/Main/train.txt", "a\nb\n")
    text(tmp_path / "ImageSets/Main/val.txt", "c\nb\n")
    text(tmp_path / "ImageSets/Main/dog_train.txt", "a  1\nb -1\n")
    data = read_data(tmp_path)
    assert {p.path.stem: p.labels.split for p in data.pictures} == {"a": "train", "b": "val", "c": "val"}
    assert counts(data) == {"two parts": 1}


def test_like_named_images_of_two_parts_keep_their_own_labels(tmp_path):
    for part, left in (("train", 10), ("valid", 50)):
        image(tmp_path / part / "a.jpg")
        text(tmp_path / part / "a.xml", voc(voc_object("dog", (left, 20, left + 30, 60))))
    data = read_data(tmp_path)
    assert {p.labels.split: p.labels.boxes[0].corners[0] for p in data.pictures} == {"train": 10, "val": 50}


def test_difficult_objects_are_regions_to_ignore(tmp_path):
    image(tmp_path / "a.jpg")
    text(tmp_path / "a.xml", voc(OBJECT + voc_object("dog", (50, 20, 80, 60), "<difficult>1</difficult>")))
    annotations = read_data(tmp_path).pictures[0].labels.annotations()
    assert annotations.ignored.tolist() == [False, True]


def test_parts_of_a_body_are_no_objects_and_turned_boxes_enclosed(tmp_path):
    image(tmp_path / "a.jpg")
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    turned = (
        "<object><name>cat</name><robndbox><cx>100</cx><cy>50</cy><w>40</w><h>20</h>"
        "<angle>1.5707963</angle></robndbox></object>"
    )
    text(tmp_path / "a.xml", voc(voc_object("dog", (10, 20, 40, 60), part) + turned))
    assert boxes_of(read_data(tmp_path)) == {"a": [("dog", (10, 20, 40, 60)), ("cat", (90, 30, 110, 70))]}


def test_the_old_labelmes_outlines_and_masks(tmp_path):
    image(tmp_path / "Images/train/a.jpg")
    image(tmp_path / "Masks/train/a_mask_0.png")
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((10, 20), (40, 20), (40, 60)))
    outline = f"<deleted>0</deleted><polygon><username>me</username>{points}</polygon>"
    gone = "<object><name>cat</name><deleted>1</deleted></object>"
    text(tmp_path / "Annotations/train/a.xml", voc(f"<object><name>dog</name>{outline}</object>{gone}"))
    data = read_data(tmp_path)
    assert boxes_of(data) == DOG
    assert counts(data) == {}


def test_the_images_own_size_and_name_count(tmp_path):
    image(tmp_path / "a.jpg")
    text(tmp_path / "a.xml", voc(OBJECT, "../../other.jpg", "<width>100</width><height>200</height>"))
    data = read_data(tmp_path)
    assert boxes_of(data) == DOG
    assert counts(data) == {"size": 1, "name": 1}
    assert "a.xml:3: says 100 × 200" in str(data.report.of("size")[0])


def test_an_image_is_found_by_the_name_in_the_file(tmp_path):
    image(tmp_path / "a.jpg")
    text(tmp_path / "0001.xml", voc(OBJECT))
    assert boxes_of(read_data(tmp_path)) == DOG


def test_images_without_xml_and_xml_without_image(tmp_path):
    for stem in ("a", "new"):
        image(tmp_path / f"{stem}.jpg")
    text(tmp_path / "a.xml", voc(OBJECT))
    text(tmp_path / "gone.xml", voc(OBJECT, "gone.jpg"))
    data = read_data(tmp_path)
    assert boxes_of(data) == DOG
    assert counts(data) == {"no labels": 1, "image missing": 1}


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (voc_object("dog", ("x", 20, 40, 60)), "a.xml:4: xmin: expected a number, got 'x'"),
        (voc_object("dog", (40, 20, 10, 60)), "a.xml:4: expected a positive width and height"),
        (voc_object("dog", ("nan", 20, 10, 60)), "a.xml:4: xmin: expected a number, got 'nan'"),
        (voc_object("dog", (410, 20, 440, 60)), "a.xml:4: expected a label inside the image"),
        (voc_object("", (10, 20, 40, 60)), "a.xml:4: expected the name of a class, got ''"),
        ("<object><name>dog</name></object>", "a.xml:4: expected a bndbox, got none"),
        ("<object>", "a.xml:4: expected XML: mismatched tag"),
    ],
)
def test_what_is_no_label_fails_its_image_with_file_and_line(tmp_path, objects, said):
    image(tmp_path / "a.jpg")
    text(tmp_path / "a.xml", voc(objects))
    image(tmp_path / "b.jpg")
    text(tmp_path / "b.xml", voc(OBJECT, "b.jpg"))
    data = read_data(tmp_path)
    assert list(boxes_of(data)) == ["b"]
    assert said in data.report.first_failure()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_encodings_whatever_the_first_line_says(tmp_path, encoding):
    image(tmp_path / "a.jpg")
    content = f'<?xml version="1.0" encoding="GBK"?>\r\n{voc(voc_object("狗", (10, 20, 40, 60)))}'
    text(tmp_path / "a.xml", content.encode(encoding))
    assert boxes_of(read_data(tmp_path)) == {"a": [("狗", (10, 20, 40, 60))]}


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><annotation><object><name>&z;</name></object></annotation>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        "<a>" * 10_000,
    ],
)
def test_xml_that_would_grow_or_reach_out_is_refused(tmp_path, head):
    with pytest.raises(UsageError, match="expected labels, got"):
        read_xml(text(tmp_path / "a.xml", head))


CVAT = '<?xml version="1.0"?><annotations><version>1.1</version><image id="0" name="a.jpg"><box/></image></annotations>'


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("annotations.xml", CVAT, r"CVAT's XML, which is not read: in CVAT: Export task dataset, COCO 1\.0"),
        ("annotations/default.json", {"info": {}, "categories": {}, "items": []}, "Datumaro, which is not read: datum"),
        ("project.json", [{"id": 1, "data": {"image": "/a.jpg"}, "annotations": []}], "Label Studio's JSON.*as YOLO"),
        ("min.json", [{"image": "/a.jpg", "annotator": 1, "label": []}], "Label Studio's JSON-MIN"),
        ("a.json", {"shapes": [], "imagePath": "a.jpg", "version": "5"}, "LabelMe.*labelme2coco"),
        ("_annotations.createml.json", [{"image": "a.jpg", "annotations": []}], "CreateML"),
        ("via.json", {"_via_settings": {}, "_via_img_metadata": {}}, "VGG Image Annotator"),
        ("via.json", {"a.jpg1": {"filename": "a.jpg", "size": 1, "regions": []}}, "VGG Image Annotator"),
        ("ds/ann/a.jpg.json", {"objects": [], "size": {"width": 1, "height": 1}}, "Supervisely"),
        ("results.json", [{"image_id": 1, "category_id": 1, "bbox": [], "score": 1}], "COCO results"),
        ("train/_annotations.csv", "filename,width\n", r"a table \(CSV\)"),
        ("train/_annotations.tfrecord", "", "TFRecord"),
        (
            "train/label_2/a.txt",
            "Car 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56\n",
            "KITTI, which is not read: datum",
        ),
        ("gt/gt.txt", "1,1,912,484,97,109,0,7,1\n", "MOT, which is not read: datum"),
        ("labelTxt/a.txt", "imagesource:GoogleEarth\ngsd:0.1\n10.0 20 40 20 40 60 10 60 plane 0\n", "DOTA"),
        ("train.txt", "images/a.jpg 10,20,40,60,1\n", "a list of labels"),
        ("a.json", {"image": {"file_name": "a.jpg"}, "annotations": []}, "Segment Anything"),
        ("dataset.tar.gz", "", "a packed archive, which is not read: unpack it"),
    ],
)
def test_other_layouts_are_named_with_the_way_here(tmp_path, file, content, said):
    image(tmp_path / "images/a.jpg")
    path = text(tmp_path / file, content if isinstance(content, str) else json.dumps(content))
    for place in (tmp_path, path):
        with pytest.raises(UsageError, match=said) as caught:
            read_data(place)
        assert len(str(caught.value).splitlines()) == 1
