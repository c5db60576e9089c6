"""Who may hold a connection to a page, and for how long: bounds that hold before anybody has shown a token.

A connection costs a descriptor, and descriptors are few (1024 by default): taken up by strangers, none is left for a
camera that comes back or for a recorder. So connections are capped, the oldest without the token go first, and what
keeps the server waiting is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
from aiohttp import web
from aiohttp.http import HttpProcessingError

MOST = 256
HEAD_S = 10.0
"""A whole request head must be there so long after the connection, or after its own first byte."""
IDLE_S = 30.0
"""Between two requests of a connection that is kept; also for a client that does not take its answer."""
ANSWER_S = 60.0
"""No answer takes so long, but a stream's."""
_SWEEP_S = 1.0
_RESERVED_FDS = 128
"""Descriptors left for cameras, files, model loads and their child processes."""
_LEAST = 16
_LOG_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """One client's connection, with what `Connections` must know to judge it."""

    __slots__ = ("admitted", "answering", "head_since_s", "held_with", "lasting", "served", "since_s")

    def __init__(self, connections: Connections, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        # Compressed bodies stay as they are: none of the page's own requests has one.
        super().__init__(server, loop=loop, access_log=None, lingering_time=2.0, max_headers=64, auto_decompress=False)  # type: ignore[arg-type]
        self.held_with = connections
        self.since_s = connections.now_s()
        self.head_since_s: float | None = self.since_s
        self.admitted = self.answering = self.lasting = self.served = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.held_with.held.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.held_with.held.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.answering and self.head_since_s is None:
            self.head_since_s = self.held_with.now_s()
        super().data_received(data)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        error = kw.get("exc_info")
        # What is no HTTP is answered with 400, and a client may go at any time: neither is a fault of ours.
        if not isinstance(error, HttpProcessingError | ConnectionError):
            self.held_with.tell("the page failed on a request: %r", error)

    @contextlib.contextmanager
    def answer(self, admitted: bool) -> Iterator[None]:
        """Around the handling of a request, once its head is there and judged."""
        self.admitted = self.admitted or admitted
        self.answering, self.head_since_s, self.since_s = True, None, self.held_with.now_s()
        try:
            yield
        finally:
            self.answering = self.lasting = False
            self.since_s = self.held_with.now_s()

    def overdue(self, now_s: float) -> bool:
        """Whether this client has kept the server waiting for too long."""
        if self.answering:
            return not self.lasting and now_s - self.since_s > ANSWER_S
        if self.head_since_s is not None:
            return now_s - self.head_since_s > HEAD_S
        return now_s - self.since_s > IDLE_S

    @property
    def dispensable(self) -> tuple[bool, bool, float]:
        """The least goes first: without the token, then waiting for another request, then the oldest."""
        return self.admitted, self.answering, self.since_s

    def abort(self) -> None:
        """End it at once, whatever is still to be sent."""
        self.held_with.held.discard(self)
        transport = self.transport
        self.force_close()
        if isinstance(transport, asyncio.Transport):
            transport.abort()


class Connections:
    """Accepts connections for one server, and keeps them within bounds."""

    def __init__(self, server: web.Server, now_s: Callable[[], float] = time.monotonic) -> None:
        self._server, self.now_s = server, now_s
        self.held: set[Connection] = set()
        self.most = most_connections()
        self._told_s: float | None = None
        self._untold = 0

    async def serve(self, listener: socket.socket) -> None:
        """Accept until cancelled. One at a time: room is made before the next is let in."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._loop_failed)
        listener.setblocking(False)
        sweeper = loop.create_task(self._sweep_always())
        try:
            while True:
                try:
                    client, _ = await loop.sock_accept(listener)
                except OSError as exc:  # no descriptor is left, or the client has gone already
                    self.tell("the page cannot take a connection: %s", exc)
                    self.make_room(max(1, len(self.held) // 4))
                    await asyncio.sleep(0.2)
                    continue
                if not self.make_room(len(self.held) + 1 - self.most):
                    client.close()
                    continue
                with contextlib.suppress(OSError):
                    await loop.connect_accepted_socket(lambda: Connection(self, self._server, loop), client)
        finally:
            sweeper.cancel()

    def make_room(self, count: int) -> bool:
        """End ``count`` connections, the least worth keeping first; False where all of them are being answered."""
        if count <= 0:
            return True
        going = sorted(self.held, key=lambda one: one.dispensable)[:count]
        for one in going:
            if one.admitted and one.answering:
                return False
            one.abort()
        return True

    def sweep(self) -> None:
        """End what has kept the server waiting for too long."""
        now_s = self.now_s()
        for one in [one for one in self.held if one.overdue(now_s)]:
            one.abort()

    def tell(self, text: str, *values: object) -> None:
        """One warning a minute, whatever happens how often; the next says how many were left out."""
        now_s = self.now_s()
        if self._told_s is not None and now_s - self._told_s < _LOG_EVERY_S:
            self._untold += 1
            return
        more = f" ({self._untold} like it in the last minutes)" if self._untold else ""
        self._told_s, self._untold = now_s, 0
        _log.warning(text + more, *values)

    async def _sweep_always(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.sweep()

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ConnectionError):
            self.tell("the page's server: %s (%r)", context.get("message"), error)


def connection_of(request: web.Request) -> Connection | None:
    """The connection of a request to a `PageServer`."""
    protocol = request.protocol
    return protocol if isinstance(protocol, Connection) else None


def viewers_most(request: web.Request, most: int) -> int:
    """How many viewers of one kind may hold their connections: ``most``, or two fifths of all where those are few."""
    connection = connection_of(request)
    return most if connection is None else min(most, connection.held_with.most * 2 // 5)


def lasts(request: web.Request) -> None:
    """Say that a request is answered by a stream, without end."""
    connection = connection_of(request)
    if connection is not None:
        connection.lasting = True


def most_connections() -> int:
    """How many this process can hold and still open cameras and files."""
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = psutil.Process().num_fds()
    except (ImportError, AttributeError):  # Windows counts otherwise, and has plenty
        return MOST
    if soft == resource.RLIM_INFINITY:
        return MOST
    return max(_LEAST, min(MOST, soft - taken - _RESERVED_FDS))
