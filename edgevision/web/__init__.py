"""The live page and the control API: what the camera sees, and what a person may change, behind a token."""

from __future__ import annotations

from edgevision.web.control_api import ControlApi
from edgevision.web.server import ControlServer, LivePage

__all__ = ["ControlApi", "ControlServer", "LivePage"]
