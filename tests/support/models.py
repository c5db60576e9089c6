"""Models, frames and detectors that the tests make themselves."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgevision.interfaces import ContextManaged
from edgevision.types import Detections, Frame, SourceInfo

CELL = 8


def save(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, NDArray[Any]], path: Path
) -> None:
    """Write an ONNX graph."""
    held = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "made_by_tests", inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def constant_model(path: Path, outputs: dict[str, NDArray[np.float32]], input_shape: Sequence[int | str]) -> Path:
    """A graph that gives the same outputs for any picture: a head to decode."""
    # Times zero keeps the input alive: the optimiser may not drop it.
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nil"]),
    ]
    nodes += [helper.make_node("Add", [f"{k}_value", "nil"], [k]) for k in outputs]
    infos = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in outputs.items()]
    constants: dict[str, NDArray[Any]] = {f"{k}_value": v for k, v in outputs.items()}
    constants["zero"] = np.float32(0)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, list(input_shape))
    save(nodes, [images], infos, constants, path)
    return path


def blob_model(
    folder: Path, name: str = "blobs", side_px: int = 64, channel: int = 0, version: str = "1", nhwc_uint8: bool = False
) -> Path:
    """A real little detector: each 8 px cell scores the brightness of one channel (0 is red) in it.

    Ultralytics raw layout; a box is its cell. Writes a model folder and returns it. With a wrong channel order,
    size, padding or scale it finds other things, so it tests the whole way through.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cells = side_px // CELL
    y, x = np.mgrid[:cells, :cells]
    centres = np.stack([x.ravel(), y.ravel()]).astype(np.float32) * CELL + CELL / 2
    boxes = np.concatenate([centres, np.full((2, cells * cells), CELL, np.float32)])[None]
    nodes = [
        helper.make_node("Slice", ["nchw", "from", "to", "axis"], ["plane"]),
        helper.make_node("AveragePool", ["plane"], ["pooled"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Reshape", ["pooled", "flat"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    if nhwc_uint8:
        kind, shape = TensorProto.UINT8, [1, side_px, side_px, 3]
        front = [
            helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["float"], ["turned"], perm=[0, 3, 1, 2]),
            helper.make_node("Div", ["turned", "most"], ["nchw"]),
        ]
        recipe = 'dtype = "uint8"\nlayout = "nhwc"\n'
    else:
        kind, shape = TensorProto.FLOAT, [1, 3, side_px, side_px]
        front = [helper.make_node("Identity", ["images"], ["nchw"])]
        recipe = "std = [255.0, 255.0, 255.0]\n"
    constants = {
        "from": np.array([channel]),
        "to": np.array([channel + 1]),
        "axis": np.array([1]),
        "flat": np.array([1, 1, -1]),
        "boxes": boxes,
        "most": np.float32(255),
    }
    images = helper.make_tensor_value_info("images", kind, shape)
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 5, cells * cells])
    save(front + nodes, [images], [output], constants, folder / "model.onnx")
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "model.toml").write_text(
        f'name = "{name}"\nversion = "{version}"\nsha256 = "{sha256}"\nfamily = "ultralytics"\nclasses = ["blob"]\n'
        f"[input]\nwidth_px = {side_px}\nheight_px = {side_px}\n{recipe}"
        "pad_value = 0\n[thresholds]\nscore = 0.5\niou = 0.5\n"
    )
    return folder


def blob_frame_pixels(width_px: int, height_px: int, boxes: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """A black picture with pure red (BGR) boxes."""
    pixels = np.zeros((height_px, width_px, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2, 2] = 255
    return pixels


def ultralytics_metadata(path: Path, names: Any, imgsz: Any, **more: str) -> None:
    """Add to a graph what an Ultralytics export writes."""
    model = onnx.load(path)
    values = {"names": repr(names), "imgsz": repr(imgsz), "stride": "32", "task": "detect", "batch": "1", **more}
    for key, value in values.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


class FakeClock:
    """Nanoseconds that move when told to."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def advance_ms(self, step_ms: float) -> None:
        self.now_ns += round(step_ms * 1e6)


class ListSource(ContextManaged):
    """A source of given pictures. With ``gate``, each waits for it: the test decides when frames come."""

    def __init__(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        live: bool = False,
        gate: threading.Semaphore | None = None,
        error: BaseException | None = None,
        clock: Any = None,
    ) -> None:
        height, width = pictures[0].shape[:2] if len(pictures) else (48, 64)
        self.info = SourceInfo("list", width, height, 30.0, live, None if live else len(pictures))
        self.trouble: str | None = None
        self.closed = threading.Event()
        self.read_count = 0
        self._pictures, self._gate, self._error = pictures, gate, error
        self._clock = clock or __import__("time").monotonic_ns

    def read(self) -> Frame | None:
        if self._gate is not None:
            while not self._gate.acquire(timeout=0.01):
                if self.closed.is_set():
                    return None
        if self.closed.is_set():
            return None
        if self.read_count >= len(self._pictures):
            if self._error is not None:
                raise self._error
            return None
        frame = Frame(self._pictures[self.read_count].copy(), self.read_count, self._clock(), self.info)
        self.read_count += 1
        return frame

    def close(self) -> None:
        self.closed.set()


class IndexDetector:
    """Finds one box whose x is the value of the frame's first pixel: a result of another frame is seen at once."""

    def __init__(
        self, name: str = "index@1", lanes: int = 1, started: Any = None, gate: threading.Semaphore | None = None
    ) -> None:
        self.name, self.lanes, self.classes = name, lanes, ("thing",)
        self._started, self._gate = started, gate

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        if self._started is not None:
            self._started.release()
        if self._gate is not None:
            self._gate.acquire(timeout=10)
        x = float(pixels[0, 0, 0])
        return Detections(np.array([[x, 0, x + 1, 1]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))


def numbered_pictures(count: int) -> list[NDArray[np.uint8]]:
    """Pictures whose pixels are all their number, mod 256."""
    return [np.full((48, 64, 3), k % 256, np.uint8) for k in range(count)]


def squares_data(root: Path, side_px: int = 64, train: int = 30, val: int = 10) -> Path:
    """YOLO's layout: dark pictures with one bright square each, quickly learnt."""
    rng = np.random.default_rng(1)
    for k in range(train + val):
        part = "train" if k < train else "val"
        image = rng.integers(0, 60, (side_px, side_px, 3), np.uint8)
        x, y = rng.integers(2, side_px - 28, 2)
        image[y : y + 24, x : x + 24] = 230
        for kind in ("images", "labels"):
            (root / kind / part).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "images" / part / f"{k}.png"), image)
        middle, wide = ((x + 12) / side_px, (y + 12) / side_px), 24 / side_px
        (root / "labels" / part / f"{k}.txt").write_text(f"0 {middle[0]} {middle[1]} {wide} {wide}")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [square]\n")
    return root


def as_json(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


class CountingCamera(ContextManaged):
    """200 frames a second until closed; pixels carry the frame's number."""

    def __init__(self):
        self.info = SourceInfo("camera", 64, 48, 30.0, True)
        self.trouble = None
        self._index = 0
        self._closed = threading.Event()

    def read(self):
        if self._closed.wait(0.005):
            return None
        pixels = np.full((48, 64, 3), self._index % 200, np.uint8)
        frame = Frame(pixels, self._index, time.monotonic_ns(), self.info)
        self._index += 1
        return frame

    def close(self):
        self._closed.set()
