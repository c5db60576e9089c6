"""Box arithmetic and accuracy against plain references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.detectors import boxes as bx
from edgevision.evaluation.score import Labelled, class_accuracy, match, mean_average_precision


def reference_iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(w, 0) * max(h, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def reference_nms(boxes, scores, classes, limit_iou):
    """The definition: take the best, drop what overlaps it in its class, go on."""
    left = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if classes[i] != classes[best] or reference_iou(boxes[best], boxes[i]) <= limit_iou]
    return kept


some_boxes = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2)),
    min_size=0,
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(some_boxes, st.sampled_from([0.3, 0.5, 0.7]), st.integers(0, 1000))
def test_nms_is_its_definition(rows, limit_iou, seed):
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
    classes = np.array([c for *_, c in rows], np.int64)
    scores = np.random.default_rng(seed).permutation(len(rows)).astype(np.float32) / 100
    assert list(bx.nms(boxes, scores, classes, limit_iou)) == reference_nms(boxes, scores, classes, limit_iou)


@settings(max_examples=50, deadline=None)
@given(some_boxes, some_boxes)
def test_iou_is_its_definition(a_rows, b_rows):
    a = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in a_rows], np.float32).reshape(-1, 4)
    b = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in b_rows], np.float32).reshape(-1, 4)
    expected = np.array([[reference_iou(p, q) for q in b] for p in a]).reshape(len(a), len(b))
    np.testing.assert_allclose(bx.iou(a, b), expected, atol=1e-6)


def test_nms_keeps_at_most_the_limit():
    boxes = np.array([[10 * k, 0, 10 * k + 5, 5] for k in range(20)], np.float32)
    kept = bx.nms(boxes, np.linspace(0, 1, 20).astype(np.float32), np.zeros(20, np.int64), 0.5, limit=3)
    assert list(kept) == [19, 18, 17]


def test_clip_and_centres():
    np.testing.assert_array_equal(
        bx.clip(np.array([[-5, 2, 50, 99]], np.float32), 40, 30), np.array([[0, 2, 40, 30]], np.float32)
    )
    np.testing.assert_array_equal(
        bx.from_centres(np.array([[10, 20, 4, 6]], np.float32)), np.array([[8, 17, 12, 23]], np.float32)
    )


def labelled(rows, scores=None):
    array = np.array(rows, np.float32).reshape(-1, 4)
    return Labelled(array, np.zeros(len(array), np.int64), None if scores is None else np.array(scores, np.float32))


def test_a_label_is_matched_once_and_by_the_better_detection():
    truth = np.array([[0, 0, 10, 10]], np.float32)
    found = np.array([[0, 0, 10, 9], [0, 0, 10, 10]], np.float32)
    assert list(match(found, np.array([0.9, 0.8], np.float32), truth, 0.5)) == [True, False]


# Worked by hand: two labels; detections best first hit, miss, hit.
# recall 0.5, 0.5, 1.0; precision 1, 1/2, 2/3; made monotone 1, 2/3, 2/3.
# 101 points: recalls 0..0.50 read 1 (51 of them), 0.51..1.00 read 2/3 (50).
def test_average_precision_by_hand():
    truth = [labelled([[0, 0, 10, 10], [50, 50, 60, 60]])]
    found = [labelled([[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]], [0.9, 0.8, 0.7])]
    assert class_accuracy(found, truth, 0).average_precision == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_perfect_is_one_nothing_found_is_zero_no_labels_is_nan():
    truth = [labelled([[0, 0, 10, 10]]), labelled([])]
    perfect = [labelled([[0, 0, 10, 10]], [0.5]), labelled([], [])]
    nothing = [labelled([], []), labelled([], [])]
    assert mean_average_precision(perfect, truth, 1) == 1
    assert mean_average_precision(nothing, truth, 1) == 0
    assert np.isnan(mean_average_precision(nothing, [labelled([]), labelled([])], 1))


def test_a_false_detection_in_an_image_without_labels_costs():
    truth = [labelled([[0, 0, 10, 10]]), labelled([])]
    found = [labelled([[0, 0, 10, 10]], [0.5]), labelled([[0, 0, 10, 10]], [0.9])]
    assert mean_average_precision(found, truth, 1) == pytest.approx(0.5)


def test_as_many_lists_as_labels():
    with pytest.raises(ValueError, match="expected as many"):
        class_accuracy([], [labelled([])], 0)
