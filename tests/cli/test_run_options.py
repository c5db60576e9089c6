"""The options of a run: what the sinks' table adds, and old spellings."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from typer.testing import CliRunner

import edgevision.sinks
from edgevision.cli import app
from edgevision.cli.run import run
from edgevision.cli.run_app import run_app
from edgevision.cli.run_options import RunOptions
from edgevision.errors import UsageError
from edgevision.sinks import SINKS, SinkKind
from edgevision.sinks.null import NothingSink
from tests.support.models import blob_model


class LineSink(NothingSink):
    """Writes a line for each result."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("w")  # noqa: SIM115 - closed by `close`

    def publish(self, result, picture, status):
        self._file.write(f"{result.frame.index}\n")

    def close(self):
        self._file.close()


@pytest.fixture
def blobs(tmp_path):
    blob_model(tmp_path / "blobs")
    return ["run", "--model", str(tmp_path / "blobs"), "--source", "scene://?size=160x120", "--display", "none",
            "--no-control"]  # fmt: skip


def test_a_sink_of_the_table_alone_reaches_run(monkeypatch, blobs, tmp_path):
    monkeypatch.setattr(edgevision.sinks, "SINKS", {**SINKS, "lines": SinkKind(f"{__name__}:LineSink", "FILE")})
    done = CliRunner().invoke(app, [*blobs, "--frames", "3", "--sink", f"lines={tmp_path}/out.txt"])
    assert done.exception is None, done.output
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("mqtt=host", "expected a sink of window, browser, video, json, none, got 'mqtt'"),
        ("json", "the sink json expects where to write: json=FILE"),
        ("none=here", "the sink none takes no target, got 'here'"),
    ],
)
def test_a_sink_that_cannot_be_meant_is_refused(blobs, asked, message):
    done = CliRunner().invoke(app, [*blobs, "--sink", asked])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == message


def test_old_spellings_still_work_and_name_the_new_one(blobs):
    done = CliRunner().invoke(app, [*blobs, "--duration=0.2", "--streams", "1"])
    assert done.exception is None, done.output
    assert "--duration is now --seconds" in done.stderr
    assert "--streams is now --workers" in done.stderr


def test_old_spellings_are_not_in_the_help():
    text = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    assert "--seconds" in text
    assert not {"--duration", "--streams", "--watch "} & set(text.replace("│", " ").split(" "))


def test_what_is_written_is_in_order():
    options = RunOptions(save=Path("a.mp4"), json="-", sink=["none", "json=b.jsonl"])
    assert options.written == [("video", "a.mp4"), ("none", None), ("json", "b.jsonl"), ("json", "-")]


def test_run_reads_in_one_go():
    for function in (inspect.unwrap(run), run_app):
        assert len(inspect.getsource(function).splitlines()) <= 60
