"""``distill all``: what is asked for is checked before work begins, and only a step that began binds it."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from edgevision.detectors.load import TeacherSpec
from edgevision.errors import ModelNotFound, SourceNotFound, UsageError
from edgevision.training import workflow
from edgevision.training.export.model_card import ModelCardFields
from edgevision.training.labelling.settings import settings_from
from edgevision.training.recipe import read_recipe
from edgevision.training.workflow import Workflow, run_workflow
from tests.support.models import blob_model


class Stopped(Exception):
    pass


class Silent:
    def say(self, text):
        pass


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A whole line whose steps do nothing but say what they did, until `stop_at`."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "store"))
    blob_model(tmp_path / "blobs", "blobs")
    blob_model(tmp_path / "other", "other")
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/1.png"), np.zeros((64, 64, 3), np.uint8))
    monkeypatch.setattr("edgevision.training.train.check_weights", lambda *_: None)
    teacher = TeacherSpec(str(tmp_path / "blobs"))
    return Workflow(
        source=str(tmp_path / "in"),
        folder=tmp_path / "line",
        teachers=(teacher,),
        settings=settings_from([teacher], "spot: blob"),
        recipe=read_recipe("person-tiny"),
        wish=ModelCardFields("taught"),
    )


@pytest.fixture
def stop_at(monkeypatch):
    def stop(last):
        def step(name):
            def act(line, shown):
                if name == last:
                    raise Stopped
                return f"{name} done"

            return act

        for name in ("collect", "split", "label", "train", "export", "evaluate", "add"):
            monkeypatch.setattr(workflow, f"_{name}", step(name))

    return stop


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"teachers": (TeacherSpec("nobody"),)}, ModelNotFound),
        ({"source": "nowhere.mp4"}, SourceNotFound),
        ({"people": "no-labels"}, UsageError),
    ],
)
def test_what_cannot_be_had_is_refused_before_any_work(line, tmp_path, stop_at, change, error):
    stop_at("collect")
    if "people" in change:
        change = {"people": tmp_path / "no-labels"}
    with pytest.raises(error):
        run_workflow(replace(line, **change), Silent())
    assert not line.folder.exists()
    with pytest.raises(Stopped):
        run_workflow(line, Silent())


def test_a_step_that_never_began_binds_nothing(line, tmp_path, stop_at):
    stop_at("split")
    with pytest.raises(Stopped):
        run_workflow(line, Silent())
    other = replace(line, teachers=(TeacherSpec(str(tmp_path / "other")),))
    stop_at("label")
    with pytest.raises(Stopped):
        run_workflow(other, Silent())
    with pytest.raises(UsageError, match="holds a workflow with another teachers"):
        run_workflow(line, Silent())
    with pytest.raises(UsageError, match="holds a workflow with another source"):
        run_workflow(replace(other, source="scene://"), Silent())
    stop_at("export")
    renamed = replace(other, wish=ModelCardFields("another"))
    with pytest.raises(Stopped):
        run_workflow(renamed, Silent())
    with pytest.raises(UsageError, match="holds a workflow with another name"):
        run_workflow(other, Silent())


def test_the_state_of_an_earlier_version_binds_the_step_after_the_last(line, stop_at):
    stop_at("label")
    with pytest.raises(Stopped):
        run_workflow(line, Silent())
    path = line.folder / "line.json"
    state = json.loads(path.read_text())
    del state["begun"]
    path.write_text(json.dumps(state))
    with pytest.raises(UsageError, match="another teachers"):
        run_workflow(replace(line, teachers=(TeacherSpec("nobody"),)), Silent())
