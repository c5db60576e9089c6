"""Damaged label files of every format: never a traceback, a file outside the folder or a box out of range.

``EDGEVISION_FUZZ=20000`` sets how many; a few hundred are tried by default.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgevision.datasets.check import check_read
from edgevision.datasets.check_page import check_page
from edgevision.datasets.convert import import_data
from edgevision.datasets.data_yaml import read_data_yaml
from edgevision.datasets.dataset import read_data
from edgevision.datasets.reading_report import LabelError, ReadingReport
from edgevision.datasets.safe_names import safe_name
from edgevision.datasets.yolo_rows import RowFormat, boxes_of, rows_of
from edgevision.errors import EdgeVisionError, UsageError
from tests.support.datasets import image, text
from tests.support.label_mutations import COCO, ROWS, VOC, YAML, damaged_json, damaged_text

COUNT = int(os.environ.get("EDGEVISION_FUZZ", "400"))
FORMATS = ("rows", "yaml", "names", "list", "coco", "voc")


def write(root, kind, rng):
    """A dataset of two images with one damaged file."""
    image(root / "images/a.jpg")
    image(root / "images/sub/b.jpg")
    if kind == "coco":
        return text(root / "annotations/instances_train.json", damaged_json(COCO, rng))
    if kind == "voc":
        text(root / "images/sub/b.xml", VOC.replace("a.jpg", "b.jpg"))
        return text(root / "images/a.xml", damaged_text(VOC, rng))
    rows = ROWS if kind != "yaml" else "0 0.5 0.5 0.2 0.4\n"
    text(root / "labels/sub/b.txt", rows)
    text(root / "labels/a.txt", damaged_text(rows, rng) if kind == "rows" else rows)
    if kind == "names":
        return text(root / "classes.txt", damaged_text("person\ndog\n", rng))
    yaml = YAML.replace("kpt_shape: [4, 2]\n", "")
    if kind == "list":
        text(root / "train.txt", damaged_text("images/a.jpg\n./images/sub/b.jpg\n", rng))
        yaml = yaml.replace("train: images", "train: train.txt")
    return text(root / "data.yaml", damaged_text(YAML, rng) if kind == "yaml" else yaml)


def check_sound(data):
    """What must hold of whatever was read."""
    for picture in data.pictures:
        labels = picture.labels
        assert safe_name(labels.file) == (labels.file, False)
        assert labels.status in ("done", "new") or labels.error
        for box in labels.boxes:
            x1, y1, x2, y2 = box.corners
            assert 0 <= x1 < x2 <= labels.width_px
            assert 0 <= y1 < y2 <= labels.height_px
            assert 0 <= box.class_id < len(data.classes)
            assert 0 <= box.score <= 1


def check_sentence(error):
    """One line, not endless."""
    assert len(str(error).splitlines()) == 1, error
    assert len(str(error)) < 2000


def try_one(seed, folder):
    """Read, check and at times import one damaged dataset; what kind of answer it gave."""
    rng = random.Random(seed)
    kind = FORMATS[seed % len(FORMATS)]
    root = folder / "in" / "theirs"
    write(root, kind, rng)
    before = {p for p in folder.rglob("*") if p.is_file()}
    try:
        data = read_data(root)
    except UsageError as exc:
        check_sentence(exc)
        return "refused"
    check_sound(data)
    rows = [r for r in (root / "labels/a.txt").read_bytes().split(b"\n") if r.strip()] if kind == "rows" else []
    mine = [p.labels for p in data.pictures if p.path.name == "a.jpg"]
    if (
        kind == "rows"
        and mine
        and mine[0].status == "done"
        and b"\r" not in b"".join(rows)
        and b"\0" not in b"".join(rows)
    ):
        assert len(mine[0].boxes) + data.report.counts["no size"] == len(rows)
    if seed % 10 == 0:
        json.dumps(check_read(data).as_json())
        check_page(check_read(data))
        try:
            import_data(root, folder / "in" / "ours")
        except UsageError:
            return "refused"
        check_sound(read_data(folder / "in" / "ours"))
    outside = {p for p in folder.rglob("*") if p.is_file()} - before
    assert all(p.is_relative_to(folder / "in" / "ours") for p in outside), outside
    return "all read" if not data.report.first_failure() else "some failed"


def test_damaged_files_are_read_or_refused_in_a_sentence(tmp_path):
    answers = dict.fromkeys(("refused", "all read", "some failed"), 0)
    for seed in range(COUNT):
        folder = tmp_path / "now"
        try:
            answers[try_one(seed, folder)] += 1
        except Exception as exc:
            raise AssertionError(f"seed {seed}: {exc!r}") from exc
        shutil.rmtree(folder)
    print(answers)  # noqa: T201 - the count of a long run
    assert min(answers.values()) > 0


number = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 1), st.integers(-3, 300), st.sampled_from("012")
).map(str)


@settings(max_examples=max(COUNT // 2, 100), deadline=None)
@given(rows=st.lists(st.lists(number, min_size=1, max_size=60).map(" ".join), max_size=12), stated=st.booleans())
def test_rows_of_any_numbers(rows, stated):
    report = ReadingReport()
    try:
        parsed = rows_of("\n".join(rows), "a.txt")
        row_format = RowFormat.of(parsed, (4, 2) if stated else None)
        boxes = boxes_of(parsed, row_format, 3, (200, 100), "a.jpg", report)
    except LabelError as exc:
        check_sentence(exc)
        return
    assert len(boxes) + report.counts["no size"] == len(rows)
    for box in boxes:
        assert all(math.isfinite(v) for v in box.corners)
        assert 0 <= box.corners[0] < box.corners[2] <= 200
        assert 0 <= box.corners[1] < box.corners[3] <= 100


@settings(max_examples=max(COUNT // 2, 100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace")), st.binary(max_size=300)))
def test_any_bytes_as_yaml(content, tmp_path):
    try:
        read_data_yaml(text(tmp_path / "data.yaml", content))
    except EdgeVisionError as exc:
        check_sentence(exc)


PARTS = ["..", ".", "", "a", "C:", "~", "é" * 200]


@settings(max_examples=max(COUNT // 2, 200), deadline=None)
@given(
    name=st.one_of(
        st.text(max_size=400), st.lists(st.sampled_from(["..", ".", "", "a", "C:", "~", "é" * 200])).map("/".join)
    )
)
def test_any_name_stays_inside(name):
    try:
        safe, _ = safe_name(name)
    except ValueError:
        return
    parts = safe.split("/")
    assert not safe.startswith("/")
    assert all(p not in ("", ".", "..") and len(p.encode()) < 255 and "\x00" not in p and ":" not in p for p in parts)
    assert safe_name(safe) == (safe, False)


@pytest.mark.parametrize("kind", FORMATS)
def test_each_sound_seed_is_read_whole(kind, tmp_path):
    """Else the fuzz would try nothing."""

    class Still(random.Random):
        def randint(self, a, b):
            return 0

        def choice(self, options):
            return options[0]

        def random(self):
            return 1.0

    write(tmp_path, kind, Still())
    data = read_data(tmp_path)
    assert len(data.usable) == 2
