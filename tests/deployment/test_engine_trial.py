"""The engine of a model is chosen by agreement and time, measured in turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgevision.deployment.engine_trial import choose_and_keep, compare, fastest, try_engines
from edgevision.detectors.engine_choice import read_choice
from edgevision.detectors.registry import load_detector
from tests.support.models import blob_frame_pixels, blob_model

BUNDLED = Path(__file__).resolve().parents[2] / "models"


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ({"onnxruntime": [10.0] * 9, "openvino": [5.0] * 9}, "openvino"),
        ({"onnxruntime": [10.0] * 9, "openvino": [9.9] * 9}, "onnxruntime"),  # not worth it
        ({"onnxruntime": [10.0] * 9, "openvino": [5.0, 30.0, 5.0, 30.0, 5.0, 30.0, 5.0, 30.0, 9.0]}, "onnxruntime"),
        # The machine slowed down half-way: pairs still tell.
        ({"onnxruntime": [10.0] * 4 + [40.0] * 5, "openvino": [5.0] * 4 + [20.0] * 5}, "openvino"),
        ({"onnxruntime": [10.0] * 9, "openvino": [8.0] * 9, "ncnn": [4.0] * 9}, "ncnn"),
        ({"onnxruntime": [10.0] * 9}, "onnxruntime"),
    ],
)
def test_the_clearly_fastest_engine_is_chosen(blocks, expected):
    assert fastest(blocks) == expected


def test_another_model_does_not_pass_for_the_same(tmp_path):
    red, blue = (load_detector(blob_model(tmp_path / str(k), channel=k)) for k in (0, 2))
    images = [blob_frame_pixels(64, 64, [(8, 8, 16, 16)])]
    assert compare(red, red, images).agrees
    parity = compare(red, blue, images)
    assert not parity.agrees
    assert "has no counterpart" in parity.note


def test_a_shifted_box_does_not_agree(tmp_path):
    model = load_detector(blob_model(tmp_path / "blobs"))

    class Shifted:
        name = "shifted"

        def detect(self, pixels):
            found = model.detect(pixels)
            return type(found)(found.boxes + np.float32(1.5), found.scores, found.class_ids)

    parity = compare(model, Shifted(), [blob_frame_pixels(64, 64, [(8, 8, 16, 16)])])
    assert not parity.agrees
    assert "up to 1.50 px" in parity.note


@pytest.mark.parametrize("model", ["person", "face"])
def test_bundled_models_agree_in_every_installed_engine(model):
    choice = try_engines(BUNDLED / model)
    assert {time.engine for time in choice.times} >= {"onnxruntime"}
    for time in choice.times:
        assert time.agrees, time
        assert time.median_ms is not None


def test_what_was_measured_is_kept_for_auto(tmp_path):
    folder = blob_model(tmp_path / "blobs")
    choice = choose_and_keep(folder, tmp_path / "data")
    sha256 = load_detector(folder).manifest.sha256
    assert read_choice(sha256, tmp_path / "data") == choice


def test_an_engine_that_cannot_load_a_model_is_left_out(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    from edgevision.detectors import openvino_session

    def refuse(*args):
        raise openvino_session.ModelInvalid("blobs.onnx: expected a model that OpenVINO can load")

    monkeypatch.setattr(openvino_session.OpenVinoSession, "__init__", refuse)
    choice = try_engines(blob_model(tmp_path / "blobs"))
    assert choice.chosen == "onnxruntime"
    (refused,) = [time for time in choice.times if time.engine == "openvino"]
    assert (refused.median_ms, refused.agrees) == (None, False)
