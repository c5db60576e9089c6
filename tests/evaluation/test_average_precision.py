"""Average precision: worked by hand, against pycocotools, with regions to ignore, sizes and intervals."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgevision.datasets.annotations import Annotations
from edgevision.evaluation.average_precision import (
    LEAST_SCORE,
    SIZES,
    THRESHOLDS,
    difference_ap50,
    judge,
    mean_ap50,
    mean_ap50_95,
    scores_from,
)
from edgevision.evaluation.bootstrap import block_length, draws
from edgevision.evaluation.matching import hits, match
from tests.support.measuring import detections, random_set, truth


def ap50(found, there):
    return judge(found, there, 0, (0.5,)).average_precision()[0]


def labels(*boxes):
    return truth([[*box, 0] for box in boxes])


def seen(*rows):
    return detections([[*row, 0] for row in rows])


# Worked by hand


def test_a_label_is_matched_once_and_by_the_better_detection():
    there = np.array([[0, 0, 10, 10]], np.float32)
    found = np.array([[0, 0, 10, 9], [0, 0, 10, 10]], np.float32)
    assert hits(found, np.array([0.9, 0.8], np.float32), there).tolist() == [True, False]
    assert hits(found, np.array([0.8, 0.9], np.float32), there).tolist() == [False, True]


def test_a_label_that_counts_is_taken_before_one_to_ignore():
    there = np.array([[0, 0, 10, 10], [0, 0, 10, 9]], np.float32)
    found = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert match(found, scores, there, np.array([True, False])).tolist() == [[1, 0]]
    assert match(found, scores, there, np.array([True, False]), (0.95,)).tolist() == [[0, -1]]


# Two labels; detections best first hit, miss, hit.
# Recall 0.5, 0.5, 1.0; precision 1, 1/2, 2/3; made monotone 1, 2/3, 2/3.
# 101 points: recalls 0..0.50 read 1 (51 of them), 0.51..1.00 read 2/3 (50).
def test_average_precision_by_hand():
    there = [labels((0, 0, 10, 10), (50, 50, 60, 60))]
    found = [seen((0, 0, 10, 10, 0.9), (20, 20, 30, 30, 0.8), (50, 50, 60, 60, 0.7))]
    assert ap50(found, there) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_perfect_is_one_nothing_found_is_zero_no_labels_is_nan():
    there = [labels((0, 0, 10, 10)), labels()]
    assert ap50([seen((0, 0, 10, 10, 0.5)), seen()], there) == 1
    assert ap50([seen(), seen()], there) == 0
    assert np.isnan(ap50([seen(), seen()], [labels(), labels()]))
    assert np.isnan(mean_ap50([judge([], [], 0)]).value)


def test_a_false_detection_in_an_image_without_labels_costs():
    found = [seen((0, 0, 10, 10, 0.5)), seen((0, 0, 10, 10, 0.9))]
    assert ap50(found, [labels((0, 0, 10, 10)), labels()]) == pytest.approx(0.5)


def test_as_many_images_of_detections_as_of_labels():
    with pytest.raises(ValueError, match="longer than argument"):
        judge([], [labels()], 0)


# Against pycocotools 2.0.11


def coco_precision(found, there):
    """AP of pycocotools: (T, K, area), area all, small, medium, large; NaN without labels."""
    images = [{"id": i + 1, "width": 1000, "height": 1000} for i in range(len(there))]
    annotations = [
        {"id": 0, "image_id": i + 1, "category_id": int(k) + 1, "iscrowd": 0, "ignore": 0,
         "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        for i, t in enumerate(there)
        for (x1, y1, x2, y2), k in zip(t.boxes.astype(float).tolist(), t.class_ids, strict=True)
    ]  # fmt: skip
    for number, one in enumerate(annotations, 1):
        one["id"] = number
    reference = COCO()
    reference.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1}, {"id": 2}]}
    rows = [
        [i + 1, x1, y1, x2 - x1, y2 - y1, s, k + 1]
        for i, f in enumerate(found)
        for (x1, y1, x2, y2), s, k in zip(f.boxes.astype(float).tolist(), f.scores, f.class_ids, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        reference.createIndex()
        run = COCOeval(reference, reference.loadRes(np.array(rows, np.float64)), "bbox")
        run.params.maxDets = [1, 10, 300]
        run.evaluate()
        run.accumulate()
    table = run.eval["precision"][..., 2]  # (T, R, K, area)
    return np.where((table < 0).all(1), np.nan, table.mean(1))


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_pycocotools(seed):
    found, there = random_set(seed)
    expected = coco_precision(found, there)[..., 0]
    verdicts = [judge(found, there, k) for k in (0, 1)]
    for k in (0, 1):
        np.testing.assert_allclose(verdicts[k].average_precision(), expected[:, k], atol=1e-6)
    assert mean_ap50(verdicts).value == pytest.approx(expected[0].mean(), abs=1e-6)
    assert mean_ap50_95(verdicts) == pytest.approx(expected.mean(), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_ap_by_size_is_pycocotools(seed):
    found, there = random_set(seed)
    expected = coco_precision(found, there)
    for place, size in enumerate(SIZES.values(), 1):
        for k in (0, 1):
            got = judge(found, there, k, size=size).average_precision()
            np.testing.assert_allclose(got, expected[:, k, place], atol=1e-6)


whole_boxes = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(4, 40), st.integers(4, 40), st.integers(0, 1)),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(whole_boxes, whole_boxes), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_ap_is_pycocotools_on_any_boxes(images, random):
    def corners(rows):
        return [[x, y, x + w, y + h, k] for x, y, w, h, k in rows]

    there = [truth(corners(t)) for t, _ in images]
    scores = [k / 64 for k in range(64)]
    random.shuffle(scores)
    found = [detections([[*r[:4], scores.pop(), r[4]] for r in corners(f)]) for _, f in images]
    if not sum(map(len, found)):
        return
    expected = coco_precision(found, there)[..., 0]
    for k in (0, 1):
        np.testing.assert_allclose(judge(found, there, k).average_precision(), expected[:, k], atol=1e-6)


# Regions to ignore, sizes


def test_a_hit_on_an_ignored_label_counts_neither_way():
    there = [truth([[0, 0, 10, 10, 0], [50, 50, 60, 60, 0]], [True, False])]
    alone = judge([detections([[50, 50, 60, 60, 0.5, 0]])], there, 0, (0.5,))
    assert alone.average_precision()[0] == 1
    both = judge([detections([[0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.5, 0]])], there, 0, (0.5,))
    assert both.average_precision()[0] == 1
    wrong = judge([detections([[80, 80, 90, 90, 0.9, 0], [50, 50, 60, 60, 0.5, 0]])], there, 0, (0.5,))
    assert wrong.average_precision()[0] == pytest.approx(0.5)


def test_sizes_take_labels_and_false_boxes_of_their_own():
    there = [truth([[0, 0, 20, 20, 0], [100, 100, 300, 300, 0]])]
    found = [detections([[0, 0, 20, 20, 0.9, 0], [400, 400, 600, 600, 0.95, 0], [100, 100, 300, 300, 0.8, 0]])]
    by_size = {name: judge(found, there, 0, (0.5,), span) for name, span in SIZES.items()}
    assert by_size["small"].average_precision()[0] == 1
    assert np.isnan(by_size["medium"].average_precision()[0])
    assert by_size["large"].average_precision()[0] == pytest.approx(0.5)


# Intervals


def test_the_interval_holds_the_figure_and_a_draw_is_a_new_matching():
    found, there = random_set(5, 40)
    verdicts = [judge(found, there, k, (0.5,)) for k in (0, 1)]
    drawn = draws(40, 60)
    told = mean_ap50(verdicts, drawn)
    assert told.low < told.value < told.high
    chosen = np.repeat(np.arange(40), drawn[0])
    afresh = [judge([found[i] for i in chosen], [there[i] for i in chosen], k, (0.5,)) for k in (0, 1)]
    # Not to the last digit: equal scores may stand in another order.
    assert mean_ap50(verdicts, drawn[:1]).low == pytest.approx(mean_ap50(afresh).value, abs=0.02)


def test_a_better_model_is_told_from_a_worse_one():
    found, there = random_set(6, 60)
    worse = [f.select(np.arange(len(f)) % 3 == 0) for f in found]
    a, b = ([judge(f, there, k, (0.5,)) for k in (0, 1)] for f in (found, worse))
    lead = difference_ap50(a, b, draws(60, 80))
    assert lead.low > 0
    assert difference_ap50(a, a, draws(60, 20)).high == 0


def test_consecutive_frames_are_drawn_in_blocks():
    """Frames of one video resemble each other: drawn one by one they give too narrow an interval."""
    times = draws(60, 50, 3, block=6)
    assert (times.sum(1) == 60).all()
    # Each block is six neighbours, around the end: a frame that is drawn has a neighbour that is.
    alone = (times > 0) & (np.roll(times, 1, 1) == 0) & (np.roll(times, -1, 1) == 0)
    assert not alone.any()
    found, there = random_set(7, 20)
    found, there = [f for f in found for _ in range(6)], [t for t in there for _ in range(6)]
    verdicts = [judge(found, there, k, (0.5,)) for k in (0, 1)]
    photos, video = (mean_ap50(verdicts, draws(120, 200, 0, block)) for block in (1, block_length(120)))
    assert video.high - video.low > 1.3 * (photos.high - photos.low)


def test_draws_are_the_same_each_time():
    assert (draws(30, 5, 1) == draws(30, 5, 1)).all()
    assert (draws(30, 5, 1) != draws(30, 5, 2)).any()
    assert draws(0, 5).shape == (5, 0)
    assert [block_length(n) for n in (1, 2, 9, 100, 400)] == [1, 1, 3, 10, 20]


# The score that AP is measured from


class Thresholded:
    classes = ("blob",)
    name = "blob@1"
    min_score = 0.5


def test_ap_is_measured_from_the_least_score_and_the_threshold_comes_back():
    detector = Thresholded()
    with pytest.raises(RuntimeError), scores_from(detector):
        assert detector.min_score == LEAST_SCORE == 0.01
        raise RuntimeError
    assert detector.min_score == 0.5
    with scores_from(object()):
        pass


def test_annotations_of_weight_0_are_ignored():
    rows = np.array([[0, 0, 0, 10, 10, 1], [0, 50, 50, 60, 60, 0]], np.float32)
    verdicts = judge([seen((0, 0, 10, 10, 0.5), (50, 50, 60, 60, 0.9))], [Annotations.from_rows(rows)], 0, THRESHOLDS)
    assert verdicts.labels.tolist() == [1]
    assert (verdicts.average_precision() == 1).all()
