"""What `edgevision bench` costs the loop it measures, and whether two of its runs agree within their interval.

    python benchmarks/bench_overhead.py [--model person] [--rounds 24] [--pairs 20] [--out FILE.json]

Overhead: the plain loop of `edgevision.Pipeline` in a process of its own, and the benchmark's worker with its sampler
and progress bar running, in turns on the same clip. Wanted: at most 2 % of loop fps. Pairs: so many times two short
runs of the same thing, compared as `edgevision bench compare` does. Wanted: at least 19 of 20 cannot be told apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgevision.bench import BUNDLED, bench, compare
from edgevision.bench.contender import ContenderSpec
from edgevision.bench.machine import Gauges, Sampler
from edgevision.bench.statistics import Rate, ratio
from edgevision.bench.worker_process import Worker
from edgevision.cli.bench_console import progress_bar

PLAIN = """
import sys, time
import edgevision as ev
from edgevision.pipeline.memory import keep_freed_memory
keep_freed_memory()
sys.setswitchinterval(0.0005)
detector = ev.load_detector(sys.argv[1], threads=1)
for line in sys.stdin:
    seconds = float(line)
    first = last = None
    count = 0
    with ev.open_source(sys.argv[2]) as source:
        until = time.perf_counter() + seconds
        for result in ev.run(source, detector):
            last = time.perf_counter()
            first = first or last
            count += 1
            if last >= until:
                break
    print(count - 1, last - first, flush=True)
"""


def overhead(model: str, clip: str, rounds: int, seconds: float) -> tuple[Rate, Rate]:
    """(the benchmark's loop, the plain loop), in turns."""
    plain: list[tuple[float, float]] = []
    measured: list[tuple[float, float]] = []
    command = [sys.executable, "-c", PLAIN, model, clip]
    worker = Worker(ContenderSpec(model, threads=1), clip)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        for k in range(-2, rounds):
            other.stdin.write(f"{seconds}\n")
            other.stdin.flush()
            frames, span = map(float, other.stdout.readline().split())
            with progress_bar() as progress:
                progress("overhead", float(max(0, k)), float(rounds))
                sampler = Sampler(Gauges(), time.monotonic_ns())
                block = worker.run_loop(clip, seconds, None, k)
                sampler.stop()
            if k >= 0:
                plain.append((frames, span))
                published = block.published_ns
                measured.append((len(published) - 1, (published[-1] - published[0]) / 1e9))
        other.stdin.close()
    worker.close()
    return _rate(measured), _rate(plain)


def _rate(rows: Sequence[tuple[float, float]]) -> Rate:
    values = np.array(rows, np.float64)
    return Rate(values[:, 0], values[:, 1], tuple(range(len(rows))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="person")
    parser.add_argument("--clip", default=str(BUNDLED))
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=30.0, help="at most, of each block: both run the whole clip")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of runs; each takes about 15 s")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report: dict[str, object] = {}
    if options.rounds:
        measured, plain = overhead(options.model, options.clip, options.rounds, options.seconds)
        found = ratio(measured, plain, paired=True)
        report["overhead"] = {
            "bench_fps": measured.fps, "plain_fps": plain.fps,
            "ratio": found.value, "low": found.low, "high": found.high,
        }  # fmt: skip
        print(f"plain loop {plain.fps:.1f} fps, measured {measured.fps:.1f} fps")
        print(f"overhead {1 - found.value:.2%} [{1 - found.high:.2%} to {1 - found.low:.2%}]   wanted ≤ 2 %")
    if options.pairs:
        same = 0
        rows = []
        for k in range(options.pairs):
            one, other = (bench([options.model], [options.clip], seconds=4.0) for _ in range(2))
            pair = next(r for r in compare(one, other).rows if r.kind == "loop")
            same += pair.verdict == "cannot tell"
            rows.append((pair.ratio.value, pair.ratio.low, pair.ratio.high))
            print(f"pair {k + 1}: {pair.ratio.value:.3f} [{pair.ratio.low:.3f}-{pair.ratio.high:.3f}] {pair.verdict}")
        report["pairs"] = {"same": same, "of": options.pairs, "ratios": rows}
        print(f"{same} of {options.pairs} pairs cannot be told apart   wanted ≥ 19 of 20")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
