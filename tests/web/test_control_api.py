"""The live page's server, over real sockets: who is let in, what is answered, and what no client can do to the loop."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice

import cv2
import numpy as np
import psutil
import pytest

from edgevision.errors import SinkError, UsageError
from edgevision.interfaces import Controls
from edgevision.sinks.browser import BrowserSink
from edgevision.sinks.render import Renderer
from edgevision.types import Status
from edgevision.web import LivePage
from tests.support.display import LOST, PAUSED, RUNNING, pixels_of, result_of, show
from tests.support.waiting import wait_for

TOKEN = "a-token-for-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Served:
    sink: BrowserSink
    controls: Controls
    page: LivePage
    index: int = 0
    renderer: Renderer = field(default_factory=Renderer)

    def ask(self, method: str, path: str, headers=AUTH, body=None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=5)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def control(self, body, **headers: str) -> int:
        kept = {**AUTH, "Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.ask("POST", "/control", kept, body if isinstance(body, bytes) else json.dumps(body))[0]

    def step(self, count: int = 1, every_s: float = 0.0, size=(320, 180)) -> None:
        for _ in range(count):
            show(self.sink, result_of(self.index, pixels=pixels_of(self.index, *size)), renderer=self.renderer)
            self.index += 1
            if every_s:
                time.sleep(every_s)

    def connect(self, path: str) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.page.port), timeout=5)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        return client


@pytest.fixture
def served() -> Iterator[Served]:
    sink, controls = BrowserSink(), Controls()
    with LivePage(sink, controls, token=TOKEN) as page:
        yield Served(sink, controls, page)


def parts_of(client: socket.socket) -> Iterator[np.ndarray]:
    """The pictures of a stream, as a reader that knows no more than the standard says sees them (RFC 2046)."""
    file = client.makefile("rb")
    while (line := file.readline().strip()) != b"":
        if line.lower().startswith(b"content-type"):
            boundary = b"--" + line.partition(b"boundary=")[2]
    body = b""
    while True:
        size = int(file.readline() or b"0", 16)
        if size == 0:
            return
        body += file.read(size)
        file.readline()
        while (end := body.find(boundary, len(boundary))) > 0:
            part, body = body[:end], body[end:]
            head, _, data = part.partition(b"\r\n\r\n")
            assert b"image/jpeg" in head
            yield cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


class TestWhoIsLetIn:
    PATHS = ("/", "/page.css", "/page.js", "/status", "/events", "/stream.mjpg", "/snapshot.jpg", "/nothing")

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer wrong-token"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Cookie": "edgevision=a-token-for-tests"},
            {"Authorization": "Bearer \xff\xfe"},
            {"Authorization": f"Bearer {TOKEN}x"},
        ],
    )
    def test_nothing_without_the_token(self, served, path, headers):
        status, answered, body = served.ask("GET", path, headers)
        assert status == 403
        assert TOKEN.encode() not in body
        assert "set-cookie" not in answered

    def test_the_printed_address_lets_in_and_is_remembered(self, served):
        assert served.page.url == f"http://127.0.0.1:{served.page.port}/?token={TOKEN}"
        status, headers, body = served.ask("GET", f"/?token={TOKEN}", {})
        assert status == 200
        assert b"<title>edgevision" in body
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert served.ask("GET", "/status", {"Cookie": cookie.split(";")[0]})[0] == 200
        assert served.ask("GET", "/?token=wrong-token", {})[0] == 403

    def test_tokens_are_random_and_in_no_log(self, caplog):
        caplog.set_level("DEBUG")
        tokens = set()
        for _ in range(3):
            with LivePage(BrowserSink(), Controls()) as page:
                tokens.add(page.token)
                assert page.token not in page.address
        assert len(tokens) == 3
        assert min(map(len, tokens)) >= 20
        assert not any(token in caplog.text for token in tokens)

    def test_a_token_that_a_cookie_cannot_carry_is_refused(self):
        for token in ("", "short", "has space in it", "semi;colon;"):
            with pytest.raises(UsageError, match="8 to 128 letters"):
                LivePage(BrowserSink(), Controls(), token=token)

    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "192.168.1.7", "[", ""]
    )
    def test_another_name_for_this_address_is_refused(self, served, host):
        """DNS rebinding: a page whose name is made to mean 127.0.0.1, with the token or without."""
        assert served.ask("GET", "/status", {**AUTH, "Host": host})[0] == 403

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9000", "[::1]:8080", "LOCALHOST:1"])
    def test_names_of_this_machine_are_ours(self, served, host):
        """Any port: an SSH tunnel may end at another."""
        assert served.ask("GET", "/status", {**AUTH, "Host": host})[0] == 200

    def test_on_all_addresses_figures_are_ours_and_names_are_not(self):
        with LivePage(BrowserSink(), Controls(), host="0.0.0.0", token=TOKEN) as page:
            served = Served(BrowserSink(), Controls(), page)
            assert served.ask("GET", "/status", {**AUTH, "Host": "192.168.1.7:8080"})[0] == 200
            assert served.ask("GET", "/status", {**AUTH, "Host": "evil.example"})[0] == 403
            assert served.ask("GET", "/status", {"Host": "192.168.1.7:8080"})[0] == 403, "the token is wanted there too"
            assert "0.0.0.0" not in page.url

    def test_headers_keep_the_page_to_itself(self, served):
        for path in ("/", "/page.js", "/status", "/none"):
            headers = served.ask("GET", path)[1]
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in headers


class TestControl:
    def test_quit_pause_snapshot(self, served):
        assert served.control({"action": "pause"}) == 200
        assert served.controls.paused
        assert served.control({"action": "pause"}) == 200
        assert not served.controls.paused
        assert served.control({"action": "snapshot"}) == 200
        assert served.controls.take_snapshot_request()
        assert not served.controls.quitting
        assert served.control({"action": "quit"}) == 200
        assert served.controls.quitting

    @pytest.mark.parametrize(
        "body", [b"", b"null", b"[]", b"{}", b'{"action": 1}', b'{"action": "rm"}', b"\xff", b"{" * 900]
    )
    def test_anything_else_is_refused_and_does_nothing(self, served, body):
        assert served.control(body) == 400
        assert not served.controls.quitting

    def test_long_bodies_are_not_read(self, served):
        assert served.control(b" " * 50_000) == 413

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
    def test_only_json(self, served, kind):
        """A form on another site can send those without asking."""
        assert served.control({"action": "quit"}, Content_Type=kind) == 415
        assert not served.controls.quitting

    def test_get_changes_nothing(self, served):
        status, headers, _ = served.ask("GET", "/control?action=quit")
        assert (status, headers["allow"]) == (405, "POST")
        assert not served.controls.quitting

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "http://localhost:1", "file://", "http://127.0.0.1", "http://["]
    )
    def test_other_origins_are_refused_token_or_not(self, served, origin):
        assert served.control({"action": "quit"}, Origin=origin) == 403
        assert not served.controls.quitting

    def test_this_page_may(self, served):
        assert served.control({"action": "snapshot"}, Origin=f"http://127.0.0.1:{served.page.port}") == 200

    def test_a_cookie_alone_is_not_enough(self, served):
        cookie = {"Cookie": f"edgevision_{served.page.port}={TOKEN}", "Content-Type": "application/json"}
        body = json.dumps({"action": "quit"})
        assert served.ask("POST", "/control", cookie, body)[0] == 403
        mine = {**cookie, "Origin": f"http://127.0.0.1:{served.page.port}"}
        assert served.ask("POST", "/control", mine, body)[0] == 200


class TestWhatIsAnswered:
    def test_status(self, served):
        served.sink.publish(result_of(41, [(1, 1, 9, 9)] * 3, class_ids=[0, 0, 1]), None, RUNNING)
        status, headers, body = served.ask("GET", "/status")
        assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
        assert json.loads(body) == {
            "state": "running",
            "detail": "",
            "fps": 29.8,
            "infer_ms": 9.8,
            "detect_every": 1,
            "age_ms": 14.2,
            "dropped": 3,
            "frames": 1200,
            "model": "person@1.0.0",
            "source": "clip.mp4",
            "paused": False,
            "swap": None,
            "frame": 41,
            "size": [320, 180],
            "detections": {"person": 2, "hard hat": 1},
        }

    def test_snapshot(self, served):
        assert served.ask("GET", "/snapshot.jpg")[0] == 404
        served.step()
        status, headers, body = served.ask("GET", "/snapshot.jpg")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert "edgevision-frame0.jpg" in headers["content-disposition"]
        assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR).shape == (180, 320, 3)

    def test_the_stream_shows_each_picture_at_once(self, served):
        """The last one too: a reader must not have to wait for the next to see it."""
        served.step()
        with served.connect("/stream.mjpg") as client:
            parts = parts_of(client)
            for index in range(4):
                expected = Renderer().draw(result_of(index), RUNNING).astype(int)
                assert np.abs(next(parts) - expected).mean() < 3
                wait_for(lambda: served.sink.wants_picture)
                served.step()
            next(parts)
            served.sink.notice(PAUSED)
            paused = next(parts)
            assert (np.abs(paused.astype(int) - (60, 190, 250)).max(axis=2) < 40).sum() > 100

    def test_events_follow_the_state_at_once(self, served):
        served.step()
        with served.connect("/events") as client:
            lines = (json.loads(line[6:]) for line in client.makefile("rb") if line.startswith(b"data: "))
            assert next(lines)["state"] == "running"
            served.sink.notice(LOST)
            began = time.monotonic()
            for told in lines:
                if told["state"] == "lost":
                    break
            assert time.monotonic() - began < 2
            assert told["detail"] == LOST.detail
            served.sink.notice(Status("ended", "the file is at its end"))
            served.sink.close()
            for told in lines:
                if told["state"] == "ended":
                    break
            assert told["detail"] == "the file is at its end"

    def test_other_readers_understand_the_stream(self, served):
        av = pytest.importorskip("av")
        stop = threading.Event()

        def loop() -> None:
            while not stop.wait(0.02):
                served.step()

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            url = f"http://127.0.0.1:{served.page.port}/stream.mjpg?token={TOKEN}"
            with av.open(url, timeout=(5, 5)) as stream:
                frames = [frame.to_ndarray(format="bgr24") for frame in islice(stream.decode(video=0), 6)]
        finally:
            stop.set()
            thread.join()
        assert frames[5].shape == (180, 320, 3)
        assert not np.array_equal(frames[4], frames[5])


class TestUnderLoad:
    def test_fifty_clients_get_the_newest_and_it_is_encoded_once(self, served):
        counts = [0] * 50
        stop = threading.Event()

        def read(k: int) -> None:
            with served.connect("/stream.mjpg") as client:
                for _ in parts_of(client):
                    counts[k] += 1
                    if stop.is_set():
                        return

        threads = [threading.Thread(target=read, args=(k,)) for k in range(50)]
        for thread in threads:
            thread.start()
        spent = []
        for _ in range(40):
            began = time.perf_counter()
            served.step(size=(640, 360))
            spent.append(time.perf_counter() - began)
            time.sleep(0.033)
        stop.set()
        served.step(3, 0.05)
        for thread in threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in threads)
        assert min(counts) >= 5, "somebody starved"
        assert served.sink.encodes <= 40 + 5
        assert sum(counts) > 3 * served.sink.encodes
        assert sorted(spent)[20] < 0.05, "the loop waited for clients"

    def test_clients_that_never_read_cost_nothing(self):
        """Twenty connections that take no byte, for 100 pictures of noise: 200 MB more if any were queued."""
        noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
        tick = iter(range(10**9))
        sink = BrowserSink(now_s=lambda: next(tick) * 0.05)
        with ExitStack() as stack:
            served = Served(sink, Controls(), stack.enter_context(LivePage(sink, Controls(), token=TOKEN)))
            for _ in range(20):
                stack.enter_context(served.connect("/stream.mjpg"))
            reader = stack.enter_context(served.connect("/stream.mjpg"))
            parts = parts_of(reader)
            process = psutil.Process()

            def run(count: int) -> int:
                for _ in range(count):
                    wait_for(lambda: sink._watching > 0)
                    result = result_of(served.index, [], pixels=np.roll(noise, served.index * 37, 0))
                    sink.publish(result, result.frame.pixels, RUNNING)
                    served.index += 1
                    next(parts)
                return process.memory_info().rss

            low = run(40)
            assert run(60) - low < 15_000_000

    def test_nobody_reads_nobody_draws(self):
        """A client stuck in the middle of a picture is not waiting for another."""
        sink = BrowserSink()
        with LivePage(sink, Controls(), token=TOKEN) as page:
            served = Served(sink, Controls(), page)
            noise = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
            with served.connect("/stream.mjpg"):
                wait_for(lambda: sink._watching > 0)
                for index in range(40):
                    sink.publish(result_of(index, pixels=noise.copy()), noise, RUNNING)
                    time.sleep(0.01)
                time.sleep(0.4)
                assert sink._watching == 0
                assert not sink.wants_picture

    def test_a_hundred_and_no_more(self, served):
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(served.connect("/stream.mjpg"))
            wait_for(lambda: served.sink._watching == 100)
            assert served.ask("GET", "/stream.mjpg")[0] == 503
            assert served.ask("GET", "/status")[0] == 200
        wait_for(lambda: served.sink._watching == 0)

    def test_clients_that_come_and_go_leave_no_trace(self, served, caplog):
        caplog.set_level("DEBUG")
        for _ in range(30):
            client = served.connect("/stream.mjpg")
            served.step()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # an RST, as a lost network
            client.close()
        wait_for(lambda: served.sink._watching == 0)
        served.step(5, 0.02)
        said = [r for r in caplog.records if r.levelno >= 30]
        assert not said, said
        wait_for(lambda: not served.sink.wants_picture)

    def test_rubbish_does_not_stop_it(self, served):
        for rubbish in (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000, b"\r\n" * 10):
            with socket.create_connection(("127.0.0.1", served.page.port), timeout=5) as client:
                try:
                    client.sendall(rubbish)
                    client.shutdown(socket.SHUT_WR)
                    client.recv(1000)
                except OSError:
                    pass
        assert served.ask("GET", "/status")[0] == 200


class TestStartAndStop:
    def test_a_port_that_was_asked_for_and_is_taken(self, served):
        with pytest.raises(SinkError, match=f"port {served.page.port} is in use by another program: give another"):
            LivePage(BrowserSink(), Controls(), port=served.page.port)

    def test_without_a_port_the_next_free_one(self):
        with LivePage(BrowserSink(), Controls()) as first, LivePage(BrowserSink(), Controls()) as second:
            assert first.port != second.port

    @pytest.mark.parametrize(
        ("host", "said"), [("203.0.113.1", "not an address of this machine"), ("no such host!", "is not known here")]
    )
    def test_a_host_that_is_not_ours(self, host, said):
        with pytest.raises(SinkError, match=said):
            LivePage(BrowserSink(), Controls(), host=host)

    def test_loopback_only_unless_asked(self, served):
        assert served.page.host == "127.0.0.1"
        addresses = {
            a.address for every in psutil.net_if_addrs().values() for a in every if a.family == socket.AF_INET
        } - {"127.0.0.1"}
        for address in addresses:
            with socket.socket() as client:
                client.settimeout(1)
                assert client.connect_ex((address, served.page.port)) != 0

    def test_ipv6(self):
        try:
            page = LivePage(BrowserSink(), Controls(), host="::1", token=TOKEN)
        except SinkError:
            pytest.skip("no IPv6 here")
        with page:
            assert page.url.startswith("http://[::1]:")

    def test_the_same_port_again_at_once(self):
        with LivePage(BrowserSink(), Controls()) as first:
            port = first.port
        with LivePage(BrowserSink(), Controls(), port=port) as second:
            assert second.port == port

    def test_stops_quickly_whoever_is_connected(self):
        sink = BrowserSink()
        with ExitStack() as stack:
            page = LivePage(sink, Controls(), token=TOKEN)
            served = Served(sink, Controls(), page)
            for path in ("/stream.mjpg", "/events", "/stream.mjpg", "/events"):
                stack.enter_context(served.connect(path))
            # One that never reads, in the middle of a picture.
            wait_for(lambda: sink._watching == 2)
            noise = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
            for index in range(20):
                sink.publish(result_of(index, pixels=noise.copy()), noise, RUNNING)
                time.sleep(0.01)
            began = time.monotonic()
            page.close()
            page.close()
            assert time.monotonic() - began < 2.5
            assert not page._thread.is_alive()
            assert sink.closed

    def test_the_loop_may_go_on_after_the_page_is_gone(self, served):
        served.step()
        served.page.close()
        served.step(3)
        served.sink.notice(LOST)
