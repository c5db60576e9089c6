"""Collecting, splitting and labelling: what is kept, what is doubted, and that nothing that goes wrong is fatal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgevision.cli.distill import app
from edgevision.datasets.annotations import ScoreThresholds
from edgevision.datasets.class_mapping import class_map, number_of
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.dataset import read_data
from edgevision.datasets.near_duplicates import groups_of, picture_hash, split_alike
from edgevision.datasets.split import split_folder
from edgevision.detectors.foundation.base import FoundationDetector
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.load import TeacherSpec, parse_teacher
from edgevision.errors import ModelFailed, UsageError
from edgevision.training.labelling import ensemble as labelling
from edgevision.training.labelling.auto_label import label_folder
from edgevision.training.labelling.ensemble import Labeller
from edgevision.training.labelling.frame_selection import Collector, CollectSettings, collect, sharpness_of
from edgevision.training.labelling.settings import LabelSettings, settings_from
from edgevision.types import Detections
from tests.support.models import ListSource, blob_frame_pixels, blob_model

WANTED = Prompts.parse("spot: a blob, a red square")


def encoded(pixels) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


class Teacher:
    """Says what it was told to say, whatever it is shown."""

    def __init__(self, name, classes, rows):
        self.name, self.classes, self._rows = name, classes, rows

    def detect(self, pixels):
        if self._rows is None:
            raise RuntimeError("out of memory")
        table = np.array(self._rows, np.float32).reshape(-1, 6)
        return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


@pytest.fixture
def teachers(monkeypatch):
    """Teachers by name."""
    known = {}
    monkeypatch.setattr(labelling, "load_teacher", lambda spec, wanted, least: known[spec.model])
    return known


def settings(wanted=WANTED, **more):
    return LabelSettings(wanted, mirror=False, **more)


def specs(*names):
    return tuple(parse_teacher(n) for n in names)


BLACK = np.zeros((64, 64, 3), np.uint8)


def test_sure_doubtful_faint_and_forgotten(teachers):
    rows = [[0, 0, 10, 10, s, 0] for s in (0.9, 0.5, 0.3, 0.1, 0.04)]
    for k, row in enumerate(rows):
        row[0] += 12 * k
        row[2] += 12 * k
    teachers["t"] = Teacher("t@1", ("blob",), rows)
    got = Labeller(specs("t"), settings())(encoded(BLACK))
    assert [(b.score, b.weight) for b in got.boxes] == [
        (0.9, 1.0),
        (0.5, pytest.approx(0.5 / 0.65, abs=1e-4)),
        (0.3, 0),
    ]
    assert [b.score for b in got.faint] == [0.1]
    assert got.doubts == ("1 uncertain spot",)
    assert {b.by for b in got.boxes} == {"t@1"}
    strict = settings(class_trust=(("spot", ScoreThresholds(0.95, 0.6, 0.95)),))
    assert [b.weight for b in Labeller(specs("t"), strict)(encoded(BLACK)).boxes] == [0]


def test_teachers_are_fused_and_their_disagreement_is_for_review(teachers):
    teachers["a"] = Teacher(
        "a@1", ("blob", "cat"), [[0, 0, 20, 20, 0.8, 0], [30, 30, 50, 50, 0.9, 0], [5, 40, 9, 50, 0.9, 1]]
    )
    teachers["b"] = Teacher("b@1", ("red_square",), [[0, 0, 22, 20, 0.6, 0]])
    got = Labeller(specs("a", "b"), settings())(encoded(BLACK))
    both, alone = sorted(got.boxes, key=lambda b: b.corners)
    assert (both.by, both.score) == ("a@1 + b@1", pytest.approx(0.7))
    assert both.corners[2] == pytest.approx((20 * 0.8 + 22 * 0.6) / 1.4, abs=0.01)
    assert (alone.by, alone.score) == ("a@1", pytest.approx(0.45))
    assert got.doubts == ("teachers disagree: spot 0.90 of a@1 not seen by b@1",)
    assert got.unwanted == ("cat",)
    trusted = Labeller(specs("a*3", "b"), settings())(encoded(BLACK))
    assert max(b.score for b in trusted.boxes) == pytest.approx((0.8 * 3 + 0.6) / 2 * 2 / 4)


def test_who_does_not_know_a_class_has_no_say_in_it(teachers):
    teachers["a"] = Teacher("a@1", ("blob",), [[0, 0, 20, 20, 0.8, 0]])
    teachers["b"] = Teacher("b@1", ("hat",), [])
    got = Labeller(specs("a", "b"), settings(Prompts.parse("spot: blob; hat")))(encoded(BLACK))
    assert [(b.class_id, b.score) for b in got.boxes] == [(0, pytest.approx(0.8))]
    assert got.doubts == ()


def test_others_label_when_one_teacher_fails_and_all_failing_says_why(teachers):
    teachers["a"] = Teacher("a@1", ("blob",), [[0, 0, 20, 20, 0.8, 0]])
    teachers["b"] = Teacher("b@1", ("blob",), None)
    got = Labeller(specs("a", "b"), settings())(encoded(BLACK))
    assert len(got.boxes) == 1
    assert got.troubles == ("b@1 failed: out of memory",)
    assert got.troubles[0] in got.doubts
    assert Labeller(specs("b"), settings())(encoded(BLACK)).error == "b@1 failed: out of memory"


def test_broken_bytes_are_said(teachers):
    teachers["a"] = Teacher("a@1", ("blob",), [])
    made = Labeller(specs("a"), settings())
    assert made(b"").error.startswith("is empty (0 bytes)")
    assert made(b"hello").error.startswith("is no image, or is damaged (5 bytes)")
    jpeg = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1].tobytes()
    assert made(jpeg[: len(jpeg) // 2]).error.startswith("is a JPEG that is cut off")
    assert made(jpeg).error == ""


def test_names_and_prompts():
    assert number_of("Hard-Hat", Prompts.parse("person; helmet: a hard hat")) == 1
    assert number_of("person", Prompts.parse("worker: person; person")) == 1
    found = class_map(("cat", "person"), Prompts.parse("human: a person; dog"), "t@1")
    assert (found.numbers, found.unmet) == ((None, 0), ("dog",))
    with pytest.raises(UsageError, match="'human: cat'"):
        class_map(("cat",), Prompts.parse("human: a person"), "t@1")


def test_thresholds_by_class():
    made = settings_from([TeacherSpec("x")], "person; helmet", "0.5, helmet=0.7", "0.2")
    assert made.trust_of(0) == ScoreThresholds(0.5, 0.2, 0.65)
    assert made.trust_of(1) == ScoreThresholds(0.7, 0.2, 0.7)
    for sure, doubt, words in (
        ("2", "0.1", "--conf: expected"),
        ("cat=0.4", "0.1", "got cat"),
        ("0.3", "person=0.5", "at most"),
    ):
        with pytest.raises(UsageError, match=words):
            settings_from([TeacherSpec("x")], "person", sure, doubt)


@pytest.fixture
def pictures(tmp_path):
    """Twelve blob pictures in two folders, a broken one and one that is empty."""
    rng = np.random.default_rng(1)
    for k in range(12):
        boxes = [
            (int(p) % 8 * 8, int(p) // 8 * 8, int(p) % 8 * 8 + 8, int(p) // 8 * 8 + 8)
            for p in rng.choice(64, k % 4, False)
        ]
        path = tmp_path / "in" / ("one" if k % 2 else "two") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), blob_frame_pixels(64, 64, boxes))
    (tmp_path / "in/one/broken.jpg").write_bytes(b"\xff\xd8 not a jpeg")
    (tmp_path / "in/two/empty.png").write_bytes(b"")
    return tmp_path / "in"


@pytest.fixture
def blobs(tmp_path):
    return blob_model(tmp_path / "models" / "blobs")


def real(blobs, **more):
    return (TeacherSpec(str(blobs)),), LabelSettings(Prompts.parse("spot: blob"), mirror=True, **more)


def test_a_folder_is_labelled_by_a_real_model(pictures, blobs, tmp_path):
    report = label_folder(pictures, tmp_path / "data", *real(blobs))
    assert (report.asked, report.labelled, report.failed, report.nothing) == (14, 12, 2, 3)
    assert report.objects["spot"] == 18
    assert "is empty (0 bytes)" in report.troubles
    assert any("is a JPEG" in trouble for trouble in report.troubles)
    data = read_data(tmp_path / "data")
    by_status = {p.labels.file: p.labels.status for p in data.pictures}
    assert by_status["one/broken.jpg"] == by_status["two/empty.png"] == "failed"
    for picture in data.usable:
        pixels = picture.read()
        for box in picture.labels.boxes:
            x1, y1, x2, y2 = (round(v) for v in box.corners)
            assert (pixels[y1:y2, x1:x2, 2] == 255).all()
            assert pixels[..., 2].sum() == 255 * 64 * len(picture.labels.boxes)
    again = label_folder(pictures, tmp_path / "data", *real(blobs))
    assert (again.before, again.labelled, again.failed) == (12, 0, 2)
    assert again.note == ""
    other = label_folder(pictures, tmp_path / "data", *real(blobs, trust=ScoreThresholds(0.6)))
    assert other.note == "12 images were labelled with other settings before and keep their labels"


def test_labelling_that_is_stopped_goes_on_and_comes_to_the_same(pictures, blobs, tmp_path):
    label_folder(pictures, tmp_path / "whole", *real(blobs))

    def stop(done, total, file):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_folder(pictures, tmp_path / "data", *real(blobs), progress=stop)
    report = label_folder(pictures, tmp_path / "data", *real(blobs))
    assert report.before + report.labelled + report.failed == 14
    assert 3 <= report.before <= 5
    whole, resumed = (json.loads((tmp_path / n / "labels.json").read_text()) for n in ("whole", "data"))
    assert whole["annotations"] == resumed["annotations"]
    assert whole["images"] == resumed["images"]


def test_peoples_labels_are_kept_and_joined(pictures, blobs, tmp_path):
    root = tmp_path / "people"
    files = sorted(p for p in pictures.rglob("*.png") if p.stat().st_size)
    for file in files:
        target = root / "images" / file.relative_to(pictures)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        label = root / "labels" / file.relative_to(pictures).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("1 0.5 0.5 0.25 0.25\n0 0.5 0.9 0.1 0.1\n" if file.stem == "4" else "")
    (root / "data.yaml").write_text("names: [cat, blob]\n")
    report = label_folder(pictures, tmp_path / "data", *real(blobs), people=root)
    assert report.empty_labels == 11
    assert report.unnamed == {"cat": 1}
    labels = {p.labels.file: p.labels for p in read_data(tmp_path / "data").usable}
    mine = [b for b in labels["two/4.png"].boxes if b.by == "person"]
    assert [(b.class_id, b.weight, b.corners) for b in mine] == [(0, 1.0, (24.0, 24.0, 40.0, 40.0))]


def test_a_name_that_two_images_have_is_not_enough_to_give_one_its_labels(pictures, blobs, tmp_path):
    image, label = tmp_path / "people/images/other/4.png", tmp_path / "people/labels/other/4.txt"
    for path in (image, label):
        path.parent.mkdir(parents=True)
    shutil.copyfile(pictures / "two/4.png", image)
    shutil.copyfile(pictures / "two/4.png", pictures / "4.png")
    label.write_text("0 0.5 0.5 0.25 0.25\n")
    (tmp_path / "people/data.yaml").write_text("names: [blob]\n")
    label_folder(pictures, tmp_path / "data", *real(blobs), people=tmp_path / "people")
    data = read_data(tmp_path / "data")
    assert not [b for p in data.usable for b in p.labels.boxes if b.by == "person"]


def test_another_image_under_the_same_name_is_refused(pictures, blobs, tmp_path):
    label_folder(pictures, tmp_path / "data", *real(blobs))
    others = tmp_path / "others/two"
    others.mkdir(parents=True)
    shutil.copyfile(pictures / "two/6.png", others / "4.png")
    with pytest.raises(UsageError, match="is another image than"):
        label_folder(tmp_path / "others", tmp_path / "data", *real(blobs))


def test_the_command_counts_and_never_stops_at_a_bad_picture(pictures, blobs, tmp_path):
    words = ["label", "--images", str(pictures), "--out", str(tmp_path / "data"), "--teacher", str(blobs)]
    got = CliRunner().invoke(app, [*words, "--prompts", "spot: blob; hat: a hat"])
    assert got.exit_code == 0, got.output
    assert "failed" in got.stderr
    assert "no teacher has a name for hat" in got.stderr
    assert "is empty (0 bytes) (first: two/empty.png)" in got.stderr
    bad = CliRunner().invoke(app, [*words, "--engine", "steam"])
    assert isinstance(bad.exception, UsageError)
    assert "expected local" in str(bad.exception)


def walk(count, seed=0):
    """A still room with a square that walks through it; every fifth frame blurred; the room changes half-way."""
    rng = np.random.default_rng(seed)
    rooms = [
        cv2.resize(rng.integers(0, 255, (9, 16, 3), np.uint8), (320, 180), interpolation=cv2.INTER_NEAREST)
        for _ in range(2)
    ]
    frames = []
    for k in range(count):
        frame = rooms[k * 2 // count].copy()
        x = 3 * (k % (count // 2)) // 2
        frame[60:120, x : x + 40] = (0, 0, 255) if k % 2 else (0, 0, 250)
        frames.append(cv2.GaussianBlur(frame, (0, 0), 4) if k % 5 == 4 else frame)
    return frames


def collected(folder, frames, **more):
    collector = Collector(folder, CollectSettings(**({"suffix": ".png"} | more)))
    return collect(ListSource(frames), "clip.mp4", collector)


def test_sharp_and_new_frames_are_kept(tmp_path):
    frames = walk(60)
    report = collected(tmp_path, frames, sharp_share=0.3)
    numbers = [k.frame for k in report.kept]
    assert report.seen == 60
    assert not [n for n in numbers if n % 5 == 4], "a blurred frame was kept"
    assert any(n < 30 for n in numbers) and any(n >= 30 for n in numbers)
    assert 4 <= len(numbers) < 30
    assert report.blurred >= 10 and report.alike > 0
    for kept in report.kept:
        assert np.array_equal(cv2.imread(str(tmp_path / "images" / kept.file)), frames[kept.frame])
        assert kept.reasons[0] == "sharp"


def test_a_still_picture_is_kept_once_and_again_never(tmp_path):
    still = [walk(60)[0]] * 20
    assert len(collected(tmp_path, still, sharp_share=0.0).kept) == 1
    second = collected(tmp_path, still, sharp_share=0.0)
    assert (second.skipped, second.seen, len(second.kept)) == (20, 0, 1)


def test_collecting_goes_on_where_it_was_stopped(tmp_path):
    frames = walk(60)
    whole = [k.file for k in collected(tmp_path / "whole", frames, sharp_share=0.0).kept]
    collected(tmp_path / "parts", frames[:25], sharp_share=0.0)
    report = collected(tmp_path / "parts", frames, sharp_share=0.0)
    assert report.skipped == 25
    assert [k.file for k in report.kept] == whole
    assert sorted(p.name for p in (tmp_path / "parts/images").iterdir()) == sorted(whole)


class Doubting:
    """Finds the red square, and is the less sure the farther to the right it is."""

    name, classes, min_score = "doubting@1", ("square",), 0.05

    def __init__(self, sure=0.9):
        self._sure = sure

    def detect(self, pixels):
        xs = np.flatnonzero(pixels[90, :, 2] - pixels[90, :, 1].astype(int) > 150)
        if not len(xs):
            return Detections.empty()
        score = max(self._sure - xs[0] / 60, 0.06)
        return Detections(
            np.array([[xs[0], 60, xs[-1] + 1, 120]], np.float32), np.array([score], np.float32), np.zeros(1, np.int64)
        )


def test_the_most_doubtful_are_kept_where_there_is_no_room_for_all(tmp_path):
    collector = Collector(tmp_path, CollectSettings(6, 1, 0.0, suffix=".png"), Doubting())
    report = collect(ListSource(walk(60)), "clip.mp4", collector)
    assert len(report.kept) == 6 and report.replaced > 0
    assert all(k.doubt > 0 and "uncertain: square" in k.reasons[2] for k in report.kept)
    assert len(list((tmp_path / "images").iterdir())) == 6
    assert {k.file for k in Collector(tmp_path, CollectSettings()).report.kept} == set()
    again = Collector(tmp_path, CollectSettings(6))
    again.close()
    assert {k.file for k in again.report.kept} == {k.file for k in report.kept}


def test_frames_on_which_two_models_disagree(tmp_path):
    collector = Collector(tmp_path, CollectSettings(None, 1, 0.0, True, ".png"), Doubting(0.95), Doubting(0.1))
    report = collect(ListSource(walk(60)), "clip.mp4", collector)
    assert report.kept
    assert any("models disagree" in r for k in report.kept for r in k.reasons)


def test_sharpness_falls_with_blur_and_not_with_size():
    picture = walk(60)[0]
    large = cv2.resize(picture, (1280, 720), interpolation=cv2.INTER_NEAREST)
    assert sharpness_of(cv2.GaussianBlur(picture, (0, 0), 3)) < sharpness_of(picture) / 10
    assert sharpness_of(large) == pytest.approx(sharpness_of(picture), rel=0.3)


def photo(seed, shift=0):
    rng = np.random.default_rng(seed)
    base = cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    return np.clip(base.astype(int) + shift, 0, 255).astype(np.uint8)


def test_a_copy_is_alike_and_another_picture_is_not():
    one = photo(1)
    copies = [
        cv2.resize(one, (320, 240)),
        cv2.imdecode(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1),
        photo(1, 20),
    ]
    hashes = [picture_hash(p) for p in (one, *copies, photo(2), photo(3))]
    groups = groups_of(hashes, 10)
    assert len(set(groups[:4])) == 1
    assert len(set(groups.tolist())) == 3


def test_no_group_is_in_two_parts():
    rng = np.random.default_rng(0)
    hashes = [picture_hash(photo(s, int(rng.integers(-15, 15)))) for s in range(40) for _ in range(1 + s % 4)]
    split = split_alike(hashes, 0.2)
    assert split.note == ""
    parts = {}
    for group, part in zip(split.groups.tolist(), split.parts, strict=True):
        parts.setdefault(group, set()).add(part)
    assert all(len(p) == 1 for p in parts.values())
    assert 0.15 <= split.parts.count("val") / len(hashes) <= 0.25


def test_a_clip_from_one_place_is_divided_and_that_is_said():
    same = [picture_hash(photo(1))] * 50
    split = split_alike(same, 0.2)
    assert "accuracy will be too high" in split.note
    assert 5 <= split.parts.count("val") <= 13
    changes = sum(a != b for a, b in zip(split.parts, split.parts[1:], strict=False))
    assert changes <= 10, "blocks of neighbours, not single frames"


def test_a_data_folder_is_split_and_labels_keep_their_part(pictures, blobs, tmp_path):
    for path in pictures.rglob("*.png"):
        if path.stat().st_size:
            cv2.imwrite(str(path), np.concatenate([cv2.imread(str(path)), photo(int(path.stem))[:, :64]]))
    label_folder(pictures, tmp_path / "data", *real(blobs))
    report = split_folder(tmp_path / "data", val_share=0.3)
    assert report.counts["val"] in (3, 4) and report.counts["train"] == 12 - report.counts["val"]
    data = DataFolder(tmp_path / "data", write=False)
    assert all(p.status in ("labelled", "review") and p.split for p in data.pictures.values() if p.status != "failed")
    before = {p.file: p.split for p in data.pictures.values()}
    split_folder(tmp_path / "data", val_share=0.3)
    assert {p.file: p.split for p in DataFolder(tmp_path / "data", write=False).pictures.values()} == before


def test_a_failing_model_file_is_one_sentence(tmp_path, pictures):
    with pytest.raises(Exception, match="no model named 'nobody'"):
        label_folder(pictures, tmp_path / "d", (TeacherSpec("nobody"),), settings())
    assert Path(tmp_path / "d/labels.json").exists()


def test_a_teacher_that_fails_in_a_run_is_counted(pictures, tmp_path, teachers):
    class Moody(Teacher):
        def detect(self, pixels):
            if pixels.max() == 0:
                raise ModelFailed("moody@1: gave numbers that are not finite")
            return super().detect(pixels)

    teachers["m"] = Moody("moody@1", ("blob",), [[0, 0, 8, 8, 0.9, 0]])
    report = label_folder(pictures, tmp_path / "data", specs("m"), settings())
    assert (report.labelled, report.failed) == (9, 5)
    assert report.troubles["moody@1 failed: moody@1: gave numbers that are not finite"] == 3


def test_an_answer_that_cannot_be_read_is_no_empty_picture(teachers):
    """A language model that rambles has not said that nobody is there."""

    class Rambling(Teacher, FoundationDetector):
        unread_answers = 0

        def detect(self, pixels):
            self.unread_answers += 1
            return Detections.empty()

    teachers["rambling"] = Rambling("rambling", ("blob",), [])
    said = Labeller(specs("rambling"), settings())(encoded(BLACK))
    assert "cannot be read" in said.error
    assert not said.boxes


@pytest.mark.extra
def test_random_weights_teach_nothing():
    pytest.importorskip("transformers")
    from edgevision.detectors.load import load_teacher

    with pytest.raises(UsageError, match="teach nothing"):
        load_teacher(TeacherSpec("foundation:owlvit@random"), Prompts.default(), 0.1)
