"""Models behind an API, against a real server on loopback that speaks the protocol, failures included."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading

import cv2
import numpy as np
import pytest
from aiohttp import web

from edgevision.detectors.foundation import load_foundation
from edgevision.detectors.foundation.api_client import MOST_BYTES, MOST_WAIT_S
from edgevision.detectors.foundation.api_settings import ApiSettings
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.errors import ModelFailed, UsageError

KEY = "sk-test-9f8e7d6c5b4a39281706"
PROMPTS = Prompts.parse("person: a person; helmet")
GOOD = '[{"class": "person", "box": [100, 200, 500, 1000]}]'


def completion(text=GOOD, usage=(1200, 30)):
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return body


class Server:
    """Answers each request with the next of ``script``, and keeps what it was asked."""

    def __init__(self):
        self.script, self.requests = [], []
        self._loop = asyncio.new_event_loop()
        self._release = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _serve(self):
        asyncio.set_event_loop(self._loop)

        async def start():
            self._release = asyncio.Event()
            app = web.Application(client_max_size=32 << 20)
            app.router.add_route("*", "/{tail:.*}", self._handle)
            self._runner = web.AppRunner(app)
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", 0)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]
            self._ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()

    async def _handle(self, request):
        self.requests.append((request.method, request.path, dict(request.headers), await request.json()))
        step = self.script.pop(0) if self.script else completion()
        if callable(step):
            return await step(request)
        if isinstance(step, tuple):
            status, body, *headers = step
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, text=text, headers=dict(headers[0]) if headers else None)
        return web.json_response(step)

    async def hang(self, _request):
        await self._release.wait()
        return web.Response()

    async def drip(self, request):
        """A byte now and then, for ever: each read succeeds, the answer never ends."""
        response = web.StreamResponse()
        await response.prepare(request)
        while not self._release.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    async def flood(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(MOST_BYTES // (1 << 20) + 2):
            await response.write(b" " * (1 << 20))
        return response

    async def cut_off(self, request):
        request.transport.close()
        return web.Response()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def close(self):
        self._loop.call_soon_threadsafe(self._release.set)
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("EDGEVISION_API_KEY", KEY)
    return KEY


@pytest.fixture
def waits():
    return []


@pytest.fixture
def ask(server, waits):
    """Makes a detector that talks to the server and does not sleep between tries."""
    made = []

    def make(ask="boxes", **settings):
        settings = {"timeout_s": 5.0, **settings}
        api = ApiSettings(settings.pop("url", server.url), "gpt-test", **settings)
        detector = load_foundation("api", prompts=PROMPTS, allow_upload=True, api=api, ask=ask)

        async def sleep(seconds):
            waits.append(seconds)

        detector._client._sleep = sleep
        made.append(detector)
        return detector

    yield make
    for detector in made:
        detector.close()


PICTURE = np.full((100, 200, 3), (10, 200, 90), np.uint8)


def test_a_frame_is_asked_about(server, ask, key):
    detector = ask(price_in=2.0, price_out=8.0)
    found = detector.detect(PICTURE)
    assert np.allclose(found.boxes, [[20, 20, 100, 100]]) and found.class_ids.tolist() == [0]
    ((method, path, headers, body),) = server.requests
    assert (method, path) == ("POST", "/v1/chat/completions")
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "gpt-test" and body["stream"] is False and body["temperature"] == 0
    text, image = body["messages"][0]["content"]
    assert '"helmet"' in text["text"] and "0 to 1000" in text["text"]
    kind, _, data = image["image_url"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64"
    sent = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert sent.shape == PICTURE.shape and np.abs(sent.astype(int) - PICTURE).max() < 6
    usage = detector.usage
    assert (usage.frames, usage.tries, usage.retries, usage.errors) == (1, 1, 0, 0)
    assert (usage.tokens_in, usage.tokens_out) == (1200, 30) and len(usage.latencies_ms) == 1
    assert usage.cost == pytest.approx((1200 * 2 + 30 * 8) / 1e6) == usage.cost_per_frame
    assert "1 frames answered in 1 tries" in detector.account and "cost 0.00264" in detector.account
    assert detector.name == "foundation:api@gpt-test" and "127.0.0.1" in detector.mode
    assert not detector.random_weights


def test_presence_is_asked_for(server, ask):
    server.script = [completion('{"person": true, "helmet": false}')]
    found = ask("presence").detect(PICTURE)
    assert found.boxes.tolist() == [[0, 0, 200, 100]] and found.class_ids.tolist() == [0]
    assert "true or false" in server.requests[0][3]["messages"][0]["content"][0]["text"]
    assert "Authorization" not in server.requests[0][2], "no key, no header"


def test_a_large_frame_is_sent_smaller(server, ask):
    detector = ask(max_side_px=128)
    found = detector.detect(np.zeros((300, 600, 3), np.uint8))
    data = server.requests[0][3]["messages"][0]["content"][1]["image_url"]["url"].partition(",")[2]
    sent = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert sent.shape == (64, 128, 3)
    assert np.allclose(found.boxes, [[60, 60, 300, 300]]), "thousandths do not care"


def test_one_connection_serves_many_frames(server, ask):
    detector = ask()
    for _ in range(3):
        detector.detect(PICTURE)
    assert detector.usage.frames == 3 and detector.usage.tokens_in == 3600


def test_it_can_be_called_from_a_running_loop(server, ask):
    detector = ask()

    async def inside():
        return detector.detect(PICTURE)

    assert len(asyncio.run(inside())) == 1


def test_content_in_parts(server, ask):
    server.script = [completion([{"type": "text", "text": "["}, {"type": "text", "text": "]"}])]
    detector = ask()
    assert not len(detector.detect(PICTURE)) and detector.answers.answered == 1


# ---- failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "tries", "told"),
    [
        (400, 1, "HTTP 400"),
        (401, 1, "check the key in $EDGEVISION_API_KEY"),
        (403, 1, "may not use this model"),
        (404, 1, "check --api-url and --api-model"),
        (302, 1, "HTTP 302"),
        (429, 3, "the provider's limit is reached"),
        (500, 3, "HTTP 500"),
        (503, 3, "after 3 tries"),
    ],
)
def test_refusals(server, ask, key, waits, status, tries, told):
    headers = {"Location": "http://127.0.0.1:1/elsewhere"} if status == 302 else {}
    server.script = [(status, {"error": {"message": "no, because"}}, headers)] * 5
    detector = ask()
    with pytest.raises(ModelFailed) as shown:
        detector.detect(PICTURE)
    text = str(shown.value)
    assert told in text and "no, because" in text and "\n" not in text and KEY not in text
    assert len(server.requests) == tries == detector.usage.tries
    assert (detector.usage.errors, detector.usage.frames, detector.usage.retries) == (1, 0, tries - 1)
    assert waits == [0.5, 1.0][: tries - 1]


def test_a_retry_that_helps(server, ask, waits):
    server.script = [(429, "slow down", {"Retry-After": "3"}), (500, "oops"), completion()]
    detector = ask()
    assert len(detector.detect(PICTURE)) == 1
    assert waits == [3.0, 1.0] and detector.usage.retries == 2 and detector.usage.errors == 0


@pytest.mark.parametrize("asked", ["86400", "1e9", "inf", "nan", "-5", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_waiting_is_bounded(server, ask, waits, asked):
    server.script = [(429, "x", {"Retry-After": asked}), completion()]
    ask().detect(PICTURE)
    assert len(waits) == 1 and 0 <= waits[0] <= MOST_WAIT_S


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_silent_server(server, ask, how):
    server.script = [getattr(server, how)] * 2
    detector = ask(timeout_s=0.3, retries=1)
    with pytest.raises(ModelFailed, match=r"no answer within 0\.3 s after 2 tries"):
        detector.detect(PICTURE)
    assert detector.usage.errors == 1


def test_a_connection_that_breaks(server, ask):
    server.script = [server.cut_off, completion()]
    detector = ask()
    assert len(detector.detect(PICTURE)) == 1 and detector.usage.retries == 1


def test_nobody_there(server, ask):
    server.close()
    server.close = lambda: None
    with pytest.raises(ModelFailed, match="no connection"):
        ask(retries=1).detect(PICTURE)


def test_an_endless_answer(server, ask):
    server.script = [server.flood]
    with pytest.raises(ModelFailed, match="at most 4 MiB"):
        ask().detect(PICTURE)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "[]",
        "3",
        '{"choices": []}',
        '{"choices": [3]}',
        '{"error": "x"}',
        "[" * 50_000,
        b"\xff\xfe".decode("latin-1"),
    ],
)
def test_what_is_no_completion(server, ask, body):
    server.script = [(200, body)] * 3
    detector = ask()
    with pytest.raises(ModelFailed, match="expected a chat completion as JSON"):
        detector.detect(PICTURE)
    assert detector.usage.errors == 1


@pytest.mark.parametrize("text", ["I see a person.", "", None, '[{"class": "dog", "box": [0, 0, 9, 9]}]'])
def test_an_answer_that_cannot_be_read_is_counted(server, ask, text):
    server.script = [completion(text), completion()]
    detector = ask()
    assert not len(detector.detect(PICTURE))
    assert (detector.answers.asked, detector.answers.unparsable, detector.usage.frames) == (1, 1, 1)
    assert len(detector.detect(PICTURE)) == 1, "and the next frame is asked about all the same"
    assert detector.answers.answered == 1


@pytest.mark.parametrize("usage", [None, (3,), ("a", "b"), (-1, 4)])
def test_tokens_that_are_not_told_are_not_guessed(server, ask, usage):
    body = completion(usage=None)
    if usage is not None:
        body["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=False))
    server.script = [body, completion()]
    detector = ask(price_in=1.0)
    detector.detect(PICTURE)
    assert detector.usage.frames_without_usage == 1 and np.isnan(detector.usage.cost_per_frame)
    detector.detect(PICTURE)
    assert detector.usage.tokens_in == 1200 and detector.usage.cost_per_frame == pytest.approx(1.2e-3)
    assert detector.usage.frames == 2


# ---- what must not leave ----------------------------------------------------------------------------------------


def test_nothing_is_sent_without_leave(server):
    api = ApiSettings(server.url, "gpt-test")
    with pytest.raises(UsageError, match="--allow-upload"):
        load_foundation("api", prompts=PROMPTS, api=api)
    assert not server.requests


def test_the_key_is_nowhere(server, ask, key, caplog, capfd):
    """Not in logs, output, errors, names or representations; also not where the server repeats it."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("aiohttp").setLevel(logging.DEBUG)
    said = f"Incorrect API key provided: {KEY}. Or {KEY[:7]}...{KEY[-6:]}, or {KEY[:8]}****{KEY[-4:]}"
    server.script = [(401, {"error": {"message": said}})]
    detector = ask()
    with pytest.raises(ModelFailed) as told:
        detector.detect(PICTURE)
    server.script = [completion()]
    detector.detect(PICTURE)
    everything = [caplog.text, *capfd.readouterr(), str(told.value), repr(told.value), detector.account]
    everything += [repr(detector), repr(detector.usage), repr(detector.settings), repr(vars(detector)), detector.mode]
    chain, error = [], told.value
    while error is not None:
        chain.append(repr(error))
        error = error.__cause__
    everything += chain
    for text in everything:
        assert KEY not in text
    for piece in (KEY[:7], KEY[-6:], KEY[:8], KEY[-4:]):
        assert piece not in str(told.value)


