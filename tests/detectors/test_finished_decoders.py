"""Heads whose suppression is inside the graph, and two dense ones, each against a reference written from its source.

YOLOv7, super-gradients, PINTO_model_zoo, MMDeploy, TensorFlow; YOLO-NAS without post-processing, Yolo-FastestV2, YOLOX.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from edgevision.detectors.decoders import (
    ALIASES,
    FAMILIES,
    Head,
    family_named,
    guesses,
    make_decoder,
    standard_recipe,
)
from edgevision.detectors.onnx_session import TensorInfo
from edgevision.errors import ModelInvalid

INPUT_WH = (96, 64)
WIDTH, HEIGHT = INPUT_WH
CLASSES = 3
MIN_SCORE = 0.3


def infos(outputs, open_rows=False):
    """Names, shapes and types; ``open_rows`` leaves open how many boxes there are."""

    def shape(array):
        return (None, *array.shape[1:]) if open_rows else array.shape

    return tuple(TensorInfo(name, shape(array), str(array.dtype)) for name, array in outputs.items())


def agrees(family, outputs, expected, classes=CLASSES, input_wh=INPUT_WH):
    """``expected``: rows of x1, y1, x2, y2, score, class, in any order."""
    decoder = make_decoder(family, Head(input_wh, classes, infos(outputs), "test.onnx"))
    found = decoder.decode(list(outputs.values()), MIN_SCORE)
    rows = sorted(map(tuple, np.column_stack([found.scores, found.class_ids, found.boxes]).tolist()))
    wanted = sorted((s, c, *box) for *box, s, c in expected)
    assert len(rows) == len(wanted) > 0
    np.testing.assert_allclose(rows, wanted, atol=1e-3)
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int64)
    return decoder


def objects(count=7, seed=1):
    """Boxes (N, 4) in pixels, scores (N,) falling from 0.9 to below the threshold, classes (N,)."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 30, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 30, (count, 2))], 1).astype(np.float32)
    return boxes, np.linspace(0.9, 0.1, count).astype(np.float32), rng.integers(0, CLASSES, count)


def over(boxes, scores, classes):
    return [(*box, s, c) for box, s, c in zip(boxes, scores, classes, strict=True) if s > MIN_SCORE]


@pytest.mark.parametrize(
    ("family", "name", "columns"),
    [
        ("yolov7", "output", lambda b, s, c: (b, c, s)),
        ("yolo-nas", "graph2_flat_predictions", lambda b, s, c: (b, s, c)),
        ("yolox", "batchno_classid_score_x1y1x2y2", lambda b, s, c: (c, s, b)),
    ],
    ids=["YOLOv7", "YOLO-NAS flat", "YOLOX post"],
)
def test_rows_of_seven(family, name, columns):
    """Each exporter has an order of its own; the first column is the image's number in the batch."""
    boxes, scores, classes = objects()
    parts = columns(boxes, scores[:, None], classes[:, None])
    table = np.concatenate([np.zeros((len(boxes), 1)), *parts], 1).astype(np.float32)
    decoder = agrees(family, {name: table}, over(boxes, scores, classes))
    assert not decoder.needs_nms
    found = guesses(infos({name: table}, open_rows=True), INPUT_WH)
    assert [name for name, guess in found.items() if not guess.seldom] == [family]
    empty = make_decoder(family, Head(INPUT_WH, CLASSES, infos({name: table}, open_rows=True), "test.onnx"))
    assert len(empty.decode([np.zeros((0, 7), np.float32)], MIN_SCORE).scores) == 0


@pytest.mark.parametrize("family", ["yolov7", "yolo-nas"])
def test_rows_of_the_other_order_are_refused(family):
    boxes, scores, classes = objects()
    parts = (scores, classes) if family == "yolov7" else (classes, scores)
    table = np.column_stack([np.zeros(len(boxes)), boxes, *parts]).astype(np.float32)
    decoder = make_decoder(family, Head(INPUT_WH, CLASSES, infos({"o": table}), "test.onnx"))
    with pytest.raises(ValueError, match=r"its rows are no image, x1, .*: check --family"):
        decoder.decode([table], MIN_SCORE)


def test_yolov7_without_suppression_inside():
    """``--grid``: (1, A, 5 + classes) as YOLOv5."""
    table = np.zeros((1, 3 * 126, 5 + CLASSES), np.float32)
    table[0, 5] = [50, 30, 20, 10, 0.9, 0.1, 0.8, 0.2]
    assert agrees("yolov7", {"output": table}, [(40, 25, 60, 35, 0.72, 1)]).needs_nms


