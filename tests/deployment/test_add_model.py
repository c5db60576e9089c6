"""``edgevision models``: what each command writes, keeps and refuses; golden pictures; the recipe check."""

from __future__ import annotations

import pickle
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevision.deployment.add_model import add_model
from edgevision.deployment.add_options import AddOptions, parse_classes, parse_input
from edgevision.deployment.probe import Limits
from edgevision.detectors.registry import load_detector
from edgevision.errors import EdgeVisionError, ModelInvalid, ModelNotFound, UsageError
from tests.support.models import blob_frame_pixels, blob_model, constant_model, save, ultralytics_metadata
from tests.support.places import SHARED

SIDE = 96
CELLS = 144 + 36 + 9
"""Cells of strides 8, 16, 32 in a 96 px input."""


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    """Every test adds to a store of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.delenv("EDGEVISION_MODELS", raising=False)
    return tmp_path / "data" / "edgevision" / "models"


def seeing_model(
    path, rows, columns=CELLS, input_shape=(1, 3, SIDE, SIDE), kind=TensorProto.FLOAT, operators=None, opset=17
):
    """A graph whose one output (1, rows, columns) depends on the picture: its mean brightness, everywhere."""
    nodes = operators or [helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0)]
    nodes.append(helper.make_node("Mul", ["ones", "mean"], ["output0"]))
    images = helper.make_tensor_value_info("images", kind, list(input_shape))
    output = helper.make_tensor_value_info("output0", kind, [1, rows, columns])
    dtype = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    held = [numpy_helper.from_array(np.full((1, rows, columns), 0.1, dtype), "ones")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [images], [output], held),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("com.evil", 1)],
    )
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())
    return path


def test_recognised_by_metadata(tmp_path, own_models):
    path = seeing_model(tmp_path / "Best Model.onnx", 6)
    ultralytics_metadata(path, {0: "cat", 1: "dog"}, [SIDE, SIDE], license="AGPL-3.0")
    added = add_model(path, AddOptions())
    assert added.folder == own_models / "best-model"
    assert added.manifest.classes == ("cat", "dog")
    assert added.manifest.licence == "AGPL-3.0"
    assert sorted(p.name for p in added.folder.iterdir()) == ["README.md", "model.onnx", "model.toml"]
    assert "by the metadata of an Ultralytics export" in (added.folder / "README.md").read_text()
    assert load_detector("best-model").manifest == added.manifest


def test_recognised_by_names_and_shapes(tmp_path):
    added = add_model(seeing_model(tmp_path / "m.onnx", 84), AddOptions())
    assert (added.manifest.family, len(added.manifest.classes)) == ("ultralytics", 80)
    assert any("taken for COCO's" in note for note in added.notes)


def test_boxes_are_the_same_with_and_without_the_front_inside(tmp_path):
    bare = blob_model(tmp_path / "blobs") / "model.onnx"
    pixels = blob_frame_pixels(256, 128, [(32, 0, 64, 32), (128, 64, 160, 96)])
    say = {"family": "ultralytics", "classes": "blob", "input": "rgb 0-1 pad=0"}
    for front in (True, False):
        manifest = add_model(bare, AddOptions(name=f"front-{front}".lower(), front=front, **say)).manifest
        assert (manifest.input.dtype, manifest.input.layout) == (("uint8", "nhwc") if front else ("float32", "nchw"))
    inside, outside = load_detector("front-true").detect(pixels), load_detector("front-false").detect(pixels)
    assert len(inside) == 2
    np.testing.assert_allclose(inside.boxes, outside.boxes, atol=1e-4)
    np.testing.assert_allclose(inside.scores, outside.scores, atol=1e-5)


def test_half_precision_and_open_batch_and_size(tmp_path):
    shape = ("batch", 3, "height", "width")
    path = seeing_model(tmp_path / "half.onnx", 6, input_shape=shape, kind=TensorProto.FLOAT16)
    with pytest.raises(ModelInvalid, match=r"leaves its input size open .*; say one, as in --input 640x640"):
        add_model(path, AddOptions(classes="a,b"))
    added = add_model(path, AddOptions(classes="a,b", family="ultralytics", input="96"))
    assert added.manifest.input.dtype == "uint8"
    assert load_detector("half").detect(np.zeros((48, 64, 3), np.uint8)) is not None


def test_an_export_that_asks_for_the_size_is_told_it(tmp_path):
    """RT-DETR's own export: images and orig_target_sizes in; labels, boxes and scores of that size out."""
    nodes = [
        helper.make_node("Cast", ["orig_target_sizes"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["sizes", "sizes"], ["scale"], axis=1),
        helper.make_node("Mul", ["shares", "scale"], ["boxes"]),
        helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0),
        helper.make_node("Mul", ["sure", "brightest"], ["scores"]),
        helper.make_node("Identity", ["found"], ["labels"]),
    ]
    inputs = [
        helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIDE, 2 * SIDE]),
        helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["N", 2]),
    ]
    outputs = [
        helper.make_tensor_value_info("labels", TensorProto.INT64, [1, 2]),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 2, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2]),
    ]
    held = {
        "shares": np.array([[[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]], np.float32),
        "sure": np.array([[0.9, 0.1]], np.float32),
        "found": np.array([[1, 0]], np.int64),
    }
    save(nodes, inputs, outputs, held, tmp_path / "rtdetr.onnx")
    added = add_model(tmp_path / "rtdetr.onnx", AddOptions(classes="a,b"))
    assert added.manifest.family == "detection-boxes"
    found = load_detector("rtdetr").detect(np.full((480, 640, 3), 255, np.uint8))
    np.testing.assert_allclose(found.boxes, [[0, 0, 320, 240]], atol=1e-3)
    assert found.class_ids.tolist() == [1]


def test_names_are_counted(tmp_path):
    path = seeing_model(tmp_path / "m.onnx", 4 + 3)
    with pytest.raises(ModelInvalid, match=r"has 3 classes and has no class names; give them with --classes"):
        add_model(path, AddOptions())
    with pytest.raises(ModelInvalid, match=r"its outputs have 3 classes, got 2 names in --classes"):
        add_model(path, AddOptions(classes="a,b"))
    with pytest.raises(ModelInvalid, match=r"--classes coco means 80, 90 or 91 classes, its outputs have 3"):
        add_model(path, AddOptions(classes="coco"))
    names = tmp_path / "names.txt"
    names.write_text("a\nb\n\nc\n")
    assert add_model(path, AddOptions(classes=str(names))).manifest.classes == ("a", "b", "c")


def test_what_nothing_fits_says_what_would_settle_it(tmp_path, own_models):
    path = seeing_model(tmp_path / "m.onnx", 7, 11)
    with pytest.raises(ModelInvalid) as caught:
        add_model(path, AddOptions())
    for part in ("output0 float32 1×7×11", "images float32 1×3×96×96", "--family", "--classes", "--input", "yunet"):
        assert part in str(caught.value)
    assert not list(own_models.iterdir())


def test_what_fits_two_families_names_both(tmp_path):
    path = seeing_model(tmp_path / "m.onnx", 84, 84, input_shape=(1, 3, 64, 64))
    with pytest.raises(ModelInvalid, match=r"fit ultralytics \(.*\); yolox \(.*\); say which with --family"):
        add_model(path, AddOptions())
    assert add_model(path, AddOptions(family="ultralytics")).manifest.family == "ultralytics"


def test_a_second_of_one_name_needs_replace(tmp_path):
    path = seeing_model(tmp_path / "m.onnx", 84)
    add_model(path, AddOptions())
    with pytest.raises(UsageError, match=r"there is a model of that name in .*--replace"):
        add_model(path, AddOptions())
    assert add_model(path, AddOptions(replace=True, version="2")).manifest.label == "m@2"
    with pytest.raises(UsageError, match="--name: expected small letters"):
        add_model(path, AddOptions(name="../up"))


def loop_model(path):
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]),
        ],
    )
    nodes = [
        helper.make_node("Constant", [], ["times"], value=helper.make_tensor("t", TensorProto.INT64, [], [10**15])),
        helper.make_node("Constant", [], ["start"], value=helper.make_tensor("s", TensorProto.BOOL, [], [True])),
        helper.make_node("Constant", [], ["flat"], value=helper.make_tensor("f", TensorProto.INT64, [1], [1])),
        helper.make_node("ReduceMean", ["images"], ["one"], keepdims=0),
        helper.make_node("Reshape", ["one", "flat"], ["v0"]),
        helper.make_node("Loop", ["times", "start", "v0"], ["mean"], body=body),
    ]
    return seeing_model(path, 84, operators=nodes)


