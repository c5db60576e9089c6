"""The live page: what the camera sees and what was found, in any browser, behind a token."""

from __future__ import annotations

from edgevision.web.server import LivePage

__all__ = ["LivePage"]
