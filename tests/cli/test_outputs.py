"""No output may be an input or another output, and each is checked before any work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgevision.cli.outputs import Output, check_outputs
from edgevision.errors import SinkError, UsageError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clip.mkv").write_bytes(b"film")
    os.link("clip.mkv", "hard.mkv")
    Path("soft.mkv").symlink_to("clip.mkv")
    Path("images").mkdir()
    Path("images/1.jpg").write_bytes(b"picture")
    os.link("images/1.jpg", "one.jpg")
    Path("sub").mkdir()
    Path("dangling").symlink_to("sub/new.jsonl")
    return tmp_path


SAME = [
    ("clip.mkv", "clip.mkv"),
    ("./sub/../clip.mkv", "clip.mkv"),
    ("hard.mkv", "clip.mkv"),
    ("soft.mkv", "hard.mkv"),
    ("clip.mkv", "file://clip.mkv"),
    ("images/1.jpg", "images"),
    ("one.jpg", "images"),
    ("one.jpg", "images/*.jpg"),
]


@pytest.mark.parametrize(("output", "source"), SAME)
def test_an_output_that_is_an_input_is_refused(place, output, source):
    with pytest.raises(SinkError, match=r"--json .* and --source .* are the same file, and writing would destroy it"):
        check_outputs([Output("--json", output)], {"--source": source})


def test_every_input_counts(place):
    with pytest.raises(SinkError, match=r"--out clip\.mkv and DATA hard\.mkv"):
        check_outputs([Output("--out", "clip.mkv")], {"--prompts": None, "DATA": [Path("images"), Path("hard.mkv")]})


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.jsonl", "a.jsonl"), ("a.jsonl", "sub/../a.jsonl"), ("dangling", "sub/new.jsonl"), ("soft.mkv", "hard.mkv")],
)
def test_two_outputs_in_one_file_are_refused(place, one, other):
    with pytest.raises(SinkError, match="are the same file"):
        check_outputs([Output("--save", one), Output("--json", other)], {})
    assert not Path("a.jsonl").exists()


def test_files_that_go_into_a_folder_count(place):
    with pytest.raises(SinkError, match=r"--out sub and --bench sub/run\.json are the same place"):
        Path("sub/run.json").write_text("{}")
        check_outputs([Output("--out", "sub", ("run.json",))], {"--bench": "sub/run.json"})


def test_what_is_no_file_is_passed_over(place):
    outputs = [Output("--save", "/dev/null"), Output("--json", "/dev/null"), Output("--out", "new/folder", ())]
    check_outputs(outputs, {"--source": "rtsp://camera/stream", "--model": "person", "--then": "/dev/null"})
    assert not Path("new").exists()


def test_a_redirected_stdout_counts(place):
    code = (
        "from edgevision.cli.outputs import *\n"
        "check_outputs([Output('--save', 'out.mp4'), Output('--json', '-')], {'--source': 'clip.mkv'})"
    )
    with Path("out.mp4").open("w") as out:
        done = subprocess.run([sys.executable, "-c", code], stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert "--json - and --save out.mp4 are the same file" in done.stderr


@pytest.mark.parametrize("path", ["no/such/a.json", "sub", "/proc/a.json", "x" * 300, "clip.mkv/a.json"])
def test_a_file_that_cannot_be_written_is_refused(place, path):
    with pytest.raises(SinkError, match="cannot be written"):
        check_outputs([Output("--json", path)], {})


@pytest.mark.parametrize(("path", "error"), [("/proc/new", SinkError), ("x" * 300, SinkError), ("clip.mkv", UsageError),
                                             ("clip.mkv/new", UsageError)])  # fmt: skip
def test_a_folder_that_cannot_be_written_is_refused(place, path, error):
    with pytest.raises(error, match="--out"):
        check_outputs([Output("--out", path, ())], {})


def test_nothing_is_left_of_the_attempt(place):
    before = sorted(place.rglob("*"))
    check_outputs([Output("--json", "a.json"), Output("--out", "b/c", ("run.json",)), Output("--svg", "clip.mkv")], {})
    assert sorted(place.rglob("*")) == before
    assert Path("clip.mkv").read_bytes() == b"film"
