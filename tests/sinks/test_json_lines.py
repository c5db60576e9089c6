"""JSON lines: the schema, and what happens when whoever reads them goes away, stalls, or the disk is full."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgevision.errors import SinkError
from edgevision.interfaces import Controls
from edgevision.sinks.json_lines import JsonLinesSink
from edgevision.types import STAGES, Detections
from tests.support.display import RUNNING, result_of, show
from tests.support.models import FakeClock

ROOT = Path(__file__).resolve().parents[2]


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_line_is_exactly_this(tmp_path):
    clock = FakeClock()
    result = result_of(
        7, [(10.04, 20.06, 110.5, 150), (5, 5, 60, 60)], class_ids=[2, 0], captured_ns=clock() - 14_200_000
    )
    with JsonLinesSink(tmp_path / "out.jsonl", now_ns=clock) as sink:
        show(sink, result)
    (line,) = lines_of(tmp_path / "out.jsonl")
    assert list(line) == [
        "frame", "captured_ns", "age_ms", "model", "source", "size", "predicted", "looks", "times_ms", "detections"
    ]  # fmt: skip
    assert line["times_ms"].keys() == set(STAGES)
    assert line.pop("times_ms")["infer"] == 9.8
    assert line == {
        "frame": 7,
        "captured_ns": clock() - 14_200_000,
        "age_ms": 14.2,
        "model": "person@1.0.0",
        "source": "clip.mp4",
        "size": [320, 180],
        "predicted": False,
        "looks": 1,
        "detections": [
            {"box": [10.0, 20.1, 110.5, 150.0], "score": 0.93, "class": "no hard hat", "class_id": 2, "track_id": 1},
            {"box": [5.0, 5.0, 60.0, 60.0], "score": 0.3, "class": "person", "class_id": 0, "track_id": 2},
        ],
    }


def test_no_track_is_null(tmp_path):
    with JsonLinesSink(tmp_path / "out.jsonl") as sink:
        show(sink, result_of(0, tracked=False))
        tracked = result_of(1)
        show(sink, replace(tracked, detections=tracked.detections.tracked(np.array([-1]))))
        show(sink, result_of(2, []))
        show(sink, replace(result_of(3), detections=replace(Detections.empty())))
    assert [[d["track_id"] for d in line["detections"]] for line in lines_of(tmp_path / "out.jsonl")] == [
        [None],
        [None],
        [],
        [],
    ]


def test_lines_are_there_at_once_and_in_order(tmp_path):
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    for index in (0, 1, 4):
        show(sink, result_of(index))
        sink.notice(RUNNING)
        assert lines_of(path)[-1]["frame"] == index
    sink.close()
    assert [line["frame"] for line in lines_of(path)] == [0, 1, 4]


def test_a_state_without_frames_is_a_line_once_for_each_reason(tmp_path):
    clock = FakeClock()
    lost = replace(RUNNING, state="lost", detail="cam gave no frame for 2 s", age_ms=1500.0)
    with JsonLinesSink(tmp_path / "out.jsonl", now_ns=clock) as sink:
        show(sink, result_of(0))
        for seconds in (2, 2, 3, 11):
            sink.notice(replace(lost, detail=f"cam gave no frame for {seconds} s"))
        sink.notice(replace(lost, detail="cam: ended by the server"))
        show(sink, result_of(5))
        show(sink, result_of(6))
        sink.notice(replace(RUNNING, state="paused"))
        sink.notice(replace(RUNNING, state="ended"))
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line.get("status", line.get("frame")) for line in lines] == [0, "lost", "lost", "running", 5, 6, "paused"]
    assert lines[1] == {
        "status": "lost",
        "at_ns": clock(),
        "age_ms": 1500.0,
        "model": RUNNING.model,
        "source": RUNNING.source,
        "detail": "cam gave no frame for 2 s",
    }
    assert lines[3]["detail"] == ""


def test_an_old_file_stays_until_the_first_line(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("old\n")
    JsonLinesSink(path).close()
    assert path.read_text() == "old\n"
    JsonLinesSink(tmp_path / "new.jsonl").close()
    assert not (tmp_path / "new.jsonl").exists()


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("old\n" * 100)
    with JsonLinesSink(path) as sink:
        show(sink, result_of(0))
    assert len(lines_of(path)) == 1


@pytest.mark.parametrize("where", [".", "no/such/folder/out.jsonl"])
def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SinkError, match=r"cannot be written to .*; name a file"):
        JsonLinesSink(where)


def child(code: str, **more) -> subprocess.Popen:
    head = (
        "from pathlib import Path\n"
        "from edgevision.interfaces import Controls\n"
        "from edgevision.sinks.json_lines import JsonLinesSink\n"
        "from tests.support.display import *\n"
        "import logging, sys, time\n"
        "logging.basicConfig(format='%(message)s')\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
    )


LOOP = """
controls = Controls()
with JsonLinesSink("-", controls) as sink:
    index = 0
    while not controls.quitting and index < 200_000:
        show(sink, result_of(index, live={live}))
        index += 1
