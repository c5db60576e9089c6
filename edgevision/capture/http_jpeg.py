"""A look at what an HTTP address sends, where FFmpeg makes nothing of it.

FFmpeg wants of Motion JPEG what RFC 2046 says: a boundary before each part, lines that end in CR LF. Cheap cameras
begin with a part at once, or end lines in LF. Their images are whole all the same, each from its first marker to its
last.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from urllib.parse import unquote, urlsplit

_START_OF_IMAGE = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]")
_MOST_BYTES = 65_536


def sends_jpegs(address: str, limit_s: float) -> bool:
    """Whether JPEG images come from an HTTP address within ``limit_s``, one after the other and without a length."""
    deadline_s = time.monotonic() + limit_s
    plain, opener = _opener(address)
    seen = b""
    try:
        with opener.open(plain, timeout=limit_s) as answer:
            if answer.headers.get("Content-Length") is not None:
                return False
            while len(seen) < _MOST_BYTES and time.monotonic() < deadline_s:
                data = answer.read1(8192)
                seen += data
                if _START_OF_IMAGE.search(seen):
                    return True
                if not data:
                    return False
    except (OSError, http.client.HTTPException, urllib.error.URLError, ValueError):
        return False  # FFmpeg's own error says what is wrong
    return False


def _opener(address: str) -> tuple[str, urllib.request.OpenerDirector]:
    """The address without credentials, and what shows them to a server that asks (Basic and Digest)."""
    parts = urlsplit(address)
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        passwords.add_password(None, plain, unquote(parts.username), unquote(parts.password or ""))
    return plain, urllib.request.build_opener(
        urllib.request.HTTPBasicAuthHandler(passwords), urllib.request.HTTPDigestAuthHandler(passwords)
    )
