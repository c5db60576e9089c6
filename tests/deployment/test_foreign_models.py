"""Models that others made, from a bare file to boxes: what `models add` recognises, says, and refuses."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevision.deployment.add_model import add_model
from edgevision.deployment.add_options import AddOptions
from edgevision.deployment.plausible_boxes import what_is_misread
from edgevision.detectors.decoders import Candidates
from edgevision.detectors.registry import load_detector
from edgevision.errors import EdgeVisionError, ModelInvalid
from tests.support.models import ultralytics_metadata

SIDE = 96
CELLS = 144 + 36 + 9
FRAME = np.full((SIDE, SIDE, 3), 255, np.uint8)
"""As white as its brightness counts 1, in a square, so that pixels of the frame are pixels of the input."""


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.delenv("EDGEVISION_MODELS", raising=False)


def network(path, outputs, classes=None, ints=(), batch=1, open_axes=False, **metadata):
    """A graph whose outputs are these, their score-like numbers times the image's brightest value.

    ``outputs`` are name: (array, columns of scores); the whole array where that is ``...``, none of it where ``()``.
    """
    nodes = [helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0)]
    held, infos = [], []
    for name, (array, scores) in outputs.items():
        mask = np.zeros(array.shape, np.float32)
        if scores is ...:
            mask[...] = 1
        elif scores != ():
            mask[scores] = 1
        kind = TensorProto.INT64 if name in ints else TensorProto.FLOAT
        held += [numpy_helper.from_array((array * mask).astype(np.float32), f"{name}_seen")]
        held += [numpy_helper.from_array((array * (1 - mask)).astype(np.float32), f"{name}_fixed")]
        nodes.append(helper.make_node("Mul", [f"{name}_seen", "brightest"], [f"{name}_scaled"]))
        nodes.append(helper.make_node("Add", [f"{name}_scaled", f"{name}_fixed"], [f"{name}_sum"]))
        nodes.append(helper.make_node("Cast", [f"{name}_sum"], [name], to=kind))
        shape = [f"{name}_{k}" if open_axes and k else side for k, side in enumerate(array.shape)]
        infos.append(helper.make_tensor_value_info(name, kind, shape))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, "made_by_tests", [images], infos, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    if classes is not None:
        ultralytics_metadata(path, classes, [SIDE, SIDE])
        if metadata:
            changed = onnx.load(path)
            for entry in changed.metadata_props:
                entry.value = metadata.pop(entry.key, entry.value)
            for key, value in metadata.items():
                changed.metadata_props.add(key=key, value=value)
            path.write_bytes(changed.SerializeToString())
    return path


def dense(extra=0, classes=2, unit=1.0):
    """A raw table (4 + classes + extra, cells) of boxes of a cell each, five of which are sure."""
    table = np.zeros((4 + classes + extra, CELLS), np.float32)
    centres = np.stack(np.meshgrid(np.arange(12), np.arange(12)), -1).reshape(-1, 2) * 8 + 4
    table[:2] = np.resize(centres, (CELLS, 2)).T / unit
    table[2:4] = 10 / unit
    sure = [13, 40, 66, 100, 122]
    table[4, sure] = np.linspace(0.9, 0.5, 5)
    return table, {tuple(float(v) for v in (*(centres[k] - 5), *(centres[k] + 5))) for k in sure}


def boxes_of(name, frame=FRAME):
    return {tuple(box) for box in np.round(load_detector(name).detect(frame).boxes.astype(float), 2).tolist()}


def test_rtdetr_by_ultralytics(tmp_path):
    """(1, 300, 6) centre boxes in shares, and metadata whose head is RTDETRDecoder."""
    table = np.zeros((1, 300, 6), np.float32)
    table[0, :3] = [[0.5, 0.5, 0.25, 0.25, 0.9, 1], [0.25, 0.25, 0.25, 0.25, 0.8, 0], [0.75, 0.75, 0.1, 0.1, 0.1, 0]]
    path = network(
        tmp_path / "rtdetr.onnx", {"output0": (table, np.s_[..., 4])}, {0: "a", 1: "b"}, head="RTDETRDecoder"
    )
    manifest = add_model(path, AddOptions()).manifest
    assert (manifest.family, manifest.input.resize.value) == ("ultralytics-rtdetr", "stretch")
    for frame, scale in ((FRAME, 1), (np.full((2 * SIDE, SIDE, 3), 255, np.uint8), 2)):
        wanted = {(36.0, 36.0 * scale, 60.0, 60.0 * scale), (12.0, 12.0 * scale, 36.0, 36.0 * scale)}
        assert boxes_of("rtdetr", frame) == wanted
        assert {tuple(b) for b in np.round(load_detector(path).detect(frame).boxes, 2).tolist()} == wanted


@pytest.mark.parametrize("metadata", [True, False], ids=["metadata", "by hand"])
@pytest.mark.parametrize("unit", [1, SIDE], ids=["pixels", "shares"])
@pytest.mark.parametrize("turned", [False, True], ids=["raw", "turned"])
def test_a_dense_head_turned_or_in_shares(tmp_path, turned, unit, metadata):
    table, wanted = dense(unit=unit)
    output = {"output0": (table.T[None], np.s_[..., 4:])} if turned else {"output0": (table[None], np.s_[:, 4:])}
    path = network(tmp_path / "m.onnx", output, {0: "a", 1: "b"} if metadata else None)
    wish = AddOptions() if metadata else AddOptions(family="yolov8", classes="a,b")
    assert add_model(path, wish).manifest.family == "ultralytics"
    assert boxes_of("m") == wanted


def test_names_decide_between_two_families(tmp_path):
    """(1, cells, 4 + n) is a turned head of n classes, or YOLOX of one class fewer."""
    table, wanted = dense(classes=3)
    path = network(tmp_path / "m.onnx", {"o": (table.T[None], np.s_[..., 4:])})
    assert add_model(path, AddOptions(classes="a,b,c", input="rgb letterbox 0-1")).manifest.family == "ultralytics"
    assert boxes_of("m") == wanted
    assert add_model(path, AddOptions(classes="a,b", replace=True, front=False)).manifest.family == "yolox"


TASKS = {
    "segment": (32, "its masks are not"),
    "pose": (51, "its key points are not"),
    "obb": (1, "the upright box that encloses it"),
}


@pytest.mark.parametrize("finished", [False, True], ids=["raw", "finished"])
@pytest.mark.parametrize("task", TASKS)
def test_other_tasks_run_as_detectors_of_boxes(tmp_path, task, finished, caplog):
    extra, said = TASKS[task]
    table, wanted = dense(extra)
    if finished:
        rows = np.zeros((1, 20, 6 + extra), np.float32)
        for k, box in enumerate(sorted(wanted)):
            x1, y1, x2, y2 = box
            rows[0, k, :4] = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1) if task == "obb" else box
            rows[0, k, 4] = 0.9 - k / 10
        outputs = {"output0": (rows, np.s_[..., 4])}
    else:
        outputs = {"output0": (table[None], np.s_[:, 4:6])}
    if task == "segment":
        outputs["output1"] = (np.zeros((1, 32, 24, 24), np.float32), ())
    path = network(tmp_path / "m.onnx", outputs, {0: "a", 1: "b"}, task=task, kpt_shape="[17, 3]")
    added = add_model(path, AddOptions())
    assert added.manifest.family == f"ultralytics-{task}"
    assert [said in note for note in added.notes].count(True) == 1
    assert said in (added.folder / "README.md").read_text(encoding="utf-8")
    assert boxes_of("m") == wanted
    with caplog.at_level("WARNING"):
        load_detector(path)
    assert [said in record.message for record in caplog.records] == [True]


def test_a_segmenter_without_metadata_is_known_by_its_prototypes(tmp_path):
    table, wanted = dense(32)
    outputs = {
        "output0": (table[None], np.s_[:, 4:6]),
        "output1": (np.zeros((1, 32, 24, 24), np.float32), ()),
    }
    assert add_model(network(tmp_path / "m.onnx", outputs), AddOptions(classes="a,b")).manifest.family == (
        "ultralytics-segment"
    )
    assert boxes_of("m") == wanted


@pytest.mark.parametrize("names", [None, {}, "", {0: "", 1: ""}])
def test_metadata_without_names(tmp_path, names):
    table, wanted = dense()
    path = network(tmp_path / "m.onnx", {"output0": (table[None], np.s_[:, 4:])}, {0: "a"}, names=repr(names))
    with pytest.raises(ModelInvalid, match=r"has 2 classes and has no class names; give them with --classes"):
        add_model(path, AddOptions())
    with pytest.raises(ModelInvalid, match=r"has no class names; give them: edgevision models add m\.onnx"):
        load_detector(path)
    assert add_model(path, AddOptions(classes="a,b")).manifest.classes == ("a", "b")
    assert boxes_of("m") == wanted


def rows_of(boxes, scores, *, columns):
    table = np.zeros((len(boxes), 7), np.float32)
    table[:, columns[0] : columns[0] + 4], table[:, columns[1]] = boxes, scores
    return table


BOXES = np.array([[10, 20, 40, 60], [50, 10, 90, 40], [5, 5, 30, 30], [60, 60, 90, 90]], np.float32)
SCORES = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
BY_NAME = {
    "yolov7": ({"output": (rows_of(BOXES, SCORES, columns=(1, 6)), np.s_[:, 6])}, ()),
    "yolo-nas": ({"graph2_flat_predictions": (rows_of(BOXES, SCORES, columns=(1, 5)), np.s_[:, 5])}, ()),
    "yolox": ({"batchno_classid_score_x1y1x2y2": (rows_of(BOXES, SCORES, columns=(3, 2)), np.s_[:, 2])}, ()),
    "mmdeploy": (
        {"dets": (np.column_stack([BOXES, SCORES])[None], np.s_[..., 4]), "labels": (np.zeros((1, 4)), ())},
        ("labels",),
    ),
    "detection-boxes": (
        {
            "o:0": (np.array([4.0]), ()),
            "o:1": (SCORES[None], ...),
            "o:2": (np.zeros((1, 4)), ()),
            "o:3": (BOXES[None][..., [1, 0, 3, 2]] / SIDE, ()),
        },
        (),
    ),
}


@pytest.mark.parametrize("family", BY_NAME)
def test_families_with_suppression_inside(tmp_path, family):
    outputs, ints = BY_NAME[family]
    path = network(tmp_path / "m.onnx", outputs, ints=ints)
    added = add_model(path, AddOptions(classes="a,b", input="rgb letterbox 0-1"))
    assert added.manifest.family == family
    assert boxes_of("m") == {tuple(box) for box in BOXES.astype(float).tolist()}


def misread(kind):
    """Outputs that are not what the family takes them for, and what is said of them."""
    rng = np.random.default_rng(1)
    table = np.zeros((1, 300, 6), np.float32)
    table[0, :, 4] = np.linspace(0.9, 0.2, 300)
    if kind == "centres":
        table[0, :, :4] = rng.uniform([40, 40, 5, 5], [90, 90, 30, 30], (300, 4))
    elif kind == "outside":
        table[0, :, :4] = [500, 500, 600, 600]
    elif kind == "tiny":
        low = rng.uniform(5, 80, (300, 2))
        table[0, :, :4] = np.concatenate([low, low + 0.5], 1)
    elif kind == "logits":
        table[0, :, :4], table[0, :, 4] = [5, 5, 40, 40], np.linspace(9, -5, 300)
    return {"output0": (table, np.s_[..., 4])}


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("centres", r"of the best \d+ boxes \(scores up to 0\.9\d*\) \d+ without a size"),
        ("outside", r"\d+ outside the image"),
        ("tiny", r"\d+ within 2 px"),
        ("logits", r"scores up to 9, expected 0 to 1"),
    ],
)
def test_a_head_that_is_read_wrongly_is_refused(tmp_path, kind, seen):
    path = network(tmp_path / "m.onnx", misread(kind), {0: "a", 1: "b"})
    with pytest.raises(ModelInvalid, match=rf"as ultralytics its outputs \(output0 .*\) are read wrongly: .*{seen}"):
        add_model(path, AddOptions())


def found(boxes, scores):
    boxes, scores = np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)
    return Candidates(boxes, scores, np.zeros(len(scores), np.int64))


@pytest.mark.parametrize(
    "candidates",
    [
        [],
        [found([[0, 0, 1, 1]] * 3, [0.9] * 3)],
        [found([[0, 0, 1, 1]] * 12, [0.01] * 12)],
        [found([[0, 0, 1, 1]] * 50 + [[10, 10, 40, 40]] * 2, [0.9] * 52)],
        [found([[9, 9, 5, 5]] * 30 + [[10, 10, 40, 40]] * 15, [0.9] * 45)],
        [found([[-20, -20, 200, 200]] * 30, [1.0] * 30)],
    ],
    ids=["nothing", "three", "unsure", "some tiny", "some inside out", "larger than the image"],
)
def test_an_untrained_network_is_not_called_misread(candidates):
    assert what_is_misread(candidates or [found([], [])], (SIDE, SIDE), 0.3) is None


@pytest.mark.parametrize(
    ("ir_version", "opset", "said"),
    [
        (99, 17, r"its IR version is 99, onnxruntime \S+ reads up to \d+\): export with opset 17, or upgrade"),
        (9, 99, r"its opset is 99, onnxruntime \S+ reads up to (\d+)\): export with opset \1, or upgrade"),
    ],
)
def test_a_file_for_a_newer_runtime(tmp_path, ir_version, opset, said):
    table, _ = dense()
    path = network(tmp_path / "m.onnx", {"output0": (table[None], np.s_[:, 4:])}, {0: "a", 1: "b"})
    model = onnx.load(path)
    model.ir_version = ir_version
    model.opset_import[0].version = opset
    path.write_bytes(model.SerializeToString())
    for use in (lambda: add_model(path, AddOptions()), lambda: load_detector(path)):
        with pytest.raises(EdgeVisionError, match=r"m\.onnx: made for a newer onnxruntime \(" + said) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_open_axes_are_read_as_fixed_ones_are(tmp_path):
    table, wanted = dense()
    rows = np.zeros((1, 20, 6), np.float32)
    rows[0, :5, :4], rows[0, :5, 4] = sorted(wanted), np.linspace(0.9, 0.5, 5)
    for name, array, scores in (
        ("raw", table[None], np.s_[:, 4:]),
        ("turned", table.T[None], np.s_[..., 4:]),
        ("finished", rows, np.s_[..., 4]),
    ):
        path = network(tmp_path / f"{name}.onnx", {"output0": (array, scores)}, {0: "a", 1: "b"}, open_axes=True)
        add_model(path, AddOptions())
        assert boxes_of(name) == wanted
