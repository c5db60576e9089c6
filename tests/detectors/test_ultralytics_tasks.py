"""Ultralytics heads beyond plain detection, and its tables turned, in shares or finished, each against a reference.

The references are written box by box from the documentation of the exports.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgevision.detectors.decoders import Head, make_decoder
from edgevision.detectors.onnx_session import TensorInfo
from edgevision.detectors.rotated_boxes import probabilistic_iou, rotated_nms
from edgevision.errors import ModelInvalid

INPUT_WH = (96, 64)
WIDTH, HEIGHT = INPUT_WH
CELLS = 96 + 24 + 6
CLASSES = 3
MIN_SCORE = 0.3
MASKS = np.zeros((1, 32, 16, 24), np.float32)


def decoded(family, *outputs, classes=CLASSES, open_axes=False):
    shapes = [tuple(None if open_axes and k else side for k, side in enumerate(o.shape)) for o in outputs]
    infos = tuple(TensorInfo(f"output{k}", shape, "float32") for k, shape in enumerate(shapes))
    decoder = make_decoder(family, Head(INPUT_WH, classes, infos, "test.onnx"))
    return decoder.decode(list(outputs), MIN_SCORE)


def agrees(found, expected):
    """``expected``: rows of x1, y1, x2, y2, score, class, in any order."""
    rows = sorted(map(tuple, np.column_stack([found.scores, found.class_ids, found.boxes]).tolist()))
    wanted = sorted((s, c, *box) for *box, s, c in expected)
    assert len(rows) == len(wanted) > 0
    np.testing.assert_allclose(rows, wanted, atol=1e-3)
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int64)


def corners(cx, cy, w, h):
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def raw(extra=0, seed=1, classes=CLASSES):
    """A raw table (4 + classes + extra, cells), and the boxes in it, each with the column it came from."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(5, 60, (2, CELLS)) * [[WIDTH / 64], [1]]
    parts = [places, rng.uniform(5, 30, (2, CELLS)), rng.uniform(0, 0.6, (classes, CELLS)) ** 2]
    table = np.concatenate([*parts, rng.uniform(-1.5, 1.5, (extra, CELLS))]).astype(np.float32)
    expected = []
    for k in range(CELLS):
        scores = table[4 : 4 + classes, k]
        c = int(np.argmax(scores))
        if scores[c] > MIN_SCORE:
            expected.append((k, (*corners(*table[:4, k].astype(float)), scores[c], c)))
    return table, expected


def finished(extra=0):
    """Rows of x1, y1, x2, y2, score, class and ``extra`` numbers; zeros after the last."""
    rng = np.random.default_rng(2)
    table = np.zeros((300, 6 + extra), np.float32)
    low = rng.uniform(0, 30, (12, 2))
    table[:12, :4] = np.concatenate([low, low + rng.uniform(5, 30, (12, 2))], 1)
    table[:12, 4], table[:12, 5] = np.linspace(0.9, 0.1, 12), rng.integers(0, CLASSES, 12)
    table[:12, 6:] = rng.uniform(0, 60, (12, extra))
    return table


