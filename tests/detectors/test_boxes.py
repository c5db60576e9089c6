"""Box arithmetic against plain references."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.detectors import boxes as bx
from edgevision.detectors.nms import nms


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
    assert list(nms(boxes, scores, classes, limit_iou)) == reference_nms(boxes, scores, classes, limit_iou)


@settings(max_examples=50, deadline=None)
@given(some_boxes, some_boxes)
def test_iou_is_its_definition(a_rows, b_rows):
    a = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in a_rows], np.float32).reshape(-1, 4)
    b = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in b_rows], np.float32).reshape(-1, 4)
    expected = np.array([[reference_iou(p, q) for q in b] for p in a]).reshape(len(a), len(b))
    np.testing.assert_allclose(bx.iou(a, b), expected, atol=1e-6)


def test_nms_keeps_at_most_the_limit():
    boxes = np.array([[10 * k, 0, 10 * k + 5, 5] for k in range(20)], np.float32)
    kept = nms(boxes, np.linspace(0, 1, 20).astype(np.float32), np.zeros(20, np.int64), 0.5, limit=3)
    assert list(kept) == [19, 18, 17]


def test_clip_and_centres():
    np.testing.assert_array_equal(
        bx.clip(np.array([[-5, 2, 50, 99]], np.float32), 40, 30), np.array([[0, 2, 40, 30]], np.float32)
    )
    np.testing.assert_array_equal(
        bx.from_centres(np.array([[10, 20, 4, 6]], np.float32)), np.array([[8, 17, 12, 23]], np.float32)
    )
