"""Text of strangers, made safe to show."""

from __future__ import annotations

import pytest

from edgevision.printable import printable, printable_values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("person", "person"),
        ("Straße 日本 🚲", "Straße 日本 🚲"),
        ("\x1b[2Jcar", "\\x1b[2Jcar"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\u009b31m"),
        ("a\nb\r\tc\x7f", "a\\x0ab\\x0d\\x09c\\u007f"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable_values({"a": [text, 1, None]}) == {"a": [shown, 1, None]}
