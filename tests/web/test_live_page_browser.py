"""The live page in a real Chromium: what a person sees, presses, and is told when things go wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from edgevision.interfaces import Controls
from edgevision.sinks.browser import BrowserSink
from edgevision.sinks.render import Renderer
from edgevision.types import Status
from edgevision.web import LivePage
from tests.support.display import LOST, PAUSED, RUNNING, pixels_of, result_of, show
from tests.support.places import CHROMIUM
from tests.support.waiting import wait_for

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

DESKTOP = {"width": 1280, "height": 860}


@dataclass
class Loop:
    """A loop of 30 frames a second in a thread, that does what `Controls` say, and can be told to lose its camera."""

    sink: BrowserSink = field(default_factory=BrowserSink)
    controls: Controls = field(default_factory=Controls)
    trouble: Status | None = None
    snapshots: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        index, renderer = 0, Renderer()
        while not self.stop.wait(0.033):
            self.snapshots += self.controls.take_snapshot_request()
            if self.trouble is not None:
                self.sink.notice(self.trouble)
            elif self.controls.paused:
                self.sink.notice(replace(PAUSED, frames=index))
            else:
                status = replace(RUNNING, frames=index)
                show(self.sink, result_of(index, pixels=pixels_of(index, 640, 360)), status, renderer)
                index += 1

    def asked_to_quit(self) -> bool:
        """Once for each time; this loop does not quit, so that the next test finds it running."""
        asked = self.controls.quitting
        self.controls._quit.clear()
        return asked


@contextmanager
def running() -> Iterator[tuple[Loop, LivePage]]:
    loop = Loop()
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        with LivePage(loop.sink, loop.controls) as page:
            yield loop, page
    finally:
        loop.stop.set()
        thread.join()


@contextmanager
def opened(chromium: Any, page: LivePage) -> Iterator[Any]:
    """The page in a browser of its own. Nothing may be said on the console, and nothing fetched from elsewhere."""
    context = chromium.new_context(viewport=DESKTOP)
    context.set_default_timeout(30_000)
    tab = context.new_page()
    tab.said, tab.asked = [], []
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.on("request", lambda asked: tab.asked.append(asked.url))
    tab.goto(page.url)
    state(tab, "Live")
    wait_for(lambda: tab.evaluate("document.getElementById('view').naturalWidth") == 640)
    yield tab
    assert all(url.startswith((page.address, "data:")) for url in tab.asked)
    context.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared(chromium: Any) -> Iterator[tuple[Loop, LivePage, Any]]:
    """One loop, server and tab for all tests that leave them as they were: opening a page takes a second."""
    with running() as (loop, page), opened(chromium, page) as tab:
        yield loop, page, tab


@pytest.fixture
def loop(shared: tuple[Loop, LivePage, Any]) -> Loop:
    return shared[0]


@pytest.fixture
def server(shared: tuple[Loop, LivePage, Any]) -> LivePage:
    return shared[1]


@pytest.fixture
def tab(shared: tuple[Loop, LivePage, Any]) -> Iterator[Any]:
    loop, _, tab = shared
    yield tab
    loop.trouble = None
    if loop.controls.paused:
        loop.controls.toggle_pause()
    tab.set_viewport_size(DESKTOP)
    tab.evaluate("document.activeElement.blur()")
    state(tab, "Live")
    assert tab.said == []


def state(tab: Any, name: str) -> None:
    playwright.expect(tab.locator("#state")).to_have_text(name)


def picture(tab: Any) -> np.ndarray:
    """What the page shows of the camera, (H, W, 3) BGR: the pixels on the screen."""
    import cv2

    data = tab.locator("#view").screenshot()
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def banner(tab: Any, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture(tab).astype(int) - colour).max(axis=2) < 30).sum())


@pytest.mark.parametrize("size", [(390, 844), (844, 390), (768, 1024), (1280, 860), (1920, 600)])
def test_the_picture_keeps_the_aspect_ratio_of_its_frames(tab: Any, size: tuple[int, int]) -> None:
    tab.set_viewport_size({"width": size[0], "height": size[1]})
    box = tab.evaluate(
        "(() => { const v = document.getElementById('view'), b = v.getBoundingClientRect();"
        " return [b.width / b.height, v.naturalWidth / v.naturalHeight, b.left, b.right - innerWidth, b.height] })()"
    )
    assert box[0] == pytest.approx(box[1], rel=0.01)
    assert box[2] >= -1
    assert box[3] <= 1
    assert box[4] >= 100


def test_the_picture_moves_and_the_figures_are_the_loops(tab, server):
    seen = [picture(tab) for _ in range(4)]
    assert any(not np.array_equal(seen[0], other) for other in seen[1:])
    assert tab.inner_text("#fps") == "29.8"
    assert tab.inner_text("#infer") == "9.8"
    assert tab.inner_text("#age") == "14"
    assert tab.inner_text("#dropped") == "3"
    assert tab.inner_text("#found") == "1"
    assert tab.inner_text("#found-what") == "person"
    assert "person@1.0.0" in tab.inner_text("#what")
    before = int(tab.inner_text("#frames").replace(",", ""))
    wait_for(lambda: int(tab.inner_text("#frames").replace(",", "")) > before)
    assert tab.url == f"{server.address}/", "the token is not left in the address"


def test_space_pauses_and_goes_on_s_saves_q_quits(tab, loop):
    tab.keyboard.press("Space")
    state(tab, "Paused")
    assert loop.controls.paused
    wait_for(lambda: banner(tab, (60, 190, 250)) > 500)
    assert tab.inner_text("#pause-label") == "Resume"
    tab.keyboard.press("Space")
    state(tab, "Live")
    wait_for(lambda: banner(tab, (60, 190, 250)) == 0)
    before = loop.snapshots
    tab.keyboard.press("s")
    wait_for(lambda: loop.snapshots == before + 1)
    playwright.expect(tab.locator("#toast")).to_contain_text("saved on the machine that runs edgevision")
    tab.keyboard.press("Control+q")
    time.sleep(0.2)
    assert not loop.controls.quitting, "Ctrl+Q is the browser's"
    tab.keyboard.press("q")
    wait_for(loop.asked_to_quit)


def test_escape_quits(tab, loop):
    tab.keyboard.press("Escape")
    wait_for(loop.asked_to_quit)


def test_buttons_do_the_same_and_quit_asks_back(tab, loop):
    tab.click("#pause")
    state(tab, "Paused")
    tab.click("#pause")
    state(tab, "Live")
    before = loop.snapshots
    tab.click("#snapshot")
    wait_for(lambda: loop.snapshots == before + 1)
    tab.click("#quit")
    assert tab.inner_text("#quit-label") == "Really?"
    assert not loop.controls.quitting
    tab.click("#quit")
    wait_for(loop.asked_to_quit)


def test_space_on_a_focused_button_presses_it_once(tab, loop):
    before = loop.snapshots
    tab.focus("#snapshot")
    tab.keyboard.press("Space")
    wait_for(lambda: loop.snapshots == before + 1)
    assert not loop.controls.paused


def test_the_picture_can_be_saved_on_the_watchers_side(tab):
    with tab.expect_download() as download:
        tab.click("#download")
    path = download.value.path()
    assert path.read_bytes()[:3] == b"\xff\xd8\xff"
    assert download.value.suggested_filename.startswith("edgevision-frame")


def test_lost_is_plain_to_see_and_goes_away(tab, loop):
    loop.trouble = LOST
    state(tab, "Source lost")
    wait_for(lambda: banner(tab, (70, 70, 245)) > 500)
    assert tab.inner_text("#age") == "3.2"
    assert tab.text_content("#why") == LOST.detail
    loop.trouble = None
    state(tab, "Live")
    wait_for(lambda: banner(tab, (70, 70, 245)) == 0)


def test_when_it_ends_the_page_says_so_and_asks_no_more(chromium):
    with running() as (loop, page), opened(chromium, page) as tab:
        loop.stop.set()
        time.sleep(0.1)
        loop.sink.notice(Status("ended", "the file is at its end"))
        page.close()
        state(tab, "Ended")
        playwright.expect(tab.locator("#veil-text")).to_have_text("the file is at its end")
        assert tab.locator("#veil").is_visible()
        assert not tab.locator("#again").is_visible()
        asked = len(tab.asked)
        tab.keyboard.press("Space")
        time.sleep(1.5)
        assert len(tab.asked) == asked, "the page spins"


def test_when_it_is_gone_without_a_word(chromium):
    """As after a SIGKILL: the page tries for a while, says so, and stops; and it can be asked to try again."""
    with running() as (_, page), opened(chromium, page) as tab:
        tab.route("**/*", lambda route: route.abort())
        tab.evaluate("heardAt = Date.now() - 60000; events.onmessage = null; failed()")
        state(tab, "Not reachable")
        assert tab.locator("#again").is_visible()
        asked = len(tab.asked)
        time.sleep(1.2)
        assert len(tab.asked) == asked
        tab.unroute("**/*")
        tab.click("#again")
        state(tab, "Live")


def test_a_tab_that_is_not_looked_at_costs_nothing(tab, loop):
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});" \
        "document.dispatchEvent(new Event('visibilitychange'))"  # fmt: skip
    tab.evaluate(hide % "true")
    wait_for(lambda: not loop.sink.wants_picture and loop.sink._watching == 0)
    encodes = loop.sink.encodes
    time.sleep(0.5)
    assert loop.sink.encodes == encodes
    tab.evaluate(hide % "false")
    wait_for(lambda: loop.sink.encodes > encodes)
    state(tab, "Live")


def test_a_picture_is_on_the_screen_without_waiting_for_the_next(chromium):
    with running() as (loop, page), opened(chromium, page) as tab:
        loop.stop.set()
        time.sleep(0.2)
        wait_for(lambda: loop.sink.wants_picture)
        show(loop.sink, result_of(9_999, [], pixels=np.full((360, 640, 3), (200, 30, 160), np.uint8)))
        wait_for(lambda: np.abs(picture(tab)[100:200, 300:400].astype(int) - (200, 30, 160)).max() < 12, 4)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_fits_every_screen(tab, loop, scheme):
    tab.emulate_media(color_scheme=scheme)
    loop.trouble = replace(LOST, detail="the camera /dev/video0 gives no frame any more (unplugged?)")
    state(tab, "Source lost")
    for width_px, height_px in [(360, 740), (320, 568), (740, 360), (800, 600), (1280, 860), (1920, 1080)]:
        screen = f"{width_px} by {height_px}"
        tab.set_viewport_size({"width": width_px, "height": height_px})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width_px, f"{screen} scrolls sideways"
        for button in ("#pause", "#snapshot", "#download", "#full", "#quit"):
            box = tab.locator(button).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width_px
            assert min(box["width"], box["height"]) >= 40, f"{button} is too small for a thumb on {screen}"
            assert box["y"] + box["height"] <= height_px, f"{button} is under the edge of {screen}"
        assert tab.locator("#view").bounding_box()["height"] >= 90
        for tile in ("#fps", "#infer", "#age", "#dropped"):
            cut = tab.eval_on_selector(tile, "e => e.parentElement.scrollWidth > e.parentElement.clientWidth + 1")
            assert not cut, f"{tile} is cut off on {screen}"


def test_everything_has_a_name_for_those_who_do_not_see(tab):
    nameless = tab.evaluate(
        "[...document.querySelectorAll('button, a, img')].filter(e => !e.hidden && e.offsetParent)"
        ".filter(e => !(e.ariaLabel || e.alt || e.innerText.trim())).map(e => e.id)"
    )
    assert nameless == []
    tab.focus("#pause")
    order = []
    for _ in range(4):
        tab.keyboard.press("Tab")
        order.append(tab.evaluate("document.activeElement.id"))
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "focus is not seen"
    assert order == ["snapshot", "download", "full", "quit"]


def test_without_the_token_there_is_nothing(chromium, server):
    tab = chromium.new_page()
    assert tab.goto(server.address).status == 403
    assert "wants its token" in tab.inner_text("body")
    tab.close()


def test_another_site_can_neither_look_nor_touch(chromium, server, loop, tmp_path):
    """A page of another origin, in the browser that has the cookie."""
    context = chromium.new_context()
    tab = context.new_page()
    tab.goto(server.url)
    context.route("http://evil.example/", lambda route: route.fulfill(body="<h1>evil</h1>", content_type="text/html"))
    tab.goto("http://evil.example/")
    tried = tab.evaluate(
        """async (address) => {
            const post = (options) => fetch(address + "/control", {method: "POST", credentials: "include", ...options})
                .then((r) => r.type + r.status, () => "failed");
            const json = {headers: {"Content-Type": "application/json"}};
            const image = new Promise((done) => {
                const one = new Image();
                one.onload = () => done("seen");
                one.onerror = () => done("failed");
                one.src = address + "/snapshot.jpg";
            });
            const body = JSON.stringify({action: "quit"});
            return [await post({body, ...json}), await post({body, mode: "no-cors"}), await image];
        }""",
        server.address,
    )
    assert tried[0] == "failed"
    assert tried[1] in ("opaque0", "failed")
    assert tried[2] == "failed"
    assert not loop.controls.quitting
    context.close()
