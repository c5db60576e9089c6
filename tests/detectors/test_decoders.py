"""The families beyond the first three, each against a reference written box by box from its paper or documentation.

Boxes agree within 1e-3 px and scores within 1e-3 (`check`), which is more than the 0.5 px that is asked.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgevision.detectors.decoders import Head, make_decoder
from edgevision.detectors.onnx_session import Session, TensorInfo
from edgevision.errors import ModelInvalid
from tests.support.decoding import CLASSES, INPUT_WH, MIN_SCORE, check, grid, head, sigmoid
from tests.support.models import constant_model

WIDTH, HEIGHT = INPUT_WH


def named(classes=CLASSES, dtypes=None, **outputs):
    """A head whose outputs have names, as most of these are told apart by them."""
    infos = tuple(TensorInfo(k, v.shape, (dtypes or {}).get(k, "float32")) for k, v in outputs.items())
    return Head(INPUT_WH, classes, infos, "test.onnx")


def check_named(family, the_head, outputs, expected):
    """``expected``: rows of x1, y1, x2, y2, score, class, in any order."""
    got = make_decoder(family, the_head).decode(outputs, MIN_SCORE)
    rows = sorted(map(tuple, np.column_stack([got.scores, got.class_ids, got.boxes]).tolist()))
    wanted = sorted((s, c, *box) for *box, s, c in expected)
    assert len(rows) == len(wanted) > 0
    np.testing.assert_allclose(rows, wanted, atol=1e-3)
    assert (got.boxes.dtype, got.scores.dtype, got.class_ids.dtype) == (np.float32, np.float32, np.int64)


def corners(cx, cy, w, h):
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


@pytest.mark.parametrize("classes", [1, 3, 80])
@pytest.mark.parametrize("anchors_a_cell", [1, 3], ids=["v6", "v5"])
def test_ultralytics_v5(classes, anchors_a_cell):
    """YOLOv5's non_max_suppression: xywh in pixels, conf = obj * cls. With one class it looks like finished boxes."""
    rng = np.random.default_rng(10)
    n = anchors_a_cell * len(grid((8, 16, 32)))
    table = np.concatenate([rng.uniform(10, 60, (n, 4)), rng.uniform(0, 1, (n, 1 + classes))], 1).astype(np.float32)
    expected = []
    for row in table:
        c = int(np.argmax(row[5:]))
        score = row[4] * row[5 + c]
        if score > MIN_SCORE:
            expected.append((*corners(*row[:4]), score, c))
    check("ultralytics", [table[None]], expected, classes)
    assert make_decoder("ultralytics", head(table[None], classes=classes)).needs_nms


def test_ultralytics_suppression_inside():
    """NMSModel: (1, max_det, 6) of x1, y1, x2, y2, score, class, zeros after the last; nothing left to suppress."""
    table = np.zeros((1, 300, 6), np.float32)
    table[0, :2] = [[1, 2, 30, 40, 0.9, 2], [2, 3, 31, 41, 0.8, 2]]
    check("ultralytics", [table], [tuple(r) for r in table[0, :2]])
    assert not make_decoder("ultralytics", head(table)).needs_nms


def test_ultralytics_one_class_end_to_end_is_not_v5():
    table = np.zeros((1, 300, 6), np.float32)
    table[0, 0] = [1, 2, 30, 40, 0.9, 0]
    check("ultralytics", [table], [(1, 2, 30, 40, 0.9, 0)], classes=1)


def test_ultralytics_rtdetr():
    """RTDETRDecoder's export: (1, 300, 4 + nc), cx, cy, w, h in shares of the input, scores after sigmoid."""
    rng = np.random.default_rng(11)
    table = rng.uniform(0.1, 0.6, (300, 4 + CLASSES)).astype(np.float32)
    expected = []
    for row in table:
        c = int(np.argmax(row[4:]))
        if row[4 + c] > MIN_SCORE:
            cx, cy, w, h = row[:4] * [WIDTH, HEIGHT, WIDTH, HEIGHT]
            expected.append((*corners(cx, cy, w, h), row[4 + c], c))
    check("ultralytics", [table[None]], expected)
    assert not make_decoder("ultralytics", head(table[None])).needs_nms


