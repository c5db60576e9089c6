"""Who may look, and who may touch.

Loopback is no protection by itself: any page open in the same browser can send requests to it, and one whose name
is made to resolve to 127.0.0.1 (DNS rebinding) can read the answers too. So every request needs the token and a
Host that is ours, and one that changes anything needs an Origin that is this page's.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from urllib.parse import urlsplit

from aiohttp import web

from edgevision.errors import UsageError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,128}")
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class Refused(Exception):
    """Not allowed; the message says why, and gives away nothing."""


class Guard:
    """Judges requests to a page bound to ``host``. Raises `UsageError` for a token that a cookie could not carry."""

    def __init__(self, host: str, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise UsageError("a token must be 8 to 128 letters, digits, - or _ (give none, and a random one is made)")
        self._token = token
        self._any_address = host in ("", "0.0.0.0", "::")
        self._names = {"localhost", host.lower()}
        if self._any_address:
            name = socket.gethostname().lower()
            self._names |= {name, f"{name.split('.')[0]}.local"}
        self._cookie = "edgevision"

    def bound_to(self, port: int) -> None:
        """Cookies know no ports: two pages on one machine must not overwrite each other's."""
        self._cookie = f"edgevision_{port}"

    def check(self, request: web.Request) -> None:
        """Raises `Refused`."""
        if not self._host_is_ours(request.headers.get("Host", "")):
            raise Refused("This address is not one of this page's: open the one that edgevision printed.")
        if not self._has_token(request):
            raise Refused("This page wants its token: open the whole address that edgevision printed.")
        if request.method not in _SAFE_METHODS:
            self._check_origin(request)

    def admit(self, request: web.Request, response: web.StreamResponse) -> None:
        """Remember in a cookie that this browser showed the token in the address."""
        if self._same(request.query.get("token", "")):
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict", path="/")

    def _has_token(self, request: web.Request) -> bool:
        return (
            self._same(request.cookies.get(self._cookie, ""))
            or self._bears_token(request)
            or self._same(request.query.get("token", ""))
        )

    def _bears_token(self, request: web.Request) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._same(bearer.strip())

    def _same(self, given: str) -> bool:
        # Constant in time, so that a wrong token does not tell how much of it is right.
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token.encode())

    def _host_is_ours(self, header: str) -> bool:
        """Only names can be rebound, so an address in figures is safe where we listen on any; ports do not matter."""
        try:
            name = (urlsplit(f"//{header}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._any_address

    def _check_origin(self, request: web.Request) -> None:
        origin = request.headers.get("Origin")
        if origin is None:
            # Browsers always send it with a POST. A program that does not must show the token itself: a cookie comes
            # along by itself, and a browser adds an Authorization of its own to what a page asks of another.
            if self._bears_token(request):
                return
            raise Refused("A request that changes something needs an Origin, or the token as Authorization: Bearer.")
        # Compared as text: what is not exactly ours is not ours, however it might be parsed.
        host = request.headers.get("Host", "").lower()
        if origin.lower() not in (f"http://{host}", f"https://{host}"):
            raise Refused("Only this page itself may control the loop.")
