"""What the live page's server answers: the page, the live view, the status, three controls, and swaps."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from edgevision.interfaces import Controls
from edgevision.sinks.browser import BrowserSink
from edgevision.web.application import guarded_application, json_of
from edgevision.web.auth import Guard
from edgevision.web.connections import lasts, viewers_most
from edgevision.web.control_api import ControlApi

_BOUNDARY = "edgevision-frame"
_PART_HEAD = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
"""Sent with the picture *before* it: Chromium shows a part once it has seen the head of the next, so a head that
waited for its picture would hold everything back by a frame, and the last one, that says why it stopped, for good.
For the same reason it carries no length: that of the next picture is not known yet."""
_STREAMS_MOST = 100
_EVENTS_MOST = 100
_STUCK_S = 20.0
"""A client that takes nothing for so long is gone, or never meant to read."""
_SEND_BUFFER_BYTES = 65_536
"""What the kernel may hold of one client's stream: by default megabytes, which is seconds of old pictures."""
_STATUS_EVERY_S = 0.3
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/swap.css": ("swap.css", "text/css"),
    "/swap.js": ("swap.js", "text/javascript"),
}


class Pages:
    """The handlers, and what they share. All of it runs in the server's thread."""

    def __init__(self, sink: BrowserSink, controls: Controls, guard: Guard, api: ControlApi | None = None) -> None:
        self._sink = sink
        self._controls = controls
        self._guard = guard
        self._api = api
        self._watching: Counter[str] = Counter()
        self._state = ""
        # One thread: whoever asks first encodes, and the others get what it made.
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="edgevision-jpeg")
        self._encoding: asyncio.Future[tuple[int, bytes] | None] | None = None
        self._fresh: asyncio.Event
        self._changed: asyncio.Event

    def application(self) -> web.Application:
        """The aiohttp application; called in the server's running event loop."""
        self._fresh, self._changed = asyncio.Event(), asyncio.Event()
        app = guarded_application(self._guard, _FILES)
        if self._api is not None:
            self._api.add_to(app)
        app.router.add_get("/stream.mjpg", self._stream, allow_head=False)
        app.router.add_get("/events", self._events, allow_head=False)
        app.router.add_get("/status", self._status)
        app.router.add_get("/snapshot.jpg", self._snapshot)
        app.router.add_post("/control", self._control)
        app.cleanup_ctx.append(self._listening)
        return app

    async def ended(self) -> None:
        """Let those who watch hear that it is over, for 0.3 s at most."""
        self._wake()
        for _ in range(30):
            if not self._watching.total():
                return
            await asyncio.sleep(0.01)

    async def _listening(self, app: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has just closed
                loop.call_soon_threadsafe(self._wake)

        stop = self._sink.listen(tell)
        yield
        stop()
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def _wake(self) -> None:
        """Wake everyone who waits; each gets an event of its own time, so that none is missed."""
        self._fresh.set()
        self._fresh = asyncio.Event()
        state = self._sink.status()[0].state
        if state != self._state:
            self._state = state
            self._changed.set()
            self._changed = asyncio.Event()

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(self._figures())

    async def _snapshot(self, request: web.Request) -> web.Response:
        data = await asyncio.get_running_loop().run_in_executor(self._encoder, self._sink.snapshot)
        if data is None:
            return web.Response(status=404, text="There is no frame yet.\n")
        name = f"edgevision-frame{self._figures()['frame']}.jpg"
        return web.Response(
            body=data, content_type="image/jpeg", headers={"Content-Disposition": f'attachment; filename="{name}"'}
        )

    async def _control(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.Response(status=415, text='Send JSON: {"action": "pause"}.\n')
        try:
            asked = await json_of(request)
            action = asked["action"] if isinstance(asked, dict) else None
        except (ValueError, KeyError):
            action = None
        if action == "quit":
            self._controls.quit()
        elif action == "pause":
            self._controls.toggle_pause()
        elif action == "snapshot":
            self._controls.ask_snapshot()
        else:
            return web.Response(status=400, text="Expected an action of quit, pause, snapshot.\n")
        return web.json_response({"action": action, "paused": self._controls.paused})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Status as server-sent events, three times a second and at every change of state."""
        with self._audience("events", viewers_most(request, _EVENTS_MOST)) as refused:
            if refused is not None:
                return refused
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
            with _gone_is_normal(request):
                writer = await _prepared(response, request)
                while True:
                    changed = self._changed
                    figures = self._figures()
                    async with asyncio.timeout(_STUCK_S):
                        await writer.write(b"data: " + json.dumps(figures, separators=(",", ":")).encode() + b"\n\n")
                        await writer.drain()
                    if figures["state"] == "ended":
                        break
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_STATUS_EVERY_S):
                            await changed.wait()
            return response

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """The live view as multipart JPEG: always the newest picture, and only once the one before has left."""
        with self._audience("streams", viewers_most(request, _STREAMS_MOST)) as refused:
            if refused is not None:
                return refused
            response = web.StreamResponse(headers={"Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY}"})
            with _gone_is_normal(request):
                writer = await _prepared(response, request)
                await writer.write(_PART_HEAD)
                sent = -1
                while (part := await self._next_part(sent)) is not None:
                    sent, data = part
                    async with asyncio.timeout(_STUCK_S):
                        await writer.write(data)
                        await writer.drain()
            return response

    async def _next_part(self, sent: int) -> tuple[int, bytes] | None:
        """The newest picture other than number ``sent``, as a part of the stream; None at the end."""
        with self._sink.watching():
            while True:
                fresh = self._fresh
                if self._sink.closed:
                    return None
                if self._sink.number != sent:
                    part = await self._encoded()
                    if part is not None and part[0] != sent:
                        return part
                await fresh.wait()

    async def _encoded(self) -> tuple[int, bytes] | None:
        """The newest picture, encoded away from the event loop, once for all who ask meanwhile."""
        if self._encoding is None or self._encoding.done():
            self._encoding = asyncio.get_running_loop().run_in_executor(self._encoder, self._make_part)
        return await asyncio.shield(self._encoding)

    def _make_part(self) -> tuple[int, bytes] | None:
        encoded = self._sink.jpeg()
        if encoded is None:
            return None
        return encoded.number, encoded.data + b"\r\n" + _PART_HEAD

    def _figures(self) -> dict[str, Any]:
        status, result = self._sink.status()
        figures: dict[str, Any] = {
            "state": status.state,
            "detail": status.detail,
            "fps": round(status.fps, 2),
            "infer_ms": round(status.infer_ms, 2),
            "detect_every": status.detect_every,
            "age_ms": round(status.age_ms, 1),
            "dropped": status.dropped,
            "frames": status.frames,
            "model": status.model,
            "source": status.source,
            "paused": self._controls.paused,
            "frame": None,
            "size": None,
            "detections": {},
        }
        figures["swap"] = self._api.brief() if self._api is not None else None
        if result is not None:
            figures["frame"] = result.frame.index
            figures["size"] = list(result.frame.size_wh)
            counts: dict[str, int] = figures["detections"]
            for class_id in result.detections.class_ids.tolist():
                name = result.classes[class_id] if 0 <= class_id < len(result.classes) else f"class {class_id}"
                counts[name] = counts.get(name, 0) + 1
        return figures

    @contextlib.contextmanager
    def _audience(self, kind: str, most: int) -> Iterator[web.Response | None]:
        """Counts those who watch in one way; gives the answer for one too many."""
        if self._watching[kind] >= most:
            response = web.Response(status=503, text=f"{most} are watching already.\n")
            response.force_close()  # it has had its answer, and others want its place
            yield response
            return
        self._watching[kind] += 1
        try:
            yield None
        finally:
            self._watching[kind] -= 1


async def _prepared(response: web.StreamResponse, request: web.Request) -> AbstractStreamWriter:
    """Begin a stream of which the kernel holds a picture or two, and this process nothing once it is drained."""
    lasts(request)
    writer = await response.prepare(request)
    transport = request.transport
    if writer is None or transport is None:
        raise ConnectionResetError("gone")
    transport.set_write_buffer_limits(high=0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return writer


@contextlib.contextmanager
def _gone_is_normal(request: web.Request) -> Iterator[None]:
    """Clients close tabs and lose their network; that is no fault and no line in a log.

    A client that reads nothing is dropped with what waits for it: ending its answer in order would wait for it, too.
    """
    try:
        yield
    except ConnectionError:
        pass
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
