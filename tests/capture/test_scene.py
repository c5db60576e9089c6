"""The built-in scene: the same frames whenever asked, boxes that are true, and a camera's manners."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from math import pi

import cv2
import numpy as np
import pytest

from edgevision.capture.scene import SceneSource, scene_picture
from edgevision.capture.scenery import world as world_module
from edgevision.capture.scenery.look import random_look
from edgevision.capture.scenery.place import Place, Ways
from edgevision.capture.scenery.pose import joints
from edgevision.capture.scenery.relief import Light
from edgevision.capture.scenery.view import View
from edgevision.capture.scenery.walk import Standing, Walking
from edgevision.capture.scenery.world import PLACES, World
from edgevision.detectors import boxes
from edgevision.detectors.nms import nms
from edgevision.errors import UsageError
from edgevision.evaluation.matching import hits
from tests.support.places import SHARED

SMALL = (320, 180)


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def scene(**options) -> SceneSource:
    clock = Clock()
    return SceneSource(**{"size_wh": SMALL, "clock": clock, "wait": clock.wait} | options)


def assert_same(a, b):
    """Two of (pixels, truth)."""
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1].boxes, b[1].boxes)


# The same frames, whenever and however asked


@pytest.mark.parametrize("place", PLACES)
def test_frame_k_is_the_same_in_any_order_and_instance(place):
    first, second = scene(place=place, seed=4), scene(place=place, seed=4)
    in_order = {k: first.render(k) for k in range(24)}
    for k in (23, 0, 9, 17):
        assert_same(second.render(k), in_order[k])


def test_frame_k_is_the_same_whatever_was_kept(monkeypatch):
    kept = scene().render(12)
    monkeypatch.setattr(world_module, "_CACHE_BYTES", 1)
    forgetful = scene()
    forgetful.render(11)
    assert_same(forgetful.render(12), kept)


def test_frame_k_is_the_same_read_rendered_or_pictured_at_any_rate():
    with scene(fps=30, seed=9) as slow, scene(fps=240, seed=9) as fast, scene(live=False, seed=9) as file:
        for _ in range(4):
            a, b, c = slow.read(), fast.read(), file.read()
        assert a.index == b.index == c.index == 3
        picture = scene_picture(9, 3, SMALL, 5)
    for frame in (a, b, c):
        assert_same((frame.pixels, frame.truth), picture)


def test_seeds_places_and_frames_differ():
    pictures = [scene_picture(seed, 0, SMALL, place=place)[0] for seed in (1, 2) for place in PLACES]
    pictures += [scene(place="hall").render(k)[0] for k in (5, 50)]
    for k, a in enumerate(pictures):
        for b in pictures[:k]:
            assert np.abs(a.astype(int) - b).mean() > 0.5


def test_people_move_from_frame_to_frame():
    source = scene(people=8)
    (before, _), (after, _) = source.render(30), source.render(31)
    smooth = [cv2.blur(p, (5, 5)).astype(int) for p in (before, after)]  # the noise alone is no movement
    assert (np.abs(smooth[0] - smooth[1]).max(axis=2) > 12).sum() > 50


def test_more_people_leave_the_first_ones_as_they_were():
    few, many = World(3, 2, SMALL), World(3, 6, SMALL)
    for a, b in zip(few.cast, many.cast, strict=False):
        assert a.at(7.0) == b.at(7.0)
        assert a.look == b.look


def test_no_people_is_no_truth():
    pixels, truth = scene_picture(1, 0, SMALL, people=0)
    assert len(truth) == 0
    assert truth.boxes.shape == (0, 4)
    assert pixels.std() > 10


# Truth


def studio(depth_cm: int = 65535):
    """A grey place without shadows, where whatever differs from grey is somebody."""

    def build(width: int, height: int, margin: int, rng: np.random.Generator) -> Place:
        shape = (height + 2 * margin, width + 2 * margin)
        light = Light((0.0, -0.6, 0.8), (0.5, 0.5, 0.5), (0.6, 0.6, 0.6), (0.3, 0.3, 0.3))
        view = View(width, height, width * 0.9, height * 0.4, 1.6)
        ways = Ways(((4.0, 5.0),), (), 3.0, (), ())
        depth = np.full(shape, depth_cm, np.uint16)
        grey = np.full((*shape, 3), 128, np.uint8)
        return Place("studio", view, grey, depth, margin, light, ways, (2.0, 3.0), 0.0, 1e9, (0, 0, 0))

    return build


@pytest.fixture
def in_studio(monkeypatch):
    monkeypatch.setitem(PLACES, "studio", studio())

    def build(people, size_wh=(640, 360), **changes) -> World:
        made = World(1, 0, size_wh, "studio")
        made.cast = people
        made.place = replace(made.place, **changes)
        return made

    return build


def person(seed: int, x_m: float, z_m: float, yaw_rad: float = 0.0, posture: str = "stand") -> Standing:
    return Standing(random_look(np.random.default_rng(seed)), x_m, z_m, yaw_rad, posture, 0.0)


def drawn_box(world: World, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(truth boxes, box of what the people changed)."""
    pixels, truth = world.draw(index)
    people, world.cast = world.cast, []
    empty, _ = world.draw(index)
    world.cast = people
    changed = np.abs(pixels.astype(int) - empty).max(axis=2) > 6
    x, y, w, h = cv2.boundingRect(changed.astype(np.uint8))
    return truth.boxes, np.array([x, y, x + w, y + h])