@pytest.mark.parametrize("open_axes", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("classes", [1, 2, 3, 80])
def test_a_turned_head(classes, open_axes):
    """(1, cells, 4 + classes): as raw, with rows and columns exchanged."""
    table, expected = raw(classes=classes)
    agrees(decoded("ultralytics", table.T[None], classes=classes, open_axes=open_axes), [row for _, row in expected])


@pytest.mark.parametrize("turned", [False, True])
def test_raw_boxes_in_shares(turned):
    """The same boxes, divided by the input's width and height."""
    table, expected = raw()
    table[:4] /= np.array([[WIDTH], [HEIGHT], [WIDTH], [HEIGHT]])
    agrees(decoded("ultralytics", (table.T if turned else table)[None]), [row for _, row in expected])


@pytest.mark.parametrize("open_axes", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("unit", [(1, 1), INPUT_WH], ids=["pixels", "shares"])
@pytest.mark.parametrize("classes", [2, 3, 80])
def test_finished_boxes(unit, open_axes, classes):
    table = finished()
    table[:, 5] = np.minimum(table[:, 5], classes - 1)
    given = table.copy()
    given[:, :4] /= [*unit, *unit]
    found = decoded("ultralytics", given[None], classes=classes, open_axes=open_axes)
    agrees(found, [tuple(row) for row in table if row[4] > MIN_SCORE])
    assert found.suppressed


def test_sixth_columns_that_are_no_class_numbers_are_refused():
    table = finished()
    table[:12, 5] += 0.4
    with pytest.raises(ValueError, match="no class numbers"):
        decoded("ultralytics", table[None], classes=80)


@pytest.mark.parametrize("open_axes", [False, True], ids=["fixed", "dynamic"])
def test_a_segmenter_gives_its_boxes(open_axes):
    """(1, 4 + classes + 32, cells) and prototypes: the coefficients are no classes."""
    table, expected = raw(extra=32)
    agrees(decoded("ultralytics-segment", table[None], MASKS, open_axes=open_axes), [row for _, row in expected])
    rows = finished(extra=32)
    found = decoded("ultralytics-segment", rows[None], MASKS, open_axes=open_axes)
    agrees(found, [tuple(row[:6]) for row in rows if row[4] > MIN_SCORE])


@pytest.mark.parametrize("open_axes", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("points", [51, 34, 12])
def test_a_pose_model_gives_its_boxes(points, open_axes):
    """Key points of three or two numbers follow the scores, or the class."""
    table, expected = raw(extra=points)
    agrees(decoded("ultralytics-pose", table[None], open_axes=open_axes), [row for _, row in expected])
    rows = finished(extra=points)
    found = decoded("ultralytics-pose", rows[None], open_axes=open_axes)
    agrees(found, [tuple(row[:6]) for row in rows if row[4] > MIN_SCORE])


def enclosing(cx, cy, w, h, angle):
    """Corners of the upright box around a turned one, by turning its four corners."""
    points = [
        (cx + x * math.cos(angle) - y * math.sin(angle), cy + x * math.sin(angle) + y * math.cos(angle))
        for x, y in ((-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2))
    ]
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


@pytest.mark.parametrize("open_axes", [False, True], ids=["fixed", "dynamic"])
def test_an_oriented_box_is_read_as_the_one_that_encloses_it(open_axes):
    table, expected = raw(extra=1)
    wanted = [(*enclosing(*table[[0, 1, 2, 3, -1], k].astype(float)), *row[4:]) for k, row in expected]
    found = decoded("ultralytics-obb", table[None], open_axes=open_axes)
    agrees(found, wanted)
    assert found.rotated is not None
    rows = finished(extra=1)
    rows[:, 6] /= 30
    found = decoded("ultralytics-obb", rows[None], open_axes=open_axes)
    agrees(found, [(*enclosing(*row[[0, 1, 2, 3, 6]].astype(float)), *row[4:6]) for row in rows if row[4] > MIN_SCORE])
    assert found.suppressed


def test_overlap_of_turned_boxes():
    """arXiv:2106.06072: 1 for the same box, near 0 for boxes far apart, and a turn by 180° changes nothing."""
    box = np.array([[50, 40, 30, 10, 0.4]], np.float32)
    half_turn, crossed, far = box.copy(), box.copy(), box.copy()
    half_turn[0, 4] += math.pi
    crossed[0, 4] += math.pi / 2
    far[0, 0] += 200
    assert probabilistic_iou(box, box)[0, 0] == pytest.approx(1, abs=1e-3)
    assert probabilistic_iou(box, half_turn)[0, 0] == pytest.approx(1, abs=1e-3)
    # Covariances diag(75, 8.33) and diag(8.33, 75): Bhattacharyya distance ln(det(mean) / sqrt(det * det)) / 2.
    mean = ((900 + 100) / 12 / 2) ** 2
    hellinger = math.sqrt(1 - math.exp(-math.log(mean / (900 * 100 / 144)) / 2))
    assert probabilistic_iou(box, crossed)[0, 0] == pytest.approx(1 - hellinger, abs=1e-3)
    assert probabilistic_iou(box, far)[0, 0] < 0.01


def test_crossed_boxes_are_two_objects():
    """Their enclosing boxes are one and the same; turned, they overlap little."""
    boxes = np.array([[50, 50, 40, 6, 0.785], [50, 50, 40, 6, -0.785], [51, 50, 40, 6, 0.785]], np.float32)
    kept = rotated_nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int64), 0.5)
    assert kept.tolist() == [0, 1]


@pytest.mark.parametrize("classes", [1, 2, 3, 80])
def test_rtdetr_finished(classes):
    """(1, 300, 6): centre x, y, width, height in shares, score, class."""
    rng = np.random.default_rng(3)
    table = np.column_stack([rng.uniform(0.1, 0.6, (300, 4)), np.linspace(0.9, 0, 300), rng.integers(0, classes, 300)])
    table = table.astype(np.float32)
    scale = [WIDTH, HEIGHT, WIDTH, HEIGHT]
    expected = [(*corners(*(row[:4] * scale).astype(float)), row[4], row[5]) for row in table if row[4] > MIN_SCORE]
    found = decoded("ultralytics-rtdetr", table[None], classes=classes)
    agrees(found, expected)
    assert found.suppressed


@pytest.mark.parametrize("classes", [2, 3])
def test_rtdetr_of_earlier_exports(classes):
    """(1, 300, 4 + classes): with two classes as wide as the finished one."""
    rng = np.random.default_rng(4)
    table = rng.uniform(0.1, 0.6, (300, 4 + classes)).astype(np.float32)
    expected = []
    for row in table:
        c = int(np.argmax(row[4:]))
        if row[4 + c] > MIN_SCORE:
            expected.append((*corners(*(row[:4] * [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(float)), row[4 + c], c))
    agrees(decoded("ultralytics-rtdetr", table[None], classes=classes), expected)


@pytest.mark.parametrize("family", ["ultralytics", "ultralytics-segment", "ultralytics-obb"])
def test_a_wrong_number_of_classes_is_refused(family):
    extra = {"ultralytics": 0, "ultralytics-segment": 32, "ultralytics-obb": 1}[family]
    table, _ = raw(extra=extra)
    outputs = [table[None], MASKS] if family == "ultralytics-segment" else [table[None]]
    with pytest.raises(ModelInvalid, match=rf"as {family}, expected .*; got output0 .*Check family and classes"):
        decoded(family, *outputs, classes=CLASSES + 1)
