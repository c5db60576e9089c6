"""Real-time vision on a laptop or a Raspberry Pi.

import edgevision as ev

detector = ev.load_detector("person")
with ev.open_source(0) as source:
    for result in ev.run(source, detector):
        print(result.detections.boxes)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgevision.capture import open_source
    from edgevision.deployment.app import App, run
    from edgevision.deployment.gates import Gates
    from edgevision.detectors.registry import load_detector
    from edgevision.errors import EdgeVisionError
    from edgevision.events.shapes import Line, Zone
    from edgevision.events.stage import EventStage
    from edgevision.interfaces import Controls
    from edgevision.pipeline.loop import Pipeline
    from edgevision.tracking.bytetrack import ByteTracker
    from edgevision.types import Detections, Event, Frame, Result, SourceInfo, StageTimes

_PLACES = {
    "App": "deployment.app",
    "ByteTracker": "tracking.bytetrack",
    "Controls": "interfaces",
    "Detections": "types",
    "Event": "types",
    "EventStage": "events.stage",
    "Line": "events.shapes",
    "Zone": "events.shapes",
    "EdgeVisionError": "errors",
    "Frame": "types",
    "Gates": "deployment.gates",
    "Pipeline": "pipeline.loop",
    "Result": "types",
    "SourceInfo": "types",
    "StageTimes": "types",
    "load_detector": "detectors.registry",
    "open_source": "capture",
    "run": "deployment.app",
}

__all__ = [
    "App",
    "ByteTracker",
    "Controls",
    "Detections",
    "EdgeVisionError",
    "Event",
    "EventStage",
    "Frame",
    "Gates",
    "Line",
    "Pipeline",
    "Result",
    "SourceInfo",
    "StageTimes",
    "Zone",
    "__version__",
    "load_detector",
    "open_source",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: ``edgevision --help`` needs neither OpenCV nor onnxruntime."""
    if name not in _PLACES:
        raise AttributeError(f"module 'edgevision' has no attribute {name!r}")
    return getattr(import_module(f"edgevision.{_PLACES[name]}"), name)
