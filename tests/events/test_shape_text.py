"""Zones and lines as they are typed."""

from __future__ import annotations

import pytest

from edgevision.errors import UsageError
from edgevision.events.shape_text import line_from_text, zone_from_text


def test_a_zone_and_a_line():
    zone = zone_from_text("front yard=0,0.5 1,0.5 1,1 0,1")
    assert (zone.name, zone.polygon) == ("front yard", ((0, 0.5), (1, 0.5), (1, 1), (0, 1)))
    line = line_from_text("door=0.5,1 0.5,0")
    assert (line.name, line.start, line.end) == ("door", (0.5, 1), (0.5, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,0 1,0 1,1", "expected a name and points"),
        ("yard", "expected a name and points"),
        ("yard=", "expected a name and points"),
        ("yard=0,0 1;0 1,1", "expected points x,y"),
        ("yard=0,0 1 1,1", "expected points x,y"),
        ("yard=0,0 1,1", "expected 3 to 200 corners"),
        ("=0,0 1,0 1,1", "expected a name"),
        ("yard=0,0 640,0 640,480", "shares of the frame"),
    ],
)
def test_what_is_no_zone_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        zone_from_text(text)


@pytest.mark.parametrize("text", ["door=0.5,1", "door=0,0 1,1 0,1", "door"])
def test_what_is_no_line_is_refused(text):
    with pytest.raises(UsageError, match="--line"):
        line_from_text(text)
