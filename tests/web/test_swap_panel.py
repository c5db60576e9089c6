"""Swapping by the control API over real sockets: who is let in, what is answered; and the panel in a real Chromium."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import contextmanager

import pytest

from edgevision.deployment.app import App
from edgevision.deployment.candidate import CandidateFactory
from edgevision.deployment.gates import Gates, gates_from
from edgevision.deployment.swapper import Swapper
from edgevision.detectors.registry import load_detector
from edgevision.errors import UsageError
from edgevision.interfaces import ContextManaged, Controls
from edgevision.pipeline.loop import Pipeline
from edgevision.sinks.browser import BrowserSink
from edgevision.sinks.render import Renderer
from edgevision.types import Frame, SourceInfo
from edgevision.web import ControlApi, ControlServer, LivePage
from tests.support.models import blob_frame_pixels, blob_model
from tests.support.places import CHROMIUM

TOKEN = "a-token-for-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
QUICK = {"shadow_frames": 40, "watch_s": 0.2, "budget_ms": 5000}
HANG_S = 30


class Camera(ContextManaged):
    """Red blocks that move, 50 frames a second."""

    def __init__(self):
        self.info = SourceInfo("camera", 320, 180, 50.0, True)
        self.trouble = None
        self._index = 0
        self._closed = threading.Event()

    def read(self):
        if self._closed.wait(0.02):
            return None
        x = 20 + self._index % 200
        pixels = blob_frame_pixels(320, 180, [(x, 40, x + 50, 90), (x + 40, 110, x + 90, 160)])
        frame = Frame(pixels, self._index, time.monotonic_ns(), self.info)
        self._index += 1
        return frame

    def close(self):
        self._closed.set()


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of three: one that serves, one as good, one that sees green instead of red."""
    monkeypatch.setenv("EDGEVISION_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    for name, options in {"blobs": {}, "better": {"nhwc_uint8": True}, "blind": {"channel": 1}}.items():
        blob_model(tmp_path / "models" / name, name=name, **options)
    return tmp_path / "models"


@contextmanager
def running(*sinks):
    camera, detector = Camera(), load_detector("blobs")
    pipeline = Pipeline(camera, detector, renderer=Renderer(), sinks=sinks)
    app = App(pipeline, Swapper(pipeline, CandidateFactory(serves=detector).candidate))
    thread = threading.Thread(target=lambda: [None for _ in pipeline])
    thread.start()
    try:
        yield pipeline, ControlApi(app.swapper, lambda: pipeline.status)
    finally:
        pipeline.controls.quit()
        thread.join(HANG_S)
        camera.close()


@pytest.fixture
def server(store):
    with running() as (_, api), ControlServer(api, token=TOKEN) as server:
        yield server


def post(server, path, values=None, headers=AUTH, body=None, method="POST", kind="application/json"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=HANG_S)
    try:
        data = body if body is not None else json.dumps(values or {})
        connection.request(method, path, data, {"Content-Type": kind, **headers})
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith(("{", "[")) else text
    finally:
        connection.close()


def finished(server, number):
    deadline = time.monotonic() + HANG_S
    while True:
        status, progress = post(server, "/api/progress", {"number": number})
        assert status == 200, progress
        if progress["report"] is not None:
            return progress["report"]
        assert time.monotonic() < deadline
        time.sleep(0.02)


ALL = ("status", "models", "swap", "progress", "revert", "history")


class TestWhoIsLetIn:
    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 403),
            ({"Authorization": "Bearer wrong-wrong-wrong"}, 403),
            ({"Cookie": "edgevision=a-token-for-tests"}, 403),
            ({**AUTH, "Host": "evil.example"}, 403),
            ({**AUTH, "Origin": "http://evil.example"}, 403),
            ({**AUTH, "Origin": "null"}, 403),
        ],
    )
    def test_nobody_without_the_token_or_from_elsewhere(self, server, name, headers, status):
        assert post(server, f"/api/{name}", headers=headers)[0] == status

    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_only_by_post(self, server, name, method):
        assert post(server, f"/api/{name}", method=method)[0] == 405

    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
    def test_only_json(self, server, name, kind):
        status, answer = post(server, f"/api/{name}", kind=kind)
        assert (status, answer["error"]) == (415, "Send JSON: Content-Type: application/json.")

    @pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"1", b"\xff\xfe", b"[" * 10_000])
    def test_only_an_object(self, server, body):
        assert post(server, "/api/swap", body=body)[0] == 400

    def test_long_bodies_are_not_read(self, server):
        assert post(server, "/api/swap", body=b" " * 50_000)[0] == 413

    def test_this_machine_only_and_no_picture(self, server):
        assert server.address.startswith("http://127.0.0.1:")
        for path in ("/", "/stream.mjpg", "/snapshot.jpg", "/events"):
            assert post(server, path, method="GET")[0] == 404


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "model: expected the name of a model"),
        ({"model": ""}, "model: expected the name of a model"),
        ({"model": 7}, "model: expected the name of a model"),
        ({"model": "x" * 5000}, "model: expected the name of a model"),
        ({"model": "better", "gate": {}}, "unknown key 'gate'; known are model, gates"),
        ({"model": "better", "gates": []}, None),
        ({"model": "better", "gates": [1]}, "gates: expected an object"),
        ({"model": "better", "gates": {"shadow": 5}}, "unknown key 'shadow'; known are budget_ms"),
        ({"model": "better", "gates": {"shadow_frames": "5"}}, "shadow_frames cannot be '5'"),
        ({"model": "better", "gates": {"shadow_frames": True}}, "shadow_frames cannot be True"),
        ({"model": "better", "gates": {"shadow_frames": -1}}, "expected 0 to 100000 frames"),
        ({"model": "better", "gates": {"budget_ms": 0}}, "expected milliseconds above 0"),
        ({"model": "better", "gates": {"watch_s": float("nan")}}, "watch_s: expected"),
        ({"model": "better", "gates": {"force": ["load"]}}, "force: expected one of"),
        ({"model": "better", "gates": {"force": "shadow"}}, "expected a list of checks' names"),
        ({"model": "better", "gates": {"min_ap": 0.5}}, "go together"),
        ({"model": "better", "gates": {"min_ap": 2, "data": "x"}}, "from 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_swaps_nothing(server, values, sentence):
    status, answer = post(server, "/api/swap", values)
    if sentence is None:
        assert status == 200
        return
    assert status == 400
    assert sentence in answer["error"]
    assert "\n" not in answer["error"]
    assert post(server, "/api/history")[1] == {"reports": []}


def test_gates_read_from_json_are_those_of_python():
    values = {"budget_ms": 25, "shadow_frames": 120, "min_ap": 0.5, "data": "d", "watch_s": 3, "force": ["watch"]}
    assert gates_from(values) == Gates(
        25, shadow_frames=120, min_ap=0.5, data="d", watch_s=3, force=frozenset(["watch"])
    )
    with pytest.raises(UsageError, match="unknown key 'patience'"):
        gates_from({"patience": 1e9})


def test_a_swap_is_followed_to_its_end_and_back(server):
    status, begun = post(server, "/api/swap", {"model": "better", "gates": QUICK})
    assert (status, begun["number"], begun["old"], begun["report"]) == (200, 1, "blobs@1", None)
    status, answer = post(server, "/api/swap", {"model": "blind"})
    assert (status, answer["error"]) == (400, "another swap is running: wait for its report")
    report = finished(server, 1)
    assert (report["verdict"], report["serves"]) == ("accepted", "better@1"), report["sentence"]
    assert report["first_frame"] > 0
    post(server, "/api/swap", {"model": "blind", "gates": QUICK})
    report = finished(server, 2)
    assert (report["verdict"], report["serves"], report["checks"][-1]["name"]) == ("refused", "better@1", "shadow")
    assert report["checks"][-1]["classes"][0]["name"] == "blob"
    assert finished(server, 1)["verdict"] == "accepted"
    assert post(server, "/api/progress", {"number": 9})[0] == 400
    status, report = post(server, "/api/revert")
    assert (status, report["verdict"], report["serves"]) == (200, "went back", "blobs@1")
    reports = post(server, "/api/history")[1]["reports"]
    assert [r["verdict"] for r in reports] == ["accepted", "refused", "went back"]
    deadline = time.monotonic() + HANG_S
    while post(server, "/api/status")[1]["model"] != "blobs@1":
        assert time.monotonic() < deadline


def test_before_anything_was_swapped(server):
    assert post(server, "/api/progress")[1] == {"error": "nothing was swapped yet"}
    assert post(server, "/api/revert")[1] == {"error": "no previous model: nothing was swapped yet"}
    assert post(server, "/api/history")[1] == {"reports": []}
    status = post(server, "/api/status")[1]
    assert (status["swap"], status["source"]) == (None, "camera")


def test_models_of_the_store_are_listed_and_damaged_ones_say_so(store, server):
    (store / "blind" / "model.toml").write_text("nonsense = 1\n")
    rows = {row["name"]: row for row in post(server, "/api/models")[1]["models"]}
    assert rows["better"]["label"] == "better@1"
    assert rows["better"]["classes"] == ["blob"]
    assert "unknown key 'nonsense'" in rows["blind"]["error"]


def test_a_page_without_the_api_answers_none_of_it():
    with LivePage(BrowserSink(), Controls(), token=TOKEN) as page:
        assert post(page, "/api/status")[0] == 404
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=HANG_S)
        connection.request("GET", "/status", headers=AUTH)
        assert json.loads(connection.getresponse().read())["swap"] is None
        connection.close()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
