"""Addresses as they may be shown (never with a password), and as FFmpeg takes them (passwords quoted)."""

from __future__ import annotations

import re
from urllib.parse import quote

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
    if "@" in rest and _holds_password(rest):
        user, _, tail = rest.partition(":")
        rest = f"{user}:***@{tail.rpartition('@')[2]}"
    return scheme + _SECRET.sub(r"\1***", rest)


def quote_credentials(address: str) -> str:
    """``rtsp://user:a/b#c@host/cam`` → ``rtsp://user:a%2Fb%23c@host/cam``: a password as it was given to the camera.

    Only where it is clear what the password is: a character that would end the host comes before the only ``@``. What
    follows a plain host, and whatever is well formed, stays as it is.
    """
    parts = _SCHEME.match(address)
    if parts is None:
        return address
    scheme, rest = parts.groups()
    if rest.count("@") != 1 or "@" in _authority(rest) or not _holds_password(rest):
        return address
    credentials, _, place = rest.partition("@")
    user, _, password = credentials.partition(":")
    return f"{scheme}{quote(user, safe='')}:{quote(password, safe='')}@{place}"


def quoting_hint(address: str) -> str:
    """How to write a password, where an address leaves it open what its password is; else nothing."""
    parts = _SCHEME.match(address)
    if parts is None:
        return ""
    authority = _authority(parts[2])
    unclear = ":" in authority and "@" in parts[2][len(authority) :] and quote_credentials(address) == address
    if not unclear:
        return ""
    return "; in a password write / as %2F, ? as %3F, # as %23, @ as %40"


def _authority(rest: str) -> str:
    """User, password, host and port, up to what ends them."""
    return re.split(r"[/?#]", rest, maxsplit=1)[0]


def _holds_password(rest: str) -> bool:
    """Whether a password comes before the last ``@`` of an address, scheme cut off."""
    authority = _authority(rest)
    if "@" in authority:
        return ":" in authority.rpartition("@")[0]
    # user:12#34@host: what looks like a port is the beginning of a password, for no stream has a fragment.
    return not _PORT.match(authority) or (":" in authority and rest[len(authority) :].startswith("#"))
