"""Is it real time, and would a foundation model be? Measured on the user's own frames, whole loop and inference alone.

    from edgevision.bench import bench, compare, figures, write_report

    run = bench(["person", ContenderSpec("foundation:yoloe", weights="random")], ["clip.mp4"])
    for one in figures(run):
        print(one.contender, one.kind, one.fps.value, one.fps.low, one.fps.high, one.verdict)

`benchmark` measures contenders in turns (`schedule`), each in a process of its own (`contender`, `worker_process`).
`records` is everything that was measured, as JSON; `summary` computes figures from it, `wording` says what they mean,
`compare` sets two runs against each other, `report` shows them. `tuning` chooses a setting, `glass_to_glass` times
screen to result.
"""

from __future__ import annotations

from edgevision.bench.benchmark import Bench, bench
from edgevision.bench.clips import BUNDLED
from edgevision.bench.compare import Comparison, compare
from edgevision.bench.contender import ContenderSpec
from edgevision.bench.glass_to_glass import measure_glass
from edgevision.bench.records import BenchRun, Settings
from edgevision.bench.report import write_report
from edgevision.bench.run_file import read_run, write_run
from edgevision.bench.statistics import Estimate
from edgevision.bench.summary import Figures, figures
from edgevision.bench.tuning import Tuning, tune_settings

Wanted = ContenderSpec
"""The name of `ContenderSpec` until 0.1."""

__all__ = [
    "BUNDLED",
    "Bench",
    "BenchRun",
    "Comparison",
    "ContenderSpec",
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
