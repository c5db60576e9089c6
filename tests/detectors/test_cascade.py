"""A detector and a second model that says which kind each found thing is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevision.deployment.candidate import Candidate, followed
from edgevision.detectors.cascade import SecondStage, cut_out
from edgevision.detectors.decoders import Head, make_decoder
from edgevision.detectors.manifest import manifest_from
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.onnx_session import Session, TensorInfo
from edgevision.errors import ModelInvalid, UsageError
from edgevision.types import Detections

RED, BLUE = (0, 0, 220), (220, 0, 0)


def colour_kinds() -> OnnxDetector:
    """Says blue or red of a picture, by the means of its channels: uint8 BGR in, probabilities out."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Gemm", ["means", "weights"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "kinds",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 32, 32, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(np.array([[0.05, 0, 0], [0, 0, 0.05]], np.float32), "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    manifest = manifest_from(
        {
            "name": "kinds",
            "family": "classifier",
            "classes": ["blue", "red"],
            "input": {
                "name": "images", "width_px": 32, "height_px": 32, "layout": "nhwc", "dtype": "uint8",
                "channel_order": "bgr", "resize": "stretch",
            },
            "thresholds": {"score": 0.0},
        },
        "test",
    )  # fmt: skip
    return OnnxDetector(manifest, Session(model.SerializeToString(), "kinds"))


class Finder:
    """Finds what it is told to, of two classes."""

    name, classes, min_score = "finder@1", ("box", "ball"), 0.3

    def __init__(self, boxes, scores, class_ids):
        self.found = Detections(
            np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(class_ids, np.int64)
        )

    def detect(self, pixels):
        return self.found


def scene() -> np.ndarray:
    pixels = np.full((120, 200, 3), 90, np.uint8)
    cv2.rectangle(pixels, (10, 10), (60, 60), BLUE, -1)
    cv2.rectangle(pixels, (100, 20), (160, 100), RED, -1)
    return pixels


def test_classifier_says_the_kind_of_the_whole_picture():
    found = colour_kinds().detect(np.full((50, 80, 3), RED, np.uint8))
    assert found.boxes.tolist() == [[0, 0, 80, 50]]
    assert [colour_kinds().classes[k] for k in found.class_ids] == ["red"]
    assert found.scores[0] > 0.9


def test_each_box_gets_its_kind():
    finder = Finder([[10, 10, 60, 60], [100, 20, 160, 100]], [0.9, 0.5], [0, 1])
    both = SecondStage(finder, colour_kinds())
    assert both.name == "finder@1+kinds@1"
    found = both.detect(scene())
    assert [both.classes[k] for k in found.class_ids] == ["box, blue", "ball, red"]
    np.testing.assert_array_equal(found.boxes, finder.found.boxes)
    np.testing.assert_array_equal(found.scores, finder.found.scores)


def test_doubtful_boxes_and_those_beyond_the_limit_are_not_looked_at():
    boxes = [[10, 10, 60, 60]] * 4
    both = SecondStage(Finder(boxes, [0.9, 0.8, 0.7, 0.1], [0] * 4), colour_kinds(), most=2)
    names = [both.classes[k] for k in both.detect(scene()).class_ids]
    assert names == ["box, blue", "box, blue", "box", "box"]


def test_nothing_found_is_nothing():
    assert len(SecondStage(Finder([], [], []), colour_kinds()).detect(scene())) == 0


def test_scores_of_the_first_can_be_lowered_for_a_tracker():
    finder = Finder([], [], [])
    both = SecondStage(finder, colour_kinds())
    assert both.shown_score == 0.3
    both.min_score = 0.1
    assert finder.min_score == 0.1


def test_the_second_must_be_a_classifier(tmp_path):
    from edgevision.detectors.registry import load_detector

    with pytest.raises(UsageError, match=r"person@.*family classifier"):
        SecondStage(Finder([], [], []), load_detector("person"))


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ([10, 10, 30, 50], (48, 28)),  # a tenth of 40 on every side
        ([-5, -5, 10, 10], (12, 12)),  # the frame's edge
        ([199.5, 119.5, 200, 120], (1, 1)),  # the last corner
        ([50, 50, 50, 50], (1, 1)),
    ],
)
def test_cut_out(box, shape):
    cut = cut_out(scene(), np.array(box, np.float32))
    assert cut.shape[:2] == shape
    assert cut.flags.c_contiguous


def test_a_model_swapped_in_keeps_the_second_after_it():
    """And is checked alone: its golden boxes know nothing of kinds."""
    finder, looked_at = Finder([[10, 10, 60, 60]], [0.9], [0]), []
    candidate = followed(Candidate(lambda: finder, (), lambda d: looked_at.append(d) or "2 of 2"), colour_kinds())
    new = candidate.load()
    assert new.detect(scene()).class_ids.tolist() == [2]
    assert candidate.golden is not None
    assert candidate.golden(new) == "2 of 2"
    assert looked_at == [finder]
    assert candidate.measure_ap is None


@pytest.mark.parametrize("shape", [(1, 3), (1, 2, 1), (2,)])
def test_outputs_that_are_no_kinds(shape):
    head = Head((32, 32), 2, (TensorInfo("probabilities", shape, "float32"),), "file.onnx")
    with pytest.raises(ModelInvalid, match=r"expected one output \(1, 2\)"):
        make_decoder("classifier", head)
