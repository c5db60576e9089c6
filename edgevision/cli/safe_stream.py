"""Text streams on which no class name, camera or server can move a terminal's cursor or rename its window."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

from edgevision.printable import printable

_LINE_ENDS = re.compile(r"([\n\r\t])")


def shown(text: str) -> str:
    """`printable`, but for the ends of lines and tabs, which are ours."""
    return "".join(part if part in "\n\r\t" else printable(part) for part in _LINE_ENDS.split(text))


class SafeStream:
    """A text stream on which control characters are written out; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        """Rich's name for what it writes to instead."""

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"expected text, got {type(text).__name__}")
        return self.rich_proxied_file.write(shown(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def guard_streams() -> None:
    """Put `SafeStream` in front of stdout and stderr, once."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, SafeStream):
            setattr(sys, name, cast(TextIO, SafeStream(stream)))
