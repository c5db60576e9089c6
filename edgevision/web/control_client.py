"""Talking to a running app's control API, as ``edgevision swap`` does. Standard library only: it is there at once."""

from __future__ import annotations

import http.client
import json
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from edgevision.errors import EdgeVisionError, UsageError
from edgevision.regular_file import parse_json
from edgevision.web.discovery import RunningApp, running_apps

_TIMEOUT_S = 30.0
"""Longer than any answer but one to a revert, which waits for a first result."""


class App:
    """A running app to ask things of."""

    def __init__(self, url: str, token: str) -> None:
        """``url`` without the token."""
        self.url, self._token = url.rstrip("/"), token
        parts = urlsplit(self.url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80

    def ask(self, what: str, **values: Any) -> dict[str, Any]:
        """The answer to one request. Raises `UsageError` with what the app says, `EdgeVisionError` where it is gone."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", f"/api/{what}", json.dumps(values), headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", errors="replace")
        except (OSError, http.client.HTTPException) as exc:
            raise EdgeVisionError(f"{self.url}: expected a running app to answer, got {_reason(exc)}") from exc
        finally:
            connection.close()
        if response.status == 200:
            return self._object(text)
        if response.status == 403:
            raise UsageError(f"{self.url}: refused: {text.strip()}")
        if response.status in (404, 405):
            raise UsageError(
                f"{self.url}: cannot be controlled: it was started with --no-control, or is another program"
            )
        raise UsageError(str(self._object(text).get("error", text.strip()[:200])))

    def _object(self, text: str) -> dict[str, Any]:
        try:
            values = parse_json(text)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise EdgeVisionError(f"{self.url}: expected an edgevision app's answer, got {text.strip()[:80]!r}")
        return cast(dict[str, Any], values)


def find_app(to: str | None) -> App:
    """The app of that address, or the one that runs here. Raises `UsageError` where that is none or several."""
    if to is None:
        apps = running_apps()
        if not apps:
            raise UsageError("no running `edgevision run` found on this machine: start one, or name one with --to URL")
        if len(apps) > 1:
            listed = "; ".join(f"{a.url} ({a.model} on {a.source}, process {a.pid})" for a in apps)
            raise UsageError(f"{len(apps)} apps run: {listed}; say which with --to URL")
        return App(apps[0].url, apps[0].token)
    return _named(to)


def _named(to: str) -> App:
    try:
        parts = urlsplit(to if "://" in to else f"http://{to}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if host is None or parts.scheme != "http":
        raise UsageError(f"--to: expected an address such as http://127.0.0.1:8080/?token=…, got {to!r}")
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    token = parse_qs(parts.query).get("token", [""])[0]
    if token:
        return App(url, token)
    known = next((a for a in running_apps() if _same_place(a, host, port)), None)
    if known is None:
        raise UsageError(f"--to: no running `edgevision run` found at {url}; give its whole address, with ?token=…")
    return App(known.url, known.token)


def _same_place(app: RunningApp, host: str, port: int) -> bool:
    parts = urlsplit(app.url)
    local = {"localhost", "127.0.0.1", "::1"}
    return parts.port == port and (parts.hostname == host or (host in local and parts.hostname in local))


def _reason(exc: BaseException) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    if isinstance(exc, TimeoutError):
        return f"nothing in {_TIMEOUT_S:g} s"
    return str(exc) or type(exc).__name__