@pytest.mark.parametrize("posture", ["stand", "pockets", "phone", "akimbo", "sit"])
@pytest.mark.parametrize(("x_m", "z_m", "yaw_rad"), [(0.0, 3.2, 0.3), (-1.1, 6.0, 1.5), (1.7, 14.0, 3.0)])
@pytest.mark.parametrize("seed", [1, 2])
def test_box_is_tight_around_what_is_drawn(in_studio, posture, x_m, z_m, yaw_rad, seed):
    truth, changed = drawn_box(in_studio([person(seed, x_m, z_m, yaw_rad, posture)]))
    assert truth.shape == (1, 4)
    np.testing.assert_allclose(truth[0], changed, atol=3)


def test_box_is_tight_around_a_walker_at_every_step(in_studio):
    look = random_look(np.random.default_rng(5))
    world = in_studio([Walking(look, [(-1.5, 5.0), (1.5, 5.0), (1.5, 6.0), (-1.5, 6.0)], 1.3, 0.1)])
    for index in range(0, 160, 7):
        truth, changed = drawn_box(world, index)
        np.testing.assert_allclose(truth[0], changed, atol=3)


def test_figures_have_the_height_the_ground_gives_them(in_studio):
    for z_m in (4.0, 8.0, 16.0):
        one = person(3, 0.0, z_m)
        world = in_studio([one])
        view, box = world.place.view, world.draw(0)[1].boxes[0]
        wanted = one.look.height_m * view.scale_px_per_m(z_m)
        assert box[3] - box[1] == pytest.approx(wanted, rel=0.14, abs=3)  # hats, and the view from above, add some
        assert box[3] == pytest.approx(view.row_px(0, z_m), abs=0.06 * wanted + 3)
        assert (box[0] + box[2]) / 2 == pytest.approx(view.column_px(0, z_m), abs=0.03 * wanted + 3)


def test_who_stands_behind_another_keeps_only_what_shows(in_studio):
    near, far = person(1, 0.0, 4.0), person(2, 0.25, 6.0)
    whole = in_studio([far]).draw(0)[1].boxes[0]
    both = in_studio([far, near]).draw(0)[1].boxes
    assert len(both) == 2
    np.testing.assert_array_equal(both[0], in_studio([near]).draw(0)[1].boxes[0])  # nearest first, and whole
    part = both[1]
    assert part[0] > whole[0] + 3, "what is hidden at the left belongs to the box no longer"
    assert part[2] == whole[2]
    assert (part[:2] >= whole[:2]).all()
    assert (part[2:] <= whole[2:]).all()


def test_who_is_hidden_by_another_is_no_truth(in_studio):
    # The same person, and one just as tall and broader before them.
    behind, before = person(1, 0.0, 6.0), person(1, 0.0, 2.6)
    assert len(in_studio([behind, before]).draw(0)[1]) == 1


