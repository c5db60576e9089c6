"""`distill check`: what is wrong with a dataset, without importing it."""

from __future__ import annotations

import json
import zipfile

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgevision.cli import app
from edgevision.datasets.check import ALIKE_BITS, check_data
from edgevision.datasets.check_page import check_page, verdict
from edgevision.datasets.convert import import_data
from tests.support.datasets import coco, text
from tests.support.places import CHROMIUM


def scene(path, seed):
    """A picture that a hash tells from others: soft blots."""
    small = np.random.default_rng(seed).integers(0, 255, (5, 9, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(small, (200, 100), interpolation=cv2.INTER_CUBIC))


@pytest.fixture
def dataset(tmp_path):
    """Twenty images to train on and five to validate on, with one fault of each kind."""
    root = tmp_path / "street"
    rows = dict.fromkeys(range(25), "0 0.5 0.5 0.2 0.4\n")
    rows[1] += "0 0.25 0.25 0.01 0.01\n"
    rows[2] += "0 0.5 0.5 0.201 0.4\n"
    rows[3] += "1 0.5 0.5 0.2 0.4\n"
    rows[4] = "0 0.5 0.5 1 1\n"
    rows[5] = "0 80 40 80 40\n1 9 9 9 9\n0 0.5 0.5 0.1 0.1\n"
    rows[6] += "0 0.5 0.5 0 0.1\n"
    rows[7] = ""
    for k, content in rows.items():
        part = "val" if k >= 20 else "train"
        scene(root / f"images/{part}/{k:02d}.jpg", k)
        text(root / f"labels/{part}/{k:02d}.txt", content)
    scene(root / "images/train/new.jpg", 99)
    (root / "images/train/broken.jpg").write_bytes(b"\xff\xd8 no image")
    scene(root / "images/val/20.jpg", 0)
    text(root / "data.yaml", "train: images/train\nval: images/val\nnames: [person, dog, cat]\n")
    return root


def test_each_fault_is_found_once(dataset):
    check = check_data(dataset)
    assert check.counts() == {
        "near-duplicates": 1,
        "tiny labels": 1,
        "overlapping duplicates": 1,
        "one box, two classes": 1,
        "whole image": 1,
        "rare classes": 2,
        "classes of one part": 1,
    }
    found = {f.kind: f for f in check.findings}
    assert found["near-duplicates"].text == "train/00.jpg (train) and val/20.jpg (val)"
    assert found["tiny labels"].images[0].name == "01.jpg"
    assert found["overlapping duplicates"].images[0].name == "02.jpg"
    assert found["classes of one part"].text == "val has no dog"
    assert dict(check.data.report.counts) == {
        "bad number": 2,
        "with its image": 1,
        "no size": 1,
        "nothing": 1,
        "no labels": 1,
        "image unreadable": 1,
    }
    assert not check.sound
    assert verdict(check) == "2 images cannot be used, 2 labels are left out"
    assert check.images == {"train": 19, "val": 5}
    assert ALIKE_BITS < 10


def test_a_sound_dataset_is_called_so(tmp_path):
    coco(tmp_path, [{"id": k, "image_id": 1, "category_id": 9, "bbox": [9 * k, 20, 8, 9]} for k in range(20)],
         categories=[{"id": 9, "name": "dog"}])  # fmt: skip
    check = check_data(tmp_path)
    assert (check.sound, check.counts(), verdict(check)) == (True, {}, "every label is read")


def test_nothing_is_written_and_sizes_that_do_not_fit_are_found(tmp_path):
    coco(tmp_path, images=[{"id": 1, "file_name": "a.jpg", "width": 100, "height": 200}])
    before = sorted(tmp_path.rglob("*"))
    assert check_data(tmp_path).data.report.counts["size"] == 1
    assert sorted(tmp_path.rglob("*")) == before


def run(*words):
    return CliRunner().invoke(app, ["distill", "check", *map(str, words)])


def test_the_command_says_all_and_fails(dataset):
    result = run(dataset)
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    for words in (
        "images 27",
        "that cannot be used 2",
        "labels with impossible numbers: 2; their images are not used",
        "labels/train/05.txt:1: expected shares of the image",
        "labels/train/05.txt:2: expected shares of the image",
        "train/00.jpg (train) and val/20.jpg (val)",
        "2 images cannot be used, 2 labels are left out",
    ):
        assert words in said, words


def test_json_has_the_same(dataset):
    values = json.loads(run(dataset, "--json").stdout)
    assert values["images_by_status"] == {"done": 24, "failed": 2, "new": 1}
    assert values["labels_by_class"] == {"person": 25, "dog": 1, "cat": 0}
    assert values["reading"]["counts"]["bad number"] == 2
    assert {f["kind"] for f in values["findings"]} >= {"near-duplicates", "tiny labels"}


def test_our_own_folder_and_a_zip_are_checked_too(dataset, tmp_path):
    import_data(dataset, tmp_path / "ours")
    assert check_data(tmp_path / "ours").counts()["near-duplicates"] == 1
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in dataset.rglob("*"):
            archive.write(file, file.relative_to(dataset))
    result = run(tmp_path / "a.zip", "--json")
    values = json.loads(result.stdout)
    assert values["place"] == str(tmp_path / "a.zip")
    places = {r["place"] for r in values["reading"]["remarks"] if r["reason"] == "bad number"}
    assert places == {f"{tmp_path}/a.zip/labels/train/05.txt:{line}" for line in (1, 2)}


def test_a_hostile_name_is_text_on_the_page(tmp_path):
    name = "<script>alert(1)</script>"
    coco(tmp_path, [], categories=[{"id": 9, "name": name}])
    page = check_page(check_data(tmp_path))
    assert name not in page
    assert "&lt;script&gt;" in page


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1100, 390])
def test_the_page_shows_the_images_and_fits_its_window(dataset, tmp_path, width):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    assert run(dataset, "--html", tmp_path / "check.html").exit_code == 1
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "check.html").as_uri())
        assert page.inner_text(".verdict") == "2 images cannot be used, 2 labels are left out"
        shown = page.evaluate("[...document.images].map(i => i.naturalWidth)")
        assert len(shown) >= 8
        assert set(shown) == {300}
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        browser.close()
