"""The page of ``edgevision bench --glass``: all of it turns light or dark when told to, and it says when it has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable

from aiohttp import web

from edgevision.errors import SinkError
from edgevision.web.application import guarded_application, json_of
from edgevision.web.connections import lasts
from edgevision.web.server import PageServer

UNHEARD_S = 4.0
"""A page that has not said for so long that it shows what it was told is on a network that is gone, or asleep."""
_FILES = {
    "/": ("flash.html", "text/html"),
    "/flash.css": ("flash.css", "text/css"),
    "/flash.js": ("flash.js", "text/javascript"),
}


class FlashPage(PageServer):
    """Serves the page from construction until `close`; ``host``, ``port`` and ``token`` as for the live page.

    One tab has it at a time: of two, nobody could say which one the camera sees, so the newest takes it over. States
    go to it as server-sent events. Its answers are POSTs: those the guard holds to this page's own Origin, so no other
    page in the same browser can pass for it. A hidden tab draws nothing, and lets go of its connection.
    """

    otherwise = "give another --port, or use --display window"
    offers = "a page that turns light and dark, and no image"

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | None = None,
        token: str | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(host, port, token)
        self._clock = clock
        # Shared by the caller's thread and the server's; held for a few assignments only.
        self._news = threading.Condition()
        self._state, self._number = "look", 0
        self._tabs = 0
        """Connections so far."""
        self._tab: int | None = None
        """Which of them has the page, while it is there."""
        self._open = False
        """Whether it has said that it shows something."""
        self._told_ns: dict[int, int] = {}
        """When the page was told, of the states it has not answered for."""
        self._answered_ns: list[int] = []
        self._changed: asyncio.Event
        self._start()

    def wait_until_open(self) -> None:
        """Return once a browser shows the page."""
        with self._news:
            # In turns: where nothing ends a wait, Ctrl-C does not end it on Windows.
            while not self._news.wait_for(lambda: self._open, 0.5):
                pass

    def stays_open(self, seconds: float) -> bool:
        """Wait for so long, or until the page is closed; whether it is open still."""
        with self._news:
            return not self._news.wait_for(lambda: not self._open, seconds)

    def show(self, light: bool) -> None:
        """Tell the page to be light or dark, and return at once: whoever times it starts as the server sends.

        Raises `SinkError` where no browser has the page open any more, or it has not answered for 4 s.
        """
        with self._news:
            now_ns = self._clock()
            if not self._open:
                raise SinkError("the page that flashes was closed or hidden: leave it open and in sight; run it again")
            if any(now_ns - at_ns > UNHEARD_S * 1e9 for at_ns in self._told_ns.values()):
                raise SinkError(
                    f"the page that flashes has not answered for {UNHEARD_S:g} s: see that its device is awake and "
                    "on the network; run it again"
                )
            self._state, self._number = "light" if light else "dark", self._number + 1
            self._told_ns[self._number] = now_ns
        self._loop.call_soon_threadsafe(self._wake)

    @property
    def answers_ms(self) -> tuple[float, ...]:
        """From each `show` to the page's word that it is drawn, where that came.

        The way to the browser, its drawing, the wait for its next frame (browsers say no earlier that a frame has left
        them) and the way back. What the panel takes after that no page can know.
        """
        with self._news:
            return tuple(ns / 1e6 for ns in self._answered_ns)

    def _application(self) -> web.Application:
        self._changed = asyncio.Event()
        app = guarded_application(self._guard, _FILES)
        app.router.add_get("/states", self._states, allow_head=False)
        app.router.add_post("/shown", self._shown)
        return app

    async def _ended(self) -> None:
        with self._news:
            self._state = "over"
        self._wake()
        await asyncio.sleep(0.05)  # time for that to leave

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _states(self, request: web.Request) -> web.StreamResponse:
        """What to show, as server-sent events, until it is over or another tab takes the page."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        lasts(request)
        with contextlib.suppress(ConnectionError):  # tabs are closed
            await response.prepare(request)
            with self._news:
                self._tabs += 1
                tab = self._tab = self._tabs
                self._open = False
                self._news.notify_all()
            self._wake()
            try:
                state = ""
                while state not in ("over", "elsewhere"):
                    changed = self._changed
                    with self._news:
                        state, number = self._state if self._tab == tab else "elsewhere", self._number
                    told = json.dumps({"tab": tab, "number": number, "state": state})
                    await response.write(f"data: {told}\n\n".encode())
                    await changed.wait()
            finally:
                with self._news:
                    if self._tab == tab:
                        self._tab, self._open = None, False
                        self._news.notify_all()
        return response

    async def _shown(self, request: web.Request) -> web.Response:
        """The page's word that it shows a state."""
        now_ns = self._clock()
        try:
            said = await json_of(request)
            tab, number = int(said["tab"]), int(said["number"])
        except (ValueError, OverflowError, KeyError, TypeError):
            return web.Response(status=400, text='Send JSON: {"tab": 1, "number": 1}.\n')
        with self._news:
            # The word of a tab that has gone meanwhile comes too late.
            if tab == self._tab:
                if number in self._told_ns:
                    self._answered_ns.append(now_ns - self._told_ns.pop(number))
                self._open = True
                self._news.notify_all()
        return web.Response(status=204)
