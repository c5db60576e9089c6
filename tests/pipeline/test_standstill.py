"""A program that stood still shows nothing from before as if it were live."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from edgevision.pipeline.loop import Pipeline
from edgevision.pipeline.standstill import Standstill
from tests.support.models import IndexDetector, ListSource, numbered_pictures

SECOND = 1_000_000_000


class Clocks:
    """Nanoseconds of the beat clock, of processor time, and of frames."""

    def __init__(self):
        self.beat = self.worked = 0
        self.frames = 5 * SECOND

    def standstill(self):
        return Standstill(lambda: self.frames, beat_clock=lambda: self.beat, worked=lambda: self.worked)


@pytest.mark.parametrize(
    ("gap_s", "worked_s", "stood"),
    [
        (0.1, 0.1, False),
        (1.4, 0.0, False),
        (20, 0.4, True),
        (2, 0.2, True),
        (20, 20, False),
        (20, 60, False),
    ],
)
def test_a_gap_without_work_is_a_standstill(gap_s, worked_s, stood):
    clocks = Clocks()
    watch = clocks.standstill()
    assert watch.beat() is None
    clocks.beat += int(gap_s * SECOND)
    clocks.worked += int(worked_s * SECOND)
    assert watch.beat() == (5 * SECOND if stood else None)
    clocks.frames += SECOND
    clocks.beat += SECOND // 10
    assert watch.beat() == (5 * SECOND if stood else None), "it is over, and not forgotten"


class Ticking(ListSource):
    def read(self):
        time.sleep(0.02)
        return super().read()


class Stopping(IndexDetector):
    """The program stands still while frame 3 is inferred."""

    def __init__(self, clocks):
        super().__init__()
        self.clocks = clocks

    def detect(self, pixels):
        if pixels[0, 0, 0] == 3 and self.clocks.beat == 0:
            self.clocks.beat = 20 * SECOND
        return super().detect(pixels)


@pytest.mark.parametrize("live", [True, False])
def test_what_was_on_its_way_is_dropped_and_counted_when_live(live):
    clocks = Clocks()
    watch = Standstill(beat_clock=lambda: clocks.beat, worked=lambda: 0)
    pipeline = Pipeline(Ticking(numbered_pictures(12), live=live), Stopping(clocks), standstill=watch)
    indices = [result.frame.index for result in pipeline]
    if live:
        assert 3 not in indices
        assert indices[-1] == 11
        assert pipeline.summary().dropped == 12 - len(indices)
    else:
        assert indices == list(range(12))


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_stopped_by_a_signal_and_continued():
    process = subprocess.Popen(
        [sys.executable, "-m", "edgevision", "run", "--source", "scene://?size=160x120&fps=30", "--display", "none",
         "--no-control", "--json", "-"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        for _ in range(20):
            line = process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        stopped_ns = time.monotonic_ns()
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        after = []
        while len(after) < 10:
            line = json.loads(process.stdout.readline())
            if "frame" in line and line["captured_ns"] + line["age_ms"] * 1e6 > stopped_ns + 2.5 * SECOND:
                after.append(line["age_ms"])
        assert max(after) < 1500, after
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()
