"""From screen to result: flash the screen, see it through the camera, and time the result that shows it.

The flashes are a code: light and dark for times drawn at random, so that a late flash is not taken for the next one,
whatever the latency. Which part of the picture the screen is in is found from the same code: those pixels follow it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.bench.formatting import digits
from edgevision.bench.records import Glass
from edgevision.errors import EdgeVisionError, SourceLost
from edgevision.interfaces import Detector, Source
from edgevision.pipeline.loop import Pipeline
from edgevision.types import Result

THUMB_WH = (32, 18)
HOLD_S = (0.3, 0.8)
"""Shortest and longest time a state is held. Longer than two frames of the slowest camera that is of use."""
LONGEST_S = 4.0
"""Later than this a flash counts as not seen."""
_LAG_STEP_S = 0.005
_LEAST_MATCH = 0.5
"""Correlation of the screen's pixels with the code. Auto-exposure and reflections lower it; chance stays below 0.35."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the loop saw: when each result was published, and its frame as a thumbnail of grey, (N,) ns and (N, P)."""

    published_ns: NDArray[np.int64]
    brightness: FloatArray


@dataclass(frozen=True, slots=True)
class Flash:
    """The screen was made light or dark."""

    at_ns: int
    light: bool


def measure_glass(
    source: Source,
    detector: Detector,
    show: Callable[[bool], None],
    *,
    flashes: int = 40,
    seed: int = 0,
    clock: Callable[[], int] = time.monotonic_ns,
    wait: Callable[[float], object] = time.sleep,
) -> tuple[list[float], int]:
    """(latency of each flash that was seen, in ms, flashes seen by nobody).

    ``show`` makes the screen light or dark and returns once the picture is handed to it, or to the server that a page
    hears it from: what the screen itself takes, and the way to the page, are part of the latency. It is called in this
    thread; the loop runs in another. Raises `EdgeVisionError` where the camera does not see the screen, and what the
    loop raises.
    """
    rows: list[tuple[int, NDArray[np.uint8]]] = []
    pipeline = Pipeline(source, detector, clock=clock)
    failure: list[BaseException] = []

    def look(result: Result) -> None:
        now = clock()
        grey = cv2.cvtColor(result.frame.pixels, cv2.COLOR_BGR2GRAY)
        rows.append((now, np.asarray(cv2.resize(grey, THUMB_WH, interpolation=cv2.INTER_AREA), np.uint8)))

    def work() -> None:
        try:
            for result in pipeline.results():
                look(result)
        except BaseException as exc:
            failure.append(exc)

    thread = threading.Thread(target=work, name="bench-glass", daemon=True)
    thread.start()
    shown: list[Flash] = []
    rng = np.random.default_rng(seed)
    try:
        light = False
        for _ in range(flashes + 1):
            show(light)
            shown.append(Flash(clock(), light))
            wait(float(rng.uniform(*HOLD_S)))
            light = not light
            if failure:
                raise failure[0]
        wait(min(LONGEST_S, 1.0))
    finally:
        pipeline.controls.quit()
        thread.join(10)
    if failure:
        raise failure[0]
    if len(rows) < 2 * flashes:
        raise SourceLost(f"expected a camera that sees each flash, got {len(rows)} frames for {flashes} flashes")
    seen = Seen(np.array([t for t, _ in rows], np.int64), np.array([g.ravel() for _, g in rows], np.float64))
    return latencies_ms(shown, seen)


