"""An ONNX graph as a PyTorch module: what onnxruntime says, in any batch and size. Needs torch."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from edgevision.detectors.onnx_session import Session  # noqa: E402
from edgevision.errors import ModelInvalid  # noqa: E402
from edgevision.training.distillation.onnx_to_torch import TorchGraph  # noqa: E402
from tests.support.onnx_graphs import SIDE, network, one_node, written  # noqa: E402
from tests.support.places import SHARED  # noqa: E402

pytestmark = pytest.mark.extra


def outputs_of(path, pixels):
    session = Session(path.read_bytes(), path.name)
    return [np.concatenate(parts) for parts in zip(*(session.run(one[None]) for one in pixels), strict=True)]


@pytest.mark.parametrize(
    ("exported", "fed"),
    [(SIDE, SIDE), (SIDE, 2 * SIDE)],
    ids=["the size it was exported for", "another size"],
)
def test_a_graph_in_torch_says_what_onnxruntime_says_in_any_batch_and_size(tmp_path, exported, fed):
    graph = TorchGraph.from_onnx(written(tmp_path / "small.onnx", network(exported))).eval()
    reference = written(tmp_path / "reference.onnx", network(fed))
    pixels = np.random.default_rng(1).normal(size=(3, 3, fed, fed)).astype(np.float32)
    with torch.no_grad():
        got = graph(torch.from_numpy(pixels))
    expected = outputs_of(reference, pixels)
    assert len(got) == len(expected) == 8
    for one, other in zip(got, expected, strict=True):
        assert one.std() > 1e-3
        np.testing.assert_allclose(one.numpy(), other, atol=2e-5)


RNG = np.random.default_rng(2)
WEIGHT = RNG.normal(size=(6, 2, 3, 3)).astype(np.float32)
SCALES = np.array([1, 1, 2, 2], np.float32)
NONE = np.zeros(0, np.float32)


@pytest.mark.parametrize(
    ("kind", "constants", "attributes", "outputs"),
    [
        ("Conv", [WEIGHT], {"group": 2, "pads": [0, 1, 2, 1], "strides": [2, 1]}, 1),
        ("Conv", [WEIGHT, np.ones(6, np.float32)], {"group": 2, "dilations": [2, 2], "pads": [2, 2, 2, 2]}, 1),
        ("Conv", [WEIGHT], {"group": 2, "auto_pad": "SAME_UPPER"}, 1),
        ("Conv", [WEIGHT], {"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 2]}, 1),
        ("Conv", [WEIGHT], {"group": 2, "auto_pad": "SAME_LOWER", "strides": [3, 2]}, 1),
        ("MaxPool", [], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]}, 1),
        ("MaxPool", [], {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1], "strides": [2, 2]}, 1),
        ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, 1),
        ("Resize", [NONE, SCALES], {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                                    "nearest_mode": "floor"}, 1),
        ("Resize", [NONE, SCALES], {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}, 1),
        ("Resize", [NONE, SCALES], {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, 1),
        ("Slice", [np.array([1, -4]), np.array([7, 99]), np.array([3, 2]), np.array([2, 1])], {}, 1),
        ("Split", [np.array([1, 3])], {"axis": 1}, 2),
        ("Split", [], {"axis": 1}, 2),
        ("Gather", [np.array([2, 0, 1])], {"axis": 1}, 1),
        ("Clip", [np.float32(-0.5), np.float32(0.5)], {}, 1),
        ("HardSigmoid", [], {"alpha": 0.3, "beta": 0.4}, 1),
        ("HardSwish", [], {}, 1),
        ("Softmax", [], {"axis": 1}, 1),
        ("Div", [np.float32(3)], {}, 1),
        ("Sub", [RNG.normal(size=(1, 4, 1, 1)).astype(np.float32)], {}, 1),
        ("Exp", [], {}, 1),
        ("ReduceMean", [], {"axes": [2, 3]}, 1),
        ("ReduceMean", [], {"axes": [1], "keepdims": 0}, 1),
        ("GlobalAveragePool", [], {}, 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_each_operator_is_onnxruntimes(tmp_path, kind, constants, attributes, outputs):
    path = one_node(tmp_path / "one.onnx", kind, *constants, attributes=attributes, outputs=outputs)
    pixels = RNG.normal(size=(1, 4, 7, 9)).astype(np.float32)
    got = TorchGraph.from_onnx(path)(torch.from_numpy(pixels))
    for one, other in zip(got, Session(path.read_bytes(), kind).run(pixels), strict=True):
        np.testing.assert_allclose(one.numpy(), other, atol=1e-5)


def test_a_graph_that_torch_cannot_take_is_refused_by_name(tmp_path):
    with pytest.raises(ModelInvalid, match="operators Erf; teach by its boxes"):
        TorchGraph.from_onnx(one_node(tmp_path / "one.onnx", "Erf"))
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelInvalid, match=r"bad\.onnx: cannot be read as ONNX"):
        TorchGraph.from_onnx(tmp_path / "bad.onnx")


@pytest.mark.parametrize("name", ["picodet_s_416", "nanodet_m_320", "yolox_nano"])
def test_published_detectors_are_what_they_are_in_onnxruntime(name):
    path = SHARED / "weights" / f"{name}.onnx"
    if not path.exists():
        pytest.skip("no shared/weights beside the project")
    session = Session(path.read_bytes(), name)
    side = session.inputs[0].shape[2]
    pixels = np.random.default_rng(0).normal(size=(2, 3, side, side)).astype(np.float32)
    pixels = pixels * 60 + 110 if name == "yolox_nano" else pixels
    with torch.no_grad():
        got = TorchGraph.from_onnx(path).eval()(torch.from_numpy(pixels))
    for one, other in zip(got, outputs_of(path, pixels), strict=True):
        np.testing.assert_allclose(one.numpy(), other, atol=1e-3)
