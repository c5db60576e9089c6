"""Every command refuses an output that it cannot write, or that it reads, before it works."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgevision.cli import app
from edgevision.errors import EdgeVisionError, SinkError, UsageError
from tests.support.models import blob_model


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "store"))
    blob_model(tmp_path / "blobs")
    for folder in ("data/images", "data/labels", "run", "empty"):
        Path(folder).mkdir(parents=True)
    cv2.imwrite("data/images/1.png", np.zeros((64, 64, 3), np.uint8))
    Path("data/labels/1.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    Path("data/data.yaml").write_text("names: [blob]\ntrain: images\nval: images\n")
    Path("run/last.pt").write_bytes(b"weights")
    Path("answers.toml").write_text("fps = 30\n")
    Path("file").write_text("a file")
    return tmp_path


READ_ONLY = "/proc/new"
UNWRITABLE = [
    ["bench", "--model", "./blobs", "--out", READ_ONLY],
    ["bench", "--model", "./blobs", "--out", "file"],
    ["bench", "--model", "./blobs", "--out", "x" * 300],
    ["bench", "report", "none.json", "--out", READ_ONLY],
    ["decide", "--no-ask", "--svg", "/proc/a.svg"],
    ["decide", "--no-ask", "--html", "empty"],
    ["distill", "collect", "--source", "scene://", "--out", READ_ONLY],
    ["distill", "label", "--images", "data/images", "--out", "file", "--teacher", "./blobs"],
    ["distill", "import", "data", "--out", READ_ONLY],
    ["distill", "write", "data", "--out", READ_ONLY],
    ["distill", "train", "data", "--student", "person", "--out", READ_ONLY],
    ["distill", "export", "run", "--name", "m", "--out", READ_ONLY],
    ["distill", "evaluate", "./blobs", "--data", "data", "--out", READ_ONLY],
    ["distill", "head", "data", "--name", "m", "--out", READ_ONLY],
    ["distill", "all", "--source", "data", "--out", READ_ONLY, "--name", "m", "--teacher", "./blobs"],
    ["models", "export", "./blobs", READ_ONLY],
    ["run", "--source", "scene://", "--model", "./blobs", "--display", "none", "--json", "/proc/a.jsonl"],
]
SAME = [
    ["bench", "--model", "./blobs", "--out", "here", "--source", "here/run.json"],
    ["bench", "report", "here/report.md", "--out", "here"],
    ["decide", "--no-ask", "--svg", "a.svg", "--html", "./a.svg"],
    ["decide", "--no-ask", "--answers", "answers.toml", "--html", "answers.toml"],
    ["distill", "import", "data", "--out", "./data"],
    ["distill", "write", "data", "--out", "empty/../data"],
    ["distill", "train", "data", "--student", "person", "--out", "data"],
    ["distill", "mean", "run", "--with", "run=0.5", "--out", "run/last.pt"],
    ["distill", "export", "run", "--name", "m", "--out", "run", "--replace"],
    ["distill", "head", "data", "--name", "m", "--out", "data", "--replace"],
    ["distill", "all", "--source", "data", "--out", "data", "--name", "m", "--teacher", "./blobs"],
]


def refused(words):
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, EdgeVisionError), (words, result.output, result.exception)
    return result.exception


@pytest.mark.parametrize("words", UNWRITABLE, ids=" ".join)
def test_what_cannot_be_written_is_refused(place, words):
    before = sorted(place.rglob("*"))
    assert isinstance(refused(words), SinkError | UsageError)
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("words", SAME, ids=" ".join)
def test_what_is_read_is_not_written_over(place, words):
    Path("here").mkdir()
    for name in ("run.json", "report.md"):
        Path("here", name).write_text("{}")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert "are the same" in str(refused(words))
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", [["bench", "tune"], ["bench"]])
def test_a_folder_without_images_is_refused_before_measuring(place, monkeypatch, command):
    monkeypatch.setattr("edgevision.bench.benchmark.Bench.measure", lambda *_, **__: pytest.fail("it measured"))
    words = [*command, "--model", "./blobs", "--data", "empty"]
    assert "empty" in str(refused(words))
