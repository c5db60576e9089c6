"""Where a swap's models come from: their checks, the app's options, names, a labelled set; and a watched folder."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from edgevision.datasets.convert import import_data
from edgevision.deployment.candidate import CandidateFactory, LoadOptions
from edgevision.deployment.golden import record_golden
from edgevision.deployment.model_watcher import SETTLE_S, ModelWatch
from edgevision.detectors.manifest import manifest_text, read_manifest
from edgevision.detectors.registry import load_detector
from edgevision.errors import ModelError, ModelInvalid, UsageError
from edgevision.evaluation.measure import measure_ap
from edgevision.pipeline.inference_workers import WholeDetector
from edgevision.pipeline.loop import Pipeline
from edgevision.tracking.bytetrack import ByteTracker
from edgevision.types import Detections
from tests.support.models import ListSource, blob_frame_pixels, blob_model

RED = blob_frame_pixels(64, 64, [(16, 16, 24, 24), (40, 8, 48, 16)])


@pytest.fixture
def blobs(tmp_path):
    return blob_model(tmp_path / "blobs")


def through(candidate):
    """A candidate taken through its steps, as a swap does: figures by name, and the detector."""
    figures = {step.name: step.look() for step in candidate.before}
    return figures, candidate.load()


class TestSteps:
    def test_a_good_model_passes_and_says_what_it_is(self, blobs):
        figures, detector = through(CandidateFactory().candidate(str(blobs)))
        assert list(figures) == ["manifest", "hash", "probe"]
        assert figures["manifest"] == "blobs@1, ultralytics, 64×64 rgb letterbox 0-1, blob"
        assert figures["hash"].startswith(f"SHA-256 {detector.manifest.sha256[:8]}…, as in its manifest")
        assert "finite outputs that depend on the image" in figures["probe"]
        assert len(detector.detect(RED)) == 2

    def test_bytes_that_passed_once_are_not_tried_again(self, blobs):
        supply = CandidateFactory()
        through(supply.candidate(str(blobs)))
        assert "passed before" in through(supply.candidate(str(blobs)))[0]["probe"]
        blob_model(blobs, channel=1)
        assert "probed in" in through(supply.candidate(str(blobs)))[0]["probe"]

    def test_what_is_loaded_is_what_was_tried(self, blobs):
        candidate = CandidateFactory().candidate(str(blobs))
        for step in candidate.before:
            step.look()
        (blobs / "model.onnx").write_bytes(b"rewritten meanwhile")
        assert len(candidate.load().detect(RED)) == 2

    @pytest.mark.parametrize(
        ("spoil", "step"),
        [
            (lambda f: (f / "model.toml").unlink(), "manifest"),
            (lambda f: (f / "model.toml").write_text("name ="), "manifest"),
            (lambda f: (f / "model.onnx").unlink(), "hash"),
            (lambda f: (f / "model.onnx").write_bytes(b"other bytes"), "hash"),
        ],
        ids=["no manifest", "bad manifest", "no graph", "other bytes"],
    )
    def test_a_spoilt_folder_fails_at_its_step(self, blobs, spoil, step):
        spoil(blobs)
        failed = None
        for one in CandidateFactory().candidate(str(blobs)).before:
            try:
                one.look()
            except ModelError:
                failed = one.name
                break
        assert failed == step

    def test_a_bare_file_is_probed_before_this_process_loads_it(self, tmp_path):
        path = tmp_path / "bare.onnx"
        path.write_bytes(b"\x08\x07 not a graph")
        manifest, hashed, probe = CandidateFactory().candidate(str(path)).before
        assert "using the metadata in the file" in manifest.look()
        assert "not in any manifest" in hashed.look()
        with pytest.raises(ModelInvalid):
            probe.look()

    def test_golden_pictures_are_seen_without_the_users_options(self, blobs):
        cv2.imwrite(str(blobs / "golden-red.png"), RED)
        manifest = read_manifest(blobs / "model.toml")
        golden = record_golden(load_detector(blobs), RED, "golden-red.png")
        (blobs / "model.toml").write_text(manifest_text(manifest.model_copy(update={"golden": (golden,)})))
        candidate = CandidateFactory(LoadOptions(min_score=1.0)).candidate(str(blobs))
        detector = through(candidate)[1]
        assert detector.min_score == 1.0
        assert candidate.golden(detector) == "1 of 1 as recorded"
        moved = golden.model_copy(update={"boxes": (golden.boxes[0].model_copy(update={"box": (0, 0, 8, 8)}),)})
        (blobs / "model.toml").write_text(manifest_text(manifest.model_copy(update={"golden": (moved,)})))
        candidate = CandidateFactory().candidate(str(blobs))
        with pytest.raises(ModelInvalid, match=r"golden-red\.png: expected 1 boxes: blob 1\.00 missing or moved"):
            candidate.golden(through(candidate)[1])


def test_a_foundation_model_uses_its_own_loader_and_has_no_file():
    loaded = []
    supply = CandidateFactory(load_foundation=lambda name: loaded.append(name) or Scored("big@1", 0.9, 0.3))
    candidate = supply.candidate("foundation:big")
    assert (candidate.before, candidate.golden, loaded) == ((), None, [])
    assert candidate.load().name == "big@1"
    assert loaded == ["foundation:big"]


class TestNames:
    def test_other_bytes_of_the_same_name_and_version_are_told_by_their_hash(self, blobs):
        first = load_detector(blobs)
        supply = CandidateFactory(serves=first)
        assert through(supply.candidate(str(blobs)))[1].name == "blobs@1"
        kept = blobs.with_name("kept")
        shutil.copytree(blobs, kept)
        blob_model(blobs, channel=1)
        other = through(supply.candidate(str(blobs)))[1]
        assert other.name == f"blobs@1+{other.manifest.sha256[:8]}"
        assert other.name != first.name
        assert through(supply.candidate(str(blobs)))[1].name == other.name
        assert through(supply.candidate(str(kept)))[1].name == "blobs@1"

    def test_the_same_bytes_fed_otherwise_are_another_model(self, blobs):
        supply = CandidateFactory(serves=load_detector(blobs))
        text = (blobs / "model.toml").read_text()
        names = set()
        for value in ("255.0", "254.0", "253.0"):
            (blobs / "model.toml").write_text(text.replace("255.0", value))
            names.add(through(supply.candidate(str(blobs)))[1].name)
        assert len(names) == 3

    def test_notes_on_a_model_make_no_other(self, blobs):
        supply = CandidateFactory(serves=load_detector(blobs))
        text = (blobs / "model.toml").read_text()
        (blobs / "model.toml").write_text('licence = "MIT"\n' + text)
        assert through(supply.candidate(str(blobs)))[1].name == "blobs@1"


class TestOptions:
    def test_those_of_the_app_hold_for_the_new_model(self, blobs):
        options = LoadOptions(min_score=0.7, iou_threshold=0.2, only_classes=("blob", "gone"), threads=1, lanes=2)
        detector = through(CandidateFactory(options).candidate(str(blobs)))[1]
        assert (detector.min_score, detector.iou_threshold, detector.lanes) == (0.7, 0.2, 2)
        assert detector.only_classes == ("blob",)

    def test_a_size_that_the_new_model_fixes_is_not_asked_of_it(self, blobs):
        detector = through(CandidateFactory(LoadOptions(side_px=320)).candidate(str(blobs)))[1]
        assert detector.manifest.input.width_px == 64

    def test_a_model_that_finds_nothing_the_app_shows_is_refused(self, blobs):
        candidate = CandidateFactory(LoadOptions(only_classes=("cat",))).candidate(str(blobs))
        with pytest.raises(UsageError, match="blobs@1 finds blob, and this app shows only cat"):
            through(candidate)

    def test_they_are_read_off_a_detector(self, blobs):
        like = CandidateFactory.like(load_detector(blobs, min_score=0.6, only_classes=["blob"], lanes=2))
        assert like.options == LoadOptions(0.6, None, ("blob",), None, 1, 2, False)
        assert CandidateFactory.like(load_detector(blobs)).options.min_score is None

    def test_a_tracker_is_shown_doubtful_boxes_of_the_new_model_too(self, blobs):
        detector = through(CandidateFactory(LoadOptions(track=True)).candidate(str(blobs)))[1]
        assert (detector.min_score, detector.shown_score) == (0.1, 0.5)


class Scored:
    """One still box of a score; ``shown_score`` is what its results are to show."""

    lanes = 1

    def __init__(self, name, score, shown_score, classes=("thing",)):
        self.name, self.classes, self.shown_score, self._score = name, classes, shown_score, score

    def detect(self, pixels):
        box = np.array([[8, 8, 40, 40]], np.float32)
        return Detections(box, np.full(1, self._score, np.float32), np.zeros(1, np.int64))


@pytest.mark.parametrize(("classes", "goes_on"), [(("thing",), True), (("other", "thing"), False)])
def test_a_tracker_follows_a_swap(classes, goes_on):
    """Scores of the new model are half the old one's: boxes that count there would not count here."""
    old, new = Scored("old@1", 0.8, 0.5), Scored("new@2", 0.35, 0.2, classes)
    pictures = [np.zeros((48, 64, 3), np.uint8)] * 30
    pipeline = Pipeline(ListSource(pictures), old, tracker=ByteTracker.for_scores(old.shown_score))
    ids = {}
    for count, result in enumerate(pipeline):
        if count == 10:
            pipeline.exchange(new)
        ids.setdefault(result.model, []).append(result.detections.track_ids.tolist())
    assert all(len(one) == 1 for one in ids["new@2"])
    assert ids["old@1"][-1] == [1]
    assert ids["new@2"][-1] == [1]
    if goes_on:
        assert ids["new@2"][0] == [1]


