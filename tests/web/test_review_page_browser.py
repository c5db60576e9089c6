"""The review page in a real Chromium: keys, mouse and finger, and what is on disk after each."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.review import Review
from edgevision.web.review_page import ReviewPage
from tests.support.places import CHROMIUM
from tests.support.review import TOKEN, data_folder, on_disk, start

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def folder(tmp_path):
    return data_folder(tmp_path / "data")


@contextmanager
def serving(folder, **options) -> Iterator[ReviewPage]:
    with DataFolder(folder) as data, ReviewPage(Review(data), **options) as page:
        yield page


@contextmanager
def tab_of(chromium: Any, page: ReviewPage, errors: tuple[str, ...] = (), **options: Any) -> Iterator[Any]:
    """The page in a browser of its own. Only ``errors`` may be said on the console, and nothing fetched elsewhere."""
    context = chromium.new_context(viewport=DESKTOP, **options)
    context.set_default_timeout(LIMIT_S * 1000)
    tab = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.url)
    yield tab
    context.close()
    assert [s for s in said if not any(e in s for e in errors)] == []
    assert all(url.startswith((page.address, "data:")) for url in asked)


@pytest.fixture
def tab(chromium, folder) -> Iterator[Any]:
    with serving(folder) as page, tab_of(chromium, page) as tab:
        shows(tab, "yard/d.png")
        yield tab


def until(condition: Any) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def shows(tab: Any, file: str) -> None:
    tab.locator("#file", has_text=file).wait_for()
    tab.locator("#finish:not([disabled])").wait_for()


def rows(tab: Any) -> list[str]:
    return [" ".join(text.split()) for text in tab.locator("#boxes button").all_inner_texts()]


def jump(tab: Any, name: str) -> None:
    tab.keyboard.press("g")
    tab.locator("#jump-text").fill(name)
    tab.keyboard.press("Enter")
    shows(tab, name)


def saves(tab: Any) -> None:
    tab.locator("#saved", has_text="saved").filter(has_not_text="not").wait_for()


def at(tab: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the picture is on the screen."""
    tab.evaluate("new Promise(requestAnimationFrame)")
    box = tab.locator("#canvas").bounding_box()
    view = tab.locator("#canvas").evaluate("c => [c.dataset.scale, c.dataset.x, c.dataset.y].map(Number)")
    return box["x"] + view[1] + x * view[0], box["y"] + view[2] + y * view[0]


