"""Make the pictures of the READMEs from real runs, in Chromium.

    python benchmarks/pictures.py scatter    # speed against AP50, from the newest results/*-detector.json
    python benchmarks/pictures.py swap       # the live page in the middle of a model swap
    python benchmarks/pictures.py report F   # the head of a report that `edgevision bench --out` wrote
    python benchmarks/pictures.py review     # the review tool, on frames of the built-in scene

Needs playwright and a Chromium on the PATH. Writes into benchmarks/results.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgevision.evaluation.svg import WIDTH, LinearAxis, LogAxis, Picture

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NAMES = {
    "person": "person int8",
    "person-tiny": "person-tiny int8",
    "person-float": "person-float",
    "fastestdet": "FastestDet",
    "nanodet_m_320": "NanoDet-M",
    "picodet_s_416": "PicoDet-S",
    "yolo11n_int8": "YOLO11n int8",
    "yolox_nano": "YOLOX-Nano",
}
STYLE = """
body { margin: 0; background: #fff; font: 9px "DejaVu Sans", sans-serif }
svg { display: block; width: 840px } text { font-size: 9px; fill: #3b4252 } .axis { font-size: 9px; fill: #6b7280 }
.name { font-size: 9px } .ours { fill: #0a7d33; font-weight: 700 } .grid { stroke: #e5e7eb; stroke-width: .6 }
.bar0 { stroke: #9ca3af; stroke-width: 1 } .bar1 { stroke: #0a7d33; stroke-width: 1.2 }
.p0 { fill: #6b7280 } .p1 { fill: #0a7d33 }
"""


def scatter() -> str:
    """The page of the scatter: time of one inference (log) against AP50 with its 95 % interval."""
    source = max(RESULTS.glob("*-detector.json"))
    rows = [r for r in json.loads(source.read_text())["rows"] if r["name"] in NAMES and "ap50" in r]
    left, right, top, bottom = 34.0, WIDTH - 10.0, 12.0, 214.0
    picture = Picture(246, "Inference time against AP50", f"from {source.name}")
    x = LogAxis([1.0, 36.0], left, right)
    y = LinearAxis(0.45, 0.80, bottom, top)
    for value in y.ticks(7):
        picture.line(left, y(value), right, y(value))
        picture.text(left - 4, y(value) + 3, f"{value:.2f}", "axis", "end")
    for ms in (1, 2, 5, 10, 20, 30):
        picture.line(x(ms), top, x(ms), bottom)
        picture.text(x(ms), bottom + 12, f"{ms}", "axis", "middle")
    picture.text((left + right) / 2, bottom + 27, "ms per inference, one thread (log scale)", "axis", "middle")
    picture.text(left + 4, top + 8, "AP50, 314 images of people", "axis")
    for row in rows:
        at, ap = x(row["infer_ms"]), row["ap50"]
        own = int(row["ours"])
        picture.line(at, y(ap["low"]), at, y(ap["high"]), f"bar{own}")
        picture.dot(at, y(ap["value"]), 3.4 if own else 2.8, f"p{own}")
        picture.text(at + 6, y(ap["value"]) + 3, NAMES[row["name"]], "name ours" if own else "name")
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{picture.render()}"


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("expected a Chromium on the PATH, found none: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield opened
        finally:
            opened.close()


def small(path: Path) -> None:
    """At most 256 colours: a quarter of the bytes, and no difference to see."""
    from PIL import Image

    with Image.open(path) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")


def shoot_scatter() -> None:
    target = RESULTS / "speed-accuracy.png"
    with browser() as opened:
        page = opened.new_page(viewport={"width": 840, "height": 500})
        page.set_content(scatter())
        page.locator("svg").screenshot(path=target)
    small(target)


def shoot_report(report: Path) -> None:
    target = RESULTS / "bench-report.png"
    with browser() as opened:
        page = opened.new_page(viewport={"width": 900, "height": 900})
        page.goto(report.resolve().as_uri())
        page.wait_for_timeout(300)
        page.screenshot(path=target)
    small(target)


def shoot_swap() -> None:
    """A run on the scene with `person-tiny`, swapped to `person` on the page; taken while the checks run."""
    target = RESULTS / "page-swap.png"
    command = [
        sys.executable,
        "-m",
        "edgevision",
        "run",
        "--source",
        "scene://?people=6&size=640x360&fps=30&seed=1&place=hall",
    ]
    app = subprocess.Popen(
        [*command, "--model", "person-tiny", "--track", "--display", "browser", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert app.stderr is not None
        url = next(found[0] for line in app.stderr if (found := re.search(r"http://\S+", line)))
        with browser() as opened:
            page = opened.new_page(viewport={"width": 1180, "height": 780})
            page.goto(url)
            page.wait_for_timeout(6000)
            page.keyboard.press("m")
            page.locator('#models button[data-model="person"]').click()
            page.locator("#checks li", has_text="latency").wait_for()
            page.wait_for_timeout(400)
            page.screenshot(path=target)
    finally:
        app.terminate()
        app.wait(20)
    small(target)


def shoot_review() -> None:
    """Twelve frames of the scene, labelled by `person-tiny` as if it were the teacher."""
    target = RESULTS / "review.png"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        cli = [sys.executable, "-m", "edgevision", "distill"]
        scene = "scene://?people=7&size=960x540&fps=30&seed=4&place=street"
        run = lambda *words: subprocess.run([*cli, *words], check=True, cwd=ROOT)  # noqa: E731
        run("collect", "--source", scene, "--out", str(data), "--most", "12")
        run("label", "--images", str(data), "--out", str(data), "--teacher", "person-tiny", "--teacher", "person")
        server = subprocess.Popen(
            [*cli, "review", str(data), "--port", "0"], stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        try:
            assert server.stderr is not None
            url = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
            with browser() as opened:
                page = opened.new_page(viewport={"width": 1180, "height": 760})
                page.goto(url)
                page.wait_for_timeout(2500)
                page.screenshot(path=target)
        finally:
            server.terminate()
            server.wait(20)
    small(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=("scatter", "swap", "report", "review"))
    parser.add_argument("file", nargs="?", type=Path)
    given = parser.parse_args()
    began = time.monotonic()
    if given.which == "report":
        shoot_report(given.file or parser.error("report: expected the path of a report.html"))
    else:
        {"scatter": shoot_scatter, "swap": shoot_swap, "review": shoot_review}[given.which]()
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
