"""The one door to onnxruntime: loading a graph, running it, and its errors in our words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

from numpy.typing import NDArray

from edgevision.concurrency import usable_cores
from edgevision.detectors.devices import Placement
from edgevision.errors import ModelFailed, ModelInvalid, UsageError

_ELEMENT = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(double)": "float64",
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a graph; None stands for a dimension decided at run time."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {'×'.join('?' if d is None else str(d) for d in self.shape)}"


def default_threads() -> int:
    """Threads for one inference: all cores but one, which capture and drawing need; at most 4.

    More than 4 threads gain little on networks this small and take the machine from everything else.
    """
    return max(1, min(4, usable_cores() - 1))


def available_providers() -> tuple[str, ...]:
    """What this build of onnxruntime could run on; `Session.provider` is what it does run on."""
    return tuple(silent_onnxruntime().get_available_providers())


def silent_onnxruntime() -> ModuleType:
    """onnxruntime, imported with its telemetry off unless the environment says otherwise.

    Microsoft's builds from 1.32 on keep a device id and report every session to their maker by default. It is read
    once, when the library is loaded, so no call later on turns it off.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


class Session:
    """A loaded graph in ``lanes`` independent copies of ``threads`` threads each.

    `run` may be called from several threads at once, for different lanes. Keeps `engines.InferenceSession`.
    """

    engine = "onnxruntime"

    def __init__(
        self, model: bytes, where: str, threads: int = 1, lanes: int = 1, place: Placement | None = None
    ) -> None:
        """Load a graph from its bytes; ``where`` names it in errors, ``place`` is the device. Raises `ModelInvalid`,
        and `UsageError` where onnxruntime cannot use that device."""
        place = place or Placement()
        ort = silent_onnxruntime()
        if len(model) == 0:
            raise ModelInvalid(f"{where}: expected an ONNX model, got an empty file")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Spinning workers eat the cores that capture and drawing need: with a 30 fps camera beside it, two
        # spinning threads on two cores took 38 ms an inference, two that sleep 21 ms.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.where, self.threads, self.lanes = where, threads, lanes
        try:
            self._sessions = [ort.InferenceSession(model, options, providers=place.providers) for _ in range(lanes)]
        except Exception as exc:  # onnxruntime raises its own classes, RuntimeError and ValueError alike
            if (newer := _made_for_newer(str(exc), ort.__version__)) is not None:
                raise ModelInvalid(f"{where}: {newer}") from exc
            raise ModelInvalid(
                f"{where}: expected an ONNX model that onnxruntime can load, got: {_brief(exc)}"
            ) from exc
        first = self._sessions[0]
        self.provider: str = first.get_providers()[0]
        if self.provider != place.device.provider:  # it goes on with the CPU, and says so in its own log only
            raise UsageError(
                f"--device {place.kind}: onnxruntime has {place.device.provider} and could not use it: "
                f"{place.device.libraries or place.device.install}"
            )
        self.inputs = tuple(_info(i) for i in first.get_inputs())
        self.outputs = tuple(_info(o) for o in first.get_outputs())
        self.metadata: Mapping[str, str] = dict(first.get_modelmeta().custom_metadata_map)

    def run(self, tensor: NDArray[Any], lane: int = 0, input_name: str | None = None) -> list[NDArray[Any]]:
        """All outputs for one input tensor, as fresh arrays. Raises `ModelFailed`."""
        if not self._sessions:
            raise ModelFailed(f"{self.where}: is closed")
        name = input_name or self.inputs[0].name
        try:
            outputs = cast(list[NDArray[Any]], self._sessions[lane].run(None, {name: tensor}))
        except Exception as exc:
            raise ModelFailed(f"{self.where}: failed on an input of shape {tensor.shape}: {_brief(exc)}") from exc
        return outputs

    def close(self) -> None:
        """Free the graph. Idempotent."""
        self._sessions = []


def _info(value: Any) -> TensorInfo:
    shape = tuple(d if isinstance(d, int) and d > 0 else None for d in value.shape)
    return TensorInfo(value.name, shape, _ELEMENT.get(value.type, value.type))


_OPSET_OF_OLD_IR = 17
"""Exporters write an IR version that fits the opset; this one every onnxruntime since 2022 reads."""


def _made_for_newer(message: str, version: str) -> str | None:
    """The sentence for a file of an IR version or opset that this onnxruntime does not know yet, or None."""
    ir = re.search(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", message)
    if ir:
        what, opset = f"its IR version is {ir[1]}, onnxruntime {version} reads up to {ir[2]}", _OPSET_OF_OLD_IR
    else:
        found = re.search(r"Opset (\d+) is under development.*domain (\S+) is till opset (\d+)", message, re.DOTALL)
        if found is None:
            return None
        domain = "" if found[2] == "ai.onnx" else f" of {found[2]}"
        what, opset = f"its opset{domain} is {found[1]}, onnxruntime {version} reads up to {found[3]}", int(found[3])
    return f"made for a newer onnxruntime ({what}): export with opset {opset}, or upgrade onnxruntime"


def _brief(exc: BaseException) -> str:
    """The telling part of onnxruntime's message, on one line."""
    text = " ".join(str(exc).split())
    if "] : " in text:
        text = text.split("] : ", 1)[1]
    text = _without_signature(re.sub(r"^\d+ : [A-Z_]+ : ", "", text))
    return text if len(text) <= 200 else text[:197] + "..."


def _without_signature(text: str) -> str:
    """The message without the place in onnxruntime's source and the C++ function that it begins with."""
    place = re.match(r"\S+\.(?:cc|h|cpp|hpp):\d+ ", text)
    if place is None:
        return text
    depth, start = 0, text.find("(", place.end())
    for k in range(max(start, 0), len(text)):
        depth += {"(": 1, ")": -1}.get(text[k], 0)
        if depth == 0:
            rest = text[k + 1 :].removeprefix(" const").strip()
            return rest or text
    return text