def drag(tab: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    tab.mouse.move(*at(tab, *start))
    tab.mouse.down()
    tab.mouse.move(*at(tab, *((a + b) / 2 for a, b in zip(start, end, strict=True))))
    tab.mouse.move(*at(tab, *end))
    tab.mouse.up()


def corners(folder, file: str, index: int = 0) -> tuple[float, ...]:
    return tuple(round(v) for v in on_disk(folder)[file].boxes[index].corners)


def test_keys_accept_reject_and_go_on_to_the_next_picture(tab, folder):
    assert tab.locator("#doubts").inner_text().startswith("teachers disagree")
    tab.keyboard.press("Space")
    shows(tab, "c.png")
    # On disk before the next picture is shown.
    assert [(b.by, b.weight) for b in on_disk(folder)["yard/d.png"].boxes] == [("person", 1.0)]
    assert on_disk(folder)["yard/d.png"].status == "done"
    assert rows(tab) == ["person uncertain 0.43", "hard hat uncertain 0.30", "person confident 0.90"]
    tab.keyboard.press("a")
    tab.keyboard.press("r")
    assert rows(tab) == ["person accepted 0.43", "hard hat rejected 0.30", "person confident 0.90"]
    saves(tab)
    until(lambda: len(on_disk(folder)["c.png"].rejected) == 1)
    assert on_disk(folder)["c.png"].status == "review"  # decided in part, not yet done
    tab.keyboard.press("Space")
    shows(tab, "b.png")
    found = on_disk(folder)["c.png"]
    assert (found.status, [(b.class_id, b.weight, b.by) for b in found.boxes]) == (
        "done", [(0, 1.0, "person"), (0, 1.0, "person")],
    )  # fmt: skip
    assert tab.locator("#done").inner_text() == "3"


def test_undo_and_redo_reach_over_pictures(tab, folder):
    tab.keyboard.press("x")
    shows(tab, "c.png")
    assert on_disk(folder)["yard/d.png"].boxes == ()
    tab.keyboard.press("a")
    tab.keyboard.press("Control+z")
    tab.locator("#toast", has_text="Undone").wait_for()
    assert rows(tab)[0] == "person uncertain 0.43"
    tab.keyboard.press("u")
    shows(tab, "yard/d.png")
    until(lambda: on_disk(folder)["yard/d.png"].status == "review")
    assert [(b.by, b.score) for b in on_disk(folder)["yard/d.png"].boxes] == [("teacher@1", 0.9)]
    assert on_disk(folder)["yard/d.png"].rejected == ()
    tab.keyboard.press("y")
    until(lambda: on_disk(folder)["yard/d.png"].status == "done")
    assert len(on_disk(folder)["yard/d.png"].rejected) == 1


def test_the_mouse_draws_moves_resizes_and_deletes(tab, folder):
    jump(tab, "f.png")
    drag(tab, (150, 40), (220, 210))
    saves(tab)
    until(lambda: "f.png" in on_disk(folder))
    assert corners(folder, "f.png") == (150, 40, 220, 210)
    drag(tab, (185, 100), (205, 110))  # inside: it moves
    until(lambda: corners(folder, "f.png") == (170, 50, 240, 220))
    drag(tab, (240, 220), (260, 230))  # the corner: it grows
    until(lambda: corners(folder, "f.png") == (170, 50, 260, 230))
    drag(tab, (170, 140), (100, 140))  # the left side alone
    until(lambda: corners(folder, "f.png") == (100, 50, 260, 230))
    drag(tab, (180, 140), (900, 900))  # not out of the picture
    until(lambda: corners(folder, "f.png") == (160, 60, 320, 240))
    tab.keyboard.press("2")
    until(lambda: on_disk(folder)["f.png"].boxes[0].class_id == 1)
    tab.keyboard.press("Shift+ArrowLeft")
    tab.keyboard.press("Alt+ArrowUp")
    until(lambda: corners(folder, "f.png") == (159, 60, 319, 239))
    tab.keyboard.press("Delete")
    until(lambda: on_disk(folder)["f.png"].boxes == ())
    for _ in range(3):
        tab.keyboard.press("u")
        tab.locator("#toast", has_text="Undone").wait_for()
    until(lambda: corners(folder, "f.png") == (160, 60, 320, 240))


def test_a_box_is_drawn_by_keys_alone(tab, folder):
    jump(tab, "a.png")
    tab.keyboard.press("d")
    tab.keyboard.press("Enter")
    tab.keyboard.press("2")
    until(lambda: [b.class_id for b in on_disk(folder)["a.png"].boxes] == [0, 1])
    x1, y1, x2, y2 = on_disk(folder)["a.png"].boxes[1].corners
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == (160, 120)


def test_a_second_tab_cannot_overwrite_the_first_unasked(chromium, folder):
    with serving(folder) as page, tab_of(chromium, page, ("409",)) as old, tab_of(chromium, page) as new:
        for tab in (old, new):
            jump(tab, "c.png")
        new.keyboard.press("r")
        saves(new)
        old.keyboard.press("a")
        old.locator("#alert", has_text="was changed elsewhere").wait_for()
        assert [b.score for b in on_disk(folder)["c.png"].rejected] == [0.43]
        assert rows(old) == ["hard hat uncertain 0.30", "person confident 0.90", "person rejected 0.43"]
        old.locator("#mine").click()  # asked for, it may
        until(lambda: not on_disk(folder)["c.png"].rejected)
        old.keyboard.press("u")
        until(lambda: [b.score for b in on_disk(folder)["c.png"].rejected] == [0.43])


def test_a_server_that_is_gone_is_said_and_nothing_is_thought_saved(chromium, folder):
    with (
        serving(folder, token="a-token-for-tests") as first,
        tab_of(chromium, first, ("net::ERR_",)) as tab,
    ):
        shows(tab, "yard/d.png")
        first.close()
        tab.keyboard.press("r")
        tab.locator("#alert", has_text="The last change is not saved. edgevision does not answer").wait_for()
        tab.keyboard.press("Space")
        tab.keyboard.press("ArrowRight")
        assert tab.locator("#file").inner_text() == "yard/d.png"
        assert len(on_disk(folder)["yard/d.png"].boxes) == 1
        with ReviewPage(first._review, port=first.port, token="a-token-for-tests"):
            tab.locator("#retry").click()
            saves(tab)
            assert on_disk(folder)["yard/d.png"].boxes == ()


def test_filter_skip_and_help(tab, folder):
    tab.keyboard.press("s")
    shows(tab, "c.png")
    tab.keyboard.press("ArrowRight")
    shows(tab, "b.png")
    tab.locator("#filter").select_option("done")
    shows(tab, "e.png")
    assert rows(tab) == ["person accepted"]
    tab.locator("#filter").select_option("left")
    shows(tab, "yard/d.png")
    tab.keyboard.press("h")
    tab.locator("#help[open]").wait_for()
    tab.keyboard.press("a")  # not meant for the picture
    tab.keyboard.press("Escape")
    assert rows(tab) == ["person confident 0.90"]
    assert on_disk(folder)["yard/d.png"].status == "review"


def test_all_reviewed_is_said(tab, folder):
    for _ in range(5):
        before = tab.locator("#done").inner_text()
        tab.keyboard.press("Space")
        until(lambda before=before: tab.locator("#done").inner_text() != before)
        tab.locator("#finish:not([disabled])").wait_for()
        tab.evaluate("new Promise((done) => setTimeout(done, 50))")
        until(lambda: tab.evaluate("!moving && !pushing"))
    tab.locator("#toast", has_text="All images are reviewed").wait_for()
    assert {p.status for p in on_disk(folder).values()} == {"done"}


def test_every_control_has_a_name(tab):
    nameless = tab.evaluate(
        "[...document.querySelectorAll('button, select, input')].filter(e =>"
        " !(e.getAttribute('aria-label') || e.innerText || e.textContent).trim()).map(e => e.outerHTML)"
    )
    assert nameless == []


def test_a_thumb_accepts_and_rejects_on_a_phone(chromium, folder):
    with serving(folder) as page, tab_of(chromium, page, has_touch=True, is_mobile=True) as tab:
        tab.set_viewport_size(PHONE)
        shows(tab, "yard/d.png")
        tab.locator("#skip").tap()
        shows(tab, "c.png")
        tab.locator("#accept").tap()
        tab.locator("#reject").tap()
        assert rows(tab) == ["person accepted 0.43", "hard hat rejected 0.30", "person confident 0.90"]
        tab.locator("#finish").tap()
        shows(tab, "b.png")
        assert [b.by for b in on_disk(folder)["c.png"].boxes] == ["person", "person"]
        wide = tab.evaluate("document.documentElement.scrollWidth")
        high = tab.evaluate("document.documentElement.scrollHeight")
        assert (wide, high) == (PHONE["width"], PHONE["height"])
        for name in ("accept", "reject", "finish"):
            spot = tab.locator(f"#{name}").bounding_box()
            assert spot["y"] + spot["height"] <= PHONE["height"]
            assert min(spot["width"], spot["height"]) >= 44


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_in_the_middle_nothing_that_was_shown_as_saved_is_lost(chromium, folder):
    process, port = start(folder)
    try:
        page = SimpleNamespace(url=f"http://127.0.0.1:{port}/?token={TOKEN}", address=f"http://127.0.0.1:{port}")
        with tab_of(chromium, page, ("net::ERR_",)) as tab:
            shows(tab, "yard/d.png")
            tab.keyboard.press("Space")
            shows(tab, "c.png")
            tab.keyboard.press("a")
            tab.keyboard.press("r")
            until(lambda: tab.evaluate("!picture.dirty && !pushing"))
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)
            process, _ = start(folder, "--port", str(port))
            tab.goto(page.url)
            shows(tab, "c.png")
            assert rows(tab) == ["person confident 0.90", "person accepted 0.43", "hard hat rejected 0.30"]
            assert tab.locator("#done").inner_text() == "2"
            tab.keyboard.press("Space")
            shows(tab, "b.png")
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert "1 reviewed now, 3 in all, 3 left" in said
