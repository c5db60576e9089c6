"""Inference engines: one contract for each that is installed, and the engine that ``auto`` takes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from edgevision.detectors import engine_choice, engines
from edgevision.detectors.engine_choice import EngineChoice, EngineTime, engine_for, read_choice, write_choice
from edgevision.detectors.engines import ENGINES, check_engine, installed_engines, open_session
from edgevision.detectors.registry import load_detector
from edgevision.errors import MissingExtra, ModelFailed, ModelInvalid, UsageError
from tests.support.models import blob_frame_pixels, blob_model, ultralytics_metadata

BUNDLED = Path(__file__).resolve().parents[2] / "models"
SHA = "ab" * 32


@pytest.fixture(params=list(ENGINES))
def engine(request):
    pytest.importorskip(ENGINES[request.param].package)
    return request.param


@pytest.fixture
def graph(tmp_path):
    return (blob_model(tmp_path / "blobs") / "model.onnx").read_bytes()


def red_tensor():
    tensor = np.zeros((1, 3, 64, 64), np.float32)
    tensor[0, 0, :8, 8:16] = 1.0
    return tensor


def test_says_what_it_loaded(engine, graph):
    session = open_session(engine, graph, "blobs.onnx", threads=1, lanes=2)
    assert (session.engine, session.where, session.threads, session.lanes) == (engine, "blobs.onnx", 1, 2)
    assert [(i.name, i.shape, i.dtype) for i in session.inputs] == [("images", (1, 3, 64, 64), "float32")]
    assert [(o.name, o.shape, o.dtype) for o in session.outputs] == [("output0", (1, 5, 64), "float32")]
    assert session.provider


def test_every_lane_gives_the_same_fresh_arrays(engine, graph):
    session = open_session(engine, graph, "blobs.onnx", lanes=2)
    first = session.run(red_tensor(), 0)[0]
    kept = first.copy()
    session.run(np.zeros((1, 3, 64, 64), np.float32), 0)
    second = session.run(red_tensor(), 1, "images")[0]
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert first[0, 4].argmax() == 1


def test_lanes_run_from_several_threads(engine, graph):
    session = open_session(engine, graph, "blobs.onnx", lanes=2)
    wrong = []

    def work(lane):
        for _ in range(20):
            if session.run(red_tensor(), lane)[0][0, 4].argmax() != 1:
                wrong.append(lane)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_metadata_is_the_files_own(engine, tmp_path):
    path = blob_model(tmp_path / "blobs") / "model.onnx"
    ultralytics_metadata(path, {0: "blob"}, [64, 64])
    session = open_session(engine, path.read_bytes(), "blobs.onnx")
    assert session.metadata["names"] == "{0: 'blob'}"


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07" + b"\0" * 50])
def test_what_is_no_model_is_refused(engine, content):
    with pytest.raises(ModelInvalid, match=r"bad\.onnx: expected"):
        open_session(engine, content, "bad.onnx")


def test_a_wrong_shape_is_a_failed_run(engine, graph):
    session = open_session(engine, graph, "blobs.onnx")
    with pytest.raises(ModelFailed, match=r"blobs\.onnx: failed on an input of shape \(1, 3, 32, 32\)"):
        session.run(np.zeros((1, 3, 32, 32), np.float32))


def test_nothing_runs_after_close(engine, graph):
    session = open_session(engine, graph, "blobs.onnx")
    session.close()
    session.close()
    with pytest.raises(ModelFailed, match="is closed"):
        session.run(red_tensor())


def test_a_detector_finds_the_same(engine, tmp_path):
    folder = blob_model(tmp_path / "blobs", nhwc_uint8=True)
    pixels = blob_frame_pixels(64, 64, [(8, 0, 16, 8), (40, 40, 48, 48)])
    expected = load_detector(folder).detect(pixels)
    found = load_detector(folder, engine=engine).detect(pixels)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.5)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.01)


def test_results_name_another_engine_than_the_default(tmp_path):
    pytest.importorskip("openvino")
    folder = blob_model(tmp_path / "blobs")
    assert load_detector(folder).name == "blobs@1"
    assert load_detector(folder, engine="openvino").name == "blobs@1/openvino"


def test_unknown_engine_says_which_there_are():
    with pytest.raises(UsageError, match="expected one of auto, onnxruntime, openvino"):
        check_engine("onxruntime")


def test_an_engine_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"edgevision\[openvino\]"):
        check_engine("openvino")


def times(*engines_ms):
    return tuple(EngineTime(name, "CPU", ms, True, "same") for name, ms in engines_ms)


def test_auto_takes_what_was_measured_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_choice, "installed_engines", lambda: ("onnxruntime", "openvino"))
    assert engine_for("auto", SHA, tmp_path) == "onnxruntime"
    choice = EngineChoice("openvino", times(("onnxruntime", 9.8), ("openvino", 4.1)))
    write_choice(SHA, choice, tmp_path)
    assert read_choice(SHA, tmp_path) == choice
    assert engine_for("auto", SHA, tmp_path) == "openvino"
    assert engine_for("auto", "cd" * 32, tmp_path) == "onnxruntime"
    assert engine_for("onnxruntime", SHA, tmp_path) == "onnxruntime"


def test_auto_falls_back_where_the_engine_went_or_the_machine_changed(tmp_path, monkeypatch):
    write_choice(SHA, EngineChoice("openvino", times(("openvino", 1.0))), tmp_path)
    monkeypatch.setattr(engine_choice, "installed_engines", lambda: ("onnxruntime",))
    assert engine_for("auto", SHA, tmp_path) == "onnxruntime"
    monkeypatch.setattr(engine_choice, "machine_fingerprint", lambda: "another processor")
    monkeypatch.setattr(engine_choice, "installed_engines", lambda: ("onnxruntime", "openvino"))
    assert engine_for("auto", SHA, tmp_path) == "onnxruntime"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"%s": {"chosen": 3}}', "[" * 100_000, json.dumps({"a": None})])
def test_a_damaged_file_of_choices_is_as_none(tmp_path, content):
    (tmp_path / "engines.json").write_text(content)
    assert read_choice(SHA, tmp_path) is None
    assert engine_for("auto", SHA, tmp_path) == "onnxruntime"


def test_fingerprint_names_processor_and_engine_versions():
    fingerprint = engine_choice.machine_fingerprint()
    assert "onnxruntime " in fingerprint
    assert "cores" in fingerprint


def test_installed_engines_start_with_the_default():
    assert installed_engines()[0] == "onnxruntime"
