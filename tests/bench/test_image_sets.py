"""Labelled images, the bundled clip and the scene as sets to measure on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgevision.bench.clips import BUNDLED, describe_clip
from edgevision.bench.image_sets import data_set, labelled_set, unlabelled_set
from edgevision.capture import open_source
from edgevision.datasets.annotations import Box, PictureLabels
from edgevision.datasets.data_folder import DataFolder
from edgevision.errors import SourceBroken, UsageError
from tests.support.video import film
from tests.support.yolo import image, yolo


def test_a_set_is_the_labelled_images_of_a_folder(tmp_path):
    image(yolo(tmp_path) / "images/unlabelled.png")
    frames, truth = data_set(tmp_path)
    assert [f.rsplit("/", 1)[1] for f in frames.files] == ["a.png", "b.png"]
    assert truth.classes == ("person", "hard hat")
    assert truth.boxes[0].boxes.tolist() == [[80, 30, 120, 70], [40, 40, 60, 60]]
    assert len(truth.boxes[1]) == 0


def test_only_the_validation_part_is_measured_on(tmp_path):
    for part in ("train", "val"):
        image(tmp_path / f"images/{part}/{part}.png")
        (tmp_path / f"labels/{part}").mkdir(parents=True)
        (tmp_path / f"labels/{part}/{part}.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [person]\n")
    frames, _ = data_set(tmp_path)
    assert [f.rsplit("/", 1)[1] for f in frames.files] == ["val.png"]


def test_doubtful_labels_of_our_own_data_are_no_truth(tmp_path):
    image(tmp_path / "images/a.png")
    sure, doubtful = Box(0, (0, 0, 9, 9)), Box(0, (20, 20, 40, 40), 0.3, 0.0, "teacher")
    with DataFolder(tmp_path, ("person",)) as data:
        data.put(PictureLabels("a.png", 200, 100, "labelled", (sure, doubtful)))
    assert data_set(tmp_path)[1].labels == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0 0.5 0.5 0.2\n", r"a.txt:1: expected class, x, y, width, height, got 4 numbers"),
        ("0 a b c d\n", r"a.txt:1: expected numbers, got '0 a b c d'"),
        ("2 0.5 0.5 0.1 0.1\n", r"a.txt:1: expected classes 0 to 1, got 2"),
    ],
)
def test_one_image_that_cannot_be_used_refuses_the_set(tmp_path, rows, said):
    with pytest.raises(UsageError, match=said):
        data_set(yolo(tmp_path, rows=rows))


def test_a_set_without_a_box_is_refused(tmp_path):
    with pytest.raises(UsageError, match="2 images and not one box"):
        data_set(yolo(tmp_path, rows=""))


def test_a_set_is_thinned_evenly(tmp_path):
    for k in range(10):
        image(tmp_path / f"{k}.png")
        (tmp_path / f"{k}.txt").write_text("0 0.5 0.5 1 1\n")
    (tmp_path / "classes.txt").write_text("person\n")
    frames, truth = data_set(tmp_path, 5)
    assert [f[-5:] for f in frames.files] == ["0.png", "2.png", "4.png", "6.png", "8.png"]
    assert truth.labels == 5
    assert len(list(frames.pictures())) == 5


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    frames, _ = data_set(yolo(tmp_path))
    (tmp_path / "images/a.png").write_bytes(b"no image")
    with pytest.raises(SourceBroken, match=r"a.png is no image, or is damaged"):
        list(frames.pictures())


def test_the_bundled_clip_has_its_true_boxes():
    frames, truth = labelled_set(str(BUNDLED))
    assert truth.classes == ("person",)
    assert len(truth.boxes) == frames.frames == 100
    assert truth.labels > 300
    pictures = list(frames.pictures())
    assert len(pictures) == 100
    assert pictures[0].shape == (720, 1280, 3)


def test_the_bundled_clip_is_small_and_what_it_says():
    clip = describe_clip(str(BUNDLED))
    assert BUNDLED.stat().st_size < 1_000_000
    assert (clip.kind, clip.frames, clip.fps, clip.live) == ("video", 300, 30.0, False)
    assert clip.sha256 is not None


def test_the_truth_of_the_bundled_clip_fits_its_pictures():
    """Boxes of the sidecar against the scene it was drawn from, frame for frame."""
    from edgevision.capture.scene import SceneSource

    made = json.loads(BUNDLED.with_suffix(".json").read_text())
    keys = dict(part.split("=") for part in made["scene"].split("&"))
    with SceneSource(seed=int(keys["seed"]), place=keys["place"], live=False) as scene:
        drawn = {k: scene.render(k) for k in (0, 150)}
    for k, (_, truth) in drawn.items():
        np.testing.assert_allclose(np.array(made["boxes"][k]), truth.boxes, atol=0.06)
    with open_source(BUNDLED) as source:
        frame = source.read()
    assert frame is not None
    assert np.abs(frame.pixels.astype(int) - drawn[0][0]).mean() < 6


def test_the_scene_knows_its_truth():
    frames, truth = labelled_set("scene://?people=3&size=320x180&seed=2&frames=40", 4)
    assert frames.frames == len(truth.boxes) == 4
    assert frames.step == 10
    assert next(frames.pictures()).shape == (180, 320, 3)


def test_other_sources_have_no_truth(tmp_path):
    clip = film(tmp_path / "a.mp4", 40)
    assert labelled_set(str(clip)) is None
    frames = unlabelled_set(str(clip), "a.mp4", 40, False, tmp_path)
    assert len(list(frames.pictures())) == 30


def test_pictures_of_a_live_source_are_kept_for_all(tmp_path):
    frames = unlabelled_set("scene://?people=1&size=64x64&fps=500", "live", None, True, tmp_path)
    one, two = list(frames.pictures()), list(frames.pictures())
    assert len(one) == 30
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
