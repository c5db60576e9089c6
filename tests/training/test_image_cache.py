"""Which pictures a training epoch has. Needs torch."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from edgevision.training.augment import paste
from edgevision.training.image_cache import Draw, ImageCache, TrainingPictures
from edgevision.training.recipe import Augmentation

pytestmark = pytest.mark.extra
NAMES = ["room/1", "room/2", "street/1", "face"]
TIMES = {"room/*": 0.5, "street/*": 2.5, "*/1": 9.0}


def epochs(draw, count):
    return [draw.epoch(np.random.default_rng((3, n))) for n in range(count)]


def test_without_times_every_picture_is_in_an_epoch_once():
    drawn = epochs(Draw(NAMES, {}), 5)
    assert all(sorted(e) == [0, 1, 2, 3] for e in drawn)
    assert len({tuple(e) for e in drawn}) > 1


def test_pictures_are_drawn_as_often_as_the_first_glob_says_that_fits():
    draw = Draw(NAMES, TIMES)
    drawn = epochs(draw, 2000)
    assert {len(e) for e in drawn} == {len(draw)} == {4}
    share = np.bincount(np.concatenate(drawn), minlength=4) / (2000 * 4)
    np.testing.assert_allclose(share, np.array([0.5, 0.5, 2.5, 1]) / 4.5, atol=0.01)
    some = Counter(draw.some(np.random.default_rng(0), 9000).tolist())
    np.testing.assert_allclose([some[i] / 2000 for i in range(4)], [0.5, 0.5, 2.5, 1], atol=0.1)


def test_an_epoch_is_the_same_each_time_it_is_drawn():
    a, b = (epochs(Draw(NAMES, TIMES), 3) for _ in range(2))
    assert [e.tolist() for e in a] == [e.tolist() for e in b]


def test_a_picture_of_weight_0_is_never_drawn_not_even_into_a_mosaic():
    draw = Draw(NAMES, {"face": 0})
    assert 3 not in np.concatenate(epochs(draw, 50))
    assert 3 not in draw.some(np.random.default_rng(0), 2000)
    assert len(Draw(NAMES, {"*": 0})) == 0


def test_globs_that_fit_nothing_are_known():
    assert Draw(NAMES, {"strete/*": 2, "room/*": 1}).unused == ["strete/*"]


def test_a_picture_that_is_drawn_twice_in_an_epoch_is_moved_differently(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    ImageCache.build(tmp_path / "store", [("a", path, np.array([[0, 5, 5, 30, 30, 1]], np.float32))])
    store = ImageCache(tmp_path / "store")
    pictures = TrainingPictures(store, Draw(store.names, {"a": 2}), (64, 64), 0.0, Augmentation(), 1, 0)
    assert len(pictures) == 2
    assert not np.array_equal(pictures[0][0], pictures[1][0])
    assert np.array_equal(pictures[0][0], pictures[0][0])


def test_a_pasted_object_is_labelled_in_place_and_hides_what_is_behind():
    rng = np.random.default_rng(5)
    red = np.zeros((80, 80, 3), np.uint8)
    red[20:60, 30:50] = (0, 0, 255)
    picture = (red, np.array([[0, 30, 20, 50, 60, 1]], np.float32))
    everywhere = np.array([[0, x, y, x + 4, y + 4, 1] for x in range(0, 96, 4) for y in range(0, 96, 4)], np.float32)
    for _ in range(20):
        canvas = np.full((96, 96, 3), 114, np.uint8)
        labels = paste(canvas, everywhere, picture, rng)
        assert len(labels) == len(everywhere) + 1
        x1, y1, x2, y2 = labels[-1, 1:5]
        reddish = np.argwhere(canvas[..., 2].astype(int) - canvas[..., 0] > 120)
        np.testing.assert_allclose([*reddish.min(0)[::-1], *reddish.max(0)[::-1] + 1], [x1, y1, x2, y2], atol=2.5)
        behind = labels[:-1][labels[:-1, 5] == 0]
        assert len(behind) > 0
        assert (behind[:, 1] > x1 - 12).all() and (behind[:, 4] < y2 + 14).all()


@pytest.mark.parametrize("row", [[0, 30, 20, 50, 60, 0.3], [0, 30, 20, 34, 60, 1]])
def test_doubtful_and_tiny_objects_are_not_pasted(row):
    canvas = np.full((96, 96, 3), 114, np.uint8)
    picture = (np.zeros((80, 80, 3), np.uint8), np.array([row], np.float32))
    labels = paste(canvas, np.zeros((0, 6), np.float32), picture, np.random.default_rng(0))
    assert len(labels) == 0
    assert (canvas == 114).all()