def huge_model(path):
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [100_000, 50_000])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ConstantOfShape", ["shape"], ["much"]),
        helper.make_node("ReduceMax", ["much"], ["most"], keepdims=0),
        helper.make_node("ReduceMean", ["images"], ["one"], keepdims=0),
        helper.make_node("Add", ["one", "most"], ["mean"]),
    ]
    return seeing_model(path, 84, operators=nodes)


def external_model(path):
    model = onnx.load(seeing_model(path, 84))
    held = model.graph.initializer[0]
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value="../../../etc/passwd")
    path.write_bytes(model.SerializeToString())
    return path


def nan_model(path):
    return seeing_model(
        path,
        84,
        operators=[
            helper.make_node("ReduceMean", ["images"], ["m"], keepdims=0),
            helper.make_node("Sub", ["m", "m"], ["nil"]),
            helper.make_node("Div", ["nil", "nil"], ["mean"]),
        ],
    )


def evil_model(path):
    return seeing_model(path, 84, operators=[helper.make_node("Evil", ["images"], ["mean"], domain="com.evil")])


def finished_model(path):
    """Finished boxes of class 7, for a model that is said to have two classes."""
    table = np.zeros((1, 300, 6), np.float32)
    table[0, 0] = [1, 2, 30, 40, 9, 7]
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["m"], keepdims=0),
        helper.make_node("Min", ["m", "one"], ["share"]),
        helper.make_node("Mul", ["table", "share"], ["output0"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    save(
        nodes,
        [images],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 300, 6])],
        {"table": table, "one": np.float32(1)},
        path,
    )
    return path


