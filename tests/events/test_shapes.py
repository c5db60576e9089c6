"""Zones and lines: what they hold, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.errors import UsageError
from edgevision.events.shapes import Anchor, Line, Zone, inside

SQUARE = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
FRAME = (400, 200)


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def test_feet_decide_where_a_box_is():
    zone = Zone("yard", SQUARE)
    # Feet inside, head outside; and the other way round.
    np.testing.assert_array_equal(zone.holds(boxes((180, 10, 220, 120), (180, 60, 220, 170)), FRAME), [True, False])


def test_centre_and_overlap_decide_otherwise():
    tall = boxes((180, 10, 220, 170))
    assert Zone("yard", SQUARE, anchor=Anchor.CENTRE).holds(tall, FRAME).all()
    half = boxes((250, 60, 350, 140))
    assert Zone("yard", SQUARE, anchor=Anchor.OVERLAP, min_overlap=0.45).holds(half, FRAME).all()
    assert not Zone("yard", SQUARE, anchor=Anchor.OVERLAP, min_overlap=0.55).holds(half, FRAME).any()


def test_a_zone_stays_right_at_another_resolution():
    zone = Zone("yard", SQUARE)
    box = boxes((180, 10, 220, 120))
    assert zone.holds(box, FRAME) == zone.holds(box * 3, (1200, 600))


def test_a_concave_zone_leaves_its_notch_out():
    notched = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.5, 0.3), (0.1, 0.9))
    points = np.array([[0.5, 0.2], [0.5, 0.6], [0.2, 0.6]])
    np.testing.assert_array_equal(inside(points, notched), [True, False, True])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)), min_size=1, max_size=20),
    st.integers(0, 3),
)
def test_inside_agrees_with_opencv(points, turn):
    import cv2

    polygon = np.roll(np.array([(0.1, 0.2), (0.8, 0.1), (0.9, 0.7), (0.4, 0.9)], np.float32), turn, 0)
    mine = inside(np.array(points), [tuple(p) for p in polygon.tolist()])
    for point, answer in zip(points, mine, strict=True):
        distance = cv2.pointPolygonTest(polygon, point, True)
        assert abs(distance) < 1e-5 or (distance > 0) == answer


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        (((0, 0), (1, 1)), "expected 3 to 200 corners, got 2"),
        ((), "expected 3 to 200 corners, got 0"),
        (((0, 0), (1, 1), (1, 0), (0, 1)), "its edges cross each other"),
        (((0, 0), (0.5, 0.5), (1, 1)), "its corners lie on one line"),
        (((0, 0), (1.2, 0), (1, 1)), r"from 0 to 1 in shares of the frame, got \(1.2, 0\)"),
        (((0, 0), (float("nan"), 0), (1, 1)), "from 0 to 1"),
        (((100, 100), (200, 100), (200, 200)), "from 0 to 1"),
    ],
)
def test_a_zone_that_is_no_area_is_refused(polygon, message):
    with pytest.raises(UsageError, match=f"zone 'yard': .*{message}"):
        Zone("yard", polygon)


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "\x1b[31m", "x" * 65])
def test_a_name_that_cannot_be_a_topic_is_refused(name):
    with pytest.raises(UsageError, match="expected a name"):
        Zone(name, SQUARE)


@pytest.mark.parametrize("options", [{"enter_s": -1}, {"leave_s": float("nan")}, {"stay_s": 1e9}, {"min_overlap": 2}])
def test_times_and_shares_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match="expected 0 to"):
        Zone("yard", SQUARE, **options)


def test_the_right_of_a_line_is_positive_and_places_run_along_it():
    line = Line("door", (0.5, 1.0), (0.5, 0.0))  # walking up the picture
    distances, places = line.distances(np.array([[0.7, 0.5], [0.2, 0.25], [0.5, 2.0]]))
    np.testing.assert_allclose(distances, [0.2, -0.3, 0.0], atol=1e-12)
    np.testing.assert_allclose(places, [0.5, 0.75, -1.0])


def test_a_line_without_length_or_with_overlap_is_refused():
    with pytest.raises(UsageError, match="two different ends"):
        Line("door", (0.5, 0.5), (0.5, 0.5))
    with pytest.raises(UsageError, match="feet or centre"):
        Line("door", (0, 0), (1, 1), anchor=Anchor.OVERLAP)
