"""Gates: one class and one tuple, and a new one touches one file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgevision
from edgevision.deployment.gates import GATES, Gates, gates_from, settings
from edgevision.errors import UsageError

PACKAGE = Path(edgevision.__file__).parent
NEW_GATE = '''
class Crowding(Gate):
    """Finds no more boxes in a frame than there is room for."""

    name = "crowding"

    def check(self, context: GateContext) -> Outcome:
        count = len(context.detect(context.next_result())[0])
        most = context.gates.most_boxes
        return Outcome(count <= most, f"{count} boxes", f"at most {most} boxes")


GATES: tuple[Gate, ...] = (Crowding(), '''
NEW_SETTING = """    most_boxes: int = setting(0, "Boxes in a frame.", low=0, option="--most-boxes", label="Most boxes")
    force: frozenset[str]"""
TRY_IT = """
import asyncio, json, threading
from edgevision.web.control_api import ControlApi
from tests.support.models import IndexDetector, ListSource, numbered_pictures

from edgevision.deployment.candidate import Candidate
from edgevision.deployment.gates import gates_from
from edgevision.deployment.swapper import Swapper
from edgevision.pipeline.loop import Pipeline
import time

class Slow(ListSource):
    def read(self):
        time.sleep(0.005)
        return super().read()

pipeline = Pipeline(Slow(numbered_pictures(100) * 100), IndexDetector())
swapper = Swapper(pipeline, lambda name: Candidate(lambda: IndexDetector("new@2")))
def loop():
    for _ in pipeline: pass
thread = threading.Thread(target=loop); thread.start()
report = swapper.swap("new@2", gates_from({"most_boxes": 0, "shadow_frames": 3, "watch_s": 0}))
forced = swapper.swap("new@2", gates_from({"force": ["crowding"], "shadow_frames": 3, "watch_s": 0, "latency_runs": 1}))
api = asyncio.run(ControlApi(swapper, lambda: pipeline.status)._say_gates({}))
pipeline.controls.quit(); thread.join()
print(json.dumps({"sentence": report.sentence(), "forced": forced.sentence(), "api": api}))
"""


@pytest.fixture(scope="module")
def one_gate_more(tmp_path_factory):
    """A copy of the package with another gate, in gates.py alone."""
    place = tmp_path_factory.mktemp("package")
    shutil.copytree(PACKAGE, place / "edgevision", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "tests").symlink_to(PACKAGE.parent / "tests")
    file = place / "edgevision" / "deployment" / "gates.py"
    text = file.read_text()
    for old, new in (("\nGATES: tuple[Gate, ...] = (", NEW_GATE), ("    force: frozenset[str]", NEW_SETTING)):
        assert text.count(old) == 1
        text = text.replace(old, new)
    file.write_text(text)
    return place


def call(place, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=place, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_a_new_gate_touches_one_file(one_gate_more):
    told = json.loads(call(one_gate_more, "-c", TRY_IT).stdout)
    assert "refused by crowding: 1 boxes, expected at most 0 boxes" in told["sentence"]
    assert "new@2 in place of index@1: accepted" in told["forced"]
    assert told["api"]["gates"][0] == {
        "name": "crowding", "help": "Finds no more boxes in a frame than there is room for."
    }  # fmt: skip
    row = next(s for s in told["api"]["settings"] if s["name"] == "most_boxes")
    assert (row["label"], row["kind"], row["min"], row["default"]) == ("Most boxes", "integer", 0, 0)


def test_the_command_line_has_the_new_gate(one_gate_more):
    assert "--most-boxes" in call(one_gate_more, "-m", "edgevision", "swap", "--help").stdout
    wrong = call(one_gate_more, "-m", "edgevision", "swap", "m", "--force", "nothing")
    assert "force: expected one of crowding, golden, latency, shadow, accuracy, watch, got nothing" in wrong.stderr


def test_old_names_are_taken_and_shown():
    gates = Gates(found_again=0.9, flood=2, enough_boxes=3, patience_s=1)
    assert gates == Gates(recall_of_old=0.9, max_box_ratio=2, min_boxes=3, timeout_s=1)
    assert (gates.found_again, gates.flood, gates.enough_boxes, gates.patience_s) == (0.9, 2, 3, 1)
    assert gates_from({"found_again": 0.9, "patience_s": 4}) == Gates(recall_of_old=0.9, timeout_s=4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"budget_ms": 0}, "budget_ms: expected milliseconds above 0, got 0"),
        ({"budget_ms": True}, "budget_ms cannot be True"),
        ({"shadow_frames": -1}, "shadow_frames: expected 0 to 100000 frames, got -1"),
        ({"shadow_frames": 1.5}, "shadow_frames cannot be 1.5"),
        ({"recall_of_old": 2}, "recall_of_old: expected a number from 0 to 1, got 2"),
        ({"watch_s": float("nan")}, "watch_s: expected 0 to 86400 s, got nan"),
        ({"max_box_ratio": float("nan")}, "max_box_ratio: expected a number of at least 0, got nan"),
        ({"data": 3, "min_ap": 0.5}, "data cannot be 3"),
        ({"dry_run": 1}, "dry_run cannot be 1"),
        ({"force": "shadow"}, "force: expected a list"),
        ({"shadow": 3}, "unknown key 'shadow'"),
        ({"min_ap": 0.5}, "give both"),
    ],
)
def test_what_cannot_be_meant_is_refused(values, message):
    with pytest.raises(UsageError) as refused:
        gates_from(values)
    assert message in str(refused.value)


def test_every_gate_has_a_name_of_its_own_and_says_what_it_asks():
    assert len({gate.name for gate in GATES}) == len(GATES)
    assert all(type(gate).__doc__ for gate in GATES)
    assert all(setting.help.endswith(".") for setting in settings())
