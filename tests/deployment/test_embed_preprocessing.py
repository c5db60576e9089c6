"""The front inside the graph, the tidying of old exports, and the reader of ONNX bytes that both rest on."""

from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgevision.deployment.embed_preprocessing import front_into, without_front
from edgevision.detectors.manifest import InputRecipe, Manifest
from edgevision.detectors.onnx_protobuf import inspect
from edgevision.detectors.onnx_session import Session
from edgevision.detectors.preprocess import Preprocessor
from edgevision.errors import ModelInvalid
from tests.support.models import blob_frame_pixels
from tests.support.places import SHARED

WIDTH, HEIGHT = 48, 32


def conv_model(layout="nchw", dtype=np.float32, open_size=False, listed=False, opset=17, ir=8):
    """A convolution over the picture; ``listed`` lists its weight among the inputs, as exporters did before 2019."""
    rng = np.random.default_rng(5)
    kind = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16, np.uint8: TensorProto.UINT8}[dtype]
    sides = ["h", "w"] if open_size else [HEIGHT, WIDTH]
    shape = [1, 3, *sides] if layout == "nchw" else [1, *sides, 3]
    weight = rng.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float16 if dtype is np.float16 else np.float32)
    nodes, value = [], "images"
    if dtype is np.uint8:
        nodes.append(helper.make_node("Cast", [value], ["float"], to=TensorProto.FLOAT))
        value = "float"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [value], ["turned"], perm=[0, 3, 1, 2]))
        value = "turned"
    nodes.append(helper.make_node("Conv", [value, "weight"], ["output0"], pads=[1, 1, 1, 1]))
    out_kind = TensorProto.FLOAT16 if dtype is np.float16 else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("images", kind, shape)]
    if listed:
        inputs.append(helper.make_tensor_value_info("weight", out_kind, weight.shape))
    output = helper.make_tensor_value_info("output0", out_kind, [1, 4, *sides])
    graph = helper.make_graph(nodes, "g", inputs, [output], [numpy_helper.from_array(weight, "weight")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir
    model.metadata_props.add(key="names", value="{0: 'a'}")
    return model.SerializeToString()


def manifest(**recipe):
    values = {"name": "images", "width_px": WIDTH, "height_px": HEIGHT, **recipe}
    return Manifest(name="m", family="ultralytics", classes=("a",), input=InputRecipe(**values))


def run(graph, fed, pixels):
    prepared = Preprocessor(fed.input).prepare(pixels)
    return Session(graph, "m").run(prepared.tensor)[0].astype(np.float32)


IMAGENET = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("resize", ["letterbox", "letterbox-top-left", "stretch"])
@pytest.mark.parametrize("scale", [{}, {"std": (255.0,) * 3}, IMAGENET], ids=["0-255", "0-1", "imagenet"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_outputs_are_equal(order, resize, scale, layout):
    pixels = np.random.default_rng(6).integers(0, 256, (90, 110, 3), np.uint8)
    graph = conv_model(layout)
    plain = manifest(channel_order=order, resize=resize, layout=layout, **scale)
    made, notes = front_into(graph, plain, True)
    assert (made.manifest.input.dtype, made.manifest.input.layout) == ("uint8", "nhwc")
    onnx.checker.check_model(onnx.load_from_string(made.graph), full_check=True)
    expected = run(graph, plain, pixels)
    np.testing.assert_allclose(run(made.graph, made.manifest, pixels), expected, atol=1e-4 * max(1, expected.max()))
    assert any("embedded in the graph" in note for note in notes)


def test_half_precision_whole_bytes_and_open_sizes():
    pixels = np.random.default_rng(7).integers(0, 256, (90, 110, 3), np.uint8)
    cases = (
        (conv_model(dtype=np.float16), manifest(dtype="float16", std=(255.0,) * 3), 2e-3),
        (conv_model(dtype=np.uint8), manifest(dtype="uint8"), 1e-3),
        (conv_model(open_size=True), manifest(std=(255.0,) * 3), 1e-5),
    )
    for graph, plain, tolerance in cases:
        made, _ = front_into(graph, plain, True)
        np.testing.assert_allclose(run(made.graph, made.manifest, pixels), run(graph, plain, pixels), atol=tolerance)
    assert Session(made.graph, "m").inputs[0].shape == (1, None, None, 3)


def test_what_needs_no_front_is_left_alone():
    graph = conv_model("nhwc", np.uint8)
    plain = manifest(layout="nhwc", dtype="uint8")
    assert front_into(graph, plain, True)[0].graph == graph
    old = conv_model(opset=6)
    made, notes = front_into(old, manifest(), True)
    assert made.graph == old
    assert "left outside the graph: its opset 6" in notes[0]


def test_the_front_comes_off_again():
    graph, plain = conv_model(), manifest(**IMAGENET)
    made, _ = front_into(graph, plain, True)
    assert without_front(graph, plain) is None
    off = without_front(made.graph, made.manifest)
    assert off is not None
    assert off.manifest.input == plain.input
    assert onnx.load_from_string(off.graph) == onnx.load_from_string(graph)


def test_old_exports_are_tidied():
    graph = conv_model(listed=True, ir=3)
    assert len(onnx.load_from_string(graph).graph.input) == 2
    made, notes = front_into(graph, manifest(), False)
    model = onnx.load_from_string(made.graph)
    onnx.checker.check_model(model)
    assert ([i.name for i in model.graph.input], model.ir_version) == (["images"], 4)
    assert notes == ("tidied: 1 weights taken out of the graph's inputs",)
    pixels = blob_frame_pixels(WIDTH, HEIGHT, [(8, 8, 16, 16)])
    np.testing.assert_array_equal(run(made.graph, manifest(), pixels), run(graph, manifest(), pixels))


def test_facts_agree_with_the_onnx_package():
    facts = inspect(conv_model(listed=True), "m")
    assert (facts.ir_version, facts.opset, facts.nodes) == (8, 17, 1)
    assert (facts.inputs_with_values, facts.external, facts.foreign) == (["weight"], [], [])


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damaged_bytes_are_refused_or_read_and_nothing_else(data):
    graph = bytearray(conv_model())
    for _ in range(data.draw(st.integers(1, 8))):
        graph[data.draw(st.integers(0, len(graph) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(graph)))
    with contextlib.suppress(ModelInvalid):
        assert inspect(bytes(graph[:cut]), "m").nodes <= len(graph)


def test_nested_without_end_is_refused():
    """A graph within a node within a graph, over and over: read to a depth, then refused."""
    from edgevision.detectors import onnx_protobuf as wire

    graph = b""
    for _ in range(200):
        attribute = wire.bytes_field(1, "body") + wire.bytes_field(wire.ATTRIBUTE_GRAPH, graph)
        graph = wire.bytes_field(wire.GRAPH_NODE, wire.bytes_field(wire.NODE_ATTRIBUTE, attribute))
    with pytest.raises(ModelInvalid, match="nested deeper than 16"):
        inspect(wire.number_field(wire.MODEL_IR, 8) + wire.bytes_field(wire.MODEL_GRAPH, graph), "m")


def test_more_fields_than_any_model_has(monkeypatch):
    from edgevision.detectors import onnx_protobuf as wire

    monkeypatch.setattr(wire, "MOST_FIELDS", 1000)
    endless = wire.number_field(wire.MODEL_IR, 8) + wire.number_field(99, 1) * 1001
    with pytest.raises(ModelInvalid, match="more fields than any detector has"):
        inspect(endless, "m")


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared folder's real weights")
def test_a_real_old_export():
    graph = (SHARED / "weights" / "ultraface_version-RFB-320.onnx").read_bytes()
    plain = Manifest(
        name="m",
        family="ssd",
        classes=("face",),
        input=InputRecipe(name="input", width_px=320, height_px=240, mean=(127.0,) * 3, std=(128.0,) * 3),
    )
    made, notes = front_into(graph, plain, True)
    assert "244 weights" in notes[0]
    pixels = np.random.default_rng(8).integers(0, 256, (240, 320, 3), np.uint8)
    np.testing.assert_allclose(run(made.graph, made.manifest, pixels), run(graph, plain, pixels), atol=1e-4)
