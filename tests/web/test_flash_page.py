"""`bench --glass` with a page, filmed: a real Chromium shows it to a camera that is late by a time that is known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest

from edgevision.bench.contender import ContenderSpec
from edgevision.bench.glass_to_glass import measure_glass
from edgevision.bench.wording import remarks
from edgevision.cli import bench_glass
from edgevision.errors import SinkError
from edgevision.web import flash_page
from edgevision.web.flash_page import FlashPage
from tests.support.browser import CHROMIUM, FilmingCamera, PageFilm
from tests.support.models import IndexDetector
from tests.support.video import wait_until

DELAY_S = 0.25
FLASHES = 9
PERIOD_MS = 1000 / 20

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
filmed = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


class Client:
    """A browser as the server sees it: takes states, and answers for them or not."""

    def __init__(self, page: FlashPage) -> None:
        self.page = page
        self.events = self._open("/states")
        self.told: list[dict] = []

    def _open(self, path: str, data: bytes | None = None):
        headers = {"Authorization": f"Bearer {self.page.token}"}
        return urllib.request.urlopen(urllib.request.Request(self.page.address + path, data, headers), timeout=10)

    def hear(self) -> dict:
        line = self.events.readline()
        self.events.readline()
        self.told.append(json.loads(line.removeprefix(b"data: ")))
        return self.told[-1]

    def answer(self, told: dict) -> None:
        assert self._open("/shown", json.dumps(told).encode()).status == 204

    def close(self) -> None:
        self.events.close()


@pytest.fixture
def page() -> Iterator[FlashPage]:
    with FlashPage() as page:
        yield page


def test_open_means_that_a_browser_has_drawn_it(page):
    assert not page.stays_open(0)
    client = Client(page)
    look = client.hear()
    assert look["state"] == "look"
    assert not page.stays_open(0)
    client.answer(look)
    page.wait_until_open()
    page.show(True)
    told = client.hear()
    assert (told["state"], told["number"]) == ("light", 1)
    client.answer(told)
    client.answer(told)
    assert len(page.answers_ms) == 1
    assert 0 < page.answers_ms[0] < 10_000
    client.close()
    wait_until(lambda: not page.stays_open(0))
    with pytest.raises(SinkError, match="was closed or hidden: leave it open"):
        page.show(False)


def test_the_newest_tab_has_it_and_no_other_can_answer(page):
    first = Client(page)
    first.answer(first.hear())
    second = Client(page)
    assert first.hear()["state"] == "elsewhere"
    first.answer(first.told[0])
    assert not page.stays_open(0)
    second.answer(second.hear())
    assert page.stays_open(0.1)
    first.close()
    assert page.stays_open(0.2)


def test_a_page_that_is_silent_is_told(page, monkeypatch):
    monkeypatch.setattr(flash_page, "UNHEARD_S", 0.05)
    client = Client(page)
    client.answer(client.hear())
    page.show(True)
    time.sleep(0.1)
    with pytest.raises(SinkError, match=r"has not answered for 0\.05 s: see that its device is awake"):
        page.show(False)


def test_it_hears_that_it_is_over(page):
    client = Client(page)
    client.hear()
    page.close()
    assert client.hear()["state"] == "over"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"tab": {}, "number": 1}', b'{"tab": 1e999, "number": 1}'])
def test_nonsense_is_refused(page, body):
    with pytest.raises(urllib.error.HTTPError, match="400"):
        Client(page)._open("/shown", body)


def test_only_the_page_itself_is_believed(page):
    for headers, status in [
        ({}, 403),
        ({"Cookie": f"edgevision_{page.port}={page.token}", "Origin": "http://localhost:3000"}, 403),
        ({"Cookie": f"edgevision_{page.port}={page.token}", "Origin": page.address}, 204),
    ]:
        asked = urllib.request.Request(page.address + "/shown", b'{"tab": 1, "number": 0}', headers)
        try:
            got = urllib.request.urlopen(asked, timeout=10).status
        except urllib.error.HTTPError as exc:
            got = exc.code
        assert got == status


class Measured:
    """One run through the real loop, and what Chromium drew meanwhile."""

    def __init__(self, delay_s: float) -> None:
        told: list[tuple[int, bool]] = []
        timed_ns: list[int] = []
        own = threading.get_ident()

        def clock() -> int:
            """Keeps what `measure_glass` timed each flash from, so that nothing between can be in a bound."""
            now_ns = time.monotonic_ns()
            if threading.get_ident() == own and len(timed_ns) < len(told):
                timed_ns.append(now_ns)
            return now_ns

        with FlashPage() as page, PageFilm(page.url) as film, FilmingCamera(film, delay_s) as camera:
            page.wait_until_open()

            def show(light: bool) -> None:
                told.append((time.monotonic_ns(), light))
                page.show(light)

            self.latencies_ms, self.missed = measure_glass(camera, IndexDetector(), show, flashes=FLASHES, clock=clock)
            self.answers_ms = page.answers_ms
        drawn = [film.seen_ns(light, told_ns) for told_ns, light in told]
        pairs = list(zip(timed_ns, drawn, strict=True))[1:]
        self.drawn_ms = [(drawn_ns - at_ns) / 1e6 for at_ns, drawn_ns in pairs if drawn_ns is not None]
        """From telling the page to a frame of Chromium's that shows it: what a camera without a delay could see."""


@pytest.fixture(scope="module")
def at_once() -> Measured:
    return Measured(0.0)


@pytest.fixture(scope="module")
def late() -> Measured:
    return Measured(DELAY_S)