def test_yolo_nas_batch_format():
    """num_predictions, pred_boxes, pred_scores, pred_classes; what is past the number is -1."""
    boxes, scores, classes = objects()
    padded = np.full((1, 20, 4), -1, np.float32)
    padded[0, :7] = boxes
    outputs = {
        "graph2_num_predictions": np.array([[7]], np.int64),
        "graph2_pred_boxes": padded,
        "graph2_pred_scores": np.concatenate([scores, np.full(13, -1)])[None].astype(np.float32),
        "graph2_pred_classes": np.concatenate([classes, np.full(13, -1)])[None].astype(np.int64),
    }
    for order in itertools.permutations(outputs):
        agrees("yolo-nas", {name: outputs[name] for name in order}, over(boxes, scores, classes))
    assert list(guesses(infos(outputs), INPUT_WH)) == ["yolo-nas"]


@pytest.mark.parametrize("classes", [1, 3, 4, 80])
def test_yolo_nas_without_post_processing(classes):
    """Boxes (1, cells, 4) x1, y1, x2, y2 in pixels and probabilities (1, cells, classes)."""
    rng = np.random.default_rng(2)
    low = rng.uniform(0, 40, (126, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 20, (126, 2))], 1).astype(np.float32)
    scores = (rng.uniform(0, 0.7, (126, classes)) ** 2).astype(np.float32)
    best = scores.argmax(1)
    expected = over(boxes, scores[np.arange(126), best], best)
    outputs = {"boxes": boxes[None], "scores": scores[None]}
    assert agrees("yolo-nas", outputs, expected, classes).needs_nms
    if classes != 4:
        agrees("yolo-nas", dict(reversed(outputs.items())), expected, classes)
    found = guesses(infos(outputs), INPUT_WH)
    assert [family for family, guess in found.items() if not guess.seldom] == ["yolo-nas"]
    assert found["yolo-nas"].class_counts == (classes,)


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("masks", [True, False])
def test_mmdeploy(batch, masks):
    """dets (1, K, 5) x1, y1, x2, y2, score; labels (1, K), -1 where a row is not used."""
    boxes, scores, classes = objects()
    classes[1] = -1
    outputs = {"dets": np.column_stack([boxes, scores]).astype(np.float32), "labels": classes.astype(np.int64)}
    if batch:
        outputs = {name: array[None] for name, array in outputs.items()}
    if masks:
        outputs["masks"] = np.zeros((1, 7, 64, 96), np.float32)
    expected = [row for row in over(boxes, scores, classes) if row[5] >= 0]
    assert not agrees("mmdeploy", outputs, expected).needs_nms
    assert list(guesses(infos(outputs), INPUT_WH)) == ["mmdeploy"]


TENSORFLOW = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")


def tensorflow(first_label, names=TENSORFLOW):
    """y1, x1, y2, x2 in shares, all of floats; and what they mean."""
    boxes, scores, classes = objects()
    shares = boxes[:, [1, 0, 3, 2]] / [HEIGHT, WIDTH, HEIGHT, WIDTH]
    # A row that is past the number of detections, and would count if it were not.
    outputs = {
        names[0]: np.concatenate([shares, [[0, 0, 1, 1]]])[None],
        names[1]: np.concatenate([classes + first_label, [2]])[None],
        names[2]: np.concatenate([scores, [0.99]])[None],
        names[3]: np.array([7.0]),
    }
    return {name: array.astype(np.float32) for name, array in outputs.items()}, over(boxes, scores, classes)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_tensorflow_outputs_in_any_order(order):
    outputs, expected = tensorflow(1)
    agrees("detection-boxes", {TENSORFLOW[k]: outputs[TENSORFLOW[k]] for k in order}, expected)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_tensorflow_lite_outputs_under_any_names(order):
    """Classes count from 0; which of two lists is scores shows in their numbers."""
    names = ("StatefulPartitionedCall:31", "StatefulPartitionedCall:32", "o:33", "TFLite_Detection_PostProcess:3")
    outputs, expected = tensorflow(0, names)
    outputs = {names[k]: outputs[names[k]] for k in order}
    agrees("detection-boxes", outputs, expected)
    assert list(guesses(infos(outputs), INPUT_WH)) == ["detection-boxes"]


def test_tensorflow_outputs_that_count_from_0_by_the_owners_word():
    outputs, expected = tensorflow(0)
    agrees("tflite-boxes", outputs, expected)


def test_tensorflow_boxes_in_pixels():
    outputs, expected = tensorflow(1)
    outputs["detection_boxes"] *= np.array([HEIGHT, WIDTH, HEIGHT, WIDTH], np.float32)
    agrees("detection-boxes", outputs, expected)


def test_tensorflow_outputs_beside_others():
    """A SavedModel of today gives eight outputs."""
    outputs, expected = tensorflow(1)
    more = {
        "detection_anchor_indices": np.zeros((1, 8), np.float32),
        "detection_multiclass_scores": np.zeros((1, 8, 4), np.float32),
        "raw_detection_boxes": np.zeros((1, 1917, 4), np.float32),
        "raw_detection_scores": np.zeros((1, 1917, 4), np.float32),
    }
    agrees("detection-boxes", more | outputs, expected)


