"""AP and agreement of a benchmark."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.bench.accuracy import accuracy, agreement
from edgevision.bench.image_sets import Truth
from edgevision.datasets.annotations import Annotations
from edgevision.evaluation.average_precision import judge, mean_ap50
from edgevision.types import Detections


def random_case(seed, images=40):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        n = rng.integers(0, 5)
        corner = rng.uniform(0, 150, (n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (n, 2))], 1).astype(np.float32)
        ids = rng.integers(0, 2, n)
        truth.append(Annotations(boxes, ids))
        seen = boxes + rng.normal(0, 3, boxes.shape).astype(np.float32)
        extra = rng.integers(0, 3)
        more = np.concatenate([c := rng.uniform(0, 150, (extra, 2)), c + 20], 1).astype(np.float32)
        every = np.concatenate([seen, more]).astype(np.float32)
        labels = np.concatenate([ids, rng.integers(0, 2, extra)])
        found.append(Detections(every, rng.random(len(every)).astype(np.float32), labels.astype(np.int64)))
    return found, truth


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_the_evaluators_and_its_interval_holds_it(seed):
    found, truth = random_case(seed)
    names = ("person", "dog")
    figure = accuracy("x", "set", found, names, Truth(names, tuple(truth)))
    assert figure.ap50 == mean_ap50([judge(found, truth, k) for k in (0, 1)]).value
    assert 0 < figure.low < figure.ap50 < figure.high < 1
    assert figure.ap50_95 < figure.ap50
    assert (figure.frames, figure.labels) == (40, sum(len(t.boxes) for t in truth))


def test_classes_are_matched_by_name_not_by_number():
    found, truth = random_case(1)
    turned = [Detections(d.boxes, d.scores, 1 - d.class_ids) for d in found]
    one = accuracy("x", "set", found, ("person", "hard hat"), Truth(("person", "hard hat"), tuple(truth)))
    other = accuracy("x", "set", turned, ("Hard_Hat", "Person"), Truth(("person", "hard hat"), tuple(truth)))
    assert other.ap50 == one.ap50
    assert other.classes == ("person", "hard hat")


def test_classes_of_one_side_only_are_left_out():
    found, truth = random_case(1)
    both = accuracy("x", "set", found, ("person", "dog"), Truth(("person", "cat"), tuple(truth)))
    assert both.classes == ("person",)
    assert accuracy("x", "set", found, ("a", "b"), Truth(("c", "d"), tuple(truth))) is None


def test_a_slow_contender_is_judged_by_the_pictures_it_saw():
    found, truth = random_case(2)
    figure = accuracy("x", "set", found[:12], ("person", "dog"), Truth(("person", "dog"), tuple(truth)))
    assert figure.frames == 12
    few = accuracy("x", "set", found[:5], ("person", "dog"), Truth(("person", "dog"), tuple(truth)))
    assert few.low is None


def test_agreement_counts_what_is_found_again():
    found, _ = random_case(4)
    sure = sum(int((d.scores >= 0.5).sum()) for d in found)
    same = agreement("b", "a", "clip", (found, ("person", "dog")), (found, ("person", "dog")), 0.5)
    assert same.found_again == 1
    assert same.reference_boxes == sure
    nothing = [Detections.empty()] * len(found)
    assert agreement("b", "a", "clip", (nothing, ("dog",)), (found, ("person", "dog")), 0.5).found_again == 0
    assert agreement("b", "a", "clip", (found, ("cat", "cow")), (found, ("person", "dog")), 0.5) is None
