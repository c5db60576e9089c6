"""Assignment against trying every pairing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.tracking.assignment import assign


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    rows=st.integers(0, 6),
    columns=st.integers(0, 6),
    seed=st.integers(0, 10**6),
    density=st.sampled_from([0.2, 0.6, 1.0]),
    whole=st.booleans(),
)
def test_assignment_is_the_best_of_all(rows, columns, seed, density, whole):
    """Against trying every pairing; whole numbers make ties."""
    rng = np.random.default_rng(seed)
    gain = rng.integers(-1, 4, (rows, columns)).astype(float) if whole else rng.uniform(-0.2, 1, (rows, columns))
    gain[rng.random(gain.shape) > density] = 0
    picked, partner = assign(gain)
    assert (gain[picked, partner] > 0).all()
    assert len(set(picked.tolist())) == len(picked)
    assert len(set(partner.tolist())) == len(partner)
    wide = np.maximum(gain if rows <= columns else gain.T, 0)
    best = max(
        (sum(wide[r, c] for r, c in enumerate(p)) for p in itertools.permutations(range(wide.shape[1]), len(wide))),
        default=0,
    )
    assert gain[picked, partner].sum() == pytest.approx(best)
