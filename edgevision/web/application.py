"""What all pages' servers do alike: judge requests, let no answer be kept or framed, give out the page's own files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib import resources

from aiohttp import web

from edgevision.web.auth import Guard, Refused

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
            return web.Response(status=403, text=f"{exc}\n")
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
