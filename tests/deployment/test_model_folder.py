"""Model folders take their place by one rename, or leave all as it was."""

from __future__ import annotations

import os
import shutil

import pytest

from edgevision.deployment.model_folder import check_target, export_model, remove_model, write_folder
from edgevision.detectors.registry import load_detector
from edgevision.errors import EdgeVisionError, UsageError
from tests.support.models import blob_model


def test_a_folder_takes_its_place_when_it_is_written(tmp_path):
    target = tmp_path / "store" / "blobs"
    with write_folder(target) as folder:
        blob_model(folder)
        assert not target.exists()
        assert folder.parent.parent == target.parent
    assert load_detector(target).name == "blobs@1"
    assert os.listdir(target.parent) == ["blobs"]


def test_what_was_there_goes_whole(tmp_path):
    target = blob_model(tmp_path / "blobs")
    (target / "old.txt").write_text("of the old one")
    with write_folder(target) as folder:
        blob_model(folder, version="2")
    assert load_detector(target).name == "blobs@2"
    assert not (target / "old.txt").exists()
    assert os.listdir(tmp_path) == ["blobs"]


def test_an_error_while_it_is_written_leaves_all_as_it_was(tmp_path):
    target = blob_model(tmp_path / "blobs")
    with pytest.raises(RuntimeError), write_folder(target) as folder:
        (folder / "model.onnx").write_bytes(b"half")
        raise RuntimeError
    assert load_detector(target).name == "blobs@1"
    assert os.listdir(tmp_path) == ["blobs"]


def test_a_rename_that_the_disk_refuses_leaves_all_as_it_was(tmp_path):
    target = blob_model(tmp_path / "blobs")
    with pytest.raises(EdgeVisionError, match="blobs: cannot be written: No such file"), write_folder(target) as folder:
        shutil.rmtree(folder)
    assert load_detector(target).name == "blobs@1"
    assert os.listdir(tmp_path) == ["blobs"]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EdgeVisionError, match="file/blobs: cannot be written: "),
        write_folder(tmp_path / "file" / "blobs"),
    ):
        pass
    with pytest.raises(EdgeVisionError, match="copy: cannot be written: "):
        export_model(str(blob_model(tmp_path / "blobs")), tmp_path / "file" / "copy")


def test_a_taken_place_is_refused_unless_it_may_be_replaced(tmp_path):
    check_target(tmp_path / "free", replace=False)
    check_target(tmp_path, replace=True)
    with pytest.raises(UsageError, match="exists already; name another, or --replace it"):
        check_target(tmp_path, replace=False)


def test_a_model_is_removed_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = blob_model(tmp_path / "edgevision" / "models" / "blobs")
    assert remove_model("blobs") == folder
    assert os.listdir(folder.parent) == []
