"""What is held for browsers: nothing is drawn or encoded unless somebody watches, and only the newest is kept."""

from __future__ import annotations

import threading
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgevision.sinks.browser import BrowserSink
from edgevision.sinks.render import Renderer
from edgevision.types import Status
from tests.support.display import LOST, PAUSED, RUNNING, pixels_of, result_of, show


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sink(clock):
    return BrowserSink(now_s=clock)


def picture_in(encoded) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(encoded.data, np.uint8), cv2.IMREAD_COLOR)


def test_nobody_watches_nothing_is_drawn_or_encoded(sink, clock):
    for index in range(50):
        assert not sink.wants_picture
        show(sink, result_of(index))
        clock.now_s += 0.033
    assert sink.encodes == 0


def test_wanted_while_watched_and_shortly_after(sink, clock):
    with sink.watching():
        assert sink.wants_picture
    assert sink.wants_picture, "the client is being sent a picture and will be back for the next"
    clock.now_s += 0.3
    assert not sink.wants_picture, "it has not come back"


def test_one_encoding_a_picture_however_many_ask(sink):
    with sink.watching():
        show(sink, result_of(0))
        got: list[object] = []
        threads = [threading.Thread(target=lambda: got.append(sink.jpeg())) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sink.encodes == 1
    assert len({id(one) for one in got}) == 1
    assert np.abs(picture_in(got[0]).astype(int) - Renderer().draw(result_of(0), RUNNING)).mean() < 3


@pytest.mark.parametrize(
    ("live", "camera_fps", "per_s"), [(True, 30, 30), (True, 60, 60), (True, 240, 60), (False, 300, 30)]
)
def test_no_more_pictures_than_eyes_can_use(sink, clock, live, camera_fps, per_s):
    """With a jitter of 2 ms, which must not cost a camera of just that rate any frame."""
    jitter = np.random.default_rng(3).uniform(-0.002, 0.002, 10_000)
    drawn = 0
    with sink.watching():
        for index in range(camera_fps * 5):
            clock.now_s = 100 + index / camera_fps + jitter[index]
            drawn += sink.wants_picture
            show(sink, result_of(index, live=live))
    assert drawn == pytest.approx(per_s * 5, rel=0.03)


def test_who_comes_late_gets_the_newest_drawn_for_him(sink, clock):
    for index in range(9):
        show(sink, result_of(index))
        clock.now_s += 1
    first = sink.jpeg()
    assert np.abs(picture_in(first).astype(int) - Renderer().draw(result_of(8), RUNNING)).mean() < 3
    for index in range(9, 12):
        show(sink, result_of(index))
        clock.now_s += 1
    later = sink.jpeg()
    assert later.number > first.number
    assert np.abs(picture_in(later).astype(int) - Renderer().draw(result_of(11), RUNNING)).mean() < 3


def test_before_the_first_frame_there_is_a_picture_that_says_so(sink):
    picture = picture_in(sink.jpeg())
    assert picture.shape == (360, 640, 3)
    assert sink.snapshot() is None


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize(("status", "colour"), [(LOST, (70, 70, 245)), (PAUSED, (60, 190, 250))])
def test_what_stands_still_says_so_and_live_again_does_not(sink, clock, watched, status, colour):
    def has_banner() -> bool:
        picture = picture_in(sink.jpeg()).astype(int)
        return int((np.abs(picture - colour).max(axis=2) < 40).sum()) > 200

    if watched:
        with sink.watching():
            show(sink, result_of(0, [], pixels=pixels_of(0, 640, 360)))
    else:
        show(sink, result_of(0, [], pixels=pixels_of(0, 640, 360)))
    assert not has_banner()
    before = sink.number
    sink.notice(status)
    assert sink.number > before
    assert has_banner()
    clock.now_s += 1
    with sink.watching():
        show(sink, result_of(1, [], pixels=pixels_of(1, 640, 360)))
    assert not has_banner()


def test_told_twenty_times_a_second_it_is_drawn_twice(sink, clock):
    show(sink, result_of(0))
    began = sink.number
    for _ in range(60):
        sink.notice(LOST)
        clock.now_s += 0.05
    assert 5 <= sink.number - began <= 7
    began = sink.number
    for _ in range(60):
        sink.notice(PAUSED)
        clock.now_s += 0.05
    assert sink.number - began == 1


def test_listeners_hear_of_pictures_only(sink):
    heard = []
    stop = sink.listen(lambda: heard.append(1))
    show(sink, result_of(0))
    assert heard == []
    with sink.watching():
        show(sink, result_of(1))
    assert heard == [1]
    stop()
    sink.notice(LOST)
    assert heard == [1]


def test_a_loop_that_says_nothing_is_not_called_live(sink, clock):
    show(sink, result_of(0))
    assert sink.status()[0].state == "running"
    clock.now_s += 3.2
    status = sink.status()[0]
    assert status.state == "stalled"
    assert status.detail == "nothing new from the loop for 3 s"
    assert status.age_ms == pytest.approx(RUNNING.age_ms + 3200)
    sink.notice(RUNNING)
    assert sink.status()[0].state == "running"


def test_the_end_is_told_once_and_keeps_its_reason(sink):
    heard = []
    sink.listen(lambda: heard.append(sink.status()[0].state))
    show(sink, result_of(0))
    sink.notice(Status("ended", "the file is at its end"))
    sink.close()
    sink.close()
    assert heard == ["ended"]
    assert sink.status()[0].detail == "the file is at its end"
    assert sink.jpeg() is None


def test_large_pictures_are_made_smaller_but_snapshots_are_whole():
    sink = BrowserSink(longest_px=640)
    with sink.watching():
        show(sink, result_of(0, pixels=pixels_of(0, 1920, 1080)))
    assert picture_in(sink.jpeg()).shape == (360, 640, 3)
    data = np.frombuffer(sink.snapshot(), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (1080, 1920, 3)


def test_a_snapshot_while_paused_is_the_picture_and_not_the_word(sink):
    show(sink, result_of(0))
    sink.notice(PAUSED)
    picture = cv2.imdecode(np.frombuffer(sink.snapshot(), np.uint8), cv2.IMREAD_COLOR).astype(int)
    assert np.abs(picture[:150] - Renderer().draw(result_of(0), RUNNING)[:150]).mean() < 2


def test_only_the_newest_is_held(sink, clock):
    held = []
    with sink.watching():
        for index in range(20):
            result = result_of(index)
            picture = Renderer().draw(result, RUNNING)
            held += [weakref.ref(picture), weakref.ref(result.frame.pixels)]
            sink.publish(result, picture, replace(RUNNING, frames=index))
            sink.jpeg()
            clock.now_s += 0.05
    del picture, result
    assert [ref() is not None for ref in held] == [False] * 38 + [True] * 2
