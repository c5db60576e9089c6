"""Results to show, made of nothing, for the tests of what draws, writes and serves them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgevision.interfaces import Sink
from edgevision.sinks.render import Renderer
from edgevision.types import Detections, Frame, Result, SourceInfo, StageTimes, Status

CLASSES = ("person", "hard hat", "no hard hat")
RUNNING = Status("running", "", 29.8, 9.8, 14.2, 3, 1200, "person@1.0.0", "clip.mp4")
LOST = Status("lost", "the camera gives no frame", 0.0, 9.8, 3200.0, 3, 1200, "person@1.0.0", "clip.mp4")
PAUSED = Status("paused", "", 0.0, 9.8, 300.0, 3, 1200, "person@1.0.0", "clip.mp4")


def pixels_of(index: int, width_px: int = 320, height_px: int = 180) -> NDArray[np.uint8]:
    """Grey, with a white bar that moves with ``index``."""
    pixels = np.full((height_px, width_px, 3), 90, np.uint8)
    left = (index * 8) % max(1, width_px - 16)
    pixels[height_px // 2 : height_px // 2 + 16, left : left + 16] = 255
    return pixels


def result_of(
    index: int = 0,
    boxes: Sequence[Sequence[float]] = ((40, 40, 120, 150),),
    *,
    class_ids: Sequence[int] | None = None,
    tracked: bool = True,
    pixels: NDArray[np.uint8] | None = None,
    live: bool = True,
    fps: float | None = 30.0,
    captured_ns: int | None = None,
    name: str = "clip.mp4",
    classes: tuple[str, ...] = CLASSES,
) -> Result:
    """One result, with a frame of its own."""
    pixels = pixels_of(index) if pixels is None else pixels
    count = len(boxes)
    source = SourceInfo(name, pixels.shape[1], pixels.shape[0], fps, live)
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.93, 0.3, count).astype(np.float32),
        np.array(class_ids if class_ids is not None else np.arange(count) % len(classes), np.int64),
        np.arange(1, count + 1) if tracked else None,
    )
    at_ns = 10**12 + index * 33_333_333 if captured_ns is None else captured_ns
    return Result(Frame(pixels, index, at_ns, source), found, StageTimes(infer=9_800_000), "person@1.0.0", classes)


def show(sink: Sink, result: Result, status: Status = RUNNING, renderer: Renderer | None = None) -> None:
    """Publish as the loop does: drawn only if wanted."""
    picture = (renderer or Renderer()).draw(result, status) if sink.wants_picture else None
    sink.publish(result, picture, status)