def test_a_key_does_not_travel_unencrypted(key):
    for url in ("http://example.org/v1", "http://192.168.1.5:8000/v1"):
        with pytest.raises(UsageError, match="unencrypted"):
            load_foundation("api", api=ApiSettings(url, "m"), allow_upload=True)
    for url in ("https://example.org/v1", "http://127.0.0.1:8000/v1", "http://[::1]:8000/v1", "http://localhost/v1"):
        load_foundation("api", api=ApiSettings(url, "m"), allow_upload=True).close()


@pytest.mark.parametrize("value", ["abc\ndef: x", "schlüssel"])
def test_a_key_that_is_none(monkeypatch, value):
    monkeypatch.setenv("EDGEVISION_API_KEY", value)
    with pytest.raises(UsageError, match="printable ASCII") as told:
        load_foundation("api", api=ApiSettings("https://example.org/v1", "m"), allow_upload=True)
    assert value not in str(told.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "example.org"},
        {"url": "ftp://example.org"},
        {"url": "https://"},
        {"url": "https://x:99999999/v1"},
        {"url": f"https://user:{KEY}@example.org/v1"},
        {"url": f"https://example.org/v1?key={KEY}"},
        {"model": " "},
        {"key_env": KEY},
        {"timeout_s": 0},
        {"timeout_s": 1e9},
        {"retries": 99},
        {"max_side_px": 8},
        {"price_in": -1.0},
    ],
)
def test_settings_that_cannot_be_meant(wrong):
    with pytest.raises(UsageError) as told:
        ApiSettings(**{"url": "https://example.org/v1", "model": "m", **wrong})
    assert KEY not in str(told.value)


def test_what_it_needs_to_be_told():
    with pytest.raises(UsageError, match="--api-url URL and --api-model NAME"):
        load_foundation("api", allow_upload=True)
    with pytest.raises(UsageError, match="no weights of its own"):
        load_foundation("api", weights="random", api=ApiSettings("https://x/v1", "m"), allow_upload=True)


def test_closed_is_closed(server, ask):
    detector = ask()
    detector.detect(PICTURE)
    detector.close()
    detector.close()
    with pytest.raises(ModelFailed, match="closed"):
        detector.detect(PICTURE)
    assert not [t for t in threading.enumerate() if t.name == "edgevision-api"]
