"""Text of strangers made safe to show: a class name may hold what clears a terminal or renames its window."""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters of terminals, ends of lines, what turns the direction of writing, and bytes that are no UTF-8."""


def printable(text: str) -> str:
    """The text on one line with every control character written out, as ``\\x1b``.

    From 0x7f on as ``\\u009b``: those JSON leaves as they are, and this is how JSON would write them.
    """
    return _UNSAFE.sub(_written_out, text)


def printable_values(value: object) -> object:
    """A value from JSON with every text in it made `printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [printable_values(item) for item in value]
    if isinstance(value, dict):
        return {key: printable_values(item) for key, item in value.items()}
    return value


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}"
