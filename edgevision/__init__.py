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
    from edgevision.controls import Controls
    from edgevision.detections import Detections
    from edgevision.errors import EdgeVisionError
    from edgevision.frame import Frame, SourceInfo
    from edgevision.gates import Gates
    from edgevision.pipeline import Pipeline, run
    from edgevision.result import Result, StageTimes
    from edgevision.store import load_detector
    from edgevision.track import ByteTracker

_PLACES = {
    "ByteTracker": "track",
    "Controls": "controls",
    "Detections": "detections",
    "EdgeVisionError": "errors",
    "Frame": "frame",
    "Gates": "gates",
    "Pipeline": "pipeline",
    "Result": "result",
    "SourceInfo": "frame",
    "StageTimes": "result",
    "load_detector": "store",
    "open_source": "capture",
    "run": "pipeline",
}

__all__ = [
    "ByteTracker",
    "Controls",
    "Detections",
    "EdgeVisionError",
    "Frame",
    "Gates",
    "Pipeline",
    "Result",
    "SourceInfo",
    "StageTimes",
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