def latencies_ms(shown: Sequence[Flash], seen: Seen) -> tuple[list[float], int]:
    """From each flash to the first result that shows it, in ms; and how many were not seen.

    Raises `EdgeVisionError` where no part of the picture follows the code.
    """
    lag_s, follows = _alignment(shown, seen)
    signal = seen.brightness[:, follows].mean(1)
    expected = _states(shown, seen.published_ns, lag_s)
    threshold = (signal[expected > 0].mean() + signal[expected < 0].mean()) / 2
    light = signal > threshold
    found: list[float] = []
    for before, flash in pairwise(shown):
        later = np.flatnonzero(seen.published_ns > flash.at_ns)
        # The change belongs to this flash if it comes about when the code says, not half a hold from there.
        slack_ns = (HOLD_S[0] / 2 + 0.1) * 1e9
        due_ns = flash.at_ns + lag_s * 1e9
        for i in later:
            if seen.published_ns[i] > due_ns + slack_ns:
                break
            changed = bool(light[i]) == flash.light and (i == 0 or bool(light[i - 1]) == before.light)
            if changed and seen.published_ns[i] >= due_ns - slack_ns:
                found.append(float(seen.published_ns[i] - flash.at_ns) / 1e6)
                break
    return found, len(shown) - 1 - len(found)


def _states(shown: Sequence[Flash], at_ns: NDArray[np.int64], lag_s: float) -> FloatArray:
    """+1 where the screen was light ``lag_s`` before, -1 where it was dark, 0 before the first flash."""
    times = np.array([f.at_ns for f in shown], np.int64)
    states = np.array([0.0, *(1.0 if f.light else -1.0 for f in shown)])
    return np.asarray(states[np.searchsorted(times, at_ns - round(lag_s * 1e9), side="right")], np.float64)


def _alignment(shown: Sequence[Flash], seen: Seen) -> tuple[float, NDArray[np.bool_]]:
    """The lag at which some pixels follow the code best, and which pixels those are."""
    pixels = seen.brightness - seen.brightness.mean(0)
    norm = np.sqrt((pixels**2).sum(0))
    pixels = pixels / np.maximum(norm, 1e-9)
    lags = np.arange(0.0, LONGEST_S, _LAG_STEP_S)
    codes = np.array([_states(shown, seen.published_ns, lag) for lag in lags])
    codes -= codes.mean(1, keepdims=True)
    codes /= np.maximum(np.sqrt((codes**2).sum(1, keepdims=True)), 1e-9)
    match = codes @ pixels
    # The best hundredth of the picture, a pixel or two of the thumbnail at least: a screen may be far away.
    best = np.sort(match, axis=1)[:, -max(2, pixels.shape[1] // 100) :].mean(1)
    # Between two frames many lags fit alike: their middle.
    top = np.flatnonzero(best >= best.max() - 1e-9)
    k = int(top[len(top) // 2])
    if not best[k] >= _LEAST_MATCH:
        raise EdgeVisionError(
            f"the camera does not see the screen flash (best match {best[k]:.2f} of 1): point it at the screen, "
            "nearer and without glare"
        )
    return float(lags[k]), np.asarray(match[k] >= best[k] * 0.8, np.bool_)


def glass_words(glass: Glass) -> str:
    """The distribution in a sentence."""
    if not glass.latencies_ms:
        return f"screen to result: none of {glass.flashes} flashes was seen"
    p50, p95, longest = np.percentile(glass.latencies_ms, [50, 95, 100])
    rate = f", camera at {glass.camera_fps:g} fps" if glass.camera_fps else ""
    return (
        f"screen to result {digits(p50)} ms at p50, {digits(p95)} at p95, {digits(longest)} at most, "
        f"{glass.seen} of {glass.flashes} flashes seen, shown by {glass.shown_by}{rate}"
    )


def page_words(glass: Glass) -> str:
    """What is in the latencies of a page, beside how soon it answered; empty where a window was flashed."""
    if not glass.shown_by.startswith("a page"):
        return ""
    said = (
        "The page was timed from when the server told it to be light or dark: the way to the browser, its drawing, the "
        "screen, the camera and the loop are all in screen to result."
    )
    if not glass.answers_ms:
        return said
    p50, p95 = np.percentile(glass.answers_ms, [50, 95])
    return (
        f"{said} It answered that a state was drawn after {digits(p50)} ms at p50, {digits(p95)} at p95: the "
        "most that the way there and the drawing took, for the wait for the browser's next frame and the way back are "
        "in it too. What the panel took is not: no page can know."
    )
