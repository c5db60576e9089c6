"""Further looks at full resolution: where they go, what they add, and what they must not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgevision.detectors.registry import load_detector
from edgevision.detectors.zoom import MOST_LOOKS, Zoom, ZoomDetector, ZoomRaw, merge
from edgevision.detectors.zoom_regions import RegionPlanner, tiles
from edgevision.errors import UsageError
from edgevision.interfaces import StagedDetector
from edgevision.types import Detections
from tests.support.models import blob_frame_pixels, blob_model

WIDTH, HEIGHT, SIDE = 384, 256, 64


@pytest.fixture
def blobs(tmp_path):
    return load_detector(blob_model(tmp_path / "blobs"))


def frame(*boxes):
    return blob_frame_pixels(WIDTH, HEIGHT, boxes)


def detections(*rows):
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([row[4] for row in rows], np.float32), np.zeros(len(rows), np.int64))


def raw(whole, *parts, frame_wh=(400, 300)):
    regions = np.array([region for region, _ in parts], np.int64).reshape(-1, 4)
    return ZoomRaw(whole, tuple(found for _, found in parts), regions, frame_wh)


def test_it_is_a_staged_detector_like_its_base(blobs):
    zoom = ZoomDetector(blobs, 2)
    assert isinstance(zoom, StagedDetector)
    assert (zoom.name, zoom.classes, zoom.lanes, zoom.shown_score) == ("blobs@1", ("blob",), 1, 0.5)


def test_a_small_object_is_found_by_tiles_and_not_by_the_whole_look(blobs):
    small = frame((200, 104, 216, 120))
    assert len(blobs.detect(small)) == 0
    found = ZoomDetector(blobs, 12, tiled=True).detect(small)
    assert found.looks == 13
    assert len(found) >= 1
    x1, y1, x2, y2 = found.boxes[0]
    assert 190 < x1 < x2 < 226
    assert 94 < y1 < y2 < 130


def test_the_sweep_finds_a_still_object_and_the_look_stays_with_it(blobs):
    still = frame((200, 104, 216, 120))
    zoom = ZoomDetector(blobs, 3)
    counts = [len(zoom.detect(still)) for _ in range(60)]
    first = next(k for k, n in enumerate(counts) if n)
    assert first < 30, "the sweep visits all of a frame"
    assert all(counts[first:]), "what was found is looked at again in each frame"


def test_what_moves_is_looked_at_at_once(blobs):
    zoom = ZoomDetector(blobs, 2)
    for _ in range(3):
        zoom.detect(frame())
    found = zoom.detect(frame((296, 200, 312, 216)))
    assert len(found) >= 1
    np.testing.assert_allclose(found.boxes[0], (296, 200, 312, 216), atol=12)


def test_a_frame_no_larger_than_the_network_gets_one_look(blobs):
    found = ZoomDetector(blobs, 4).detect(blob_frame_pixels(80, 60, [(8, 8, 16, 16)]))
    assert found.looks == 1


@pytest.mark.parametrize(("look_ms", "further"), [(2.0, 9), (6.0, 2), (10.0, 1), (20.0, 0), (100.0, 0)])
def test_auto_looks_as_often_as_the_frame_period_allows(blobs, look_ms, further):
    ticks = itertools.count()
    state = {"ms": 0.0}

    def clock():
        # Two readings a frame: its beginning, and its end after all its looks.
        if next(ticks) % 2:
            state["ms"] += look_ms * state["looks"]
        return state["ms"] / 1e3

    zoom = ZoomDetector(blobs, period_ms=100 / 3, clock=clock)
    for _ in range(8):
        prepared = zoom.prepare(frame())
        state["looks"] = 1 + len(prepared[1])
        zoom.decode(zoom.infer(prepared))
    assert zoom.affordable() == further


def test_auto_begins_with_one_look(blobs):
    assert ZoomDetector(blobs, period_ms=33.3).affordable() == 0
    assert ZoomDetector(blobs).affordable() == 0


@pytest.mark.parametrize("looks", [0, -1, MOST_LOOKS + 1])
def test_a_number_of_looks_that_makes_no_sense_is_refused(blobs, looks):
    with pytest.raises(UsageError, match=f"expected auto, off or 1 to {MOST_LOOKS}"):
        Zoom(looks)(blobs)


def test_tiles_need_a_number(blobs):
    with pytest.raises(UsageError, match="expected a number of tiles"):
        ZoomDetector(blobs, tiled=True)


class TestMerge:
    def test_a_box_cut_by_an_inner_edge_is_left_out(self):
        cut = detections((90, 40, 100, 80, 0.9))
        assert len(merge(raw(detections(), ((100, 100, 200, 200), cut)), 0.5, 60)) == 0

    def test_a_box_at_the_frames_own_edge_stays(self):
        at_edge = detections((80, 40, 100, 80, 0.9))
        found = merge(raw(detections(), ((300, 100, 400, 200), at_edge)), 0.5, 60)
        np.testing.assert_array_equal(found.boxes, [[380, 140, 400, 180]])

    def test_a_large_object_is_left_to_the_whole_look(self):
        large = detections((10, 10, 90, 90, 0.9))
        assert len(merge(raw(detections(), ((100, 100, 200, 200), large)), 0.5, 60)) == 0
        assert len(merge(raw(detections(), ((100, 100, 200, 200), large)), 0.5, None)) == 1

    def test_a_part_of_what_the_whole_look_found_is_no_object(self):
        whole = detections((100, 100, 200, 300, 0.6))
        head = detections((20, 10, 50, 45, 0.95))
        found = merge(raw(whole, ((100, 100, 200, 200), head)), 0.5, 60)
        np.testing.assert_array_equal(found.boxes, whole.boxes)

    def test_one_object_seen_twice_is_one(self):
        whole = detections((120, 120, 150, 160, 0.4))
        again = detections((20, 20, 51, 60, 0.8))
        found = merge(raw(whole, ((100, 100, 200, 200), again)), 0.7, 60)
        assert len(found) == 1
        assert found.scores[0] == np.float32(0.8)

    def test_best_first_and_the_looks_counted(self):
        whole = detections((0, 0, 20, 40, 0.5))
        part = detections((20, 20, 40, 60, 0.9))
        found = merge(raw(whole, ((100, 100, 200, 200), part)), 0.5, 60)
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert found.looks == 2


class TestRegions:
    @pytest.mark.parametrize("size", [(1920, 1080), (641, 480), (480, 1920), (500, 320)])
    @pytest.mark.parametrize("count", [1, 2, 5, 16])
    def test_they_are_whole_squares_inside_the_frame(self, size, count):
        planner = RegionPlanner(320, 144)
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        for k in range(30):
            pixels[(k * 31) % size[1], :] = 255
            regions = planner.plan(pixels, count)
            assert 1 <= len(regions) <= count
            assert (regions[:, :2] >= 0).all()
            assert (regions[:, 2:] <= size).all()
            sides = regions[:, 2:] - regions[:, :2]
            assert (sides == np.minimum(320, size)).all()

    def test_the_sweep_covers_every_pixel(self):
        planner = RegionPlanner(320, 144)
        pixels = np.zeros((1080, 1920, 3), np.uint8)
        seen = np.zeros((1080, 1920), bool)
        for _ in range(60):
            for x1, y1, x2, y2 in planner.plan(pixels, 1):
                seen[y1:y2, x1:x2] = True
        assert seen.all()

    def test_an_object_that_is_gone_is_forgotten(self):
        planner = RegionPlanner(320, 144)
        region = np.array([[800, 400, 1120, 720]])
        planner.found(np.array([[900, 500, 930, 560]], np.float32), region)
        for _ in range(20):
            planner.found(np.zeros((0, 4), np.float32), region)
        assert len(planner._small_objects()) == 0

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 8, 9, 12, 16])
    @pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (1000, 1000)])
    def test_tiles_cover_the_frame(self, size, count):
        seen = np.zeros((size[1], size[0]), bool)
        found = tiles(*size, count)
        assert len(found) == count
        for x1, y1, x2, y2 in found:
            seen[y1:y2, x1:x2] = True
        assert seen.all()

    def test_tiles_are_as_square_as_can_be(self):
        x1, y1, x2, y2 = tiles(1920, 1080, 8)[0]
        assert 0.8 < (x2 - x1) / (y2 - y1) < 1.25
