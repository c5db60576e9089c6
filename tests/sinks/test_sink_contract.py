"""The contract of `edgevision.interfaces.Sink`, that every sink keeps."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgevision.errors import UsageError
from edgevision.interfaces import Controls, Sink
from edgevision.sinks import SINKS, open_sink
from edgevision.sinks.browser import BrowserSink
from edgevision.sinks.render import Renderer
from edgevision.types import Status
from tests.support.display import LOST, PAUSED, RUNNING, pixels_of, result_of, show

STATES = (RUNNING, PAUSED, LOST, Status("starting"), Status("ended", "the file is at its end"))


@dataclass
class Made:
    """A sink, and what must be true of it."""

    sink: Sink
    pictures: bool | None
    """Whether it wants pictures; None where it depends on the moment."""


KINDS = ["none", "json", "json to a pipe", "video", "browser", "browser watched"]
if os.environ.get("EDGEVISION_TEST_WINDOW"):
    # In a process of its own, that tests/sinks/test_window.py starts: Qt ends the process whose display goes away.
    KINDS = ["window"]


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    kind = request.param
    ends: list[Callable[[], None]] = []
    if kind == "none":
        made = Made(open_sink("none"), False)
    elif kind == "json":
        made = Made(open_sink("json", tmp_path / "out.jsonl"), False)
    elif kind == "json to a pipe":
        read, write = os.pipe()
        reader = threading.Thread(target=lambda: [None for _ in os.fdopen(read)])
        reader.start()
        made = Made(open_sink("json", f"/dev/fd/{write}"), False)
        ends = [lambda: os.close(write), lambda: reader.join(5)]
    elif kind == "video":
        made = Made(open_sink("video", tmp_path / "out.mp4"), True)
    elif kind == "browser":
        made = Made(open_sink("browser"), False)
    elif kind == "browser watched":
        sink = BrowserSink(now_s=iter(range(10**9)).__next__)
        watching = sink.watching()
        watching.__enter__()
        made = Made(sink, True)
        ends = [lambda: watching.__exit__(None, None, None)]
    else:
        made = Made(open_sink("window", Controls(), probe=False), None)
    try:
        yield made
    finally:
        made.sink.close()
        for end in ends:
            end()


def test_says_whether_it_wants_pictures(made):
    for index in range(3):
        assert isinstance(made.sink.wants_picture, bool)
        if made.pictures is not None:
            assert made.sink.wants_picture is made.pictures
        show(made.sink, result_of(index))


@pytest.mark.parametrize("live", [True, False])
def test_takes_results_with_and_without_a_picture(made, live):
    renderer = Renderer()
    for index in range(6):
        result = result_of(index, live=live)
        made.sink.publish(result, renderer.draw(result, RUNNING) if index % 2 else None, RUNNING)


def test_changes_nothing_it_is_given(made):
    result = result_of(0)
    picture = Renderer().draw(result, RUNNING)
    pixels, drawn, boxes = result.frame.pixels.copy(), picture.copy(), result.detections.boxes.copy()
    for _ in range(3):
        made.sink.publish(result, picture, RUNNING)
        for status in STATES:
            made.sink.notice(status)
    made.sink.close()
    assert np.array_equal(result.frame.pixels, pixels)
    assert np.array_equal(picture, drawn)
    assert np.array_equal(result.detections.boxes, boxes)
    assert not picture.flags.writeable


def test_keeps_no_more_than_the_newest(made):
    """Whatever a sink holds on to (the newest picture, a few on their way to a file) is bounded."""
    held = []
    renderer = Renderer()
    for index in range(40):
        result = result_of(index, pixels=pixels_of(index, 64, 48))
        picture = renderer.draw(result, RUNNING)
        made.sink.publish(result, picture, RUNNING)
        held += [weakref.ref(picture), weakref.ref(result.frame.pixels)]
    del picture, result
    assert sum(ref() is not None for ref in held) <= 8


def test_no_detections(made):
    show(made.sink, result_of(0, []))


def test_size_may_change_on_the_way(made):
    for index, (width, height) in enumerate([(320, 180), (641, 361), (180, 320), (33, 17), (320, 180)]):
        show(made.sink, result_of(index, [(1, 1, 15, 15)], pixels=pixels_of(index, width, height)))
        made.sink.notice(LOST)


def test_notice_at_any_time(made):
    for status in STATES:
        made.sink.notice(status)
    show(made.sink, result_of(0))
    for status in (*STATES, LOST, LOST, PAUSED, RUNNING):
        made.sink.notice(status)
    show(made.sink, result_of(1))


def test_close_twice_is_once(made):
    show(made.sink, result_of(0))
    made.sink.close()
    made.sink.close()


def test_close_without_a_frame(made):
    made.sink.close()


def test_what_comes_after_close_is_left_alone(made):
    show(made.sink, result_of(0))
    made.sink.close()
    show(made.sink, result_of(1))
    made.sink.notice(LOST)


def test_table_names_every_file_that_is_a_sink():
    import edgevision.sinks as package

    named = {kind.place.partition(":")[0].rpartition(".")[2] for kind in SINKS.values()}
    files = {path.stem for path in Path(package.__file__).parent.glob("*.py")}
    assert files - named == {"__init__", "outlines", "render", "snapshot", "video_encoder"}


def test_unknown_sink_says_which_there_are():
    with pytest.raises(UsageError, match=r"window, browser, video, json, none, got 'vidoe'"):
        open_sink("vidoe")


def test_table_imports_lazily():
    import subprocess

    code = (
        "import sys, edgevision.sinks as p\n"
        "p.open_sink('none')\n"
        "loaded = {'cv2', 'av', 'aiohttp'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
