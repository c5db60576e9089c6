"""Quantise a float ONNX graph to int8, with the arithmetic of boxes and scores left in float.

QDQ with U8 activations and S8 weights per channel: on x86 the other pairing (S8S8) is slower than float.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import onnx
from numpy.typing import NDArray

from edgevision.detectors.onnx_session import silent_onnxruntime
from edgevision.training.export.onnx_export import INPUT

_QUANTISED = ["Conv", "MaxPool", "Concat", "Resize"]


def quantise(float_path: Path, path: Path, pictures: Iterable[NDArray[np.float32]]) -> None:
    """Write the int8 graph of a float one, calibrated on ``pictures`` (1, 3, H, W) in 0-1."""
    silent_onnxruntime()
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as scratch:
        ready = Path(scratch) / "ready.onnx"
        quant_pre_process(str(float_path), str(ready), skip_symbolic_shape=True)
        graph = onnx.load(ready).graph
        quantize_static(
            str(ready),
            str(path),
            cast(CalibrationDataReader, _Pictures(pictures)),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=_QUANTISED,
            nodes_to_exclude=_tail(graph),
            extra_options={"CalibMovingAverage": True},
        )


class _Pictures:
    """What onnxruntime calls a calibration data reader."""

    def __init__(self, pictures: Iterable[NDArray[np.float32]]) -> None:
        self._pictures: Iterator[NDArray[np.float32]] = iter(pictures)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        picture = next(self._pictures, None)
        return None if picture is None else {INPUT: picture}


def _tail(graph: onnx.GraphProto) -> list[str]:
    """Names of the last convolutions and all that follows them: quantised, they give zero confidence."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    last = [n for n in graph.node if n.op_type == "Conv" and not _reaches_conv(n, readers)]
    tail: dict[str, onnx.NodeProto] = {}
    waiting = list(last)
    while waiting:
        node = waiting.pop()
        if node.name not in tail:
            tail[node.name] = node
            waiting.extend(r for output in node.output for r in readers.get(output, []))
    return list(tail)


def _reaches_conv(node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]]) -> bool:
    waiting, seen = [r for output in node.output for r in readers.get(output, [])], set()
    while waiting:
        reader = waiting.pop()
        if reader.op_type == "Conv":
            return True
        if reader.name not in seen:
            seen.add(reader.name)
            waiting.extend(r for output in reader.output for r in readers.get(output, []))
    return False
