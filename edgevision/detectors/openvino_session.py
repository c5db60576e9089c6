"""OpenVINO as an inference engine, on the CPU: https://docs.openvino.ai, extra ``openvino``.

On processors with AMX or AVX512-BF16 it computes float graphs in bfloat16, which is where most of its gain comes from;
an int8 graph of ours takes as long as in onnxruntime unless there is AMX.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.onnx_protobuf import metadata_of
from edgevision.detectors.onnx_session import TensorInfo
from edgevision.errors import ModelFailed, ModelInvalid

_ELEMENT = {"f32": "float32", "f16": "float16", "u8": "uint8", "i64": "int64", "i32": "int32", "f64": "float64"}


class OpenVinoSession:
    """A graph compiled for the CPU, with one inference request a lane. Keeps `engines.InferenceSession`."""

    engine = "openvino"

    def __init__(self, model: bytes, where: str, threads: int = 1, lanes: int = 1) -> None:
        """Compile a graph from its bytes; ``where`` names it in errors. Raises `ModelInvalid`."""
        import openvino

        if len(model) == 0:
            raise ModelInvalid(f"{where}: expected an ONNX model, got an empty file")
        self.where, self.threads, self.lanes = where, threads, lanes
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if lanes == 1 else "THROUGHPUT",
            "NUM_STREAMS": str(lanes),
            "INFERENCE_NUM_THREADS": str(threads * lanes),
            # Threads pinned to cores would fight with those of capture and drawing, which are not.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            graph = openvino.Core().read_model(io.BytesIO(model))
            compiled = openvino.Core().compile_model(graph, "CPU", settings)
            self._requests = [compiled.create_infer_request() for _ in range(lanes)]
            precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        except Exception as exc:  # OpenVINO raises RuntimeError and classes of its own
            raise ModelInvalid(f"{where}: expected a model that OpenVINO can load, got: {_brief(exc)}") from exc
        self.provider = f"CPU {precision}"
        self.inputs = tuple(_info(port) for port in graph.inputs)
        self.outputs = tuple(_info(port) for port in graph.outputs)
        self.metadata: Mapping[str, str] = metadata_of(model)

    def run(self, tensor: NDArray[Any], lane: int = 0, input_name: str | None = None) -> list[NDArray[Any]]:
        """All outputs for one input tensor, as fresh arrays, in the graph's order. Raises `ModelFailed`."""
        if not self._requests:
            raise ModelFailed(f"{self.where}: is closed")
        request = self._requests[lane]
        try:
            # Not copied in: the tensor stays the caller's until this returns. Copied out: the next run overwrites.
            request.infer({input_name or self.inputs[0].name: tensor}, share_inputs=True)
            return [np.array(request.get_output_tensor(k).data) for k in range(len(self.outputs))]
        except Exception as exc:
            raise ModelFailed(f"{self.where}: failed on an input of shape {tensor.shape}: {_brief(exc)}") from exc

    def close(self) -> None:
        """Free the compiled graph. Idempotent."""
        self._requests = []


def _info(port: Any) -> TensorInfo:
    shape = tuple(d.get_length() if d.is_static else None for d in port.partial_shape)
    kind = port.element_type.get_type_name()
    return TensorInfo(port.get_any_name(), shape, _ELEMENT.get(kind, kind))


def _brief(exc: BaseException) -> str:
    """The last sentence of OpenVINO's message, which says what is wrong, on one line."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))] or lines or [repr(exc)]
    text = " ".join(told[-1].split())
    return text if len(text) <= 200 else text[:197] + "..."
