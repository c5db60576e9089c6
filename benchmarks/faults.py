"""What attacks cost: cut streams, floods of connections, odd requests, damaged files, odd command lines, and long runs.

    python benchmarks/faults.py [--quick] [--only WORD] [--soak MINUTES] [--results FILE.json]

Real servers on loopback, real child processes. Each case has a limit; exit 1 where one is exceeded. `--quick` does
fewer of each in under 50 s and leaves the soak out. RTSP needs gst-rtsp-server (tests/support/rtsp.py), and V4L2 a
camera that can be pulled (vivid: EDGEVISION_CAMERA, set in the guest of `scripts/test-rigs vivid`); a case that
cannot be run here says why and counts as neither.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
os.environ.setdefault("SVT_LOG", "1")  # libraries that would write between the figures
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import damaged_files, fuzz_commands
from benchmarks.flood import flood_page, odd_requests
from benchmarks.soak import SLOPE_MIB_PER_H, soak
from edgevision.bench.machine import describe_machine
from edgevision.pipeline.memory import keep_freed_memory
from tests.support import cuts
from tests.support.rtsp import missing

WARM_UP_CUTS = 3
RSS_MIB = 5.0
CUT_KINDS: dict[str, Callable[[], AbstractContextManager[cuts.Cut]]] = {
    "RTSP": cuts.rtsp_cuts,
    "MJPEG": cuts.mjpeg_cuts,
    "HTTP file": lambda: cuts.http_file_cuts(Path(tempfile.mkdtemp(prefix="edgevision-faults-"))),
    "V4L2": cuts.camera_cuts,
}


@dataclass(frozen=True)
class Figure:
    """What one case came to. ``good`` is None where it could not be run here."""

    case: str
    limit: str
    found: str
    good: bool | None
    took_s: float = 0.0


def cut_case(kind: str, count: int) -> Figure:
    """Cuts of one kind of source, in a process of its own."""
    case, limit = f"{count} cuts of {kind}", f"threads ±0, fds ±0, RSS + {RSS_MIB:g} MiB at most"
    why_not = missing() if kind == "RTSP" else cuts.no_camera() if kind == "V4L2" else None
    if why_not is not None:
        return Figure(case, limit, f"not run: {why_not}", None)
    child = [sys.executable, __file__, "--cuts", kind, "--count", str(count)]
    done = subprocess.run(child, capture_output=True, text=True, check=False, timeout=60 + 15 * count)
    if done.returncode != 0:
        return Figure(case, limit, f"failed: {done.stderr.strip()[-300:]}", False)
    threads, fds, rss_mib = json.loads(done.stdout.splitlines()[-1])
    found = f"threads {threads:+d}, fds {fds:+d}, RSS {rss_mib:+.1f} MiB"
    return Figure(case, limit, found, threads == fds == 0 and rss_mib <= RSS_MIB)


def cut_here(kind: str, count: int) -> None:
    """The child: prints what ``count`` cuts changed, as [threads, fds, RSS MiB]."""
    logging.disable(logging.CRITICAL)
    keep_freed_memory()  # as `edgevision run` does
    with CUT_KINDS[kind]() as cut:
        for number in range(WARM_UP_CUTS):
            cut(number)
        before = cuts.Usage.now()
        for number in range(count):
            cut(number)
        deadline_s = time.monotonic() + 5
        while (now := cuts.Usage.now()).threads > before.threads and time.monotonic() < deadline_s:
            time.sleep(0.1)  # the last one's thread ends by itself
    change = [now.threads - before.threads, now.fds - before.fds, now.rss_mib - before.rss_mib]
    sys.stdout.write(json.dumps(change) + "\n")


def files_case(quick: bool) -> Figure:
    """Damaged videos and images: none reported complete, no whole one reported damaged."""
    logging.disable(logging.WARNING)
    kinds = ("mp4", "gif") if quick else ("",)
    rows = [row for kind in kinds for row in damaged_files.damaged(rounds=1, only=kind)]
    wrong = [row for row in rows if row.verdict in damaged_files.WRONG]
    damaged = sum(row.damage != "none" for row in rows)
    containers = len({row.kind for row in rows})
    cases = "".join(f"; {row.kind}, {row.damage}: {row.verdict}" for row in wrong[:3])
    found = f"{len(wrong)} reported wrongly{cases}"
    return Figure(f"{damaged} damaged files of {containers} kinds", "0 reported wrongly", found, not wrong)


def commands_case(count: int) -> Figure:
    """Command lines that nobody meant."""
    outcomes = list(fuzz_commands.fuzz(count))
    wrong = [one for one in outcomes if one.wrong is not None]
    late = max(one.took_s for one in outcomes)
    found = f"{len(wrong)} wrong, the longest {late:.1f} s"
    found += "".join(f"; {one.wrong[:60]}: {' '.join(one.words)[:80]!r}" for one in wrong[:3] if one.wrong)
    return Figure(f"{count} fuzzed command lines", "0 tracebacks, 0 over 10 s", found, not wrong)


def page_case(idle: int, events: int) -> Figure:
    """A flood of connections on the page of a real app, its camera cut meanwhile."""
    seen = flood_page(idle, events)
    limit = "page 1 s, camera back 5 s, 10 log lines at most"
    return Figure(f"{idle} idle and {events} /events connections", limit, seen.sentence(), seen.good)


def requests_case(count: int) -> Figure:
    seen = odd_requests(count)
    found = f"{seen.server_errors} × 5xx, {seen.answered} answered; the app {'runs' if seen.running else 'has ended'}"
    return Figure(f"{count} odd HTTP requests", "0 × 5xx", found, seen.server_errors == 0 and seen.running)


def soak_case(minutes: float) -> Figure:
    done = soak(minutes)
    return Figure(f"soak of {minutes:g} min", f"{SLOPE_MIB_PER_H:g} MiB/h at most", done.sentence(), done.good)


def cases(quick: bool, soak_minutes: float) -> dict[str, Callable[[], Figure]]:
    """Every case by its name, cheapest first."""
    count = 5 if quick else 50
    table: dict[str, Callable[[], Figure]] = {
        "MJPEG": lambda: cut_case("MJPEG", count),
        "HTTP file": lambda: cut_case("HTTP file", count),
        "RTSP": lambda: cut_case("RTSP", count // 2 if quick else count),
        "V4L2": lambda: cut_case("V4L2", count),
        "page": lambda: page_case(300, 150) if quick else page_case(1200, 200),
        "requests": lambda: requests_case(100 if quick else 700),
        "files": lambda: files_case(quick),
        "commands": lambda: commands_case(25 if quick else 2000),
    }
    if soak_minutes:
        table["soak"] = lambda: soak_case(soak_minutes)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer of each, in under 50 s")
    parser.add_argument("--only", default="", help="cases whose name holds this word")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="default 60, with --quick 0")
    parser.add_argument("--results", type=Path, help="write the figures as JSON")
    parser.add_argument("--cuts", choices=CUT_KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.cuts is not None:
        cut_here(asked.cuts, asked.count)
        return 0
    minutes = asked.soak if asked.soak is not None else (0.0 if asked.quick else 60.0)
    figures = []
    for name, case in cases(asked.quick, minutes).items():
        if asked.only not in name:
            continue
        began = time.monotonic()
        figure = case()
        figures.append(Figure(**{**asdict(figure), "took_s": round(time.monotonic() - began, 1)}))
        word = {True: "good", False: "SHORT", None: "–"}[figure.good]
        sys.stdout.write(f"{word:6}{figure.case}: {figure.found} (limit: {figure.limit}; {figures[-1].took_s:.0f} s)\n")
        sys.stdout.flush()
    if asked.results is not None:
        made = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"made": made, "machine": describe_machine().model_dump(), "quick": asked.quick}
        record["figures"] = [asdict(figure) for figure in figures]
        asked.results.write_text(json.dumps(record, indent=1) + "\n")
    return int(any(figure.good is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
