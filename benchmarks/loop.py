"""What the loop costs beside the network itself, and beside other loops: ratios from one run.

    python benchmarks/loop.py [--model person] [--model yolo26n.onnx] [--out FILE.json]

Every figure is a ratio of two things measured in turns in this run, median of the repeats, since machines drift.
Beside other loops: neighbours.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import cv2
import av
import numpy as np

import edgevision as ev
from edgevision.capture.scene import SceneSource
from edgevision.cli.console import SWITCH_S
from edgevision.concurrency import usable_cores
from edgevision.detectors.preprocess import Preprocessor
from edgevision.pipeline.memory import keep_freed_memory
from edgevision.pipeline.metrics import Summary
from edgevision.sinks.browser import BrowserSink
from edgevision.sinks.render import Renderer
from edgevision.web import LivePage

SIZE_WH = (1280, 720)
CLIP_FRAMES = 600


def make_clip(path: Path) -> None:
    """A 720p H.264 rendering of the built-in scene."""
    with av.open(str(path), "w") as container, SceneSource(size_wh=SIZE_WH, live=False, frames=CLIP_FRAMES) as scene:
        stream = container.add_stream("libx264", rate=30, options={"preset": "fast", "crf": "23"})
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        while (frame := scene.read()) is not None:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.pixels, format="bgr24")))
        container.mux(stream.encode())


class EveryFrameJpeg:
    """A sink that has every frame drawn and encoded, as a peer that streams each frame does."""

    wants_picture = True

    def publish(self, result: object, picture: np.ndarray | None, status: object) -> None:
        assert picture is not None
        cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])

    def notice(self, status: object) -> None: ...

    def close(self) -> None: ...


def loop(clip: Path, model: str, streams: int = 1, sinks: tuple = (), frames: int = CLIP_FRAMES) -> Summary:
    detector = ev.load_detector(model, threads=1, lanes=streams)
    with ev.open_source(clip) as source:
        pipeline = ev.Pipeline(source, detector, streams=streams, sinks=sinks, renderer=Renderer())
        for count, _ in enumerate(pipeline.results(), 1):
            if count == frames:
                break
    return pipeline.summary()


def session_alone(model: str, frames: int) -> float:
    """fps of session.run on a tensor that is ready, one thread."""
    detector = ev.load_detector(model, threads=1)
    picture = SceneSource(size_wh=SIZE_WH, live=False).read()
    assert picture is not None
    tensor = detector.prepare(picture.pixels).tensor.copy()
    for _ in range(20):
        detector.session.run(tensor)
    began = time.perf_counter()
    for _ in range(frames):
        detector.session.run(tensor)
    return frames / (time.perf_counter() - began)


def session_beside(clip: Path, model: str, frames: int, encode: bool = False) -> float:
    """fps of session.run on a ready tensor, once for each frame that another thread decodes; and does nothing with.

    With ``encode`` a third thread encodes a picture as JPEG for each. What two threads of this machine's processors can
    do at most, then: no loop that decodes the clip can be faster.
    """
    detector = ev.load_detector(model, threads=1)
    picture = SceneSource(size_wh=SIZE_WH, live=False).read()
    assert picture is not None
    tensor = detector.prepare(picture.pixels).tensor.copy()
    decoded: queue.Queue[bool] = queue.Queue(4)
    inferred: queue.Queue[bool] = queue.Queue(4)

    def decode() -> None:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = max(1, usable_cores() - 1)  # as the loop decodes files
            for k, _ in enumerate(container.decode(stream)):
                if k == frames:
                    break
                decoded.put(True)
        decoded.put(False)

    def write() -> None:
        while inferred.get():
            cv2.imencode(".jpg", picture.pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])

    threads = [threading.Thread(target=decode), *([threading.Thread(target=write)] if encode else [])]
    for _ in range(20):
        detector.session.run(tensor)
    for thread in threads:
        thread.start()
    count, began = 0, time.perf_counter()
    while decoded.get():
        detector.session.run(tensor)
        count += 1
        if encode:
            inferred.put(True)
    if encode:
        inferred.put(False)
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - began)


READER = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as stream:
    while stream.read(65536): pass
"""


