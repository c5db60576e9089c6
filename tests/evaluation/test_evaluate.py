"""`distill evaluate` on the blob model, and what is drawn on the sheets."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgevision.cli.distill import app
from edgevision.datasets.annotations import Box, Picture, PictureLabels
from edgevision.datasets.dataset import read_data
from edgevision.errors import UsageError
from edgevision.evaluation import contact_sheet
from edgevision.evaluation.evaluate import evaluate, load_to_measure, of_part, outcome_of
from edgevision.training.export import package_model
from edgevision.training.export.model_card import ModelCardFields
from edgevision.types import Detections
from tests.support.measuring import detections
from tests.support.models import blob_frame_pixels, blob_model


@pytest.fixture
def blobs(tmp_path):
    """The blob model, and YOLO-labelled pictures of blobs: a third of the labels are of a place without one."""
    model = blob_model(tmp_path / "blobs")
    rng = np.random.default_rng(0)
    for k in range(9):
        cells = [(int(p) % 8 * 8, int(p) // 8 * 8) for p in rng.choice(64, 4, replace=False)]
        shown = cells[: 3 if k % 3 == 0 else 4]
        part = "val" if k >= 3 else "train"
        (tmp_path / f"data/images/{part}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"data/labels/{part}").mkdir(parents=True, exist_ok=True)
        boxes = [(x, y, x + 8, y + 8) for x, y in shown]
        cv2.imwrite(str(tmp_path / f"data/images/{part}/{k}.png"), blob_frame_pixels(64, 64, boxes))
        rows = [f"0 {(x + 4) / 64} {(y + 4) / 64} 0.125 0.125\n" for x, y in cells]
        (tmp_path / f"data/labels/{part}/{k}.txt").write_text("".join(rows))
    (tmp_path / "data/data.yaml").write_text("train: images/train\nval: images/val\nnames: [Blob]\n")
    return model, tmp_path / "data"


def test_a_real_model_is_measured(blobs):
    model, data = blobs
    held = of_part(read_data(data), "")
    assert len(held.pictures) == 6
    evaluation = evaluate([load_to_measure(str(model), held.classes)], held, bootstrap=30)
    report = evaluation.models[0]
    assert (evaluation.labels, report.missed, report.false_boxes) == (24, 2, 0)
    # 22 of 24 found, none false: every recall up to 22/24 reads precision 1.
    assert report.ap50.value == pytest.approx(np.floor(22 / 24 * 100 + 1) / 101, abs=1e-6)
    assert report.by_size["small"] == report.ap50.value
    assert report.labels_by_size == {"small": 24, "medium": 0, "large": 0}


def test_evaluate_writes_figures_and_sheets_and_compares_models(blobs, tmp_path):
    model, data = blobs
    blind = blob_model(tmp_path / "blind", "blind", channel=2)
    out = tmp_path / "out"
    words = ["evaluate", str(model), "--data", str(data), "--baseline", str(blind), "--out", str(out), "--json"]
    got = CliRunner().invoke(app, words)
    assert got.exit_code == 0, got.output
    told = json.loads(got.stdout)
    assert json.loads((out / "evaluation.json").read_text()) == told
    assert [m["model"] for m in told["models"]] == ["blobs@1", "blind@1"]
    assert told["models"][1]["lead_of_asked_model"]["low"] > 0.5
    assert ElementTree.parse(out / "precision-recall.svg").getroot().tag.endswith("svg")
    for name in ("worst.png", "best.png"):
        picture = cv2.imread(str(out / name))
        assert picture is not None
        assert picture.std() > 5


def test_a_model_of_other_classes_and_a_part_that_is_not_there_are_refused(blobs):
    model, data = blobs
    held = read_data(data)
    (data / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    with pytest.raises(UsageError, match="knows none of the classes"):
        evaluate([load_to_measure(str(model), held.classes)], read_data(data))
    with pytest.raises(UsageError, match=r"expected a part of .* \(train, val\) or all, got 'test'"):
        of_part(held, "test")


class Finder:
    """Finds what it is told to, of its own classes, in every image."""

    def __init__(self, name, classes, rows):
        self.name, self.classes = name, classes
        self._found = detections(rows)

    def detect(self, pixels):
        return self._found


def test_models_are_compared_on_the_classes_that_both_know(tmp_path):
    """One knows hats and people, the other people and dogs: as many, but not the same."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("names: [hat, person, dog]\n")
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"images/{k}.png"), np.zeros((100, 100, 3), np.uint8))
        (tmp_path / f"labels/{k}.txt").write_text("".join(f"{c} 0.{2 * c + 1} 0.5 0.1 0.2\n" for c in range(3)))
    hat, person, dog = ([x, 40, x + 10, 60, 0.9] for x in (5, 25, 45))
    one = Finder("one", ("hat", "person"), [[*hat, 0], [*person, 1]])
    other = Finder("other", ("person", "dog"), [[*person, 0]])
    report = evaluate([one, other], read_data(tmp_path), bootstrap=20).models[1]
    assert report.by_class["dog"].value == 0
    assert (report.lead.value, report.lead.low, report.lead.high) == (0, 0, 0)
    assert evaluate([one, Finder("c", ("dog",), [[*dog, 0]])], read_data(tmp_path)).models[1].lead is None


class HatFinder:
    """Sees a hat and a person in the same corner of every picture."""

    classes = ("hat", "person")

    def detect(self, pixels):
        boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9]], np.float32)
        return Detections(boxes, np.array([0.9, 0.8], np.float32), np.array([0, 1]))


def test_a_card_does_not_call_a_class_false_that_the_scene_lacks(monkeypatch):
    shown = []
    monkeypatch.setattr(package_model, "sheet", lambda outcomes, classes: shown.extend(outcomes))
    package_model._scene_sheet(HatFinder(), ModelCardFields("hats"))
    assert [o.ignored.tolist() for o in shown] == [[True, False]] * 6
    assert sum(len(o.missed) for o in shown) > 6


def test_a_sheet_labels_only_what_is_false_or_missed(monkeypatch):
    said = []
    monkeypatch.setattr(
        contact_sheet, "_say", lambda picture, text, place, colour, below=False: said.append((text, colour))
    )
    labels = PictureLabels("a.png", 64, 48, "done", (Box(0, (0, 0, 20, 20)), Box(0, (40, 20, 60, 40))))
    found = Detections(
        np.array([[0, 0, 20, 20], [30, 0, 38, 8]], np.float32), np.array([0.9, 0.8], np.float32), np.array([0, 0])
    )
    picture = Picture(Path(), labels, np.zeros((48, 64, 3), np.uint8))
    outcome = outcome_of(picture, found, 0.3)
    assert outcome.hit.tolist() == [True, False]
    made = contact_sheet.sheet([outcome], ("person",))
    assert said == [("0.80", contact_sheet.FALSE), ("missed", contact_sheet.MISSED)]
    assert made.shape[1] >= 480
