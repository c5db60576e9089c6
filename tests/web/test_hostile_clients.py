"""Clients that want to do harm, over real sockets: the page answers, the camera comes back, the log stays short."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import time
from collections.abc import Iterator

import pytest

from edgevision.capture import open_source
from edgevision.interfaces import Controls
from edgevision.sinks.browser import BrowserSink
from edgevision.web import LivePage, connections
from edgevision.web.connections import Connections
from tests.support.http_fuzz import requests, status_of
from tests.support.page import TOKEN, RunningPage, running_page
from tests.support.video import WebCamera
from tests.support.waiting import wait_for

AUTH = {"Authorization": f"Bearer {TOKEN}"}
JSON = {**AUTH, "Content-Type": "application/json"}
HELD = 40
"""Connections that a page is let hold in these tests."""


@pytest.fixture
def camera() -> Iterator[WebCamera]:
    camera = WebCamera()
    yield camera
    camera.close()


@pytest.fixture
def served(camera: WebCamera, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningPage]:
    monkeypatch.setattr(connections, "MOST", HELD)
    with open_source(camera.url()) as source, running_page(source) as running:
        yield running


@contextlib.contextmanager
def flood(port: int, count: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    clients: list[socket.socket] = []
    try:
        for _ in range(count):
            clients.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            with contextlib.suppress(OSError):  # ended by the page before it was said
                clients[-1].sendall(said)
        yield clients
    finally:
        for client in clients:
            client.close()


def ask(port: int, method: str = "GET", path: str = "/status", headers=AUTH, body=None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ended(client: socket.socket) -> bool:
    client.settimeout(0.01)
    try:
        return client.recv(1 << 16) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


EVENTS = f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
STREAM = EVENTS.replace(b"/events", b"/stream.mjpg")


@pytest.mark.parametrize(
    "said",
    [b"", b"GET /status HTTP/1.1\r\nHost:", EVENTS.replace(TOKEN.encode(), b"x"), b"\x16\x03\x01"],
    ids=["silent", "half a head", "without the token", "TLS"],
)
def test_a_flood_without_token(served: RunningPage, camera: WebCamera, said: bytes, caplog) -> None:
    caplog.set_level(logging.INFO)
    port = served.page.port
    with flood(port, 4 * HELD, said):
        began = time.monotonic()
        assert ask(port)[0] == 200
        assert time.monotonic() - began < 1
        camera.away.set()
        wait_for(lambda: served.app.status.state == "lost")
        camera.away.clear()
        assert wait_for(lambda: served.app.status.state == "running") < 5
        assert ask(port)[0] == 200
    assert len(caplog.records) <= 10


@pytest.mark.parametrize("said", [EVENTS, STREAM], ids=["events", "streams"])
def test_viewers_that_never_read_are_capped(served: RunningPage, said: bytes, monkeypatch) -> None:
    monkeypatch.setattr("edgevision.web.live_page._EVENTS_MOST", 10)
    monkeypatch.setattr("edgevision.web.live_page._STREAMS_MOST", 10)
    with flood(served.page.port, 20, said) as clients:
        wait_for(lambda: sum(b"503" in _peeked(c) for c in clients) == 10)
        assert sum(b"200 OK" in _peeked(c) for c in clients) == 10
        assert ask(served.page.port)[0] == 200


def _peeked(client: socket.socket) -> bytes:
    client.settimeout(2)
    return client.recv(200, socket.MSG_PEEK)


def test_viewers_leave_room_where_connections_are_few(served: RunningPage) -> None:
    with contextlib.ExitStack() as held:
        for said in [EVENTS, STREAM] * HELD:
            (client,) = held.enter_context(flood(served.page.port, 1, said))
            assert _peeked(client).startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))
        assert served_count(served) == 2 * (HELD * 2 // 5)
        assert ask(served.page.port)[0] == 200


def test_a_viewer_that_never_reads_goes(served: RunningPage, monkeypatch) -> None:
    monkeypatch.setattr("edgevision.web.live_page._STUCK_S", 0.3)
    with flood(served.page.port, 3, STREAM) as clients:
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        wait_for(lambda: served_count(served) == 0, 20)
    assert ask(served.page.port)[0] == 200


def served_count(served: RunningPage) -> int:
    return int(served.page._pages._watching.total())


class TestBounds:
    """`Connections` by an injected clock."""

    class Held:
        def __init__(self, admitted=False, answering=False, since_s=0.0) -> None:
            self.admitted, self.answering, self.since_s = admitted, answering, since_s
            self.aborted = False

        dispensable = connections.Connection.dispensable

        def abort(self) -> None:
            self.aborted = True

    def test_the_oldest_without_token_go_first(self) -> None:
        held = Connections(server=None)
        old, new = self.Held(since_s=1), self.Held(since_s=2)
        known, busy = self.Held(True, since_s=0), self.Held(True, True, since_s=0)
        held.held = {old, new, known, busy}
        assert held.make_room(1)
        assert [one.aborted for one in (old, new, known, busy)] == [True, False, False, False]
        assert held.make_room(3 - 0)
        assert not busy.aborted

    def test_nobody_who_is_served_goes(self) -> None:
        held = Connections(server=None)
        held.held = {self.Held(True, True), self.Held(True, True)}
        assert not held.make_room(1)
        assert not any(one.aborted for one in held.held)

    @pytest.mark.parametrize(
        ("answering", "lasting", "head_since_s", "limit_s"),
        [(False, False, 0.0, 10), (False, False, None, 30), (True, False, None, 60), (True, True, None, None)],
        ids=["a head that does not come", "between requests", "an answer", "a stream"],
    )
    def test_how_long_a_client_may_take(self, answering, lasting, head_since_s, limit_s) -> None:
        one = connections.Connection.__new__(connections.Connection)
        one.answering, one.lasting, one.head_since_s, one.since_s = answering, lasting, head_since_s, 0.0
        assert not one.overdue((limit_s or 1e9) - 1)
        assert one.overdue((limit_s or 1e9) + 1) == (limit_s is not None)

    def test_the_log_is_one_line_a_minute(self, caplog) -> None:
        now_s = [0.0]
        held = Connections(server=None, now_s=lambda: now_s[0])
        for _ in range(1000):
            held.tell("no descriptor: %s", "EMFILE")
        assert [r.getMessage() for r in caplog.records] == ["no descriptor: EMFILE"]
        now_s[0] = 61
        held.tell("no descriptor: %s", "EMFILE")
        assert caplog.records[-1].getMessage() == "no descriptor: EMFILE (999 like it in the last minutes)"

    def test_descriptors_are_left_for_the_camera(self, monkeypatch) -> None:
        resource = pytest.importorskip("resource")
        for soft, most in ((1024, 256), (64, 16), (resource.RLIM_INFINITY, 256)):
            monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
            assert connections.most_connections() == most


def test_a_head_that_never_ends_is_ended(served: RunningPage, monkeypatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    with flood(served.page.port, 1, b"GET / HTTP/1.1\r\n") as (client,):
        wait_for(lambda: ended(client), 5)


def test_a_slow_body_is_ended(served: RunningPage, monkeypatch) -> None:
    monkeypatch.setattr("edgevision.web.application._BODY_S", 0.3)
    head = f"POST /api/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with flood(served.page.port, 1, head.encode()) as (client,):
        wait_for(lambda: b"408" in _peeked(client), 5)


def test_a_connection_that_is_kept_and_idle_is_ended(served: RunningPage, monkeypatch) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 0.3)
    with flood(served.page.port, 1, EVENTS.replace(b"/events", b"/status")) as (client,):
        assert b"200" in client.recv(9999)
        wait_for(lambda: ended(client), 5)


class TestRequests:
    @pytest.mark.parametrize(
        ("headers", "body", "expected"),
        [
            ({"Content-Type": "application/json; charset=nonsense"}, b"{}", 400),
            ({}, b"[" * 8000, 400),
            ({}, b'{"a":' * 3000, 400),
            ({"Content-Encoding": "gzip"}, b"\x1f\x8b\x08false", 415),
            ({"Content-Encoding": "deflate"}, b"{}", 415),
            ({"Content-Encoding": "nonsense"}, b"{}", 415),
            ({}, b"\xff\xfe", 400),
            ({}, b'{"number": ' + b"9" * 6000 + b"}", 400),
        ],
    )
    @pytest.mark.parametrize("path", ["/api/status", "/control"])
    def test_what_is_wrong_with_a_body_is_the_client_s_fault(self, served, path, headers, body, expected) -> None:
        assert ask(served.page.port, "POST", path, {**JSON, **headers}, body)[0] == expected

    def test_fuzz(self, served: RunningPage, caplog) -> None:
        caplog.set_level(logging.WARNING)
        told: dict[int | None, int] = {}
        for request in requests(250, TOKEN):
            status = status_of(served.page.port, request, 0.2)
            assert status is None or status < 500, request[:400]
            told[status] = told.get(status, 0) + 1
        assert told.get(400, 0) > 20
        assert [r.getMessage() for r in caplog.records] == []
        assert served.app.status.state == "running"
        assert json.loads(ask(served.page.port)[1])["state"] == "running"


@pytest.mark.parametrize("authorization", ["Basic x", "Bearer", "Bearer wrong-token", "x", f"Basic {TOKEN}"])
def test_a_cookie_with_any_authorization_does_not_lift_the_origin_rule(served, authorization: str) -> None:
    cookie = f"edgevision_{served.page.port}={TOKEN}"
    headers = {"Cookie": cookie, "Authorization": authorization, "Content-Type": "application/json"}
    assert ask(served.page.port, "POST", "/control", headers, b'{"action": "quit"}')[0] == 403
    assert not served.app.controls.quitting


@pytest.mark.parametrize(("host", "where"), [("0.0.0.0", "every address"), ("127.0.0.1", None), ("localhost", None)])
def test_what_is_readable_on_the_network(host: str, where: str | None) -> None:
    with LivePage(BrowserSink(), Controls(), host=host) as page:
        said = page.exposure
    if where is None:
        assert said is None
    else:
        assert said is not None
        assert where in said
        assert "live view" in said
        assert "\n" not in said
        assert page.token not in said