@pytest.mark.parametrize(("share_hidden", "seen"), [(0.5, True), (0.95, False)])
def test_what_stands_nearer_hides_people(in_studio, share_hidden, seen):
    """A table, say, over the lower part of somebody."""
    alone = in_studio([person(1, 0.0, 6.0)])
    whole = alone.draw(0)[1].boxes[0]
    edge = round(whole[3] - share_hidden * (whole[3] - whole[1]))
    margin = alone.place.margin_px
    drift = 3 * margin  # the camera sways by a pixel or two
    depth = alone.place.depth_cm.copy()
    depth[edge + margin :] = 300
    hidden = in_studio([person(1, 0.0, 6.0)], depth_cm=depth).draw(0)[1].boxes
    assert len(hidden) == int(seen)
    if seen:
        assert hidden[0][3] == pytest.approx(edge, abs=drift)
        np.testing.assert_array_equal(hidden[0][[1]], whole[[1]])
    nearer = in_studio([person(1, 0.0, 2.9)], depth_cm=depth).draw(0)[1]
    assert len(nearer) == 1, "who stands before the table is not hidden by it"


def test_who_leaves_the_picture_is_cut_and_then_gone(in_studio):
    view = in_studio([]).place.view
    edge_m = view.half_width_m(5.0)
    inside, across, outside = (in_studio([person(1, edge_m + d, 5.0)]).draw(0)[1].boxes for d in (-1.0, 0.0, 0.6))
    assert inside[0][2] < 640
    assert across[0][2] == 640
    assert across[0][2] - across[0][0] < 0.8 * (inside[0][2] - inside[0][0])
    assert len(outside) == 0


SIZES = [(160, 120), (64, 64), (640, 480), (360, 640)]


@pytest.mark.parametrize(
    ("size_wh", "seed"), [(wh, k) for wh in SIZES for k in (1, 2, 3)] + [((1920, 1080), 1)], ids=str
)
def test_truth_lies_inside_the_picture(size_wh, seed):
    with scene(size_wh=size_wh, seed=seed, people=7) as source:
        for index in (0, 100, 400):
            pixels, truth = source.render(index)
            assert pixels.shape == (size_wh[1], size_wh[0], 3)
            assert pixels.dtype == np.uint8
            assert (truth.boxes == boxes.clip(truth.boxes, *size_wh)).all()
            assert (boxes.area(truth.boxes) > 0).all()
            assert (truth.scores == 1).all()
            assert (truth.class_ids == 0).all()
            assert len(truth) <= 7


@pytest.mark.parametrize("place", PLACES)
def test_most_of_the_people_are_to_be_seen(place):
    source = scene(place=place, people=8, seed=11)
    seen = [len(source.render(index)[1]) for index in range(0, 900, 90)]
    assert np.mean(seen) >= 4
    assert max(seen) > min(seen)


# Bodies


@pytest.mark.parametrize("phase", np.linspace(0, 1, 9))
def test_a_walker_stands_on_the_ground_and_keeps_their_bones(phase):
    pose = joints("walk", float(phase))
    ground = min(min(a[1] - 0.042, t[1] - 0.016) for a, t in zip(pose.ankles, pose.toes, strict=True))
    assert ground == pytest.approx(0.0, abs=1e-3)
    for hip, knee, ankle in zip(pose.hips, pose.knees, pose.ankles, strict=True):
        assert np.linalg.norm(knee - hip) == pytest.approx(0.245)
        assert np.linalg.norm(ankle - knee) == pytest.approx(0.240)
    crown = pose.skull[1] + 0.094 + 0.035
    assert 0.90 < crown < 1.03, "the head ends about one body height above the ground"


def test_opposite_arm_and_leg_swing_together():
    pose = joints("walk", 0.25)
    assert pose.knees[0][2] > pose.knees[1][2]
    assert pose.wrists[0][2] < pose.wrists[1][2]


