"""Is a model fed as it was trained: the statistic on generated data, the search on a made network, real ones."""

from __future__ import annotations

import re
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.deployment.add_model import add_model
from edgevision.deployment.add_options import AddOptions
from edgevision.deployment.preprocessing_score import (
    Trials,
    Tried,
    agreed,
    cut,
    merit,
    places_of,
    same_shape,
    seen_in_pieces,
)
from edgevision.deployment.preprocessing_search import CLEAR_T, compare_recipes
from edgevision.deployment.verify_model import verify_model
from edgevision.detectors.manifest import InputRecipe, Manifest, Resize
from edgevision.detectors.onnx_session import Session
from edgevision.types import Detections
from tests.support.places import SHARED

SQUARE = InputRecipe(width_px=64, height_px=64)


def reordered(recipe, order, resize):
    """The recipe with another channel order and resize; mean and deviation follow their channels."""
    turn = 1 if order == recipe.channel_order else -1
    values = {"channel_order": order, "resize": resize, "mean": recipe.mean[::turn], "std": recipe.std[::turn]}
    return recipe.model_copy(update=values)


def found(*rows):
    """Detections of (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def tried(merits, places=None):
    places = np.arange(len(merits)) if places is None else np.asarray(places)
    return Tried(SQUARE, np.asarray(merits, float), 0, 0.0, places)


BOX = (10, 10, 50, 50)


@pytest.mark.parametrize(
    ("mine", "reference", "expected"),
    [
        (found(), found((*BOX, 0.9, 0)), 0.0),  # silence earns nothing
        (found((*BOX, 0.8, 0)), found(), 0.0),
        (found((*BOX, 0.8, 0)), found((*BOX, 0.9, 0)), 0.8),  # the lower of both scores
        (found((*BOX, 0.8, 0)), found((*BOX, 0.6, 0)), 0.6),
        (found((*BOX, 0.8, 0)), found((*BOX, 0.9, 1)), 0.0),  # another class
        (found((*BOX, 0.8, 0)), found((10, 10, 50, 40, 0.9, 0)), 0.8 * 0.75),  # weighed by the overlap
        (found((*BOX, 0.8, 0)), found((10, 10, 50, 28, 0.9, 0)), 0.0),  # overlaps too little
    ],
)
def test_what_two_sets_of_boxes_agree_on(mine, reference, expected):
    assert agreed(mine, reference) == pytest.approx(expected, abs=1e-6)


def test_neither_spam_nor_silence_earns_anything():
    true = found((*BOX, 0.9, 0))
    spam = found((*BOX, 0.9, 0), *[(60 + 5 * k, 60, 90 + 5 * k, 90, 0.8, 0) for k in range(4)])
    assert merit(true, true) > 0.6
    assert merit(found(), true) == 0
    assert merit(spam, true) < 0
    # A box of 0.25 counts at the lowest of three scores only.
    doubtful = found((*BOX, 0.25, 0))
    assert merit(doubtful, doubtful) == pytest.approx(0.25 / np.sqrt(1.25) / 3)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 60), st.floats(0.05, 3), st.integers(0, 2**32 - 1))
def test_paired_t(n, ahead, seed):
    rng = np.random.default_rng(seed)
    pictures, noise = rng.normal(0, 5, n), rng.normal(0, 1, n)
    plain, better = tried(pictures), tried(pictures + noise + ahead)
    assert better.ahead_of(plain) == pytest.approx(-plain.ahead_of(better))
    difference = noise + ahead
    assert better.ahead_of(plain) == pytest.approx(difference.mean() / difference.std(ddof=1) * np.sqrt(n))
    assert plain.ahead_of(plain) == 0
    # One that was given up after some pictures is compared on those.
    assert tried(better.merits[:2]).ahead_of(plain) == pytest.approx(better.ahead_of(tried(plain.merits[:2])))


def test_pictures_of_one_place_have_one_vote():
    rng = np.random.default_rng(2)
    places = np.repeat(np.arange(8), 8)
    plain = rng.normal(size=64)
    peculiar = tried(plain + np.repeat(rng.normal(size=8), 8), places)
    votes = (peculiar.merits - plain).reshape(8, 8).mean(1)
    expected = votes.mean() / votes.std(ddof=1) * np.sqrt(8)
    assert peculiar.ahead_of(tried(plain, places)) == pytest.approx(expected)
    assert tried(plain + 1, np.zeros(64, int)).ahead_of(tried(plain, np.zeros(64, int))) == 0


def test_frames_of_a_camera_that_hangs_still_are_one_place():
    rng = np.random.default_rng(4)
    frames = []
    for _ in range(3):
        view = cv2.resize(rng.integers(0, 255, (9, 16, 3), np.uint8), (320, 180), interpolation=cv2.INTER_CUBIC)
        for _ in range(4):
            frame = view.copy()
            x, y = rng.integers(0, 280), rng.integers(0, 130)
            frame[y : y + 50, x : x + 20] = rng.integers(0, 255, 3)
            frames.append(np.clip(frame * rng.uniform(0.7, 1) + rng.normal(0, 5, frame.shape), 0, 255).astype(np.uint8))
    assert places_of(frames).tolist() == [k // 4 for k in range(12)]
    assert places_of([np.zeros((20, 30, 3), np.uint8), np.full((9, 9, 3), 7, np.uint8)]).tolist() == [0, 0]


def test_a_clear_t_is_rare_where_nothing_differs():
    rng = np.random.default_rng(1)
    clear = [tried(rng.normal(size=64)).ahead_of(tried(rng.normal(size=64))) >= CLEAR_T for _ in range(2000)]
    assert np.mean(clear) < 0.015


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([(64, 64), (320, 240), (96, 160)]))
def test_pieces_have_the_inputs_shape_and_cover_the_picture(width, height, input_wh):
    pieces = cut((width, height), input_wh)
    assert 1 <= len(pieces) <= 6
    assert (pieces[0][:2], pieces[-1][2:]) == ((0, 0), (width, height))
    for x1, y1, x2, y2 in pieces:
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert x2 - x1 == width or y2 - y1 == height
    (w, h), (iw, ih) = (pieces[0][2], pieces[0][3]), input_wh
    assert w == max(1, round(h * iw / ih)) or h == max(1, round(w * ih / iw))
    if max(width / w, height / h) < 4:
        for a, b in pairwise(pieces):
            assert b[0] <= a[2]
            assert b[1] <= a[3]


def test_same_shape():
    assert same_shape((640, 640), (320, 320))
    assert same_shape((384, 360), (320, 320))
    assert same_shape((640, 480), (320, 240))
    assert not same_shape((640, 480), (320, 320))
    assert not same_shape((480, 640), (320, 240))


class Dots:
    """A detector that sees white blocks exactly, wherever they are."""

    def __init__(self):
        self.manifest = Manifest(name="dots", family="ultralytics", classes=("dot",), input=SQUARE)

    def detect(self, pixels):
        _, _, stats, _ = cv2.connectedComponentsWithStats((pixels[..., 0] > 128).astype(np.uint8))
        return found(*[(x, y, x + w, y + h, 0.9, 0) for x, y, w, h, _ in stats[1:]])


def test_pieces_are_put_together_and_halves_left_out():
    pixels = np.zeros((90, 160, 3), np.uint8)
    blocks = [(2, 5, 20, 30), (60, 40, 95, 80), (86, 5, 110, 20), (130, 60, 158, 88)]
    for x1, y1, x2, y2 in blocks:
        pixels[y1:y2, x1:x2] = 255
    # Every block but the first two is cut by one of the pieces at 0-90, 35-125 and 70-160.
    assert cut((160, 90), (64, 64)) == [(0, 0, 90, 90), (35, 0, 125, 90), (70, 0, 160, 90)]
    seen = seen_in_pieces(Dots(), pixels)
    assert sorted(map(tuple, seen.boxes.astype(int).tolist())) == sorted(blocks)


@pytest.fixture
def own_models(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    return tmp_path


class Simulated(Trials):
    """Trials of a network that sees its pictures' objects the worse the less a recipe is like the true one."""

    def __init__(self, truth, pictures_wh, seed=0):
        manifest = Manifest(name="made", family="ultralytics", classes=("thing",), input=SQUARE)
        rng = np.random.default_rng(5)
        super().__init__(_Outputs(), manifest, [rng.integers(0, 255, (h, w, 3), np.uint8) for w, h in pictures_wh])
        self.truth, self.seed, self.looks = truth, seed, 0

    def _objects(self, k):
        rng = np.random.default_rng([self.seed, k])
        low = rng.uniform(0, 60, (4, 2))
        return np.concatenate([low, low + rng.uniform(20, 60, (4, 2))], 1).astype(np.float32)

    def _seen_by(self, recipe, k, way):
        """A wrong scale: nothing. A wrong order: unsteady. A wrong resize: moved, in the mirror just as much."""
        self.looks += 1
        if recipe.std[0] != self.truth.std[0]:
            return Detections.empty()
        rng = np.random.default_rng([self.seed, k, way])
        boxes = self._objects(k) + rng.normal(0, 3 if recipe.channel_order != self.truth.channel_order else 1.5, (4, 4))
        if recipe.resize is not self.truth.resize and k in self.shaped:
            boxes += np.random.default_rng([self.seed, k, 9]).normal(0, 3, (4, 4))
        return found(*[(*box, 0.7, 0) for box in boxes])

    def _look(self, recipe, k):
        return self._seen_by(recipe, k, 0), self._seen_by(recipe, k, 1)

    def _pieces(self, recipe, k):
        return self._seen_by(recipe.model_copy(update={"resize": self.truth.resize}), k, 2)


