"""Inputs and files as exporters write them: weights in a second file, open axes, batches, half precision, NHWC."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevision.deployment.add_model import add_model
from edgevision.deployment.add_options import AddOptions
from edgevision.detectors.registry import load_detector
from edgevision.errors import ModelInvalid
from tests.support.models import blob_frame_pixels, blob_model, ultralytics_metadata

FRAME = blob_frame_pixels(64, 64, [(8, 16, 16, 24), (40, 40, 48, 48)])
BOXES = [[8, 16, 16, 24], [40, 40, 48, 48]]


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.delenv("EDGEVISION_MODELS", raising=False)


def found_by(model):
    return sorted(load_detector(model, min_score=0.5).detect(FRAME).boxes.round().astype(int).tolist())


def blobs(tmp_path, **how):
    """A real little detector as a bare file, with the metadata of an Ultralytics export."""
    path = (blob_model(tmp_path / "blobs", **how) / "model.onnx").rename(tmp_path / "m.onnx")
    ultralytics_metadata(path, {0: "blob"}, [64, 64])
    return path


def split(path, location="m.onnx.data"):
    """The file with its constants in another one, as `torch.onnx.export(..., dynamo=True)` writes them."""
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location=location, size_threshold=0, convert_attribute=False
    )
    return path


def test_weights_in_a_file_of_their_own(tmp_path):
    path = split(blobs(tmp_path))
    assert path.stat().st_size + (tmp_path / "m.onnx.data").stat().st_size > 1000
    added = add_model(path, AddOptions())
    assert any("put into the graph" in note for note in added.notes)
    assert sorted(p.name for p in added.folder.iterdir()) == ["README.md", "model.onnx", "model.toml"]
    assert found_by("m") == BOXES
    assert found_by(path) == BOXES


def test_weights_that_are_missing_or_cut_off(tmp_path):
    path = split(blobs(tmp_path))
    data = tmp_path / "m.onnx.data"
    data.write_bytes(data.read_bytes()[:-8])
    for use in (lambda: add_model(path, AddOptions()), lambda: load_detector(path)):
        with pytest.raises(ModelInvalid, match=r"m\.onnx: expected weights up to byte \d+ of m\.onnx\.data, which has"):
            use()
    data.unlink()
    for use in (lambda: add_model(path, AddOptions()), lambda: load_detector(path)):
        with pytest.raises(ModelInvalid, match=r"keeps its weights in m\.onnx\.data, expected that file beside it"):
            use()


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", "C:\\secret", "link"])
def test_no_file_outside_the_folder_is_read(tmp_path, location):
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(100_000))
    path = split(blobs(tmp_path)).rename(folder / "m.onnx")
    (folder / "link").symlink_to(tmp_path / "secret")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelInvalid, match="keeps weights in other files"):
        add_model(path, AddOptions())
    with pytest.raises(ModelInvalid):
        load_detector(path)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8], ids=["32", "16", "uint8"])
@pytest.mark.parametrize("open_axes", [False, True], ids=["fixed", "open"])
def test_layouts_and_types_of_the_input(tmp_path, layout, kind, open_axes):
    path = blobs(tmp_path)
    model = onnx.load(path)
    shape = [1, 3, 64, 64] if layout == "nchw" else [1, 64, 64, 3]
    if open_axes:
        shape = [side if side == 3 else f"axis{k}" for k, side in enumerate(shape)]
    front = [helper.make_node("Cast", ["given"], ["float"], to=TensorProto.FLOAT)]
    perm = [0, 3, 1, 2] if layout == "nhwc" else [0, 1, 2, 3]
    front.append(helper.make_node("Transpose", ["float"], ["turned"], perm=perm))
    front.append(helper.make_node("Div", ["turned", "most_value"], ["images"]))
    most = np.float32(255 if kind == TensorProto.UINT8 else 1)
    model.graph.initializer.append(numpy_helper.from_array(most, "most_value"))
    nodes = [*front, *model.graph.node]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes)
    model.graph.input.append(helper.make_tensor_value_info("given", kind, shape))
    path.write_bytes(model.SerializeToString())
    for front_inside in (True, False):
        add_model(path, AddOptions(replace=True, front=front_inside))
        assert found_by("m") == BOXES


def test_an_open_batch_is_run_with_one_image(tmp_path):
    path = blobs(tmp_path)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    path.write_bytes(model.SerializeToString())
    add_model(path, AddOptions())
    assert found_by("m") == BOXES