def test_nanodet_plus():
    """_forward_onnx joins sigmoid scores and bins of strides 8-64; priors are cell corners, not centres."""
    rng = np.random.default_rng(12)
    cells = grid((8, 16, 32, 64))
    scores = sigmoid(rng.normal(-1, 1.5, (len(cells), CLASSES))).astype(np.float32)
    bins = rng.normal(0, 2, (len(cells), 32)).astype(np.float32)
    expected = []
    for (x, y, stride), s, b in zip(cells, scores, bins, strict=True):
        c = int(np.argmax(s))
        if s[c] > MIN_SCORE:
            left, top, right, bottom = (
                sum(k * p for k, p in enumerate(np.exp(q) / np.exp(q).sum())) * stride
                for q in b.astype(float).reshape(4, 8)
            )
            expected.append((x * stride - left, y * stride - top, x * stride + right, y * stride + bottom, s[c], c))
    check("nanodet", [np.concatenate([scores, bins], 1)[None]], expected)


@pytest.mark.parametrize("classes", [1, 3])
def test_fastestdet(classes):
    """handle_preds: obj^0.6 * cls^0.4; tanh offsets from the cell and sigmoid sides, both in shares of the input."""
    rng = np.random.default_rng(13)
    rows, columns = HEIGHT // 16, WIDTH // 16
    maps = np.concatenate(
        [
            rng.uniform(0.2, 1, (1, rows, columns)),
            rng.normal(0, 1, (4, rows, columns)),
            rng.uniform(0, 1, (classes, rows, columns)),
        ]
    ).astype(np.float32)
    expected = []
    for y in range(rows):
        for x in range(columns):
            obj, tx, ty, tw, th, *cls = maps[:, y, x].astype(float)
            c = int(np.argmax(cls))
            score = obj**0.6 * cls[c] ** 0.4
            if score > MIN_SCORE:
                cx, cy = (x + math.tanh(tx)) / columns * WIDTH, (y + math.tanh(ty)) / rows * HEIGHT
                expected.append((*corners(cx, cy, sigmoid(tw) * WIDTH, sigmoid(th) * HEIGHT), score, c))
    check("fastestdet", [maps[None]], expected, classes)


@pytest.mark.parametrize("shuffled", [False, True])
def test_yunet(shuffled):
    """OpenCV's face_detect.cpp: score = sqrt(cls * obj), centre = (cell + d) * stride, side = exp(d) * stride."""
    rng = np.random.default_rng(14)
    outputs, expected = {}, []
    for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            n = len(grid((stride,)))
            values = rng.uniform(0, 1, (1, n, width)) if width == 1 else rng.normal(0, 0.5, (1, n, width))
            outputs[f"{kind}_{stride}"] = values.astype(np.float32)
    for stride in (8, 16, 32):
        for k, (x, y, _) in enumerate(grid((stride,))):
            score = math.sqrt(outputs[f"cls_{stride}"][0, k, 0] * outputs[f"obj_{stride}"][0, k, 0])
            if score > MIN_SCORE:
                dx, dy, dw, dh = outputs[f"bbox_{stride}"][0, k].astype(float)
                box = corners((x + dx) * stride, (y + dy) * stride, math.exp(dw) * stride, math.exp(dh) * stride)
                expected.append((*box, score, 0))
    if shuffled:
        outputs = {k: outputs[k] for k in sorted(outputs)}
    check_named("yunet", named(1, **outputs), list(outputs.values()), expected)


@pytest.mark.parametrize("boxes_first", [False, True])
@pytest.mark.parametrize("in_pixels", [False, True], ids=["shares", "pixels"])
def test_ssd(boxes_first, in_pixels):
    """Corners in shares of the input (UltraFace, pytorch-ssd) or its pixels; column 0 is background."""
    rng = np.random.default_rng(15)
    n = 400
    low = rng.uniform(0, 0.5, (n, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.05, 0.5, (n, 2))], 1)
    logits = rng.normal(0, 2, (n, 1 + CLASSES))
    scores = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    scale = np.array([WIDTH, HEIGHT] * 2)
    expected = []
    for box, row in zip(boxes, scores, strict=True):
        c = 1 + int(np.argmax(row[1:]))
        if row[c] > MIN_SCORE:
            expected.append((*(box * scale), row[c], c - 1))
    given = (boxes * scale if in_pixels else boxes).astype(np.float32)
    outputs = {"boxes": given[None], "scores": scores[None]}
    if not boxes_first:
        outputs = dict(reversed(outputs.items()))
    check_named("ssd", named(**outputs), list(outputs.values()), expected)


