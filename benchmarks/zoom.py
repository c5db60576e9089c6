"""What further looks find in a 1080p frame, and what they cost: recall by size, false boxes, live fps and age.

    python benchmarks/zoom.py [--quick] [--out FILE.json]

Frames of 1920×1080 px, each six views of the built-in scene at 640×540 px side by side, so that people are 15 to 320
px tall and every box is known. Exits with 1 where the recall of small people is not 1.8 times that of one look, or the
live loop with ``--zoom auto`` falls under 30 fps or an age of 100 ms at p95.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import edgevision as ev
from edgevision.capture.scenery.world import World
from edgevision.cli.console import SWITCH_S
from edgevision.detectors.boxes import iou
from edgevision.detectors.registry import load_detector
from edgevision.detectors.zoom import Zoom
from edgevision.interfaces import ContextManaged, Detector
from edgevision.pipeline.memory import keep_freed_memory
from edgevision.types import Frame, SourceInfo

SIZE_WH, VIEW_WH, FPS = (1920, 1080), (640, 540), 30.0
PLACES = ("street", "hall", "street", "hall", "street", "office")
SIZES_PX = ((16, 48), (48, 96), (96, 400))
SMALL_PX = (16, 96)
"""Up to 16 px at the network's input, where one look of 320 px finds next to nothing."""


def scene_frames(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(pixels, true boxes) of ``count`` frames, 1/15 s apart."""
    worlds = [World(60 + k, 5, VIEW_WH, place) for k, place in enumerate(PLACES)]
    frames = []
    for index in range(0, 2 * count, 2):
        pixels = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
        boxes = []
        for k, world in enumerate(worlds):
            view, truth = world.draw(index)
            x, y = k % 3 * VIEW_WH[0], k // 3 * VIEW_WH[1]
            pixels[y : y + VIEW_WH[1], x : x + VIEW_WH[0]] = view
            boxes.append(truth.boxes + np.array([x, y, x, y], np.float32))
        frames.append((pixels, np.concatenate(boxes)))
    return frames


@dataclass
class Found:
    """What a detector found of the people of each size."""

    people: dict[tuple[int, int], int] = field(default_factory=lambda: dict.fromkeys(SIZES_PX, 0))
    hits: dict[tuple[int, int], int] = field(default_factory=lambda: dict.fromkeys(SIZES_PX, 0))
    frames: int = 0
    looks: int = 0
    false_boxes: int = 0
    cpu_s: float = 0.0

    def recall(self, low: int, high: int) -> float:
        inside = [size for size in SIZES_PX if low <= size[0] and size[1] <= high]
        return sum(self.hits[s] for s in inside) / max(1, sum(self.people[s] for s in inside))

    def row(self, name: str) -> dict[str, Any]:
        return {
            "detector": name,
            **{f"recall {low}-{high} px": round(self.recall(low, high), 3) for low, high in SIZES_PX},
            "recall small": round(self.recall(*SMALL_PX), 3),
            "false boxes a frame": round(self.false_boxes / self.frames, 2),
            "looks": round(self.looks / self.frames, 2),
            "cpu ms": round(self.cpu_s / self.frames * 1e3, 1),
        }


def measure(detector: Detector, score: float, frames: list[tuple[np.ndarray, np.ndarray]]) -> Found:
    found = Found()
    for pixels, truth in frames:
        began = time.process_time()
        seen = detector.detect(pixels)
        found.cpu_s += time.process_time() - began
        found.frames, found.looks = found.frames + 1, found.looks + seen.looks
        boxes = seen.boxes[seen.scores >= score]
        overlap = iou(truth, boxes) if len(boxes) else np.zeros((len(truth), 1), np.float32)
        found.false_boxes += int((overlap.max(0) < 0.3).sum()) if len(boxes) else 0
        longer = np.maximum(truth[:, 2] - truth[:, 0], truth[:, 3] - truth[:, 1])
        for low, high in SIZES_PX:
            at = (longer >= low) & (longer < high)
            found.people[low, high] += int(at.sum())
            found.hits[low, high] += int((overlap[at].max(1) >= 0.5).sum()) if at.any() else 0
    return found


class Recorded(ContextManaged):
    """Drawn frames as a live camera: drawing them anew would take more than a core."""

    trouble = None

    def __init__(self, frames: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self.info = SourceInfo("recorded 1080p scene", *SIZE_WH, FPS, True)
        self._frames, self._index, self._began_ns = frames, 0, time.monotonic_ns()
        self._closing = threading.Event()

    def read(self) -> Frame | None:
        due_ns = self._began_ns + round(self._index * 1e9 / FPS)
        self._closing.wait(max(0, due_ns - time.monotonic_ns()) / 1e9)
        if self._closing.is_set():
            return None
        newest = max(self._index, round((time.monotonic_ns() - self._began_ns) * FPS / 1e9))
        self._index = newest + 1
        pixels = self._frames[newest % len(self._frames)][0].copy()
        return Frame(pixels, newest, self._began_ns + round(newest * 1e9 / FPS), self.info)

    def close(self) -> None:
        self._closing.set()


def live(frames: list[tuple[np.ndarray, np.ndarray]], zoom: Zoom | None, seconds: float) -> dict[str, Any]:
    detector = load_detector("person", threads=1)
    served: Detector = detector if zoom is None else zoom(detector)
    looks = []
    with Recorded(frames) as source:
        pipeline = ev.Pipeline(source, served)
        end = time.monotonic() + seconds
        for result in pipeline.results():
            looks.append(result.looks)
            if time.monotonic() > end:
                break
    summary = pipeline.summary()
    return {
        "fps": round(summary.fps, 2),
        "age p95 ms": round(summary.age.p95, 1),
        "looks": round(float(np.mean(looks)), 2),
        "dropped": summary.dropped,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer frames, under 50 s")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_S)
    cv2.setNumThreads(1)
    keep_freed_memory()
    frames = scene_frames(24 if options.quick else 90)
    ways: dict[str, Callable[[Any], Detector]] = {"one look": lambda base: base}
    ways |= {f"--zoom {n}": Zoom(n) for n in ((4,) if options.quick else (2, 4, 6))}
    ways["--zoom 8, tiles"] = Zoom(8, tiled=True)
    rows = []
    for name, way in ways.items():
        base = load_detector("person", threads=1)
        rows.append(measure(way(base), base.shown_score, frames).row(name))
        print(rows[-1])
    seconds = 5.0 if options.quick else 20.0
    plain, zoomed = live(frames, None, seconds), live(frames, Zoom(period_ms=1e3 / FPS), seconds)
    print("live, one look:", plain, "\nlive, --zoom auto:", zoomed)
    once = rows[0]["recall small"]
    four = next(row["recall small"] for row in rows if row["detector"] == "--zoom 4")
    fits = zoomed["fps"] >= 0.99 * FPS and zoomed["age p95 ms"] <= 100
    print(f"small people: {once:.3f} → {four:.3f} with --zoom 4 (at least 1.8 times)")
    if options.out:
        report = {"date": date.today().isoformat(), "rows": rows, "live": {"one look": plain, "auto": zoomed}}
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if four >= 1.8 * once and fits else 1


if __name__ == "__main__":
    sys.exit(main())
