"""The server of the live page: a thread of its own, with its own event loop, so that no client can hold up a frame."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import secrets
import socket
import sys
import threading
from concurrent.futures import Future

from aiohttp import web

from edgevision.errors import SinkError
from edgevision.interfaces import ContextManaged, Controls
from edgevision.sinks.browser import BrowserSink
from edgevision.web.application import guarded_application
from edgevision.web.auth import Guard
from edgevision.web.connections import Connections
from edgevision.web.control_api import ControlApi
from edgevision.web.live_page import Pages

DEFAULT_PORT = 8080
_PORTS_TRIED = 20
_START_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 2.0


class PageServer(ContextManaged):
    """Serves an application from `_start` until `close`, behind a token."""

    otherwise = "use --display none"
    """What to do where it cannot be started."""
    offers = "the page"
    """What those who reach it, with the token, can see and do."""

    def __init__(self, host: str, port: int | None, token: str | None) -> None:
        self.token = token if token is not None else secrets.token_urlsafe(16)
        self._guard = Guard(host, self.token)
        self._socket = _listen(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._guard.bound_to(self.port)
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._started: Future[None] = Future()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="edgevision-web", daemon=True)

    def _application(self) -> web.Application:
        """Called in the server's running event loop."""
        raise NotImplementedError

    async def _ended(self) -> None:
        """A last word to whoever is there still."""

    def _start(self) -> None:
        self._thread.start()
        try:
            self._started.result(_START_TIMEOUT_S)
        except Exception as exc:
            self.close()
            raise SinkError(f"the page could not be started ({exc!r}): {self.otherwise}") from exc

    @property
    def url(self) -> str:
        """The address to open, token and all."""
        return f"{self.address}/?token={self.token}"

    @property
    def address(self) -> str:
        """The same without the token: safe to log."""
        name = _own_address() if self.host in ("", "0.0.0.0", "::") else self.host
        return f"http://[{name}]:{self.port}" if ":" in name else f"http://{name}:{self.port}"

    @property
    def local_address(self) -> str:
        """Where this machine itself finds it, without the token."""
        own = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host)
        return self.address if own is None else f"http://{own}:{self.port}"

    @property
    def exposure(self) -> str | None:
        """One sentence on what can be read on the network; None where only this machine reaches the page."""
        if _is_loopback(self.host):
            return None
        where = "every address of this machine" if self.host in ("", "0.0.0.0", "::") else self.host
        return (
            f"readable on the network, at {where}, for those who have the address with its token: {self.offers}; "
            "nothing is encrypted, so only on a network that you trust (--host 127.0.0.1 keeps it on this machine)"
        )

    def close(self) -> None:
        """Tell whoever watches that it is over, and stop. Takes 2 s at most. Twice is once."""
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(_STOP_TIMEOUT_S)
        self._socket.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as exc:
            if self._started.done():
                raise
            self._started.set_exception(exc)  # to whoever constructs the page
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        # A handler whose client has gone is cancelled at once: it may be waiting for a frame that never comes.
        runner = web.AppRunner(self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.3)
        await runner.setup()
        assert runner.server is not None
        accepting = asyncio.create_task(Connections(runner.server).serve(self._socket))
        try:
            self._started.set_result(None)
            await self._stopping.wait()
            await self._ended()
        finally:
            accepting.cancel()
            await runner.cleanup()


class LivePage(PageServer):
    """Serves what ``sink`` holds, from construction until `close`; clients ask things of the loop by ``controls``.

    ``host``: who can reach it; the default is this machine only. ``port``: that one or `SinkError`; without one, the
    first free from 8080. ``token``: random unless given. ``api``: lets clients swap the model too. Raises `SinkError`
    where it cannot listen.
    """

    offers = "the live view, status and snapshots; pause and quit"

    def __init__(
        self,
        sink: BrowserSink,
        controls: Controls,
        host: str = "127.0.0.1",
        port: int | None = None,
        token: str | None = None,
        api: ControlApi | None = None,
    ) -> None:
        super().__init__(host, port, token)
        if api is not None:
            self.offers += ", and swaps of the model"
        self._sink = sink
        self._pages = Pages(sink, controls, self._guard, api)
        self._start()

    def close(self) -> None:
        if not self._closed:
            self._sink.close()
        super().close()

    def _application(self) -> web.Application:
        return self._pages.application()

    async def _ended(self) -> None:
        await self._pages.ended()


class ControlServer(PageServer):
    """The control API alone, for this machine only: for a loop that shows nothing in a browser."""

    def __init__(self, api: ControlApi, token: str | None = None) -> None:
        super().__init__("127.0.0.1", 0, token)
        self._api = api
        self._start()

    def _application(self) -> web.Application:
        app = guarded_application(self._guard)
        self._api.add_to(app)
        return app


def _listen(host: str, port: int | None) -> socket.socket:
    """A listening socket, bound in the caller's thread so that what is wrong with it is said there."""
    wanted = [port] if port is not None else [*range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED), 0]
    try:
        found = socket.getaddrinfo(host or None, wanted[0], type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise SinkError(f"the address {host!r} is not known here: give an address of this machine as --host") from exc
    family, _, _, _, place = found[0]
    for candidate in wanted:
        listener = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform != "win32":  # On Windows this would share a port that is in use.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((place[0], candidate, *place[2:]))
            listener.listen(128)
        except OSError as exc:
            listener.close()
            if exc.errno == errno.EADDRINUSE and port is None:
                continue
            raise SinkError(_why_not(host, candidate, exc)) from exc
        return listener
    raise SinkError(f"no port is free on {host}: give one as --port")


def _why_not(host: str, port: int, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program: give another as --port, or none to take the next free one"
    if exc.errno == errno.EACCES:
        return f"port {port} needs privileges: give one over 1023 as --port"
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: give one that is as --host, or 0.0.0.0 for all of them"
    return f"the live page cannot listen on {host}:{port} ({exc.strerror}): give another --host or --port"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _own_address() -> str:
    """This machine's address as others see it. Nothing is sent: connecting UDP only picks the route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation: nobody's
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