class TestPanel:
    @pytest.fixture
    def tab(self, store):
        playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
        sink = BrowserSink()
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        with (
            running(sink) as (pipeline, api),
            LivePage(sink, pipeline.controls, api=api) as page,
            playwright.sync_playwright() as driver,
        ):
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
            tab = browser.new_page(viewport={"width": 1280, "height": 860})
            tab.set_default_timeout(HANG_S * 1000)
            said = []
            tab.on("console", lambda message: said.append(message.text))
            tab.on("pageerror", lambda error: said.append(str(error)))
            tab.goto(page.url)
            tab.wait_for_selector("#model:not([hidden])")
            yield tab
            assert said == []
            browser.close()

    def test_a_model_is_listed_with_ap50_time_and_size(self, store, tab):
        manifest = store / "better" / "model.toml"
        manifest.write_text(
            manifest.read_text()
            + '\n[[accuracy]]\ndata = "val"\nmetric = "AP50-95"\nvalue = 0.3\n'
            + '\n[[accuracy]]\ndata = "val"\nmetric = "AP50"\nvalue = 0.649\n'
            + '\n[[latency]]\nmachine = "here"\nthreads = 1\nmedian_ms = 3.47\n'
        )
        (store / "better" / "model.onnx").write_bytes(bytes(1_490_000))
        tab.click("#model")
        row = tab.locator("#models li", has_text="better@1")
        row.wait_for()
        assert "AP50 0.65 · 3.5 ms · 1.5 MB" in row.inner_text()
        assert "accuracy not measured" in tab.locator("#models li", has_text="blind@1").inner_text()

    @staticmethod
    def quick(tab):
        tab.evaluate("document.querySelector('.swap details').open = true")
        for field, value in (("budget", "5000"), ("shadow", "40"), ("watch", "0.3")):
            tab.fill(f"#gate-{field}", value)

    def test_swap_refusal_and_way_back_by_keyboard_alone(self, tab):
        tab.keyboard.press("m")
        tab.wait_for_selector("#models li:nth-child(3)")
        assert tab.evaluate("document.activeElement.id") == "swap-title"
        assert tab.inner_text("#serves") == "blobs@1"
        assert tab.is_disabled("#models button[data-model=blobs]")
        assert tab.is_disabled("#revert")
        self.quick(tab)
        tab.focus("#models button[data-model=better]")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#trial-end:has-text('accepted: better@1 serves since frame')")
        names = tab.eval_on_selector_all("#checks b", "all => all.map(b => b.textContent)")
        assert names == [
            *("manifest", "hash", "probe", "load", "warm-up", "golden", "latency", "shadow", "exchange", "watch")
        ]
        tab.wait_for_selector("#serves:has-text('better@1')")
        tab.focus("#models button[data-model=blind]")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#trial-end:has-text('refused: better@1 serves')")
        assert "expected: at least 70% of boxes matched" in tab.inner_text("#checks .failed .limit")
        tab.wait_for_selector("#revert:enabled")
        tab.focus("#revert")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#serves:has-text('blobs@1')")
        tab.wait_for_selector("#history li:nth-child(3)", state="attached")
        words = tab.eval_on_selector_all("#history b", "all => all.map(b => b.textContent)")
        assert words == ["rolled back", "refused", "accepted"]
        tab.keyboard.press("Escape")  # which quits the loop where no panel is open
        tab.wait_for_selector("#swap", state="hidden")
        assert tab.evaluate("document.activeElement.id") == "model"
        assert tab.inner_text("#state") == "Live"

    def test_a_swap_can_be_stopped(self, tab):
        tab.click("#model")
        self.quick(tab)
        tab.fill("#gate-watch", "600")
        tab.click("#models button[data-model=better]")
        tab.wait_for_selector("#checks .doing:has-text('watch')")
        assert tab.is_disabled("#models button[data-model=blind]")
        tab.click("#stop-swap")
        tab.wait_for_selector("#trial-end:has-text('rolled back: blobs@1 serves')")
        tab.wait_for_selector("#serves:has-text('blobs@1')")

    def test_what_is_typed_there_is_not_meant_for_the_loop(self, tab):
        tab.click("#model")
        tab.evaluate("document.querySelector('.swap details').open = true")
        tab.focus("#gate-budget")
        for key in ("m", "s", "q", " "):
            tab.keyboard.press(key)
        assert tab.is_visible("#swap")
        assert tab.inner_text("#state") == "Live"
        tab.fill("#gate-watch", "-1")
        tab.click("#models button[data-model=better]")
        tab.wait_for_selector("#toast[data-shown]:has-text('expected a number')")

    @pytest.mark.parametrize("width", [320, 390, 768, 1280])
    def test_nothing_is_cut_off_at_any_width(self, tab, width):
        tab.set_viewport_size({"width": width, "height": 760})
        tab.click("#model")
        tab.wait_for_selector("#models li:nth-child(3)")
        wide = tab.evaluate(
            "[...document.querySelectorAll('.swap *, .controls > *')].filter(e => e.checkVisibility()"
            " && (e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)).length"
        )
        assert wide == 0
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        low = tab.eval_on_selector_all(
            ".swap button", "all => Math.min(...all.filter(b => b.checkVisibility()).map(b => b.offsetHeight))"
        )
        assert low >= 44