def test_a_walker_keeps_their_pace_and_comes_round():
    walker = Walking(random_look(np.random.default_rng(1)), [(-2, 5), (2, 5), (2, 6), (-2, 6)], 1.2, 0.3)
    moments = [walker.at(k / 30) for k in range(400)]
    steps = [np.hypot(b.x_m - a.x_m, b.z_m - a.z_m) * 30 for a, b in itertools.pairwise(moments)]
    assert max(steps) == pytest.approx(1.2, abs=0.02)
    assert min(steps) > 0.9  # a corner is cut, never jumped
    assert min(m.z_m for m in moments) >= 5
    assert max(m.z_m for m in moments) <= 6
    turns = np.abs(np.diff(np.unwrap([m.yaw_rad for m in moments])))
    assert turns.max() < pi / 6


# A camera's manners


def test_live_frames_come_when_they_are_due():
    clock = Clock()
    start = clock()
    with SceneSource(size_wh=SMALL, fps=25, clock=clock, wait=clock.wait) as source:
        for k in range(5):
            frame = source.read()
            assert frame.index == k
            assert frame.captured_ns == clock() == start + k * 40_000_000
            assert frame.source is source.info
            assert not frame.pixels.flags.writeable


def test_who_reads_late_finds_a_gap():
    clock = Clock()
    start = clock()
    with SceneSource(size_wh=SMALL, fps=25, clock=clock, wait=clock.wait) as source:
        assert source.read().index == 0
        clock.wait(0.210)
        late = source.read()
        assert late.index == 5
        assert late.captured_ns == start + 200_000_000
        assert clock() == start + 210_000_000, "a late frame is given at once"
        assert source.read().index == 6
        assert clock() == start + 240_000_000


def test_frames_do_not_drift_at_an_uneven_rate():
    clock = Clock()
    start = clock()
    with SceneSource(size_wh=(64, 64), people=0, fps=29.97, clock=clock, wait=clock.wait) as source:
        source.read()
        clock.wait(3600)
        frame = source.read()
        assert frame.index == int(3600 * 29.97)
        assert frame.captured_ns == pytest.approx(start + frame.index / 29.97 * 1e9, abs=1000)


def test_live_ends_after_its_frames_even_if_they_were_missed():
    clock = Clock()
    with SceneSource(size_wh=SMALL, fps=10, frames=5, clock=clock, wait=clock.wait) as source:
        assert source.info.frame_count == 5
        assert [source.read().index for _ in range(3)] == [0, 1, 2]
        clock.wait(60)
        assert source.read() is None
        assert source.read() is None


def test_not_live_never_drops():
    clock = Clock()
    source = SceneSource(size_wh=SMALL, live=False, frames=4, clock=clock, wait=clock.wait)
    assert not source.info.live
    seen = []
    while (frame := source.read()) is not None:
        seen.append(frame.index)
        assert frame.captured_ns == clock()
        clock.wait(1.0)
    assert seen == [0, 1, 2, 3]
    assert source.trouble is None


def test_close_ends_a_read_that_waits():
    source = SceneSource(size_wh=(64, 64), people=0, fps=0.05)
    assert source.read().index == 0
    threading.Timer(0.1, source.close).start()
    start = time.monotonic()
    assert source.read() is None
    assert time.monotonic() - start < 2
    assert source.read() is None
    source.close()


# The address


def test_address_says_everything():
    address = "scene://?people=2&size=200x150&fps=12.5&seed=7&frames=3&live=0&place=office"
    with SceneSource.from_address(address) as source:
        info = source.info
        assert (info.width_px, info.height_px, info.fps, info.live, info.frame_count) == (200, 150, 12.5, False, 3)
        assert info.name == "scene://?people=2&size=200x150&fps=12.5&seed=7&place=office"
        again = scene_picture(7, 1, (200, 150), 2, "office")
        assert_same(source.render(1), again)


