"""The Kalman filter against the published one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.tracking import kalman

A, B = (100, 100, 160, 240), (500, 120, 560, 260)


class PublishedFilter:
    """The 8-state filter as written in the paper's reference: whole matrices, one box, one frame a step."""

    def __init__(self, box):
        self.mean = np.r_[self.measured(box), np.zeros(4)]
        h = self.mean[3]
        self.cov = np.diag(np.square([h / 10, h / 10, 1e-2, h / 10, h / 16, h / 16, 1e-5, h / 16]))

    @staticmethod
    def measured(box):
        x1, y1, x2, y2 = (float(v) for v in box)
        return np.array([(x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / (y2 - y1), y2 - y1])

    def predict(self):
        h = self.mean[3]
        f = np.eye(8) + np.eye(8, k=4)
        noise = np.diag(np.square([h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160]))
        self.mean, self.cov = f @ self.mean, f @ self.cov @ f.T + noise

    def correct(self, box):
        h = self.mean[3]
        see = np.eye(4, 8)
        spread = see @ self.cov @ see.T + np.diag(np.square([h / 20, h / 20, 1e-1, h / 20]))
        gain = self.cov @ see.T @ np.linalg.inv(spread)
        self.mean = self.mean + gain @ (self.measured(box) - see @ self.mean)
        self.cov = self.cov - gain @ spread @ gain.T


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), steps=st.lists(st.booleans(), min_size=1, max_size=30))
def test_kalman_equals_the_published_filter(seed, steps):
    """Predict each step; where True, see a box too."""
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 500, 2), rng.uniform(30, 300, 2)
    box = np.r_[corner, corner + side].astype(np.float32)
    ours, theirs = kalman.begin(box[None]), PublishedFilter(box)
    for see in steps:
        kalman.predict(ours, 1)
        theirs.predict()
        if see:
            box = (box + np.tile(rng.normal(0, 8, 2), 2)).astype(np.float32)
            kalman.correct(ours, np.array([0]), box[None])
            theirs.correct(box)
        np.testing.assert_allclose(ours[0, 0], theirs.mean[:4], rtol=1e-9)
        np.testing.assert_allclose(ours[1, 0], theirs.mean[4:], rtol=1e-9, atol=1e-9)
        blocks = [np.diag(theirs.cov)[:4], np.diag(theirs.cov, 4), np.diag(theirs.cov)[4:]]
        np.testing.assert_allclose(ours[2:, 0], blocks, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 7, 30])
def test_predicting_over_a_gap_equals_single_steps(frames):
    boxes = np.array([A, B], np.float32)
    at_once = kalman.begin(boxes)
    for dx in (3, 7, 9):
        kalman.predict(at_once, 1)
        kalman.correct(at_once, np.array([0, 1]), boxes + np.float32([dx, 1, dx, 1]))
    # The height stands still, for the noise is taken from it: single steps would see it change on the way.
    at_once[1, :, 3] = 0
    single = at_once.copy()
    kalman.predict(at_once, frames)
    for _ in range(frames):
        kalman.predict(single, 1)
    np.testing.assert_allclose(at_once, single, rtol=1e-9, atol=1e-12)


@given(frames=st.floats(0, 1e6))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_uncertainty_stays_meaningful_over_any_gap(frames):
    motion = kalman.begin(np.array([A, B], np.float32))
    kalman.predict(motion, 1)
    kalman.correct(motion, np.array([1]), np.array([B], np.float32) + np.float32([4, 0, 4, 0]))
    before = motion[2].copy()
    kalman.predict(motion, frames)
    assert (motion[2] >= before * (1 - 1e-9)).all()
    assert (motion[2] * motion[4] >= motion[3] ** 2).all()
    assert np.isfinite(kalman.boxes_of(motion)).all()
