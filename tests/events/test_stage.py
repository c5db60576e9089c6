"""Events from followed boxes: each change once, whatever flickers."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.errors import UsageError
from edgevision.events.shapes import Line, Zone
from edgevision.events.stage import EventStage
from edgevision.types import Detections, EventPhase, Frame, Result, SourceInfo, StageTimes

SIZE = (200, 100)
RATE = 20
INFO = SourceInfo("gate", *SIZE, float(RATE), False)
RIGHT_HALF = Zone("right", ((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
MIDDLE = Line("middle", (0.5, 1.0), (0.5, 0.0))
PIXELS = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


def result(index, *objects, classes=("person", "car")):
    """``objects``: (track id, x of the feet in px, class id); 10 px wide, 20 tall, feet at y 80."""
    boxes = np.array([(x - 5, 60, x + 5, 80) for _, x, *_ in objects], np.float32).reshape(-1, 4)
    ids = np.array([o[2] if len(o) > 2 else 0 for o in objects], np.int64)
    found = Detections(boxes, np.full(len(objects), 0.9, np.float32), ids, np.array([o[0] for o in objects], np.int64))
    return Result(Frame(PIXELS, index, index, INFO), found, StageTimes(), "person@5", classes)


def run(stage, *frames):
    """(frame index, name, place, direction) of every event of a list of frames' objects."""
    heard = []
    for index, objects in enumerate(frames):
        heard += [(index, e.name, e.place, e.direction) for e in stage.update(result(index, *objects))]
    return heard


def walk(start, end, frames, track=1):
    return [[(track, x)] for x in np.linspace(start, end, frames)]


def test_entering_staying_and_leaving_are_one_event():
    stage = EventStage([Zone("right", RIGHT_HALF.polygon, stay_s=1.0)], objects=False)
    events = []
    frames = walk(20, 150, 20) + walk(150, 150, 30) + walk(150, 20, 40)
    for index, objects in enumerate(frames):
        events += stage.update(result(index, *objects))
    events = [e for e in events if e.phase is not EventPhase.UPDATE]
    assert [e.name for e in events] == ["enter", "stay", "leave"]
    assert len({e.id for e in events}) == 1
    assert all(e.began_ns == events[0].began_ns for e in events)
    assert events[2].duration_s > events[1].duration_s >= 1.0
    assert stage.entered["right", "person"] == 1


def test_a_box_that_flickers_over_the_edge_enters_once():
    stage = EventStage([RIGHT_HALF], objects=False)
    edge = [[(1, 97 if k % 2 else 103)] for k in range(40)]
    heard = run(stage, *walk(20, 97, 10), *edge, *walk(103, 160, 20))
    assert [h[1] for h in heard if h[1] != "update"] == ["enter"]


def test_an_object_unseen_for_some_frames_is_still_there():
    stage = EventStage([RIGHT_HALF])
    frames = [*walk(150, 150, 10), *[[] for _ in range(12)], *walk(150, 150, 10)]
    heard = run(stage, *frames)
    assert [h[1] for h in heard if h[1] != "update"] == ["enter", "appear"] or [
        h[1] for h in heard if h[1] != "update"
    ] == ["appear", "enter"]


