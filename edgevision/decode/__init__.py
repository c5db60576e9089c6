"""Raw network outputs to boxes: one file a model family, and the table of them.

A family knows its head and nothing else: suppression, the way back to frame pixels and the user's thresholds are
the detector's.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from edgevision.decode.head import Candidates, Decoder, Graph, Head
from edgevision.errors import ModelInvalid

FAMILIES = {
    "ultralytics": "edgevision.decode.ultralytics:UltralyticsDecoder",
    "yolox": "edgevision.decode.yolox:YoloxDecoder",
    "nanodet": "edgevision.decode.nanodet:NanodetDecoder",
}

__all__ = ["FAMILIES", "Candidates", "Decoder", "Head", "make_decoder", "recognise"]


def make_decoder(family: str, head: Head) -> Decoder:
    """The decoder of a family for a graph's outputs. Raises `ModelInvalid` where they do not fit."""
    place = FAMILIES.get(family)
    if place is None:
        raise ModelInvalid(f"{head.where}: unknown family {family!r}; known are {', '.join(sorted(FAMILIES))}")
    module, name = place.split(":")
    return cast(Decoder, getattr(import_module(module), name)(head))


def recognise(graph: Graph) -> dict[str, Any] | None:
    """Manifest values of a graph that says what it is, asking each family that can tell; None where none can."""
    for place in FAMILIES.values():
        ask = getattr(import_module(place.split(":")[0]), "recognise", None)
        values = None if ask is None else ask(graph)
        if values is not None:
            return cast(dict[str, Any], values)
    return None