def write(content):
    def make(path):
        path.write_bytes(content)
        return path

    return make


def cut(share):
    def make(path):
        whole = seeing_model(path, 84).read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        return path

    return make


TWO = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, SIDE, SIDE]) for n in ("images", "more")]


def two_inputs(path):
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    save([helper.make_node("Add", ["images", "more"], ["o"])], TWO, [out], {}, path)
    return path


HOSTILE = {
    "empty": (write(b""), "expected an ONNX model, got an empty file"),
    "zeros": (write(bytes(5000)), "got a file of zeros"),
    "text": (write(b"hello, I am no model at all"), "expected an ONNX model, got something else"),
    "web page": (write(b"<!DOCTYPE html><html></html>"), "a web page: the download went wrong"),
    "LFS pointer": (write(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "PyTorch zip": (write(b"PK\x03\x04" + bytes(99)), "PyTorch writes its pickles, which are code and never run"),
    "pickle": (write(pickle.dumps({"weights": [1, 2]})), "a pickle, which is code and never run"),
    "half of a file": (cut(0.5), "got a truncated or damaged one"),
    "all but the end": (cut(0.98), "expected an ONNX model"),
    "weights elsewhere": (external_model, r"keeps weights in other files \(ones\).*onnx\.save"),
    "custom operator": (evil_model, r"operators that onnxruntime has not \(com\.evil\.Evil\)"),
    "endless loop": (loop_model, "expected an answer within 4 s .* a loop without end"),
    "20 GB constant": (huge_model, r"needs more memory than the \d+ MiB|more than \d+ MiB"),
    "NaN": (nan_model, r"its output output0 has numbers that are not finite \(NaN or infinite\)"),
    "always the same": (
        lambda p: constant_model(p, {"output0": np.ones((1, 84, CELLS), np.float32)}, [1, 3, SIDE, SIDE]),
        r"gives the same outputs \(output0\) for every picture",
    ),
    "12 channels": (
        lambda p: seeing_model(p, 84, input_shape=(1, 12, SIDE, SIDE)),
        "no camera frame can feed its input images float32 1×12×96×96",
    ),
    "batch of 4": (lambda p: seeing_model(p, 84, input_shape=(4, 3, SIDE, SIDE)), "takes 4 pictures at once"),
    "two inputs": (two_inputs, "expected one input, for the picture, got images .*; more"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_with_a_sentence(kind, tmp_path, own_models):
    make, message = HOSTILE[kind]
    path = make(tmp_path / "bad.onnx")
    began = time.monotonic()
    with pytest.raises(EdgeVisionError, match=message) as caught:
        add_model(path, AddOptions(), Limits(load_and_first_run_s=4))
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not own_models.exists() or not list(own_models.iterdir())


def test_more_classes_than_names_are_noticed(tmp_path):
    with pytest.raises(ModelInvalid, match=r"expected classes 0 to 1 for 2 names, got class [1-7]; give as many"):
        add_model(finished_model(tmp_path / "m.onnx"), AddOptions(classes="a,b"))


def test_missing_and_pickled_files(tmp_path):
    with pytest.raises(ModelNotFound, match=r"nowhere\.onnx: no such file"):
        add_model(tmp_path / "nowhere.onnx", AddOptions())
    with pytest.raises(ModelInvalid, match=r"a \.pt file is a pickle, which is code and never run here"):
        add_model(tmp_path / "best.pt", AddOptions())
    with pytest.raises(ModelInvalid, match="got a folder or a device"):
        add_model(tmp_path, AddOptions())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("416", {"width_px": 416, "height_px": 416}),
        ("416x320 BGR stretch", {"width_px": 416, "height_px": 320, "channel_order": "bgr", "resize": "stretch"}),
        ("0-1, pad=0", {"mean": (0.0,) * 3, "std": (255.0,) * 3, "pad_value": 0}),
        ("imagenet", {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}),
        ("bgr imagenet", {"channel_order": "bgr", "mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395)}),
        ("mean=1/2/3 std=4/5.5/6", {"mean": (1.0, 2.0, 3.0), "std": (4.0, 5.5, 6.0)}),
        ("", {}),
    ],
)
def test_input_words(text, values):
    assert parse_input(text) == values


def test_words_that_cannot_be_meant():
    with pytest.raises(UsageError, match=r"--input: expected a size .* got 'squash'"):
        parse_input("416 squash")
    with pytest.raises(UsageError, match="names that differ, got 2 of which 1 differ"):
        parse_classes("a,a")
    with pytest.raises(UsageError, match="no such file"):
        parse_classes("nowhere.txt")


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared folder's real weights")
@pytest.mark.parametrize(
    ("file", "family", "words", "classes"),
    [
        ("yunet_n_320_320", "yunet", "320×320 bgr letterbox-top-left 0-255", 1),
        ("ultraface_version-RFB-320", "ssd", "320×240 rgb stretch mean 127/127/127 std 128/128/128", 1),
        ("fastestdet", "fastestdet", "352×352 bgr stretch 0-1", 80),
        ("yolox_nano", "yolox", "416×416 bgr letterbox-top-left 0-255", 80),
    ],
)
def test_real_weights_are_recognised(file, family, words, classes):
    manifest = add_model(SHARED / "weights" / f"{file}.onnx", AddOptions(front=False)).manifest
    assert (manifest.family, manifest.input.in_words, len(manifest.classes)) == (family, words, classes)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared folder's real weights")
def test_the_one_that_no_camera_can_feed():
    with pytest.raises(ModelInvalid, match="no camera frame can feed its input images float32 1×12×120×160"):
        add_model(SHARED / "weights" / "greenwaves_model.onnx", AddOptions())


def test_what_is_missing_is_said_before_the_model_is_run(tmp_path, monkeypatch):
    from edgevision.deployment.probe import Probe

    path = seeing_model(tmp_path / "m.onnx", 4 + 3)
    monkeypatch.setattr(Probe, "run_once", lambda *_: pytest.fail("it was run first"))
    with pytest.raises(ModelInvalid, match=r"has 3 classes and has no class names; give them with --classes"):
        add_model(path, AddOptions())


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (AddOptions(classes="none.txt"), r"--classes: none\.txt: no such file"),
        (AddOptions(classes="a,a"), "--classes: expected names that differ"),
        (AddOptions(input="sideways"), "input"),
        (AddOptions(family="nonsense"), "nonsense"),
    ],
)
def test_a_wrong_option_is_said_before_a_child_is_started(tmp_path, monkeypatch, wish, said):
    from edgevision.deployment.probe import Probe

    path = seeing_model(tmp_path / "m.onnx", 4 + 3)
    monkeypatch.setattr(Probe, "__enter__", lambda *_: pytest.fail("a child was started first"))
    with pytest.raises((ModelInvalid, UsageError), match=said):
        add_model(path, wish)
