"""The zones and lines of ``edgevision run``."""

from __future__ import annotations

import secrets

from edgevision.cli.run_options import RunOptions
from edgevision.errors import UsageError
from edgevision.events.shape_text import line_from_text, zone_from_text
from edgevision.events.stage import EventStage
from edgevision.sinks.outlines import Outline


def open_events(options: RunOptions) -> EventStage | None:
    """What watches the zones and lines that were asked for; None for none. Raises `UsageError`."""
    if not options.watching:
        return None
    if not options.tracking:
        raise UsageError("--no-track leaves no identities that enter a zone or cross a line: leave it out")
    zones = [zone_from_text(text) for text in options.zone or ()]
    lines = [line_from_text(text) for text in options.line or ()]
    return EventStage(zones, lines, run_id=secrets.token_hex(4))


def outlines_of(events: EventStage | None) -> list[Outline]:
    """How its zones and lines are drawn."""
    if events is None:
        return []
    zones = [Outline(zone.name, zone.polygon) for zone in events.zones]
    return zones + [Outline(line.name, (line.start, line.end)) for line in events.lines]