class TestFilmed:
    pytestmark = filmed

    @pytest.mark.parametrize(("which", "delay_ms"), [("at_once", 0.0), ("late", DELAY_S * 1000)])
    def test_what_is_measured_is_what_chromium_drew_and_the_camera_delayed(self, which, delay_ms, request):
        """Each bound is another figure of the same run, so that a busy machine moves both."""
        run: Measured = request.getfixturevalue(which)
        assert run.missed <= FLASHES // 3
        assert len(run.answers_ms) >= FLASHES - 1
        assert len(run.drawn_ms) >= FLASHES - 2
        # Nothing is seen before it was drawn and the delay was over.
        assert min(run.latencies_ms) >= delay_ms + min(run.drawn_ms)
        # Then it waits for the next frame: half a period on average; and a busy machine takes its time.
        beyond = np.median(run.latencies_ms) - np.median(run.drawn_ms) - delay_ms
        assert -PERIOD_MS / 2 < beyond < 3 * PERIOD_MS

    def test_a_camera_that_is_later_is_measured_later_by_as_much(self, at_once, late):
        grew = np.median(late.latencies_ms) - np.median(at_once.latencies_ms)
        grew -= np.median(late.drawn_ms) - np.median(at_once.drawn_ms)
        assert grew == pytest.approx(DELAY_S * 1000, abs=2.5 * PERIOD_MS)

    def test_a_page_that_is_closed_meanwhile_ends_it(self):
        with FlashPage() as page, PageFilm(page.url) as film, FilmingCamera(film) as camera:
            page.wait_until_open()
            shown = 0

            def show(light: bool) -> None:
                nonlocal shown
                shown += 1
                if shown == 4:
                    film.ask(lambda tab: tab.goto("about:blank"))
                    wait_until(lambda: not page.stays_open(0))
                page.show(light)

            with pytest.raises(SinkError, match="was closed or hidden") as caught:
                measure_glass(camera, IndexDetector(), show, flashes=FLASHES)
        assert "\n" not in str(caught.value)
        assert shown == 4

    def test_every_part_of_the_page_changes_at_any_size(self):
        with FlashPage() as page, PageFilm(page.url) as film:
            page.wait_until_open()
            sizes = [(360, 740), (320, 568), (740, 360), (1280, 860)]
            for width_px, height_px in sizes:
                film.ask(lambda tab, w=width_px, h=height_px: tab.set_viewport_size({"width": w, "height": h}))
                assert film.ask(lambda tab: tab.evaluate("document.documentElement.scrollWidth")) <= width_px
                assert film.ask(lambda tab: tab.evaluate("document.documentElement.scrollHeight")) <= height_px
                assert film.ask(lambda tab: tab.inner_text("h1")) == "Point the camera at this page"
            for light in (False, True):
                answered = len(page.answers_ms)
                page.show(light)
                wait_until(lambda before=answered: len(page.answers_ms) > before)
                for width_px, height_px in sizes:
                    film.ask(lambda tab, w=width_px, h=height_px: tab.set_viewport_size({"width": w, "height": h}))
                    assert set(pixel_values(film.ask(lambda tab: tab.screenshot()))) == {255 if light else 0}

    def test_a_hidden_tab_is_not_open(self):
        hide = (
            "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        with FlashPage() as page, PageFilm(page.url) as film:
            page.wait_until_open()
            film.ask(lambda tab: tab.evaluate(hide % "true"))
            wait_until(lambda: not page.stays_open(0))
            film.ask(lambda tab: tab.evaluate(hide % "false"))
            page.wait_until_open()

    def test_the_command_waits_for_a_browser_and_measures(self, monkeypatch):
        said: list[str] = []
        cameras: list[FilmingCamera] = []
        films: list[PageFilm] = []
        monkeypatch.setattr(bench_glass, "FLASHES", 5)
        monkeypatch.setattr(bench_glass, "_LOOK_S", 0.3)
        monkeypatch.setattr(bench_glass, "announce", said.append)
        described = bench_glass.describe_clip("scene://?size=320x180")
        monkeypatch.setattr(bench_glass, "describe_clip", lambda address: described)

        def open_source(address: str) -> FilmingCamera:
            cameras.append(FilmingCamera(films[0]))
            return cameras[0]

        monkeypatch.setattr("edgevision.capture.open_source", open_source)

        def watch() -> None:
            wait_until(lambda: any("waiting" in line for line in said), 60)
            films.append(PageFilm(next(line for line in said if "http" in line).rsplit(" ", 1)[1]))

        visitor = threading.Thread(target=watch)
        visitor.start()
        try:
            run = bench_glass.run_glass(ContenderSpec("person", threads=1), ["0"], "browser")
        finally:
            visitor.join()
            films[0].close()
        (glass,) = run.glass
        assert glass.shown_by == "a page"
        assert glass.flashes == 5
        assert glass.seen >= 3
        assert len(glass.answers_ms) >= 5
        assert any("timed from when the server told it" in line for line in remarks(run))
        assert len(said) == 3


def pixel_values(png: bytes) -> list[int]:
    import cv2

    return np.unique(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)).tolist()


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_the_wait_for_a_browser():
    words = ["--glass", "--source", "scene://?size=320x180", "--model", "person", "--display", "browser"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgevision", "bench", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "COLUMNS": "80"}, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "open the page that flashes, where the camera can see it: http://127.0.0.1:" in process.stderr.readline()
    assert "waiting until a browser has it open" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert shown + said == ""
