"""Sources that contenders take turns on."""

from __future__ import annotations

import pytest

from edgevision.bench.clips import SCENE, TurnSource, check_distinct, describe_clip
from edgevision.errors import UsageError
from tests.support.models import FakeClock, ListSource, numbered_pictures
from tests.support.video import film
from tests.support.yolo import image


def test_turns_go_on_and_a_file_begins_anew(tmp_path):
    clip = film(tmp_path / "a.mp4", 7)
    with TurnSource(str(clip)) as turns:
        seen = []
        for _ in range(4):
            turns.begin_turn(60, 3)
            seen.append([f.index for f in iter(turns.read, None)])
            turns.finish_turn()
    assert seen == [[0, 1, 2], [3, 4, 5], [6], [0, 1, 2]]


def test_a_turn_ends_at_its_deadline():
    clock = FakeClock()
    turns = TurnSource("list", clock=clock, source=ListSource(numbered_pictures(9)))
    turns.begin_turn(1.0)
    assert turns.read().index == 0
    clock.advance_ms(1001)
    assert turns.read() is None
    turns.begin_turn(1.0)
    assert turns.read().index == 1
    turns.end_turn()
    assert turns.read() is None


def test_a_shared_device_is_given_back_between_turns():
    with TurnSource("scene://?people=0&size=64x64&fps=500", shared=True) as turns:
        first = turns._open()
        turns.begin_turn(5, 2)
        assert len(list(iter(turns.read, None))) == 2
        turns.finish_turn()
        assert turns._open() is not first


def test_the_same_source_twice_is_refused():
    clip = describe_clip(SCENE)
    assert clip.kind == "scene"
    assert clip.shown == "live scene"
    with pytest.raises(UsageError, match="expected each source once"):
        check_distinct([clip, clip])


def test_images_are_known_by_their_contents(tmp_path):
    image(tmp_path / "a.png")
    image(tmp_path / "b.png")
    before = describe_clip(str(tmp_path))
    assert (before.kind, before.frames) == ("images", 2)
    image(tmp_path / "b.png", 210)
    assert describe_clip(str(tmp_path)).sha256 != before.sha256
