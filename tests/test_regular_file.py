"""Only regular files of a bounded size are read, and no other can block the reader."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edgevision.regular_file import (
    NotRegular,
    TooLarge,
    open_regular,
    parse_json,
    parse_toml,
    read_regular,
    read_regular_text,
)


def test_a_regular_file_and_a_link_to_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "b") == b"x" * 100_000
    (tmp_path / "c").write_bytes(b"a\r\nb\rc")
    assert read_regular_text(tmp_path / "c") == "a\nb\nc"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("by_link", [False, True])
@pytest.mark.parametrize(("kind", "said"), [("pipe", "a named pipe"), ("device", "a device"), ("folder", "a folder")])
def test_what_is_no_regular_file_is_refused_at_once(kind: str, said: str, by_link: bool, tmp_path: Path) -> None:
    place = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place = Path("/dev/zero")
    if by_link:
        (tmp_path / "link").symlink_to(place)
        place = tmp_path / "link"
    with pytest.raises(NotRegular) as caught:
        read_regular(place)
    assert caught.value.strerror == f"expected a regular file, it is {said}"


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3000)
    assert len(read_regular(tmp_path / "a", 3000)) == 3000
    with pytest.raises(TooLarge, match="expected at most"):
        read_regular(tmp_path / "a", 2999)


def test_a_file_that_grows_while_it_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import edgevision.regular_file as module

    (tmp_path / "a").write_bytes(b"x" * 5000)
    monkeypatch.setattr(module, "_require", lambda *_: None)
    with pytest.raises(TooLarge):
        read_regular(tmp_path / "a", 4000)


def test_missing_files_and_impossible_names(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        open_regular(str(tmp_path / "a\0b"))
    with pytest.raises(OSError, match="too long") as caught:
        open_regular(tmp_path / ("a" * 300))
    assert caught.value.errno == errno.ENAMETOOLONG


def test_text_nested_100_000_deep_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)
    with pytest.raises(ValueError, match="nested"):
        parse_toml("a = " + "[" * 100_000)
    assert parse_json(b'{"a": [1]}') == {"a": [1]}
