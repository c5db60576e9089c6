"""Rich's console, kept from strangers as `safe_stream` keeps the plain text."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from edgevision.cli.safe_stream import shown


class Terminal(Console):
    """Rich's console, with control characters in any text written out."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            clean = segment.text if segment.control else shown(segment.text)
            yield segment if clean == segment.text else Segment(clean, segment.style)
