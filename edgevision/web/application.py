"""What all pages' servers do alike: judge requests, let no answer be kept or framed, give out the page's own files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from importlib import resources
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from edgevision.web.auth import Guard, Refused
from edgevision.web.connections import connection_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


_MOST_BODY_BYTES = 16_384
_BODY_S = 10.0
_PLAIN = frozenset({"", "identity"})
_UTF_8 = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})


def guarded_application(
    guard: Guard, files: Mapping[str, tuple[str, str]] | None = None, most_body_bytes: int = _MOST_BODY_BYTES
) -> web.Application:
    """An application in which every request is judged before it is answered, and no answer is kept or framed.

    ``files`` are what the page is made of: for each path, the file's name among the assets and its content type.
    """

    @web.middleware
    async def judge(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            guard.check(request)
        except Refused as exc:
            return _closing(web.Response(status=403, text=f"{exc}\n"))
        connection = connection_of(request)
        with connection.answer(admitted=True) if connection is not None else nullcontext():
            refused = await _body_refused(request)
            if refused is not None:
                return refused
            try:
                return await handler(request)
            except web.HTTPException as exc:
                return web.Response(
                    status=exc.status, text=f"{exc.reason}\n", headers={"Allow": exc.headers.get("Allow", "")}
                )

    app = web.Application(middlewares=[judge], client_max_size=most_body_bytes)
    app.on_response_prepare.append(_add_headers)
    for path, (name, kind) in (files or {}).items():
        app.router.add_get(path, _asset(guard, name, kind))
    return app


async def _body_refused(request: web.Request) -> web.Response | None:
    """Read the body of a request that may change something, and keep it with it; the answer where that cannot be done.

    Here, once for all handlers: whole within 10 s, no longer than allowed, not compressed (a small body may unpack to a
    huge one), not malformed.
    """
    if not request.can_read_body or request.method in ("GET", "HEAD"):
        return None
    if request.headers.get("Content-Encoding", "").strip().lower() not in _PLAIN:
        return _closing(web.Response(status=415, text="Send the body as it is, without Content-Encoding.\n"))
    try:
        async with asyncio.timeout(_BODY_S):
            await request.read()
    except TimeoutError:
        return _closing(web.Response(status=408, text=f"The body did not come within {_BODY_S:.0f} s.\n"))
    except web.HTTPRequestEntityTooLarge as exc:
        return _closing(web.Response(status=exc.status, text=f"{exc.reason}\n"))
    except (web.RequestPayloadError, HttpProcessingError, ValueError):
        return _closing(web.Response(status=400, text="The body is malformed.\n"))
    return None


def _closing(response: web.Response) -> web.Response:
    """The last answer on its connection."""
    response.force_close()
    return response


async def json_of(request: web.Request, empty: bytes = b"") -> Any:
    """The JSON in a request's body, ``empty`` standing for none. Raises ValueError for what is not JSON in UTF-8."""
    body = await request.read() or empty
    if (request.charset or "").strip().lower() not in _UTF_8:
        raise ValueError("expected UTF-8")
    try:
        return json.loads(body.decode("utf-8"))
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc


def _asset(guard: Guard, name: str, kind: str) -> Handler:
    """Answers with a file of the page's own, read now and kept."""
    body = resources.files("edgevision.web").joinpath("assets", name).read_bytes()

    async def answer(request: web.Request) -> web.Response:
        response = web.Response(body=body, content_type=kind, charset="utf-8")
        guard.admit(request, response)
        return response

    return answer


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