class _Outputs:
    outputs = ()
    where = "made"


@pytest.fixture(autouse=True)
def usual(monkeypatch):
    """What the simulated family takes: RGB, letterbox, 0-1."""
    values = {"resize": "letterbox", "channel_order": "rgb", "std": (255.0, 255.0, 255.0)}
    real = __import__("edgevision.detectors.decoders", fromlist=["x"]).standard_recipe

    def standard(family, outputs, where):
        return values if where == "made" else real(family, outputs, where)

    monkeypatch.setattr("edgevision.deployment.preprocessing_search.standard_recipe", standard)


UNIT = SQUARE.model_copy(update={"std": (255.0,) * 3})
WHOLE = SQUARE.model_copy(update={"std": (1.0,) * 3})
WIDE = [(160, 90)] * 64


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("resize", [Resize.LETTERBOX, Resize.STRETCH])
@pytest.mark.parametrize("true_resize", [Resize.LETTERBOX, Resize.STRETCH])
@pytest.mark.parametrize("scale", [UNIT, WHOLE])
def test_the_right_recipe_is_named_whichever_part_is_spoilt(order, resize, true_resize, scale):
    truth = reordered(UNIT, "rgb", true_resize)
    own = reordered(scale, order, resize)
    trials = Simulated(truth, WIDE)
    compared = compare_recipes(trials, own)
    named = compared.right
    assert (named.channel_order, named.std) == (truth.channel_order, truth.std)
    assert (named.resize is Resize.STRETCH) == (true_resize is Resize.STRETCH)
    # Most scales are done with after a quarter of the pictures.
    assert sum(len(t.merits) == 64 for t in compared.colours) <= 4
    assert {len(t.merits) for t in compared.colours if t.recipe.std[0] not in (1, 255)} == {16}


