"""The page of ``edgevision distill review``: a person's word on labelled pictures, one picture at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from edgevision.datasets.review import Review, StaleRevision
from edgevision.errors import EdgeVisionError, SourceBroken, UsageError
from edgevision.web.application import guarded_application, json_of
from edgevision.web.server import PageServer

_MOST_BODY_BYTES = 1_000_000
_FILES = {
    "/": ("review.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/review.css": ("review.css", "text/css"),
    "/review_labels.js": ("review_labels.js", "text/javascript"),
    "/review_canvas.js": ("review_canvas.js", "text/javascript"),
    "/review.js": ("review.js", "text/javascript"),
}
_Answer = TypeVar("_Answer")


class ReviewPage(PageServer):
    """Serves a `Review` from construction until `close`.

    ``host``, ``port`` and ``token`` as for the live page. What a request asks of the review is done in one thread of
    its own, in the order it came: none is lost when the page closes, and none sees another half done.
    """

    otherwise = "give another --port"
    offers = "the images and their labels, to see and to change"

    def __init__(
        self, review: Review, host: str = "127.0.0.1", port: int | None = None, token: str | None = None
    ) -> None:
        super().__init__(host, port, token)
        self._review = review
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="edgevision-review")
        self._start()

    def close(self) -> None:
        """Stop; what was asked before is done and on disk."""
        super().close()
        self._worker.shutdown(wait=True)

    def _application(self) -> web.Application:
        app = guarded_application(self._guard, _FILES, _MOST_BODY_BYTES)
        app.router.add_get("/queue", _plainly(self._queue))
        app.router.add_get("/labels", _plainly(self._labels))
        app.router.add_post("/labels", _plainly(self._put))
        app.router.add_get("/picture", _plainly(self._picture))
        return app

    async def _do(self, what: Callable[..., _Answer], *given: Any) -> _Answer:
        # Shielded: a client that goes away must not take back what it asked for.
        work = asyncio.get_running_loop().run_in_executor(self._worker, partial(what, *given))
        return await asyncio.shield(work)

    async def _queue(self, request: web.Request) -> web.Response:
        return web.json_response(await self._do(self._review.queue))

    async def _labels(self, request: web.Request) -> web.Response:
        return web.json_response(await self._do(self._review.state, request.query.get("file", "")))

    async def _put(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return _wrong(415, "Send JSON: Content-Type: application/json.")
        try:
            word = await json_of(request)
        except ValueError:
            word = None
        if not isinstance(word, dict) or not all(isinstance(word.get(k), str) for k in ("file", "revision")):
            raise UsageError("expected JSON with file, revision, status, boxes, faint and rejected")
        try:
            return web.json_response(await self._do(self._taken, word))
        except StaleRevision as exc:
            now = await self._do(self._review.state, word["file"])
            return web.json_response({"error": str(exc), "state": now}, status=409)

    def _taken(self, word: dict[str, Any]) -> dict[str, Any]:
        state = self._review.put(word["file"], word["revision"], word)
        return {"state": state, "counts": self._review.counts()}

    async def _picture(self, request: web.Request) -> web.Response:
        data, kind = await self._do(self._review.picture, request.query.get("file", ""))
        return web.Response(body=data, content_type=kind)


def _plainly(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """What is wrong is one sentence in ``{"error": …}``."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except UsageError as exc:
            return _wrong(400, str(exc))
        except SourceBroken as exc:
            return _wrong(422, str(exc))
        except EdgeVisionError as exc:
            return _wrong(500, str(exc))

    return handle


def _wrong(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)