def test_an_object_that_is_gone_leaves_and_disappears():
    stage = EventStage([RIGHT_HALF], gone_s=1.0)
    events = []
    for index, objects in enumerate([*walk(150, 150, 20), *[[] for _ in range(40)]]):
        events += stage.update(result(index, *objects))
    ends = [e for e in events if e.phase is EventPhase.END]
    assert [e.name for e in ends] == ["leave", "disappear"]
    assert all(e.moment_ns == 19 * 1_000_000_000 // RATE for e in ends), "when it was last there"
    assert stage.occupancy() == {"right": {}}


def test_a_false_alarm_of_two_frames_is_no_event():
    stage = EventStage([RIGHT_HALF])
    assert run(stage, *walk(150, 150, 2), *[[] for _ in range(60)]) == []


@pytest.mark.parametrize(("start", "end", "direction"), [(20, 180, "in"), (180, 20, "out")])
def test_a_line_is_crossed_once_and_in_its_direction(start, end, direction):
    stage = EventStage(lines=[MIDDLE], objects=False)
    heard = run(stage, *walk(start, end, 30))
    assert [(h[1], h[2], h[3]) for h in heard] == [("cross", "middle", direction)]
    assert stage.crossed["middle", "person", direction] == 1


def test_who_sways_on_the_line_does_not_cross_it():
    stage = EventStage(lines=[Line("middle", (0.5, 1), (0.5, 0), margin=0.03)], objects=False)
    sway = [[(1, 100 + 5 * np.sin(k))] for k in range(100)]
    assert run(stage, *walk(20, 95, 10), *sway, *walk(95, 20, 10)) == []


def test_a_fast_object_that_jumps_over_the_line_has_crossed():
    stage = EventStage(lines=[MIDDLE], objects=False)
    assert [h[3] for h in run(stage, [(1, 40)], [(1, 160)])] == ["in"]


def test_who_passes_beside_the_end_of_a_line_has_not_crossed_it():
    short = Line("middle", (0.5, 0.3), (0.5, 0.0))  # feet are at 0.8
    assert run(EventStage(lines=[short], objects=False), *walk(20, 180, 30)) == []


def test_only_the_classes_that_were_asked_for_count():
    zone = Zone("right", RIGHT_HALF.polygon, classes=("car",))
    stage = EventStage([zone], objects=False)
    frames = [[(1, 150, 0), (2, 160, 1)] for _ in range(20)]
    heard = run(stage, *frames)
    assert [h[1] for h in heard if h[1] != "update"] == ["enter"]
    assert stage.occupancy() == {"right": {"car": 1}}


def test_ids_differ_between_runs_and_events():
    ids = set()
    for run_id in ("a", "b"):
        stage = EventStage([RIGHT_HALF], run_id=run_id)
        for index in range(20):
            ids |= {e.id for e in stage.update(result(index, (1, 150), (2, 160)))}
    assert len(ids) == 8


def test_the_end_of_the_loop_ends_what_goes_on():
    stage = EventStage([RIGHT_HALF])
    run(stage, *walk(150, 150, 20))
    assert [e.name for e in stage.end()] == ["leave", "disappear"]
    assert stage.end() == ()


def test_the_best_image_is_the_large_one_and_a_copy():
    stage = EventStage()
    pixels = np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8)
    last = None
    for index, side in enumerate([10, 10, 10, 40, 40, 12, 12, 12, 12, 12]):
        box = np.array([[80, 80 - side, 80 + side, 80]], np.float32)
        found = Detections(box, np.full(1, 0.9, np.float32), np.zeros(1, np.int64), np.ones(1, np.int64))
        frame = Frame(pixels.copy(), index, index, INFO)
        for event in stage.update(Result(frame, found, StageTimes(), "m@1", ("person",))):
            last = event
    assert last is not None
    (end,) = stage.end()
    assert end.best is not None
    assert end.best.frame_index == 3
    assert end.best.pixels.base is None
    assert end.best.box[2] - end.best.box[0] == 40


def test_one_name_for_two_shapes_is_refused():
    with pytest.raises(UsageError, match="expected different names, got right twice"):
        EventStage([RIGHT_HALF], [Line("right", (0, 0), (1, 1))])


def test_memory_is_bounded_at_any_number_of_tracks():
    from edgevision.events.stage import MOST_TRACKS

    stage = EventStage([RIGHT_HALF], images=False)
    for index in range(5):
        objects = [(5000 * index + k, 150) for k in range(1500)]
        stage.update(result(index, *objects))
    assert len(stage._tracks) <= MOST_TRACKS


def test_detections_without_identities_are_no_events():
    stage = EventStage([RIGHT_HALF])
    found = Detections(np.array([[150, 60, 160, 80]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    for index in range(20):
        frame = Frame(PIXELS, index, index, INFO)
        assert stage.update(Result(frame, found, StageTimes(), "m@1", ("person",))) == ()


class TestParity:
    """With supervision's PolygonZone and LineZone, which many know."""

    sv = pytest.importorskip("supervision")

    def walkers(self):
        rng = np.random.default_rng(3)
        places = rng.uniform(0, 200, (30, 2))
        return [[(k + 1, float(a + (b - a) * s)) for k, (a, b) in enumerate(places)] for s in np.linspace(0, 1, 80)]

    def as_supervision(self, objects):
        r = result(0, *objects)
        return self.sv.Detections(
            xyxy=r.detections.boxes, class_id=r.detections.class_ids, tracker_id=r.detections.track_ids
        )

    def test_zone(self):
        polygon = np.array([(x * SIZE[0], y * SIZE[1]) for x, y in RIGHT_HALF.polygon]).astype(int)
        theirs = self.sv.PolygonZone(polygon, triggering_anchors=(self.sv.Position.BOTTOM_CENTER,))
        for objects in self.walkers():
            away = [o for o in objects if abs(o[1] - 100) > 2]  # on the very edge either answer is right
            mine = RIGHT_HALF.holds(result(0, *away).detections.boxes, SIZE)
            np.testing.assert_array_equal(mine, theirs.trigger(self.as_supervision(away)))

    def test_line(self):
        start, end = (self.sv.Point(x * SIZE[0], y * SIZE[1]) for x, y in (MIDDLE.start, MIDDLE.end))
        theirs = self.sv.LineZone(start, end, triggering_anchors=(self.sv.Position.BOTTOM_CENTER,))
        stage = EventStage(lines=[Line("middle", MIDDLE.start, MIDDLE.end, margin=0.0)], objects=False)
        for index, objects in enumerate(self.walkers()):
            theirs.trigger(self.as_supervision(objects))
            stage.update(result(index, *objects))
        mine = {d: stage.crossed["middle", "person", d] for d in ("in", "out")}
        assert mine == {"in": theirs.in_count, "out": theirs.out_count}
        assert sum(mine.values()) > 5
