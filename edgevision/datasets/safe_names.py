"""File names out of other people's files, made fit to be written below a folder of ours."""

from __future__ import annotations

import re
from urllib.parse import unquote

_DRIVE = re.compile(r"^[A-Za-z]:")
_BAD = re.compile(r'[\x00-\x1f<>:"|?*]')
_MOST_BYTES = 200
"""Of one part of a path: file systems hold 255, and a suffix may be added."""


def safe_name(name: str) -> tuple[str, bool]:
    """A relative path with forward slashes that stays inside, and whether the name led out.

    ``../../a.jpg``, ``/data/a.jpg`` and ``C:\\\\data\\\\a.jpg`` become ``a.jpg``; ``train/a.jpg`` stays.
    Raises ValueError where nothing is left.
    """
    name = name.strip().replace("\\", "/")
    query = re.search(r"[?&]d=([^&]+)$", name)
    if query:  # Label Studio's address of a local file
        name = unquote(query[1])
    name = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]+://[^/]*/", "/", name)
    led_out = name.startswith("/") or bool(_DRIVE.match(name))
    parts = [p for p in _DRIVE.sub("", name).split("/") if p not in ("", ".")]
    if ".." in parts or led_out:
        led_out = True
        parts = parts[-1:]
    parts = [_BAD.sub("_", p).strip() for p in parts]
    parts = [_shortened(p) for p in parts if p not in ("", ".", "..")]
    if not parts:
        raise ValueError(f"expected a file name, got {name[:60]!r}")
    return "/".join(parts[-20:]), led_out


def _shortened(part: str) -> str:
    part = part.encode("utf-8", "replace").decode("utf-8")
    data = part.encode()
    if len(data) <= _MOST_BYTES:
        return part
    stem, dot, suffix = part.rpartition(".")
    tail = f".{suffix}" if dot and len(suffix) <= 8 else ""
    return (stem or part).encode()[: _MOST_BYTES - len(tail.encode())].decode("utf-8", "ignore") + tail
