"""Is it real time, and would a foundation model be? Measured on the user's own frames, whole loop and inference alone.

    from edgevision.bench import bench, compare, figures, write_report

    run = bench(["person", Wanted("foundation:yoloe", weights="random")], ["clip.mp4"])
    for one in figures(run):
        print(one.contender, one.kind, one.fps.value, one.fps.low, one.fps.high, one.verdict)

`measure` has contenders taken in turns by `rounds` (`subject` is one, `worker` holds it in a process of its own). `run`
is everything that was measured, as JSON; `summary` computes figures from that, `words` says what they mean, `compare`
sets two runs against each other, `report` shows them. `tune` chooses a setting, `glass` times screen to result.
"""

from __future__ import annotations

from edgevision.bench.clips import BUNDLED
from edgevision.bench.compare import Comparison, compare
from edgevision.bench.glass import measure_glass
from edgevision.bench.measure import Bench, bench
from edgevision.bench.report import write_report
from edgevision.bench.run import BenchRun, Settings
from edgevision.bench.run_file import read_run, write_run
from edgevision.bench.statistics import Estimate
from edgevision.bench.subject import Wanted
from edgevision.bench.summary import Figures, figures
from edgevision.bench.tune import Tuning, tune_settings

__all__ = [
    "BUNDLED",
    "Bench",
    "BenchRun",
    "Comparison",
    "Estimate",
    "Figures",
    "Settings",
    "Tuning",
    "Wanted",
    "bench",
    "compare",
    "figures",
    "measure_glass",
    "read_run",
    "tune_settings",
    "write_report",
    "write_run",
]
