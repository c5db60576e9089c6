"""The fusion of several detectors' boxes: the paper's equations, and its authors' code."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_boxes import weighted_boxes_fusion

from edgevision.training.labelling.box_fusion import fuse
from edgevision.types import Detections
from tests.support.measuring import detections, random_set


def test_fusion_is_the_papers_equations():
    one = detections([[0, 0, 100, 100, 0.9, 0], [300, 0, 340, 40, 0.6, 0], [0, 0, 100, 100, 0.5, 1]])
    two = detections([[10, 0, 110, 100, 0.6, 0], [310, 200, 340, 240, 0.4, 0]])
    clusters = fuse([one, two], iou_threshold=0.55)
    first = [k for k, c in enumerate(clusters) if c.class_id == 0][0]  # noqa: RUF015
    # Corners weighted by scores (1), score their mean (2), times min(boxes, models) / models (the last equation).
    wanted = (0.9 * np.array([0, 0, 100, 100]) + 0.6 * np.array([10, 0, 110, 100])) / 1.5
    np.testing.assert_allclose(clusters[first].box, wanted, rtol=1e-6)
    assert clusters[first].score == pytest.approx(0.75)
    assert clusters[first].seen_by == {0, 1}
    alone = {round(c.score, 3) for k, c in enumerate(clusters) if k != first}
    assert alone == {0.3, 0.25, 0.2}
    weighted = fuse([one, two], [3, 1], 0.55)
    best = weighted[0]
    confidences = np.array([0.9 * 3, 0.6])
    assert best.score == pytest.approx(confidences.mean() * 2 / 4)


@pytest.mark.parametrize("seed", range(5))
def test_fusion_is_its_authors_code(seed):
    found, _ = random_set(seed, 3)
    boxes = [np.clip(f.boxes / 400, 0, 1).tolist() for f in found]
    scores = [np.clip(f.scores, 0.01, 1).tolist() for f in found]
    labels = [f.class_ids.tolist() for f in found]
    weights = [2, 1, 1]
    expected = weighted_boxes_fusion(boxes, scores, labels, weights, iou_thr=0.55)
    given = [
        Detections(np.array(b, np.float32), np.array(s, np.float32), np.array(k, np.int64))
        for b, s, k in zip(boxes, scores, labels, strict=True)
    ]
    clusters = fuse(given, weights, 0.55)
    got = sorted((c.class_id, round(c.score, 4), *c.box.round(4).tolist()) for c in clusters)
    wanted = sorted((int(k), round(float(s), 4), *np.round(b, 4).tolist()) for b, s, k in zip(*expected, strict=True))
    np.testing.assert_allclose(got, wanted, atol=2e-4)