def test_a_bare_address_is_the_demo():
    info = SceneSource.from_address("scene://").info
    assert (info.width_px, info.height_px, info.fps, info.live, info.frame_count) == (1280, 720, 30.0, True, None)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("scene://?peple=5", ["peple", "people=5", "place=hall|street|office"]),
        ("scene://?people=many", ["people", "'many'"]),
        ("scene://?people=-1", ["people", "'-1'"]),
        ("scene://?people=61", ["0 to 60", "61"]),
        ("scene://?people=", ["people", "''"]),
        ("scene://?size=big", ["size", "'big'", "WIDTHxHEIGHT"]),
        ("scene://?size=1280", ["size", "'1280'"]),
        ("scene://?size=10x10", ["64 to 4096", "10x10"]),
        ("scene://?size=99999x100", ["64 to 4096", "99999x100"]),
        ("scene://?fps=0", ["fps", "0"]),
        ("scene://?fps=nan", ["fps", "nan"]),
        ("scene://?fps=fast", ["fps", "'fast'"]),
        ("scene://?seed=1.5", ["seed", "'1.5'"]),
        ("scene://?frames=0", ["frames", "from 1"]),
        ("scene://?live=maybe", ["live", "1 or 0", "'maybe'"]),
        ("scene://?place=moon", ["place", "hall", "street", "office", "'moon'"]),
        ("scene://?seed=1&seed=2", ["each key once"]),
        ("scene://hall", ["scene://?key=value"]),
        ("http://?seed=1", ["scene://?key=value"]),
    ],
)
def test_addresses_that_cannot_be_meant(address, words):
    with pytest.raises(UsageError) as caught:
        SceneSource.from_address(address)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("options", [{"people": -1}, {"size_wh": (0, 10)}, {"fps": float("inf")}, {"place": "sea"}])
def test_arguments_that_cannot_be_meant(options):
    with pytest.raises(UsageError):
        SceneSource(**options)


def test_no_frame_before_the_first():
    with pytest.raises(UsageError):
        scene().render(-1)
    with pytest.raises(UsageError):
        scene_picture(1, -1, SMALL)


# Whether detectors of real people see them


def yolox_people(session, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(boxes, scores) of people by YOLOX-Nano, decoded as its authors do."""
    side = 416
    height, width = picture.shape[:2]
    scale = min(side / height, side / width)
    canvas = np.full((side, side, 3), 114, np.uint8)
    small = cv2.resize(picture, (int(width * scale), int(height * scale)))
    canvas[: small.shape[0], : small.shape[1]] = small
    (raw,) = session.run(None, {"images": canvas.transpose(2, 0, 1)[None].astype(np.float32)})
    grids = []
    for stride in (8, 16, 32):
        y, x = np.mgrid[: side // stride, : side // stride]
        grids.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], 1))
    grid = np.concatenate(grids).astype(np.float32)
    raw = raw[0]
    scores = raw[:, 4] * raw[:, 5]
    centres, sides = (raw[:, :2] + grid[:, :2]) * grid[:, 2:], np.exp(raw[:, 2:4]) * grid[:, 2:]
    found = boxes.from_centres(np.concatenate([centres, sides], 1)) / np.float32(scale)
    sure = scores >= 0.35
    found, scores = found[sure], scores[sure]
    kept = nms(found, scores, np.zeros(len(found), np.int64), 0.6)
    return found[kept], scores[kept]


@pytest.mark.parametrize("place", PLACES)
def test_a_detector_of_real_people_sees_them_and_nothing_else(place):
    weights = SHARED / "weights" / "yolox_nano.onnx"
    if not weights.exists():
        pytest.skip(f"needs {weights.name} from ../shared/weights, which is not here")
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    size_wh = (640, 360)
    seen = large = false = pictures = 0
    for seed in (21, 22):
        source = scene(size_wh=size_wh, people=6, seed=seed, place=place)
        for index in (0, 200, 400):
            pixels, truth = source.render(index)
            found, scores = yolox_people(session, pixels)
            tall = truth.boxes[truth.boxes[:, 3] - truth.boxes[:, 1] > size_wh[1] / 6]
            seen += int(hits(found, scores, tall).sum())
            large += len(tall)
            overlap = boxes.iou(found, truth.boxes).max(axis=1, initial=0)
            false += int((overlap < 0.3).sum())
            pictures += 1
        empty, _ = scene_picture(seed, 0, size_wh, people=0, place=place)
        assert len(yolox_people(session, empty)[0]) == 0, "the place itself is nobody"
    assert large >= 12
    assert seen / large >= 0.6
    assert false / pictures <= 0.5
