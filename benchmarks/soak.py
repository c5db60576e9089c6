"""An app that runs for long, its camera cut every minute and its page watched: does its memory grow?

    python benchmarks/soak.py [--minutes 60] [--samples FILE.json]

`edgevision run` on an MJPEG camera of this process, 10 fps, with a viewer of the stream, one of the events and a new
connection a second. RSS is read every 5 s; its slope is that of the straight line through all samples after the first
5 minutes (the first fifth of a run of less than 25). Exit 0: at most 2 MiB an hour, and the app still runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.video import WebCamera

SLOPE_MIB_PER_H = 2.0
WARM_UP_S = 300.0
_EVERY_S = 5.0
_CUT_EVERY_S = 60.0


@dataclass(frozen=True)
class Sample:
    at_s: float
    rss_mib: float
    threads: int
    fds: int


@dataclass(frozen=True)
class Soaked:
    minutes: float
    slope_mib_per_h: float
    cuts: int
    samples: tuple[Sample, ...]
    running: bool

    @property
    def good(self) -> bool:
        return self.running and self.slope_mib_per_h <= SLOPE_MIB_PER_H

    def sentence(self) -> str:
        first, last = self.samples[0], self.samples[-1]
        state = "still runs" if self.running else "ended by itself"
        return (
            f"{self.minutes:.0f} min, {self.cuts} cuts: {self.slope_mib_per_h:+.2f} MiB/h, RSS {first.rss_mib:.1f} to "
            f"{last.rss_mib:.1f} MiB, threads {first.threads} to {last.threads}, fds {first.fds} to {last.fds}; {state}"
        )


def soak(minutes: float, cut_every_s: float = _CUT_EVERY_S, model: str = "person-tiny") -> Soaked:
    """Run an app for so long; see above."""
    camera = WebCamera(fps=10, size_wh=(320, 240))
    command = [sys.executable, "-m", "edgevision", "run", "--source", camera.url(), "--display", "browser"]
    command += ["--model", model, "--track", "--threads", "1", "--json", "-"]
    app = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ)
    ended = threading.Event()
    try:
        url = _page_of(app)
        for path in ("/stream.mjpg", "/events", ""):
            threading.Thread(target=_watch, args=(url, path, ended), daemon=True).start()
        samples, cuts = _sample(psutil.Process(app.pid), camera, minutes * 60, cut_every_s)
        return Soaked(minutes, _slope(samples, minutes * 60), cuts, samples, app.poll() is None)
    finally:
        ended.set()
        app.terminate()
        app.wait(20)
        camera.close()


def _page_of(app: subprocess.Popen[str]) -> str:
    assert app.stderr is not None
    for line in app.stderr:
        if found := re.search(r"live page at (\S+)", line):
            threading.Thread(target=lambda: list(app.stderr or ()), daemon=True).start()
            return found[1]
    raise RuntimeError("the app ended before it had a page")


def _watch(url: str, path: str, ended: threading.Event) -> None:
    """Read a stream of the page for good, or the status once a second by a new connection."""
    address = url.replace("/?", f"{path or '/status'}?")
    while not ended.wait(1.0):
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=30) as answer:
            while not ended.is_set() and answer.read(8192):
                pass


def _sample(
    process: psutil.Process, camera: WebCamera, for_s: float, cut_every_s: float
) -> tuple[tuple[Sample, ...], int]:
    samples: list[Sample] = []
    began = time.monotonic()
    cuts = 0
    while (now_s := time.monotonic() - began) < for_s and process.is_running():
        samples.append(Sample(now_s, process.memory_info().rss / 2**20, process.num_threads(), process.num_fds()))
        if now_s // cut_every_s > cuts:
            cuts += 1
            camera.away.set()
            time.sleep(0.5)
            camera.away.clear()
        time.sleep(_EVERY_S)
    return tuple(samples), cuts


def _slope(samples: tuple[Sample, ...], for_s: float) -> float:
    """MiB an hour, of the line through the samples after warm-up."""
    later = [s for s in samples if s.at_s >= min(WARM_UP_S, for_s / 5)]
    if len(later) < 3:
        return float("nan")
    return float(np.polyfit([s.at_s / 3600 for s in later], [s.rss_mib for s in later], 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--samples", type=Path, help="write every sample as JSON")
    asked = parser.parse_args()
    found = soak(asked.minutes)
    sys.stdout.write(f"soak: {found.sentence()}\n")
    if asked.samples is not None:
        asked.samples.write_text(json.dumps(asdict(found)) + "\n")
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())