def test_ssd_without_background_and_with_an_extra_axis():
    """YOLOv4's ONNX export: boxes (1, A, 1, 4) in shares, confs (1, A, classes)."""
    boxes = np.array([[[[0.25, 0.25, 0.5, 0.75]]]], np.float32)
    scores = np.array([[[0.1, 0.8, 0.2]]], np.float32)
    the_head = named(boxes=boxes, confs=scores)
    check_named("ssd", the_head, [boxes, scores], [(24, 16, 48, 48, 0.8, 1)])


def queries(rng, columns):
    boxes = rng.uniform(0.1, 0.6, (1, 300, 4)).astype(np.float32)
    return boxes, rng.normal(-2, 1.5, (1, 300, columns)).astype(np.float32)


@pytest.mark.parametrize(
    ("box_name", "logit_name", "extra"),
    [("pred_boxes", "logits", 0), ("boxes", "pred_logits", 0), ("dets", "labels", 1)],
    ids=["RT-DETR", "D-FINE", "RF-DETR"],
)
def test_detr_with_sigmoids(box_name, logit_name, extra):
    """Post-processors of RT-DETR, D-FINE, RF-DETR: sigmoid, every (query, class) pair counts, cxcywh in shares."""
    boxes, logits = queries(np.random.default_rng(16), CLASSES + extra)
    expected = []
    for q in range(300):
        cx, cy, w, h = boxes[0, q].astype(float)
        for c in range(CLASSES):
            if (score := sigmoid(float(logits[0, q, c]))) > MIN_SCORE:
                expected.append((*corners(cx * WIDTH, cy * HEIGHT, w * WIDTH, h * HEIGHT), score, c))
    outputs = {box_name: boxes, logit_name: logits}
    check_named("detr", named(**outputs), list(outputs.values()), expected)
    assert not make_decoder("detr", named(**outputs)).needs_nms


def test_detr_with_no_object_class():
    """DETR's PostProcess: softmax over classes and "no object", which is last and never an answer."""
    boxes, logits = queries(np.random.default_rng(17), CLASSES + 1)
    expected = []
    for q in range(300):
        e = np.exp(logits[0, q].astype(float))
        c = int(np.argmax(e[:-1]))
        if (score := e[c] / e.sum()) > MIN_SCORE:
            cx, cy, w, h = boxes[0, q].astype(float)
            expected.append((*corners(cx * WIDTH, cy * HEIGHT, w * WIDTH, h * HEIGHT), score, c))
    outputs = {"logits": logits, "pred_boxes": boxes}
    check_named("detr", named(**outputs), list(outputs.values()), expected)


def test_tensorflow_detection_boxes():
    """exporter.py: ymin, xmin, ymax, xmax in shares; classes from 1; only num_detections rows count."""
    boxes = np.array([[[0.25, 0.5, 0.75, 1.0], [0, 0, 0.5, 0.5], [0, 0, 1, 1]]], np.float32)
    outputs = {
        "detection_boxes": boxes,
        "detection_classes": np.array([[3, 1, 1]], np.float32),
        "detection_scores": np.array([[0.9, 0.4, 0.8]], np.float32),
        "num_detections": np.array([2], np.float32),
    }
    expected = [(48, 16, 96, 48, 0.9, 2), (0, 0, 48, 32, 0.4, 0)]
    check_named("detection-boxes", named(**outputs), list(outputs.values()), expected)


def test_torchvision_detection_boxes():
    """torchvision.models.detection: xyxy in pixels, labels from 1 (0 is background), as many rows as were found."""
    outputs = {
        "boxes": np.array([[1, 2, 30, 40], [5, 6, 7, 8]], np.float32),
        "labels": np.array([3, 1], np.int64),
        "scores": np.array([0.9, 0.2], np.float32),
    }
    the_head = named(dtypes={"labels": "int64"}, **outputs)
    check_named("detection-boxes", the_head, list(outputs.values()), [(1, 2, 30, 40, 0.9, 2)])