def test_no_false_alarm_on_many_draws():
    for seed in range(20):
        assert compare_recipes(Simulated(UNIT, WIDE, seed), UNIT).right == UNIT


def test_pictures_of_the_inputs_shape_cannot_tell_the_resize():
    own = reordered(UNIT, "rgb", Resize.STRETCH)
    square = compare_recipes(Simulated(UNIT, [(90, 90)] * 60 + [(160, 90)] * 4), own)
    assert (square.right, square.resizes, square.places, square.shaped_places) == (own, (), 64, 4)
    some = compare_recipes(Simulated(UNIT, [(90, 90)] * 30 + [(160, 90)] * 30), own)
    assert (some.right.resize, some.shaped_places) == (Resize.LETTERBOX, 30)


def test_a_network_that_minds_no_resize_gets_a_remark_only():
    class Tolerant(Simulated):
        def _seen_by(self, recipe, k, way):
            return super()._seen_by(recipe.model_copy(update={"resize": self.truth.resize}), k, way)

    stretched = reordered(UNIT, "rgb", Resize.STRETCH)
    compared = compare_recipes(Tolerant(UNIT, WIDE), stretched)
    assert (compared.right, compared.doubted_resize) == (stretched, Resize.LETTERBOX)
    # Where the manifest's is clearly better, or usual, there is nothing to remark.
    assert compare_recipes(Simulated(stretched, WIDE), stretched).doubted_resize is None
    assert compare_recipes(Tolerant(UNIT, WIDE), UNIT).doubted_resize is None


def test_one_place_tells_only_what_sees_nothing():
    def one_place(own):
        trials = Simulated(UNIT, WIDE)
        trials.places[:] = 0
        return compare_recipes(trials, own)

    for own in (UNIT, reordered(UNIT, "bgr", Resize.STRETCH)):
        assert (one_place(own).right, one_place(own).places) == (own, 1)
    assert one_place(WHOLE).right == UNIT


def test_real_networks_agree_on_wholes_and_pieces_with_the_right_resize(own_models):
    """Some 250 inferences of a stretched one, on pictures of as many places as there are."""
    weights, folder = SHARED / "weights", SHARED / "data" / "person" / "images" / "val"
    if not folder.is_dir() or not weights.is_dir():
        pytest.skip(f"no weights and pictures in {SHARED}")
    every = (cv2.imread(str(path)) for path in sorted(folder.iterdir()))
    pictures = [p for p in every if not same_shape((p.shape[1], p.shape[0]), (1, 1))][:24]
    added = add_model(weights / "picodet_s_416.onnx", AddOptions(front=False))
    session = Session((added.folder / added.manifest.file).read_bytes(), "picodet")
    trials, right = Trials(session, added.manifest, pictures), added.manifest.input
    padded = trials.in_pieces(right.model_copy(update={"resize": Resize.LETTERBOX}))
    assert trials.in_pieces(right).ahead_of(padded) > CLEAR_T


def test_verify_says_what_square_pictures_cannot_tell(own_models, monkeypatch):
    from tests.support.models import blob_frame_pixels, blob_model

    blob_model(own_models / "data" / "edgevision" / "models" / "blobs")
    folder = own_models / "square"
    folder.mkdir()
    for k in range(12):
        x, y = 16 * (k % 8), 16 * (k // 8)
        cv2.imwrite(str(folder / f"{k}.png"), blob_frame_pixels(128, 128, [(x, y, x + 16, y + 16)]))
    report = verify_model("blobs", folder)
    assert report.passed
    assert re.search(
        r"cannot be told: of the \d+ places that these 12 pictures show, 0 are on .* the 64×64 px",
        report.undecided,
    )
    assert report.as_json()["undecided"] == report.undecided
    assert {row.against for row in report.recipes} == {"mirrored"}
