"""Addresses as they may be shown: in messages, in logs, in results. Never with a password."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*://)(.*)$", re.IGNORECASE | re.DOTALL)
_PORT = re.compile(r"^(\[[^\]]*\]|[^:\[\]]*)(:\d*)?$")
_SECRET = re.compile(
    r"((?:pass(?:wor[dt]|wd)?|pwd|token|secret|sig(?:nature)?|auth|[a-z_]*key)=)[^&#;/?]+", re.IGNORECASE
)


def hide_credentials(address: str) -> str:
    """``rtsp://user:secret@host/cam?token=abc`` → ``rtsp://user:***@host/cam?token=***``; other texts as they are.

    Where a stray ``/``, ``#``, ``?`` or ``@`` in a password makes it unclear where the host begins, too much is hidden
    rather than too little.
    """
    parts = _SCHEME.match(address)
    if parts is None:
        return address
    scheme, rest = parts.groups()
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    holds_password = ":" in authority.rpartition("@")[0] if "@" in authority else not _PORT.match(authority)
    if holds_password and "@" in rest:
        user, _, tail = rest.partition(":")
        rest = f"{user}:***@{tail.rpartition('@')[2]}"
    return scheme + _SECRET.sub(r"\1***", rest)
