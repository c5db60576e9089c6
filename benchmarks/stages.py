"""What drawing and tracking cost a frame, in processor time: medians, printed with what they should be.

python benchmarks/stages.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from edgevision.capture.scene import SceneSource
from edgevision.sinks.render import Renderer
from edgevision.tracking.bytetrack import ByteTracker
from edgevision.types import Detections, Result, StageTimes, Status


def median_ms(work: Callable[[int], object], times: int = 200) -> float:
    """Median processor time of ``work(k)``, first tenth left out."""
    spent = []
    for k in range(times):
        began = time.thread_time_ns()
        work(k)
        spent.append(time.thread_time_ns() - began)
    return statistics.median(spent[times // 10 :]) / 1e6


def walkers(count: int, k: int) -> Detections:
    """``count`` boxes that move 2 px a frame."""
    x = 40.0 * np.arange(count) + 2 * k
    boxes = np.column_stack([x, np.full(count, 50), x + 30, np.full(count, 150)]).astype(np.float32)
    return Detections(boxes, np.full(count, 0.9, np.float32), np.zeros(count, np.int64))


def tracking_ms(count: int) -> float:
    tracker = ByteTracker()
    return median_ms(lambda k: tracker.update(walkers(count, k), k * 33_333_333))


def main() -> None:
    with SceneSource(live=False) as scene:
        frame = scene.read()
    assert frame is not None
    renderer, found = Renderer(), walkers(5, 0)
    result = Result(frame, found, StageTimes(), "model@1", ("person",))
    copy_ms = median_ms(lambda k: frame.pixels.copy())
    draw_ms = median_ms(lambda k: renderer.draw(result, Status("running", model="model@1", source="scene")))
    print(f"drawing 5 boxes at 720p, beyond the copy   {draw_ms - copy_ms:6.2f} ms   ≤ 0.6")
    print(f"tracking 10 objects                        {tracking_ms(10):6.2f} ms   ≤ 0.3")
    print(f"tracking 60 objects                        {tracking_ms(60):6.2f} ms   ≤ 1.5")


if __name__ == "__main__":
    main()
