"""Each family's decoder against a reference written from its paper or documentation, one cell at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgevision.detectors.decoders import FAMILIES, make_decoder, recognise
from edgevision.detectors.onnx_session import Session
from edgevision.errors import ModelInvalid
from tests.support.decoding import CLASSES, MIN_SCORE, check, grid, head, sigmoid
from tests.support.models import constant_model, ultralytics_metadata


@pytest.mark.parametrize("classes", [1, 3, 80])
def test_ultralytics_raw(classes):
    """output0 (1, 4 + classes, cells): cx, cy, w, h in input pixels, probabilities (no object score)."""
    rng = np.random.default_rng(1)
    n = len(grid((8, 16, 32)))
    table = np.concatenate([rng.uniform(10, 60, (4, n)), rng.uniform(0, 0.5, (classes, n)) ** 2 * 4]).astype(np.float32)
    expected = []
    for k in range(n):
        cx, cy, w, h = table[:4, k]
        c = int(np.argmax(table[4:, k]))
        if table[4 + c, k] > MIN_SCORE:
            expected.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, table[4 + c, k], c))
    check("ultralytics", [table[None]], expected, classes)


def test_ultralytics_end_to_end():
    """output0 (1, 300, 6): x1, y1, x2, y2, score, class; rows under the threshold are padding."""
    rng = np.random.default_rng(2)
    table = np.zeros((300, 6), np.float32)
    table[:20, :4] = rng.uniform(0, 60, (20, 4))
    table[:20, 4] = np.linspace(0.9, 0.1, 20)
    table[:20, 5] = rng.integers(0, CLASSES, 20)
    check("ultralytics", [table[None]], [tuple(r) for r in table if r[4] > MIN_SCORE])
    assert not make_decoder("ultralytics", head(table[None])).needs_nms


def test_yolox():
    """demo_postprocess of the reference: xy = (raw + cell) * stride, wh = exp(raw) * stride, score = obj * class."""
    rng = np.random.default_rng(3)
    cells = grid((8, 16, 32))
    raw = np.concatenate(
        [
            rng.normal(0.5, 0.5, (len(cells), 2)),
            rng.normal(0.5, 0.5, (len(cells), 2)),
            sigmoid(rng.normal(0, 2, (len(cells), 1 + CLASSES))),
        ],
        1,
    ).astype(np.float32)
    expected = []
    for (x, y, stride), row in zip(cells, raw, strict=True):
        scores = row[4] * row[5:]
        c = int(np.argmax(scores))
        if scores[c] > MIN_SCORE:
            cx, cy = (row[0] + x) * stride, (row[1] + y) * stride
            w, h = math.exp(row[2]) * stride, math.exp(row[3]) * stride
            expected.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, scores[c], c))
    check("yolox", [raw[None]], expected)


@pytest.mark.parametrize("strides", [(8, 16, 32), (8, 16, 32, 64)], ids=["nanodet", "picodet"])
@pytest.mark.parametrize("batch_axis", [True, False])
def test_nanodet(strides, batch_axis):
    """Generalised focal loss: a side's distance is the mean of softmax(bins) in strides, from the cell's centre."""
    rng = np.random.default_rng(4)
    scores, distances, expected = [], [], []
    for stride in strides:
        cells = grid((stride,))
        score = sigmoid(rng.normal(-1, 1.5, (len(cells), CLASSES))).astype(np.float32)
        bins = rng.normal(0, 2, (len(cells), 32)).astype(np.float32)
        for (x, y, _), s, b in zip(cells, score, bins, strict=True):
            c = int(np.argmax(s))
            if s[c] <= MIN_SCORE:
                continue
            sides = []
            for side in range(4):
                e = np.exp(b[side * 8 : side * 8 + 8].astype(float))
                sides.append(sum(k * v for k, v in enumerate(e / e.sum())) * stride)
            cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
            expected.append((cx - sides[0], cy - sides[1], cx + sides[2], cy + sides[3], s[c], c))
        scores.append(score[None] if batch_axis else score)
        distances.append(bins[None] if batch_axis else bins)
    check("nanodet", [*scores, *distances], expected)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_nothing_over_the_threshold_is_empty(family):
    outputs = {
        "ultralytics": [np.zeros((1, 4 + CLASSES, 126), np.float32)],
        "yolox": [np.zeros((1, 126, 5 + CLASSES), np.float32)],
        "nanodet": [np.zeros((1, n, CLASSES), np.float32) for n in (96, 24, 6)]
        + [np.zeros((1, n, 32), np.float32) for n in (96, 24, 6)],
        "fastestdet": [np.zeros((1, 5 + CLASSES, 4, 6), np.float32)],
        "ssd": [np.zeros((1, 400, 4), np.float32), np.zeros((1, 400, CLASSES), np.float32)],
        "detr": [np.zeros((1, 300, 4), np.float32), np.full((1, 300, CLASSES), -9, np.float32)],
    }.get(family)
    if outputs is None:
        pytest.skip("its outputs are told by name: see test_decode_families")
    got = make_decoder(family, head(*outputs)).decode(outputs, MIN_SCORE)
    assert got.boxes.shape == (0, 4)
    assert got.scores.shape == got.class_ids.shape == (0,)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_outputs_of_another_family_are_refused_with_a_sentence(family):
    stranger = np.zeros((1, 9, 11), np.float32)
    with pytest.raises(ModelInvalid, match=r"test\.onnx: as .*expected .*got out0 float32 1×9×11"):
        make_decoder(family, head(stranger))


def test_unknown_family_names_the_known_ones():
    with pytest.raises(ModelInvalid, match=r"unknown family 'yolo99'; known are .*nanodet, .*ultralytics, .*yolox"):
        make_decoder("yolo99", head(np.zeros((1, 9, 11), np.float32)))


def exported(tmp_path, names, imgsz, **more):
    path = constant_model(tmp_path / "best.onnx", {"output0": np.zeros((1, 6, 21), np.float32)}, [1, 3, 32, 32])
    ultralytics_metadata(path, names, imgsz, **more)
    return Session(path.read_bytes(), "best.onnx")


def test_ultralytics_metadata_is_read(tmp_path):
    values = recognise(exported(tmp_path, {0: "cat", 1: "dog"}, [32, 32], license="AGPL-3.0"))
    assert values is not None
    assert values["classes"] == ["cat", "dog"]
    assert values["licence"] == "AGPL-3.0"
    assert (values["input"]["width_px"], values["input"]["height_px"]) == (32, 32)


@pytest.mark.parametrize("task", ["classify", "semantic", "depth"])
def test_a_task_without_boxes_is_refused(tmp_path, task):
    session = exported(tmp_path, {0: "cat"}, [32, 32])
    session.metadata = {**session.metadata, "task": task}
    with pytest.raises(ModelInvalid, match=f"expected a model that gives boxes, got Ultralytics task '{task}'"):
        recognise(session)


@pytest.mark.parametrize("names", [None, {}, [], "", {0: ""}, {0: None, 1: None}, ["", " "]])
def test_no_names_are_no_error(tmp_path, names):
    session = exported(tmp_path, {0: "cat"}, [32, 32])
    session.metadata = {**session.metadata, "names": "" if names == "" else repr(names)}
    values = recognise(session)
    assert values is not None
    assert values["classes"] == []


def test_a_class_without_a_name_among_others_keeps_its_place(tmp_path):
    values = recognise(exported(tmp_path, {0: "cat", 1: "", 2: "dog"}, [32, 32]))
    assert values is not None
    assert values["classes"] == ["cat", "class 1", "dog"]


def test_metadata_is_data_and_never_run(tmp_path):
    session = exported(tmp_path, {0: "cat"}, [32, 32])
    session.metadata = {**session.metadata, "names": "__import__('os').system('true')"}
    with pytest.raises(ModelInvalid, match="metadata cannot be read"):
        recognise(session)
