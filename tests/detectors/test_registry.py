"""Manifests, the store, and a model from file to detections."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgevision.detectors import registry
from edgevision.detectors.manifest import InputRecipe, Manifest, read_manifest
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.onnx_session import Session
from edgevision.detectors.registry import load_detector
from edgevision.errors import ModelFailed, ModelInvalid, ModelNotFound, UsageError
from tests.support.models import blob_frame_pixels, blob_model, constant_model, ultralytics_metadata
from tests.support.places import SHARED


@pytest.fixture
def blobs(tmp_path):
    return blob_model(tmp_path / "blobs")


@pytest.mark.parametrize("nhwc_uint8", [False, True], ids=["float", "uint8"])
def test_the_whole_way_from_frame_to_boxes(tmp_path, nhwc_uint8):
    """64 px input, frame 256x128: scale 1/4, 16 px of padding above; a red block is found where it is."""
    detector = load_detector(blob_model(tmp_path / "m", nhwc_uint8=nhwc_uint8))
    pixels = blob_frame_pixels(256, 128, [(32, 0, 64, 32), (128, 64, 160, 96)])
    found = detector.detect(pixels)
    assert sorted(found.boxes.round().astype(int).tolist()) == [[32, 0, 64, 32], [128, 64, 160, 96]]
    np.testing.assert_allclose(found.scores, 1, atol=0.05)
    assert detector.name == "blobs@1"


def test_channel_order_is_honoured(tmp_path):
    """The detector of red finds nothing in blue, and the other way round."""
    blue = np.ascontiguousarray(blob_frame_pixels(64, 64, [(8, 8, 16, 16)])[:, :, ::-1])
    assert len(load_detector(blob_model(tmp_path / "red")).detect(blue)) == 0
    assert len(load_detector(blob_model(tmp_path / "blue", channel=2)).detect(blue)) == 1


def test_thresholds_and_classes(blobs):
    pixels = blob_frame_pixels(64, 64, [(8, 8, 16, 16)]) // 3
    assert len(load_detector(blobs).detect(pixels)) == 0
    assert len(load_detector(blobs, min_score=0.2).detect(pixels)) == 1
    assert len(load_detector(blobs, min_score=0.2, only_classes=["blob"]).detect(pixels)) == 1
    with pytest.raises(UsageError, match="blobs@1 has no class 'cat'; it has blob"):
        load_detector(blobs, only_classes=["cat"])
    with pytest.raises(UsageError, match=r"expected a number from 0 to 1, got 1\.5"):
        load_detector(blobs, min_score=1.5)


def test_a_fixed_input_size_cannot_be_changed(blobs):
    assert load_detector(blobs, side_px=64).manifest.input.width_px == 64
    with pytest.raises(UsageError, match="blobs@1 takes 64×64 px only, not 320"):
        load_detector(blobs, side_px=320)


def test_search_path_by_name(tmp_path, monkeypatch, blobs):
    monkeypatch.setenv("EDGEVISION_MODELS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert load_detector("blobs").name == "blobs@1"
    assert "blobs" in registry.stored_names()
    blob_model(tmp_path / "models" / "blobs", version="2")
    assert load_detector("blobs").name == "blobs@1"  # the environment goes before ./models
    monkeypatch.delenv("EDGEVISION_MODELS")
    assert load_detector("blobs").name == "blobs@2"


def test_missing_models_say_what_there_is(tmp_path, monkeypatch, blobs):
    monkeypatch.setenv("EDGEVISION_MODELS", str(tmp_path))
    with pytest.raises(ModelNotFound, match=r"no model named 'blub'; known are .*blobs"):
        load_detector("blub")
    with pytest.raises(ModelNotFound, match=r"nowhere\.onnx: no such file"):
        load_detector("nowhere.onnx")


def test_damage_is_noticed(blobs):
    graph = blobs / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(ModelInvalid, match=r"its SHA-256 is .*, its manifest says"):
        load_detector(blobs)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "got an empty file"), (b"hello, I am no model", "expected an ONNX model that onnxruntime can load")],
)
def test_what_is_no_onnx_is_refused(tmp_path, content, message):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelInvalid, match=message) as caught:
        load_detector(path)
    assert "\n" not in str(caught.value)


def test_truncated_is_refused(tmp_path, blobs):
    path = tmp_path / "cut.onnx"
    path.write_bytes((blobs / "model.onnx").read_bytes()[:-200])
    with pytest.raises(ModelInvalid):
        load_detector(path)


def test_a_pickle_is_never_opened(tmp_path):
    path = tmp_path / "best.pt"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelInvalid, match="a pickle, which is code and never run here; export it to ONNX"):
        load_detector(path)


def test_a_bare_file_needs_metadata_or_a_manifest(tmp_path, blobs):
    bare = Path(shutil.copy(blobs / "model.onnx", tmp_path / "bare.onnx"))
    with pytest.raises(ModelInvalid, match=r"no metadata .*Put a bare\.toml beside it with family"):
        load_detector(bare)
    text = (blobs / "model.toml").read_text().replace('name = "blobs"', 'name = "bare"')
    (tmp_path / "bare.toml").write_text(text)
    assert load_detector(bare).name == "bare@1"
    (tmp_path / "bare.toml").unlink()
    ultralytics_metadata(bare, {0: "blob"}, [64, 64])
    assert load_detector(bare).classes == ("blob",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("version", "verison"), r"line 2: unknown key 'verison'"),
        (('family = "ultralytics"\n', ""), r"'family' is missing"),
        (("width_px = 64", "width_px = -1"), r"line 7: input\.width_px: "),
        (("[input]", "[inptu]"), r"unknown key 'inptu'"),
        (('"blobs"', "blobs"), r"not valid TOML"),
        (('version = "1"', 'version = "1"\nfile = "../x.onnx"'), r"expected a name beside the manifest"),
        (("std = [255.0, 255.0, 255.0]", "std = [0.0, 1.0, 1.0]"), r"std must be above 0"),
    ],
)
def test_manifests_are_checked_with_key_and_line(blobs, change, message):
    path = blobs / "model.toml"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(change[0], change[1], 1))
    with pytest.raises(ModelInvalid, match=message):
        read_manifest(path)


def test_a_recipe_that_does_not_fit_the_graph_is_refused(blobs):
    path = blobs / "model.toml"
    path.write_text(path.read_text().replace("width_px = 64", "width_px = 96"))
    with pytest.raises(ModelInvalid, match=r"fed as float32 1×3×64×96, but the graph takes images float32 1×3×64×64"):
        load_detector(blobs)


def test_an_input_no_camera_can_feed(tmp_path):
    path = constant_model(tmp_path / "m.onnx", {"output0": np.zeros((1, 5, 21), np.float32)}, [1, 12, 32, 32])
    ultralytics_metadata(path, {0: "a"}, [32, 32])
    with pytest.raises(ModelInvalid, match="the graph takes images float32 1×12×32×32"):
        load_detector(path)


def test_nan_is_an_error_not_a_box(tmp_path):
    output = np.full((1, 5, 21), np.nan, np.float32)
    output[0, 4] = 0.9
    path = constant_model(tmp_path / "m.onnx", {"output0": output}, [1, 3, 32, 32])
    ultralytics_metadata(path, {0: "a"}, [32, 32])
    with pytest.raises(ModelFailed, match="not finite"):
        load_detector(path)


@pytest.mark.filterwarnings("error")
def test_a_side_that_overflows_is_one_error_and_no_warning(tmp_path):
    output = np.zeros((1, 21, 6), np.float32)
    output[0, 3] = [0.5, 0.5, 200, 1, 0.9, 0.9]  # YOLOX's sides are exponents
    path = constant_model(tmp_path / "m.onnx", {"output": output}, [1, 3, 32, 32])
    manifest = Manifest(name="far", family="yolox", classes=("a",), input=InputRecipe(width_px=32, height_px=32))
    with pytest.raises(ModelFailed, match="not finite"):
        OnnxDetector(manifest, Session(path.read_bytes(), "far")).detect(np.zeros((32, 32, 3), np.uint8))


def test_a_class_that_no_name_stands_for_is_an_error(tmp_path):
    output = np.zeros((1, 300, 6), np.float32)
    output[0, 0] = [16, 16, 48, 48, 0.9, 2]
    path = constant_model(tmp_path / "m.onnx", {"output0": output}, [1, 3, 64, 64])
    ultralytics_metadata(path, {0: "a", 1: "b"}, [64, 64], end2end="True")
    with pytest.raises(ModelInvalid, match="expected classes 0 to 1 for 2 names, got class 2"):
        load_detector(path)


def test_end_to_end_metadata_and_dynamic_size(tmp_path):
    output = np.zeros((1, 300, 6), np.float32)
    output[0, 0] = [16, 16, 48, 48, 0.9, 1]
    path = constant_model(tmp_path / "m.onnx", {"output0": output}, [1, 3, "height", "width"])
    ultralytics_metadata(path, {0: "a", 1: "b"}, [64, 64], end2end="True")
    detector = load_detector(path)
    found = detector.detect(np.zeros((128, 128, 3), np.uint8))
    np.testing.assert_allclose(found.boxes, [[32, 32, 96, 96]])
    assert detector.classes[found.class_ids[0]] == "b"
    assert load_detector(path, side_px=96).manifest.input.width_px == 96
    with pytest.raises(UsageError, match="multiple of 32"):
        load_detector(path, side_px=100)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared folder's real weights")
def test_real_yolo11_finds_the_person():
    av = pytest.importorskip("av")
    with av.open(str(SHARED / "videos" / "intel_asl_walk.mkv")) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="bgr24")
    found = load_detector(SHARED / "weights" / "yolo11n_int8.onnx").detect(frame)
    assert found.class_ids[0] == 0
    assert found.scores[0] > 0.6


def test_nothing_is_recorded_or_sent_by_the_runtime(tmp_path):
    """onnxruntime from 1.32 on keeps a device id in the cache folder and reports sessions, unless it is told not to."""
    model = Path(__file__).resolve().parents[2] / "models/person"
    code = (
        "import sys, numpy as np, edgevision as ev; d = ev.load_detector(sys.argv[1]);"
        "d.detect(np.zeros((64, 64, 3), np.uint8))"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(model.parents[2])}
    subprocess.run([sys.executable, "-c", code, str(model)], check=True, env=environment, timeout=60)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
