"""Labels as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.datasets.annotations import Annotations, Box, PictureLabels


def test_labels_of_an_image_as_arrays():
    labels = PictureLabels("a.png", 9, 9, boxes=(Box(1, (0, 0, 4, 5)), Box(0, (1, 1, 2, 2), 0.3, 0.0, "teacher")))
    there = labels.annotations()
    assert there.boxes.dtype == np.float32
    assert there.boxes.tolist() == [[0, 0, 4, 5], [1, 1, 2, 2]]
    assert there.class_ids.tolist() == [1, 0]
    assert there.ignored.tolist() == [False, True]
    assert there.scores is None
    assert len(there.select(~there.ignored)) == 1
    assert len(PictureLabels("b.png").annotations()) == 0


def test_classes_are_renumbered_and_those_without_a_number_left_out():
    there = Annotations(np.zeros((3, 4), np.float32), np.array([0, 1, 2]), scores=np.array([0.1, 0.2, 0.3], np.float32))
    turned = there.renumbered(np.array([5, -1, 0]))
    assert turned.class_ids.tolist() == [5, 0]
    assert turned.scores is not None
    assert turned.scores.tolist() == pytest.approx([0.1, 0.3])
    assert len(Annotations.empty().renumbered(np.array([0]))) == 0


def test_arrays_of_another_shape_or_type_are_refused():
    with pytest.raises(ValueError, match=r"boxes: expected float32 \(1, 4\), got float64"):
        Annotations(np.zeros((1, 4)), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match=r"class_ids: expected int64 \(2,\), got int64 \(1,\)"):
        Annotations(np.zeros((2, 4), np.float32), np.zeros(1, np.int64))
