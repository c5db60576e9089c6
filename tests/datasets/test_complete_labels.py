"""A data folder whose images people labelled in part: what `scripts/complete_labels.py` makes of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.datasets.annotations import Box, PictureLabels
from edgevision.datasets.data_folder import DataFolder

SCRIPT = Path(__file__).parents[2] / "scripts" / "complete_labels.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("complete_labels", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folder_of(place, count):
    """``count`` pairs of near-duplicates, each box once by a person and once by a teacher."""
    rng = np.random.default_rng(4)
    boxes = (Box(0, (2, 2, 20, 40)), Box(0, (30, 5, 50, 44), 0.7, 0.7, "picodet"))
    with DataFolder(place, ["person"]) as data:
        for k in range(count):
            image = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48), interpolation=cv2.INTER_CUBIC)
            for kind in ("complete", "teacher"):
                name = f"{kind}_{k}.png"
                cv2.imwrite(str(data.pictures_folder / name), image if kind == "complete" else image // 2)
                faint = (Box(0, (1, 1, 9, 9), 0.1, 0.0, "picodet"),)
                data.put(PictureLabels(name, 64, 48, "review", boxes, faint, doubts=("one",)))
    return place


def test_near_duplicates_and_complete_labels_are_held_out(tmp_path, script):
    place = folder_of(tmp_path, 60)
    complete = {f"complete_{k}.png" for k in range(60)}
    counts = script.settle(place, complete)
    pictures = DataFolder(place, write=False).pictures
    val = {p.file for p in pictures.values() if p.split == "val"}
    assert val
    assert val <= complete
    assert counts["val"] == len(val)
    assert sum(counts.values()) == 120
    twins = {f.replace("complete", "teacher") for f in val}
    assert {f for f, p in pictures.items() if p.split == "test"} >= twins
    assert not any(pictures[f].split == "train" for f in twins)


def test_a_teachers_extra_box_teaches_nothing_in_a_complete_image(tmp_path, script):
    place = folder_of(tmp_path, 10)
    script.settle(place, {"complete_3.png"})
    pictures = DataFolder(place, write=False).pictures
    complete, other = pictures["complete_3.png"], pictures["teacher_4.png"]
    assert complete.rows(0.05)[:, 5].tolist() == [1.0, 0.0]
    assert complete.status == "done"
    assert len(other.rows(0.05)) == 3
    assert other.rows(0.05)[1:, 5].tolist() == pytest.approx([0.7, 0.1])