def test_lists_of_which_neither_holds_class_numbers():
    outputs, _ = tensorflow(0, ("a", "b", "c", "d"))
    outputs["b"] += 0.5
    decoder = make_decoder("detection-boxes", Head(INPUT_WH, CLASSES, infos(outputs), "test.onnx"))
    with pytest.raises(ValueError, match="neither of its lists holds class numbers"):
        decoder.decode(list(outputs.values()), MIN_SCORE)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_yolo_fastestv2(classes, swapped):
    """handel_preds: xy * 2 - 0.5 + cell, (wh * 2)^2 * anchor; obj * softmax'd class, common to a cell's anchors."""
    rng = np.random.default_rng(3)
    anchors = {
        16: [(12.64, 19.39), (37.88, 51.48), (55.71, 138.31)],
        32: [(126.91, 78.23), (131.57, 214.55), (279.92, 258.87)],
    }
    outputs, expected = {}, []
    for stride in (16, 32):
        rows, columns = HEIGHT // stride, WIDTH // stride
        grid = rng.uniform(0, 1, (1, rows, columns, 15 + classes)).astype(np.float32)
        outputs[str(stride)] = grid
        for y in range(rows):
            for x in range(columns):
                values = grid[0, y, x].astype(float)
                c = int(np.argmax(values[15:]))
                for k, (wide, high) in enumerate(anchors[stride]):
                    score = values[12 + k] * values[15 + c]
                    if score > MIN_SCORE:
                        cx, cy = ((values[4 * k + j] * 2 - 0.5 + at) * stride for j, at in ((0, x), (1, y)))
                        w, h = (values[4 * k + 2] * 2) ** 2 * wide, (values[4 * k + 3] * 2) ** 2 * high
                        expected.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, score, c))
    if swapped:
        outputs = dict(reversed(outputs.items()))
    agrees("yolo-fastestv2", outputs, expected, classes)
    assert guesses(infos(outputs), INPUT_WH)["yolo-fastestv2"].class_counts == (classes,)


@pytest.mark.parametrize("classes", [1, 3])
def test_yolox_decoded_in_the_graph(classes):
    """``--decode_in_inference``: the raw table's rows as centre x, y, width, height in pixels."""
    rng = np.random.default_rng(4)
    cells = [(x, y, s) for s in (8, 16, 32) for y in range(HEIGHT // s) for x in range(WIDTH // s)]
    raw = np.column_stack([rng.normal(0.5, 0.4, (126, 4)), rng.uniform(0, 1, (126, 1 + classes))]).astype(np.float32)
    decoded = raw.copy()
    for k, (x, y, stride) in enumerate(cells):
        decoded[k, :2] = (raw[k, 0] + x) * stride, (raw[k, 1] + y) * stride
        decoded[k, 2:4] = math.exp(raw[k, 2]) * stride, math.exp(raw[k, 3]) * stride
    expected = []
    for row in decoded:
        scores = row[4] * row[5:]
        c = int(np.argmax(scores))
        if scores[c] > MIN_SCORE:
            cx, cy, w, h = row[:4].astype(float)
            expected.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, scores[c], c))
    agrees("yolox", {"output": decoded[None]}, expected, classes)
    agrees("yolox", {"output": raw[None]}, expected, classes)


def test_every_model_name_leads_to_a_family():
    assert set(ALIASES.values()) <= set(FAMILIES)
    assert not set(ALIASES) & set(FAMILIES)
    assert family_named(" YOLOv8 ", "m.onnx") == "ultralytics"
    assert family_named("yolo_nas", "m.onnx") == "yolo-nas"
    with pytest.raises(ModelInvalid, match=r"unknown family 'yolo99'"):
        family_named("yolo99", "m.onnx")


def test_each_family_is_fed_as_its_published_weights_were_trained():
    seven = (TensorInfo("o", (None, 7), "float32"),)
    dets = (TensorInfo("dets", (1, 100, 5), "float32"), TensorInfo("labels", (1, 100), "int64"))
    maps = tuple(TensorInfo(str(s), (1, 352 // s, 352 // s, 95), "float32") for s in (16, 32))
    letterboxed = {"resize": "letterbox", "channel_order": "rgb", "std": (255.0, 255.0, 255.0)}
    assert standard_recipe("yolov7", seven, "") == letterboxed
    assert standard_recipe("yolo-nas", seven, "") == letterboxed
    assert standard_recipe("yolox", seven, "") == {"resize": "stretch", "channel_order": "bgr"}
    assert standard_recipe("mmdeploy", dets, "")["mean"] == (103.53, 116.28, 123.675)
    assert standard_recipe("yolo-fastestv2", maps, "") == {
        "resize": "stretch",
        "channel_order": "bgr",
        "std": (255.0, 255.0, 255.0),
    }
    tensorflow_names = tuple(TensorInfo(n, (1, 100, 4)[: 3 if "boxes" in n else 2], "float32") for n in TENSORFLOW)
    assert standard_recipe("detection-boxes", tensorflow_names, "") == {"resize": "stretch", "channel_order": "rgb"}