print("frames", index, "skipped", sink.skipped, file=sys.stderr)
"""


def test_head_ends_the_loop_without_a_word():
    """As in ``edgevision run --json - | head -1``."""
    process = child(LOOP.format(live=False))
    assert json.loads(process.stdout.readline())["frame"] == 0
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(10) == 0
    assert said.startswith("frames ")
    assert len(said.splitlines()) == 1
    assert int(said.split()[1]) < 200_000


def test_a_file_waits_for_a_reader_that_stalls_and_nothing_is_lost():
    process = child(LOOP.format(live=False).replace("200_000", "2_000"))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    out, err = process.communicate(timeout=20)
    assert [json.loads(line)["frame"] for line in out.splitlines()] == list(range(2_000))
    assert err.decode().split() == ["frames", "2000", "skipped", "0"]


def test_a_live_source_does_not_wait_and_says_how_much_was_left_out():
    process = child(LOOP.format(live=True).replace("200_000", "2_000"))
    # It ends by itself although nobody reads; what the pipe holds is whole lines.
    assert process.wait(20) == 0
    out, err = process.communicate()
    frames = [json.loads(line)["frame"] for line in out.splitlines()]
    assert frames == sorted(frames)
    assert 20 < len(frames) < 2_000
    left_out = 2_000 - len(frames)
    assert err.decode().splitlines()[0].startswith(f"{left_out} lines were left out of standard output")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_stalled_reader_does_not_keep_it_from_quitting():
    code = (
        "import signal\n"
        + LOOP.format(live=False).replace(
            "with JsonLines",
            "signal.signal(signal.SIGTERM, lambda *_: controls.quit())\nprint('ready', file=sys.stderr, flush=True)\n"
            "with JsonLines",
        )
    )  # fmt: skip
    process = child(code)
    assert process.stderr.readline() == b"ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(3) == 0
    process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits")
def test_a_full_disk_is_one_warning_and_whole_lines(tmp_path):
    path = tmp_path / "out.jsonl"
    code = f"""
with JsonLinesSink({str(path)!r}) as sink:
    for index in range(500):
        show(sink, result_of(index))
print("went on", file=sys.stderr)
"""
    process = child(code, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    warning, end = err.decode().splitlines()
    assert f"JSON lines to {path} stopped" in warning
    assert "the loop continues" in warning
    assert end == "went on"
    frames = [line["frame"] for line in lines_of(path)]
    assert frames == list(range(len(frames)))
    assert len(frames) > 20


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_space_left(caplog):
    with JsonLinesSink("/dev/full") as sink:
        for index in range(3):
            show(sink, result_of(index))
    assert [record.message for record in caplog.records] == [
        "JSON lines to /dev/full stopped: No space left on device; the loop continues"
    ]


def test_closed_standard_output_is_said_at_once():
    process = subprocess.run(
        [sys.executable, "-c", "from edgevision.sinks.json_lines import JsonLinesSink as J; J('-')"],
        cwd=ROOT,
        capture_output=False,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.close(1),
        text=True,
    )
    assert "SinkError: standard output is closed" in process.stderr


def test_a_named_pipe_whose_reader_leaves_quits(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []

    def read_one() -> None:
        with fifo.open("rb") as file:
            got.append(file.readline())

    reader = threading.Thread(target=read_one)
    reader.start()
    controls = Controls()
    with JsonLinesSink(fifo, controls) as sink:
        for index in range(100_000):
            show(sink, result_of(index, live=False))
            if controls.quitting:
                break
    reader.join(5)
    assert controls.quitting
    assert json.loads(got[0])["frame"] == 0
