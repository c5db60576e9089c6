"""Names of foundation models, their options, and what the base class checks."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.detectors.foundation import foundation_kind, foundation_names, is_foundation, load_foundation
from edgevision.detectors.foundation.base import Found, FoundationDetector
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.errors import MissingExtra, UsageError

TWO = Prompts(("person", "helmet"), (("a person", "a worker"), ("a hard hat",)))


def test_names():
    assert {"owlv2", "sam", "clip", "smolvlm", "api"} <= set(foundation_names())
    assert foundation_kind("foundation:yoloe") == "boxes" and foundation_kind("sam2@random") == "segments"
    assert is_foundation("foundation:owlv2") and not is_foundation("owlv2")
    with pytest.raises(UsageError, match="no foundation model named 'owl'; known are owlvit"):
        load_foundation("owl")
    with pytest.raises(UsageError, match="give one of the two"):
        load_foundation("owlv2@random", weights="here")


@pytest.mark.parametrize("wrong", [{"min_score": 1.5}, {"threads": 0}, {"ask": "poems"}])
def test_orders_that_cannot_be_meant(wrong):
    with pytest.raises(UsageError):
        load_foundation("owlv2", weights="random", **wrong)


@pytest.mark.parametrize("name", [n for n in foundation_names() if n != "api"])
def test_what_is_missing_is_named(name):
    import importlib.util

    if importlib.util.find_spec("transformers") or importlib.util.find_spec("ultralytics"):
        pytest.skip("the extras are installed here")
    with pytest.raises(MissingExtra, match=r"pip install 'edgevision\[(foundation|ultralytics)\]'") as told:
        load_foundation(name, weights="random")
    assert ("AGPL-3.0" in str(told.value)) == (name in {"yolo-world", "yoloe", "mobilesam"})


class Fixed(FoundationDetector):
    """Finds what it is told to."""

    title = "Fixed"

    def __init__(self, found, **order):
        super().__init__(FoundationOptions("fixed", **order), "1", ("a", "b"), "as told")
        self._found = found

    def _find(self, pixels):
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def test_what_a_model_finds_is_made_right():
    boxes = np.array([[-5, -5, 500, 20], [1, 1, 1, 9], [300, 0, 310, 10], [0, 0, 4, 4], [2, 2, 6, 6]], np.float32)
    found = Found(boxes, np.array([0.2, 0.9, 0.9, 0.05, 1.1], np.float32), np.array([0, 0, 0, 1, 1], np.int64))
    detections = Fixed(found, min_score=0.1).detect(np.zeros((50, 100, 3), np.uint8))
    assert detections.boxes.tolist() == [[2, 2, 6, 6], [0, 0, 100, 20]]
    assert detections.scores.tolist() == [1, pytest.approx(0.2)] and detections.class_ids.tolist() == [1, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    from edgevision.errors import ModelFailed

    found = Found(np.array([[0, 0, bad, 4]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    with pytest.raises(ModelFailed, match="not finite"):
        Fixed(found).detect(np.zeros((50, 100, 3), np.uint8))


def test_a_foreign_error_is_one_line():
    from edgevision.errors import ModelFailed

    with pytest.raises(ModelFailed) as told:
        Fixed(RuntimeError("out of memory\nat line 3")).detect(np.zeros((50, 100, 3), np.uint8))
    assert str(told.value) == "foundation:fixed@1: failed on a frame of 100×50 px: out of memory"
