"""Text files as tools and editors write them: UTF-8 with or without a mark, UTF-16, and Chinese GB18030."""

from __future__ import annotations

import codecs
from pathlib import Path

from edgevision.datasets.reading_report import ReadingReport
from edgevision.errors import UsageError
from edgevision.regular_file import read_regular

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MOST_BYTES = 4 << 30


def read_text(path: Path, report: ReadingReport | None = None) -> str:
    """A file's text, line ends as ``\\n``. Raises `UsageError` where it cannot be read or its encoding is not known."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path}: expected a text of at most {MOST_BYTES >> 30} GiB")
        data = read_regular(path, MOST_BYTES)
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path}: cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    return decode(data, path, report).replace("\r\n", "\n").replace("\r", "\n")


def decode(data: bytes, path: object, report: ReadingReport | None = None) -> str:
    """Text of bytes; ``path`` names them in messages. Raises `UsageError`."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _without_mark(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        if encoding == "utf-8" and (text := _chinese(data)) is not None:
            if report is not None:
                report.add("encoding", path, "is not UTF-8 and is read as GB18030 (Chinese); save it as UTF-8")
            return text
        line = data[: exc.start].count(b"\n") + 1
        raise UsageError(
            f"{path}:{line}: expected UTF-8 text, got the byte 0x{data[exc.start]:02X}; save the file as UTF-8"
        ) from exc


def _without_mark(data: bytes) -> str:
    """UTF-16 without a mark has a zero in every other byte of ASCII text."""
    head = data[:200]
    if len(head) >= 4 and head.count(0) >= len(head) * 0.4:
        return "utf-16-le" if head[1] == 0 else "utf-16-be"
    return "utf-8"


def _chinese(data: bytes) -> str | None:
    """Text of GB18030 where nearly all of it is common Chinese characters: other 8-bit texts decode to rare ones."""
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return None
    foreign = [c for c in text if ord(c) > 127]
    common = sum(_is_common(c) for c in foreign)
    return text if foreign and common >= 0.6 * len(foreign) else None


def _is_common(character: str) -> bool:
    """Whether it is punctuation or one of the 3 755 characters that GB2312 calls common (rows 16 to 55)."""
    try:
        lead = character.encode("gb2312")[0]
    except UnicodeEncodeError:
        return False
    return 0xA1 <= lead <= 0xA3 or 0xB0 <= lead <= 0xD7