def loop_with_page(clip: Path, model: str, frames: int) -> float:
    """fps with the live page served to one client, which reads the stream in a process of its own."""
    with BrowserSink() as browser, LivePage(browser, ev.Controls()) as page:
        url = page.url.replace("/?", "/stream.mjpg?")
        client = subprocess.Popen([sys.executable, "-c", READER, url], stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            fps = loop(clip, model, sinks=(browser,), frames=frames).fps
            print(f"    page: {browser.encodes} pictures encoded for {frames} frames", file=sys.stderr)
            return fps
        finally:
            client.kill()
            client.wait()


def interleaved(repeats: int, parts: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each part once, then all again: drift hits all alike."""
    values: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            values[name].append(part())
            print(f"  {name}: {values[name][-1]:.1f}", file=sys.stderr)
    return values


def ratio(values: dict[str, list[float]], above: str, below: str) -> float:
    return statistics.median(a / b for a, b in zip(values[above], values[below], strict=True))


def preprocess_ms(model: str) -> float:
    """p50 of 720p to the model's input."""
    preprocessor = Preprocessor(ev.load_detector(model).manifest.input)
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    took = []
    for _ in range(400):
        began = time.perf_counter()
        preprocessor.give_back(preprocessor.prepare(pixels))
        took.append(time.perf_counter() - began)
    return statistics.median(took[50:]) * 1e3


def live_age(model: str, seconds: float) -> dict[str, float]:
    """A 30 fps scene: age at publish against its floor, capture to slot + inference + 10 ms."""
    detector = ev.load_detector(model, threads=1)
    with ev.open_source("scene://?people=5&size=1280x720&fps=30") as source:
        pipeline = ev.Pipeline(source, detector)
        end = time.monotonic() + seconds
        to_slot = []
        for result in pipeline.results():
            to_slot.append(result.times.capture)
            if time.monotonic() > end:
                break
    summary = pipeline.summary()
    return {
        "age_p50_ms": summary.age.p50, "age_p95_ms": summary.age.p95, "age_p99_ms": summary.age.p99,
        "infer_p50_ms": summary.stages["infer"].p50, "wait_p50_ms": summary.stages["wait"].p50,
        "fps": summary.fps, "dropped": summary.dropped,
    }  # fmt: skip


def flat_memory(clip: Path, model: str, frames: int) -> dict[str, float]:
    """RSS in MiB after a tenth of the frames and at the end."""
    import psutil

    detector = ev.load_detector(model, threads=1)
    process = psutil.Process()
    done, early = 0, 0.0
    while done < frames:
        with ev.open_source(clip) as source:
            for _ in ev.run(source, detector):
                done += 1
                if done == frames // 10:
                    early = process.memory_info().rss / 2**20
                if done == frames:
                    break
    return {"frames": frames, "rss_early_mib": early, "rss_end_mib": process.memory_info().rss / 2**20}


def seconds_of(*command: str, repeats: int = 5) -> float:
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def first_result_s(clip: Path, model: str) -> float:
    command = [sys.executable, "-m", "edgevision", "run", "--source", str(clip), "--model", model]
    return seconds_of(*command, "--display", "none", "--frames", "1")


def machine() -> dict[str, object]:
    return {
        "date": date.today().isoformat(), "cpu": platform.processor() or platform.machine(), "cores": usable_cores(),
        "python": platform.python_version(),
        "packages": {p: version(p) for p in ("onnxruntime", "opencv-python", "av", "numpy")},
        "load_before": os.getloadavg()[0],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="320 px; repeatable; person where none is named")
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=CLIP_FRAMES)
    parser.add_argument("--soak", type=int, default=20_000, help="frames of the memory check; 0 leaves it out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    models = options.model or ["person"]
    sys.setswitchinterval(SWITCH_S)
    cv2.setNumThreads(1)
    keep_freed_memory()
    report: dict[str, object] = {
        "machine": machine(),
        "settings": vars(options) | {"clip": None, "out": None, "model": [Path(m).name for m in models]},
    }
    with tempfile.TemporaryDirectory() as scratch:
        clip = options.clip or Path(scratch) / "scene.mp4"
        if options.clip is None:
            make_clip(clip)
        rows: list[tuple[str, float, str]] = []
        for model in models:
            name, n = Path(model).stem, options.frames
            print(name, file=sys.stderr)
            parts: dict[str, Callable[[], float]] = {
                "session": lambda m=model, n=n: session_alone(m, n),
                "beside decode": lambda m=model, n=n: session_beside(clip, m, n),
                "loop": lambda m=model, n=n: loop(clip, m, frames=n).fps,
                "page": lambda m=model, n=n: loop_with_page(clip, m, n),
                "beside decode and JPEG": lambda m=model, n=n: session_beside(clip, m, n, encode=True),
                "jpeg": lambda m=model, n=n: loop(clip, m, sinks=(EveryFrameJpeg(),), frames=n).fps,
                "two": lambda m=model, n=n: loop(clip, m, streams=2, frames=n).fps,
            }
            values = interleaved(options.repeats, parts)
            report[name] = values
            rows += [
                (f"{name}: loop ÷ session.run alone", ratio(values, "loop", "session"), ""),
                (f"{name}: loop ÷ session.run beside a bare decoder", ratio(values, "loop", "beside decode"), "≥ 0.95"),
                (
                    f"{name}: the same, drawn and JPEG ÷ session.run beside bare decode and JPEG",
                    ratio(values, "jpeg", "beside decode and JPEG"),
                    "≥ 0.90",
                ),
                (
                    f"{name}: loop with page for one client ÷ session.run alone",
                    ratio(values, "page", "session"),
                    "≥ 0.85",
                ),
                (
                    f"{name}: loop with every frame drawn and JPEG ÷ session.run alone",
                    ratio(values, "jpeg", "session"),
                    "",
                ),
                (f"{name}: two streams ÷ one", ratio(values, "two", "loop"), "≥ 1.5"),
            ]
        rows.append(("preprocess 720p, ms", preprocess_ms(models[0]), "≤ 0.35"))
        age = live_age(models[0], 15)
        report["live"] = age
        rows.append(
            (
                "live 30 fps: age p95 − inference p50, ms",
                age["age_p95_ms"] - age["infer_p50_ms"],
                "≤ 10 + capture to slot",
            )
        )
        rows.append(("edgevision --help, s", seconds_of(sys.executable, "-m", "edgevision", "--help"), "≤ 0.3"))
        rows.append(("first result of run on a file, s", first_result_s(clip, models[0]), "≤ 0.8"))
        if options.soak:
            memory = flat_memory(clip, models[0], options.soak)
            report["memory"] = memory
            rows.append(
                (f"RSS growth over {options.soak} frames, MiB", memory["rss_end_mib"] - memory["rss_early_mib"], "flat")
            )
    report["rows"] = rows
    for what, value, wanted in rows:
        print(f"{what:70s} {value:8.2f}  {wanted}")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1, default=str))


if __name__ == "__main__":
    main()
