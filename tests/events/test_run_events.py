"""``edgevision run`` with zones and lines: events in its JSON lines, outlines in its picture."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from edgevision.sinks.json_lines import event_record
from edgevision.sinks.outlines import Outline
from edgevision.types import Event, EventPhase


def run(*words):
    command = [sys.executable, "-m", "edgevision", "run", "--display", "none", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_events_are_lines_of_their_own_and_all_end(tmp_path):
    out = tmp_path / "found.jsonl"
    source = "scene://?people=4&size=640x360&frames=150&live=0&place=street&seed=3"
    words = ["--zone", "all=0,0 1,0 1,1 0,1", "--line", "middle=0.5,1 0.5,0"]
    got = run("--source", source, "--json", str(out), *words)
    assert got.returncode == 0, got.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    events = [row for row in rows if "event" in row]
    assert len([row for row in rows if "frame" in row]) == 150
    assert {"appear", "enter", "leave", "disappear"} <= {e["event"] for e in events}
    for begin, end in (("enter", "leave"), ("appear", "disappear")):
        begun = {e["id"] for e in events if e["event"] == begin}
        assert begun == {e["id"] for e in events if e["event"] == end}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--zone", "yard=0,0 1,1"], "expected 3 to 200 corners"),
        (["--line", "door=0,0"], "expected two points"),
        (["--zone", "a=0,0 1,0 1,1", "--line", "a=0,0 1,1"], "expected different names"),
        (["--zone", "a=0,0 1,0 1,1", "--no-track"], "leave it out"),
    ],
)
def test_a_wrong_zone_is_one_sentence(words, message):
    got = run("--source", "scene://", *words)
    assert got.returncode == 2
    assert message in got.stderr
    assert "Traceback" not in got.stderr
    assert len(got.stderr.splitlines()) == 1


def test_the_record_of_an_event():
    box = (1.0, 2.0, 3.04, 4.0)
    event = Event("r-1", "line", EventPhase.END, "door", "in", "person", 3, 10, 20, box, box, 0.9, "m@1", "cam")
    assert event_record(event) == {
        "event": "cross", "id": "r-1", "place": "door", "direction": "in", "class": "person", "track_id": 3,
        "began_ns": 10, "at_ns": 20, "box": [1.0, 2.0, 3.0, 4.0], "score": 0.9, "model": "m@1", "source": "cam",
    }  # fmt: skip


def test_outlines_are_drawn_inside_the_picture():
    picture = np.zeros((100, 200, 3), np.uint8)
    Outline("yard", ((0, 0.5), (1, 0.5), (1, 1), (0, 1))).draw(picture, 2)
    assert picture[48:53, 100].any()
    assert not picture[20, 100].any()
