"""``--engine ray`` on a real local cluster of two workers; without Ray, what is said of its absence."""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.datasets.annotations import Box
from edgevision.datasets.data_folder import DataFolder
from edgevision.detectors.load import TeacherSpec
from edgevision.errors import MissingExtra, ModelNotFound, UsageError
from edgevision.training.labelling import ray_worker
from edgevision.training.labelling.auto_label import label_folder
from edgevision.training.labelling.ensemble import Labelling, Task, engine_named, label_here
from edgevision.training.labelling.ray_engine import label_on_ray
from edgevision.training.labelling.settings import settings_from
from tests.support.models import blob_model

with_ray = [
    pytest.mark.extra,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]
PICTURES = 240


def on(*marks):
    return lambda test: [test := mark(test) for mark in marks][-1]


@pytest.fixture
def teachers(tmp_path):
    return (
        TeacherSpec(str(blob_model(tmp_path / "red", "red"))),
        TeacherSpec(str(blob_model(tmp_path / "green", "green", channel=1)), weight=2.0),
    )


@pytest.fixture
def settings(teachers):
    return settings_from(teachers, "blob: a blob")


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    values = np.random.default_rng(5)
    for number in range(count):
        cells = values.integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:03d}.png"), cv2.resize(cells, (64, 48), interpolation=cv2.INTER_NEAREST))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "empty.png").write_bytes(b"")
    return folder


def test_without_the_extra_one_line(monkeypatch, teachers, settings):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "ray" else real(name, *a))
    with pytest.raises(MissingExtra, match=r"--engine ray needs the package ray.*pip install 'edgevision\[ray\]'"):
        next(label_on_ray(iter(()), teachers, settings))


def test_workers_are_for_ray_alone():
    with pytest.raises(UsageError, match="--workers, --address: are for --engine ray"):
        engine_named("local", workers=2)
    assert engine_named("local") is label_here
    with pytest.raises(UsageError, match="expected local or ray"):
        engine_named("spark")


@on(*with_ray)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_and_resumed_it_gives_the_local_engines_labels_bit_for_bit(tmp_path, teachers, settings):
    images = pictures(tmp_path / "images", PICTURES)
    journal = tmp_path / "ray" / "labels.journal.jsonl"
    command = [
        sys.executable,
        "-m",
        "edgevision",
        "distill",
        "label",
        "--images",
        str(images),
        "--out",
        str(tmp_path / "ray"),
    ]
    for teacher in teachers:
        command += ["--teacher", f"{teacher.model}*{teacher.weight:g}"]
    command += ["--prompts", "blob: a blob", "--engine", "ray", "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not (journal.exists() and journal.stat().st_size) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.communicate(timeout=60)[1].count("Traceback") == 0
    done = len(DataFolder(tmp_path / "ray", write=False).pictures)
    assert 0 < done < PICTURES + 2

    engine = partial(label_on_ray, workers=2)
    report = label_folder(images, tmp_path / "ray", teachers, settings, engine=engine)
    assert report.before + report.labelled + report.failed == PICTURES + 2
    assert report.before >= done - 2  # the two that failed are tried again
    assert report.failed == 2
    assert set(report.examples.values()) == {"broken.jpg", "empty.png"}
    here = label_folder(images, tmp_path / "local", teachers, settings)
    assert here.objects["blob"] > PICTURES
    assert (tmp_path / "ray" / "labels.json").read_bytes() == (tmp_path / "local" / "labels.json").read_bytes()


@on(*with_ray)
def test_a_teacher_that_cannot_be_loaded_is_said_as_here(tmp_path, settings):
    images = pictures(tmp_path / "images", 2)
    engine = partial(label_on_ray, workers=1)
    for run in (engine, label_here):
        with pytest.raises(ModelNotFound, match="no_such_teacher"):
            label_folder(images, tmp_path / "data", (TeacherSpec("no_such_teacher"),), settings, engine=run)


@on(*with_ray)
def test_a_picture_that_takes_processes_down_is_given_up(monkeypatch, tmp_path, teachers, settings):
    import pyarrow as pa

    monkeypatch.setattr(ray_worker.tempfile, "gettempdir", lambda: str(tmp_path))

    class Death(BaseException):
        """What ends a process leaves no time to clean up."""

    def label(labeller, task):
        if task.file == "bad":
            raise Death
        return Labelling(8, 8, (Box(0, (0.0, 0.0, 4.0, 4.0)),))

    monkeypatch.setattr(ray_worker, "label_task", label)
    rows = [pickle.dumps((k, Task(name, Path(name)))) for k, name in enumerate(("good", "bad", "fine"))]
    batch = pa.table({"task": rows})
    for _ in range(2):
        with pytest.raises(Death):
            ray_worker._Worker(teachers, settings, "marks")(batch)
    answers = dict(map(pickle.loads, ray_worker._Worker(teachers, settings, "marks")(batch)["answer"].to_pylist()))
    assert [bool(answers[k].boxes) for k in range(3)] == [True, False, True]
    assert answers[1].error == "took the process that labelled it down, twice"