def test_a_foundation_model_answers_one_thread_at_a_time():
    class Counting(Scored):
        busy = most = 0

        def detect(self, pixels):
            self.busy += 1
            self.most = max(self.most, self.busy)
            found = super().detect(pixels)
            self.busy -= 1
            return found

    detector = Counting("big@1", 0.9, 0.3)
    pipeline = Pipeline(ListSource([np.zeros((48, 64, 3), np.uint8)] * 200), detector, streams=4)
    assert len(list(pipeline)) == 200
    assert detector.most == 1
    assert WholeDetector(detector).shown_score == 0.3


class Doubting(Scored):
    """Sees both blobs of the red picture, one of them under its display threshold."""

    def __init__(self):
        super().__init__("big@1", 0.9, 0.5, ("blob",))
        self.min_score = 0.5

    def detect(self, pixels):
        boxes = np.array([[16, 16, 24, 24], [40, 8, 48, 16]], np.float32)
        found = Detections(boxes, np.array([0.9, 0.2], np.float32), np.zeros(2, np.int64))
        return found.select(found.scores >= self.min_score)


class TestLabelledFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        for k in range(3):
            (tmp_path / "images" / "val").mkdir(parents=True, exist_ok=True)
            (tmp_path / "labels" / "val").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "images" / "val" / f"{k}.png"), RED)
            lines = "1 0.3125 0.3125 0.125 0.125\n1 0.6875 0.1875 0.125 0.125\n0 0.5 0.5 0.1 0.1\n"
            (tmp_path / "labels" / "val" / f"{k}.txt").write_text(lines)
        (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames:\n  0: dot\n  1: Blob\n")
        return tmp_path

    def test_a_detector_that_finds_all_has_ap_1(self, folder, blobs):
        rests = []
        ap, words = measure_ap(load_detector(blobs), str(folder), rests.append)
        assert ap == pytest.approx(1.0)
        assert words == "on 3 pictures with 6 boxes of Blob"
        assert len(rests) == 3

    def test_one_that_finds_half_has_half(self, folder, blobs):
        (folder / "images" / "val" / "0.png").unlink()
        half = blob_frame_pixels(64, 64, [(16, 16, 24, 24)])
        for k in (1, 2):
            cv2.imwrite(str(folder / "images" / "val" / f"{k}.png"), half)
        assert measure_ap(load_detector(blobs), str(folder))[0] == pytest.approx(0.5, abs=0.01)

    def test_a_foundation_models_curve_is_not_cut_at_its_display_threshold(self, folder):
        detector = Doubting()
        candidate = CandidateFactory(load_foundation=lambda name: detector).candidate("foundation:big")
        ap, _ = candidate.measure_ap(candidate.load(), str(folder), lambda seconds: None)
        assert ap == pytest.approx(1.0)
        assert detector.min_score == 0.5

    @pytest.mark.parametrize("inside", ["", "images", "images/val"])
    def test_any_part_of_the_layout_may_be_named(self, folder, blobs, inside):
        assert measure_ap(load_detector(blobs), str(folder / inside))[1] == "on 3 pictures with 6 boxes of Blob"

    def test_an_image_whose_labels_cannot_be_used_is_said(self, folder, blobs):
        (folder / "labels" / "val" / "0.txt").write_text("0 0.5\n")
        ap, words = measure_ap(load_detector(blobs), str(folder))
        assert ap == pytest.approx(1.0)
        assert "on 2 pictures with 4 boxes of Blob; 1 cannot be used" in words
        assert "0.txt:1: expected class, x, y, width, height, got 2 numbers" in words

    def test_the_folder_that_distill_writes_is_measured_on(self, folder, blobs):
        import_data(folder, folder / "ours")
        ap, words = measure_ap(load_detector(blobs), str(folder / "ours"))
        assert (ap, words) == (pytest.approx(1.0), "on 3 pictures with 6 boxes of Blob")

    def test_without_names_numbers_are_the_models(self, folder, blobs):
        (folder / "data.yaml").unlink()
        for path in (folder / "labels" / "val").iterdir():
            path.write_text("0 0.3125 0.3125 0.125 0.125\n0 0.6875 0.1875 0.125 0.125\n")
        assert measure_ap(load_detector(blobs), str(folder))[0] == pytest.approx(1.0)

    def test_what_cannot_be_measured_is_said(self, folder, blobs):
        detector = load_detector(blobs)
        (folder / "data.yaml").write_text("names: [cat, dog]\n")
        with pytest.raises(UsageError, match="has labels of cat, dog, of which the model knows none"):
            measure_ap(detector, str(folder))
        with pytest.raises(UsageError, match="expected a folder of labelled images"):
            measure_ap(detector, str(folder / "nowhere"))
        (folder / "empty").mkdir()
        with pytest.raises(UsageError, match="found 0 images and no labels"):
            measure_ap(detector, str(folder / "empty"))


class Seconds:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class TestWatch:
    @pytest.fixture
    def watch(self, blobs):
        self.clock = Seconds()
        return ModelWatch(str(blobs), self.clock)

    def settled(self, watch):
        first = watch.poll()
        self.clock.now += SETTLE_S + 0.1
        return first, watch.poll()

    def test_another_version_is_seen_once_it_has_settled(self, watch, blobs):
        assert self.settled(watch) == (False, False)
        blob_model(blobs, channel=1, version="2")
        assert self.settled(watch) == (False, True)
        assert self.settled(watch) == (False, False)

    def test_other_bytes_of_the_same_version_are_seen(self, watch, blobs):
        blob_model(blobs, channel=1)
        assert self.settled(watch) == (False, True)

    def test_another_recipe_for_the_same_bytes_is_seen(self, watch, blobs):
        text = (blobs / "model.toml").read_text()
        (blobs / "model.toml").write_text(text.replace("score = 0.5", "score = 0.4"))
        assert self.settled(watch) == (False, True)

    def test_a_touch_is_no_change(self, watch, blobs):
        (blobs / "model.onnx").touch()
        assert self.settled(watch) == (False, False)
        assert watch.waiting == ""

    @pytest.mark.parametrize("first", ["model.onnx", "model.toml"])
    def test_half_written_is_waited_out(self, watch, blobs, tmp_path, first):
        new = blob_model(tmp_path / "new", channel=1, version="2")
        last = {"model.onnx": "model.toml", "model.toml": "model.onnx"}[first]
        whole = (new / first).read_bytes()
        (blobs / first).write_bytes(whole[: len(whole) // 2])
        assert self.settled(watch) == (False, False)
        assert watch.waiting
        (blobs / first).write_bytes(whole)
        assert self.settled(watch) == (False, False)
        shutil.copy(new / last, blobs / last)
        assert self.settled(watch) == (False, True)
        assert watch.waiting == ""

    def test_while_it_is_written_nothing_is_read(self, watch, blobs):
        for k in range(10):
            blob_model(blobs, channel=k % 2, version=str(k))
            assert not watch.poll()
            self.clock.now += SETTLE_S / 2

    def test_a_folder_taken_away_and_put_back_is_no_change(self, watch, blobs):
        blobs.rename(blobs.with_name("away"))
        assert self.settled(watch) == (False, False)
        blobs.with_name("away").rename(blobs)
        assert self.settled(watch) == (False, False)

    def test_a_folder_replaced_by_renaming_is_seen(self, watch, blobs, tmp_path):
        new = blob_model(tmp_path / "new", channel=1)
        blobs.rename(tmp_path / "old")
        new.rename(blobs)
        assert self.settled(watch) == (False, True)

    def test_a_name_that_another_folder_takes_is_seen(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("EDGEVISION_MODELS", str(tmp_path / "first"))
        blob_model(tmp_path / "models" / "blobs")
        self.clock = Seconds()
        watch = ModelWatch("blobs", self.clock)
        blob_model(tmp_path / "first" / "blobs", channel=1)
        assert self.settled(watch) == (False, True)
