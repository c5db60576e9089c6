"""Screen to result: a synthetic camera films the page, later by a time that is known."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgevision.bench.glass_to_glass import Flash, Seen, glass_words, latencies_ms, measure_glass, page_words
from edgevision.bench.records import Glass
from edgevision.cli.bench_glass import _why_no_window, flasher
from edgevision.errors import EdgeVisionError, SinkError, SourceLost
from edgevision.interfaces import ContextManaged
from edgevision.types import Frame, SourceInfo
from tests.support.models import IndexDetector, ListSource, numbered_pictures

P = 48


def filmed(delay_s, fps, *, flashes=40, seed=0, loop_s=0.0, contrast=120.0, noise=3.0, jitter=0.0):
    """What a camera sees of a flashing screen, in numbers: (flashes, seen). A tenth of the picture is the screen."""
    rng = np.random.default_rng(seed)
    at, shown, light = 1.0, [], False
    for _ in range(flashes + 1):
        shown.append(Flash(round(at * 1e9), light))
        at += rng.uniform(0.3, 0.8)
        light = not light
    exposed = np.arange(0.0, at + 2, 1 / fps) + rng.uniform(0, 1 / fps)
    times = np.array([f.at_ns / 1e9 for f in shown])
    state = np.array([0, *(int(f.light) for f in shown)])[np.searchsorted(times, exposed - delay_s, side="right")]
    pixels = 60 + rng.normal(0, noise, (len(exposed), P))
    pixels[:, :5] += contrast * state[:, None]
    # Other things move as well.
    pixels[:, 20:30] += 40 * np.sin(exposed * 3)[:, None]
    published = exposed + loop_s + rng.uniform(0, jitter, len(exposed)) if jitter else exposed + loop_s
    return shown, Seen((published * 1e9).astype(np.int64), np.clip(pixels, 0, 255))


@pytest.mark.parametrize("fps", [15, 30, 60])
@pytest.mark.parametrize("delay_s", [0.0, 0.04, 0.25, 0.9, 2.5])
def test_the_delay_that_is_measured_is_the_one_there_is_within_a_frame(fps, delay_s):
    """Also where it is longer than the time between two flashes: the code tells them apart."""
    found, missed = latencies_ms(*filmed(delay_s, fps, loop_s=0.02))
    assert missed <= 1
    extra = np.array(found) - (delay_s + 0.02) * 1000
    assert extra.min() >= -0.01
    assert extra.max() <= 1000 / fps + 0.01
    # A flash falls anywhere between two frames: half of one is waited for on average.
    assert np.median(extra) == pytest.approx(500 / fps, abs=350 / fps)


def test_late_results_are_seen_late():
    found, _ = latencies_ms(*filmed(0.1, 30, jitter=0.06))
    assert min(found) >= 100
    assert max(found) > 150


def test_a_weak_screen_in_a_busy_picture_is_found():
    found, missed = latencies_ms(*filmed(0.1, 30, contrast=14.0, noise=5.0))
    assert missed <= 3
    assert np.median(found) == pytest.approx(100 + 500 / 30, abs=17)


def test_flashes_that_nobody_saw_are_counted():
    shown, seen = filmed(0.1, 30)
    hidden = (seen.published_ns > 5e9) & (seen.published_ns < 8e9)
    brightness = seen.brightness.copy()
    brightness[hidden] = 60.0
    found, missed = latencies_ms(shown, Seen(seen.published_ns, brightness))
    assert 3 <= missed <= 8
    assert len(found) + missed == 40


@pytest.mark.parametrize("seed", range(3))
def test_a_camera_that_looks_elsewhere_is_told(seed):
    shown, seen = filmed(0.1, 30, contrast=0.0, seed=seed)
    with pytest.raises(EdgeVisionError, match="does not see the screen flash"):
        latencies_ms(shown, seen)


class Page:
    """A sink that remembers when what was shown."""

    wants_picture = True

    def __init__(self):
        self.shown = []

    def publish(self, result, picture, status):
        self.shown.append((time.monotonic_ns(), picture))

    def notice(self, status): ...

    def close(self): ...


class FilmingCamera(ContextManaged):
    """Films a `Page` that stands in a corner of its picture, ``delay_s`` after it showed it."""

    trouble = None

    def __init__(self, page, delay_s, fps):
        self.info = SourceInfo("filming", 160, 90, fps, True)
        self.page, self.delay_ns, self.period_s = page, round(delay_s * 1e9), 1 / fps
        self.index = 0
        self.closed = threading.Event()

    def read(self):
        if self.closed.wait(self.period_s):
            return None
        seen_ns = time.monotonic_ns() - self.delay_ns
        pixels = np.full((90, 160, 3), 70, np.uint8)
        then = [picture for at_ns, picture in self.page.shown if at_ns <= seen_ns]
        if then:
            pixels[20:60, 90:150] = then[-1][0, 0]
        self.index += 1
        return Frame(pixels, self.index - 1, seen_ns, self.info)

    def close(self):
        self.closed.set()


def test_a_real_loop_films_the_page():
    """Through the pipeline, with real threads. A frame is 100 ms here, so that a busy machine does not decide."""
    page = Page()
    with FilmingCamera(page, 0.3, 10) as camera:
        found, missed = measure_glass(camera, IndexDetector(), flasher(page), flashes=8)
    assert missed <= 2
    assert 299 <= np.median(found) <= 300 + 100 + 60


def test_a_camera_that_ends_is_told():
    with pytest.raises(SourceLost, match="expected a camera that sees each flash"):
        measure_glass(
            ListSource(numbered_pictures(5), live=True), IndexDetector(), lambda light: None, flashes=4,
            wait=lambda seconds: None,
        )  # fmt: skip


def test_of_a_page_it_is_said_what_is_in_it():
    page = Glass(contender="x", shown_by="a page", latencies_ms=(80, 100), flashes=2, seen=2, answers_ms=(10, 20, 30))
    assert "timed from when the server told it" in page_words(page)
    assert "drawn after 20.0 ms at p50, 29.0 at p95" in page_words(page)
    assert "What the panel took is not" in page_words(page)
    assert "answered" not in page_words(page.model_copy(update={"answers_ms": ()}))
    assert page_words(page.model_copy(update={"shown_by": "a window", "answers_ms": ()})) == ""


def test_where_no_window_can_be_a_page_flashes(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert _why_no_window("browser") == ""
    assert "; " in (_why_no_window("auto") or "")
    with pytest.raises(SinkError, match="give --display browser to flash a page"):
        _why_no_window("window")


def test_in_words():
    glass = Glass(contender="x", shown_by="a window", latencies_ms=(80, 100, 140), flashes=4, seen=3, camera_fps=30)
    assert glass_words(glass) == (
        "screen to result 100 ms at p50, 136 at p95, 140 at most, 3 of 4 flashes seen, shown by a window, "
        "camera at 30 fps"
    )
    assert "none of 4" in glass_words(Glass(contender="x", shown_by="a window", latencies_ms=(), flashes=4, seen=0))