def test_efficient_nms_and_rtdetr_own_export():
    """xyxy in pixels, classes from 0; EfficientNMS says how many rows count."""
    boxes = np.array([[[1, 2, 30, 40], [5, 6, 7, 8]]], np.float32)
    scores, labels = np.array([[0.9, 0.8]], np.float32), np.array([[2, 0]], np.int32)
    outputs = {"num_dets": np.array([[1]], np.int32), "det_boxes": boxes, "det_scores": scores, "det_classes": labels}
    check_named("detection-boxes", named(**outputs), list(outputs.values()), [(1, 2, 30, 40, 0.9, 2)])
    outputs = {"labels": labels.astype(np.int64), "boxes": boxes, "scores": scores}
    the_head = named(dtypes={"labels": "int64"}, **outputs)
    check_named("detection-boxes", the_head, list(outputs.values()), [(1, 2, 30, 40, 0.9, 2), (5, 6, 7, 8, 0.8, 0)])


@pytest.mark.parametrize("family", ["ultralytics", "yolox", "nanodet", "fastestdet", "ssd", "detr"])
def test_half_precision_outputs_are_read(family):
    """A float16 graph gives float16 outputs; boxes and scores come out as float32 all the same."""
    rng = np.random.default_rng(18)
    n = len(grid((8, 16, 32)))
    half = {
        "ultralytics": {"output0": rng.uniform(0, 1, (1, 4 + CLASSES, n))},
        "yolox": {"output": rng.uniform(0, 1, (1, n, 5 + CLASSES))},
        "nanodet": {"output": rng.uniform(0, 1, (1, len(grid((8, 16, 32, 64))), CLASSES + 32))},
        "fastestdet": {"output": rng.uniform(0, 1, (1, 5 + CLASSES, HEIGHT // 16, WIDTH // 16))},
        "ssd": {"boxes": rng.uniform(0, 1, (1, n, 4)), "scores": rng.uniform(0, 1, (1, n, 1 + CLASSES))},
        "detr": {"boxes": rng.uniform(0, 1, (1, 300, 4)), "logits": rng.uniform(0, 1, (1, 300, CLASSES))},
    }[family]
    outputs = {k: v.astype(np.float16) for k, v in half.items()}
    decoder = make_decoder(family, named(**outputs))
    got = decoder.decode(list(outputs.values()), MIN_SCORE)
    full = decoder.decode([o.astype(np.float32) for o in outputs.values()], MIN_SCORE)
    assert (got.boxes.dtype, got.scores.dtype) == (np.float32, np.float32)
    assert len(got.scores) == pytest.approx(len(full.scores), abs=3)


def test_a_head_in_onnx_goes_the_whole_way(tmp_path):
    """A tiny network with an RF-DETR head, through onnxruntime: names and shapes arrive as the decoder expects them."""
    boxes = np.full((1, 4, 4), 0.5, np.float32)
    logits = np.full((1, 4, CLASSES + 1), -9, np.float32)
    logits[0, 1, 2] = 3
    path = constant_model(tmp_path / "rf.onnx", {"dets": boxes, "labels": logits}, [1, 3, HEIGHT, WIDTH])
    session = Session(path.read_bytes(), "rf.onnx")
    decoder = make_decoder("detr", Head(INPUT_WH, CLASSES, session.outputs, "rf.onnx"))
    got = decoder.decode(session.run(np.zeros((1, 3, HEIGHT, WIDTH), np.float32)), MIN_SCORE)
    np.testing.assert_allclose(got.boxes, [[24, 16, 72, 48]])
    assert got.class_ids.tolist() == [2]


@pytest.mark.parametrize(
    ("family", "outputs"),
    [
        ("detr", {"logits": (1, 300, 9), "pred_boxes": (1, 300, 4)}),
        ("ssd", {"boxes": (1, 400, 4), "scores": (1, 400, 9)}),
        ("fastestdet", {"out": (1, 14, 4, 6)}),
        ("yunet", {"cls_8": (1, 96, 1)}),
    ],
)
def test_a_wrong_class_count_is_refused_with_a_sentence(family, outputs):
    infos = {k: np.zeros(v, np.float32) for k, v in outputs.items()}
    with pytest.raises(ModelInvalid, match=rf"test\.onnx: as {family}, expected .*; got .*Check family and classes"):
        make_decoder(family, named(**infos))
