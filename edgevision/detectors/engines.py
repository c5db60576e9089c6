"""Inference engines: the contract of a loaded graph, one file an engine, and this one table of them.

    session = open_session("openvino", graph, "person.onnx", threads=1, lanes=1)

To add an engine: a file here with a class that keeps the contract `InferenceSession`
(tests/detectors/test_engines.py says what that means), and a line in the table. An engine is chosen only where its
boxes agree with onnxruntime's: `edgevision.deployment.engine_trial`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from edgevision.detectors import devices
from edgevision.detectors.devices import Placement, placement
from edgevision.detectors.onnx_session import TensorInfo, available_providers
from edgevision.errors import MissingExtra, UsageError

DEFAULT_ENGINE = "onnxruntime"
AUTO = "auto"
"""What this machine measured fastest for a model (`edgevision.detectors.engine_choice`), else the default engine."""


class InferenceSession(Protocol):
    """A loaded graph, in ``lanes`` copies that may run at the same time."""

    @property
    def engine(self) -> str:
        """Its name in the table."""
        ...

    @property
    def provider(self) -> str:
        """What the engine runs the graph on, in its own words: ``CPUExecutionProvider``, ``CPU bf16``."""
        ...

    @property
    def where(self) -> str:
        """Names the model in errors."""
        ...

    @property
    def threads(self) -> int:
        """Threads of each lane."""
        ...

    @property
    def lanes(self) -> int: ...

    @property
    def inputs(self) -> tuple[TensorInfo, ...]: ...

    @property
    def outputs(self) -> tuple[TensorInfo, ...]: ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """The file's own key-value pairs."""
        ...

    def run(self, tensor: NDArray[Any], lane: int = 0, input_name: str | None = None) -> list[NDArray[Any]]:
        """All outputs for one input tensor, as fresh arrays, in the graph's order. Raises `ModelFailed`."""
        ...

    def close(self) -> None:
        """Free the graph. Idempotent; `run` raises `ModelFailed` afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """An inference engine."""

    place: str
    """``module:Class``; the class takes (graph bytes, where, threads, lanes) and raises `ModelInvalid`."""
    package: str
    """The import name of what it needs."""
    extra: str
    """The extra of edgevision that installs it; empty for the core's own."""


ENGINES: Mapping[str, Engine] = MappingProxyType(
    {
        "onnxruntime": Engine("edgevision.detectors.onnx_session:Session", "onnxruntime", ""),
        "openvino": Engine("edgevision.detectors.openvino_session:OpenVinoSession", "openvino", "openvino"),
    }
)


def engine_names() -> tuple[str, ...]:
    """All engines, the default one first."""
    return tuple(ENGINES)


def installed_engines() -> tuple[str, ...]:
    """Engines whose package is installed, the default one first. Imports none of them."""
    return tuple(name for name, engine in ENGINES.items() if importlib.util.find_spec(engine.package) is not None)


def check_engine(name: str) -> str:
    """The name, if that engine can be used here. Raises `UsageError` and `MissingExtra`."""
    engine = ENGINES.get(name)
    if engine is None:
        raise UsageError(f"--engine: expected one of {AUTO}, {', '.join(ENGINES)}, got {name!r}")
    if importlib.util.find_spec(engine.package) is None:
        raise MissingExtra(engine.package, engine.extra, f"--engine {name}")
    return name


def check_placement(text: str, engine: str) -> Placement:
    """The placement, if that engine can use it here. Raises `UsageError` that says what to install."""
    place = placement(text)
    if place.kind == "cpu":
        return place
    if engine != "onnxruntime":
        raise UsageError(f"--device {text}: the engine {engine} runs on the CPU only; leave out --engine or --device")
    known = available_providers()
    if place.device.provider not in known:
        raise UsageError(
            f"--device {text}: this onnxruntime runs on {', '.join(known)} only; to use it: {place.device.install}"
        )
    return place


def open_session(
    engine: str, graph: bytes, where: str, threads: int = 1, lanes: int = 1, device: str = devices.AUTO
) -> InferenceSession:
    """Load a graph in an engine. ``threads`` each for ``lanes`` frames at once; ``where`` names it in errors;
    ``device``: see `devices.placement`.

    Raises `UsageError`, `MissingExtra` and, where the engine cannot load the graph, `ModelInvalid`.
    """
    module, _, kind = ENGINES[check_engine(engine)].place.partition(":")
    place = check_placement(device, engine)
    more = {} if place.kind == "cpu" else {"place": place}
    return cast(InferenceSession, getattr(import_module(module), kind)(graph, where, threads, lanes, **more))
