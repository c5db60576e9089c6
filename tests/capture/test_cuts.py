"""A source that is lost and comes back costs nothing: no thread, no descriptor, no object left to the collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edgevision.capture.stream import StreamSource
from edgevision.errors import SourceError, SourceLost, SourceNotFound
from tests.support.cuts import Cut, Usage, http_file_cuts, mjpeg_cuts, rtsp_cuts
from tests.support.rtsp import missing
from tests.support.video import WebCamera
from tests.support.waiting import wait_for

CUTS = 6


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is freed here is freed by its last reference, at once."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", ["MJPEG", "RTSP", "file over HTTP"])
def test_cuts_leave_nothing_behind(kind: str, no_collector: None, tmp_path: Path) -> None:
    if kind == "RTSP" and (reason := missing()):
        pytest.skip(f"no RTSP server: {reason}")
    opened: dict[str, AbstractContextManager[Cut]] = {
        "MJPEG": mjpeg_cuts(),
        "RTSP": rtsp_cuts(),
        "file over HTTP": http_file_cuts(tmp_path),
    }
    with opened[kind] as cut:
        cut(0)
        before = Usage.now()
        for number in range(1, CUTS + 1):
            cut(number)

        def same() -> bool:
            now = Usage.now()
            return (now.threads, now.fds, now.sources) == (before.threads, before.fds, before.sources)

        wait_for(same, 5)


@pytest.mark.parametrize("path", ["/live", "/nothing", "/text", "/clip.mp4"])
def test_an_attempt_that_fails_leaves_nothing_behind(path: str, no_collector: None) -> None:
    before = Usage.now().sources  # other tests' may still be held by their fixtures
    web = WebCamera(files={"/text": ("text/plain", b"no video " * 99)}, turns_down=path == "/live")
    try:
        for _ in range(3):
            with pytest.raises(SourceError):
                StreamSource(web.url(path))
    finally:
        web.close()
    assert Usage.now().sources == before


def test_an_error_that_is_kept_keeps_no_connection(no_collector: None) -> None:
    """Whoever collects errors (a log handler, a test, a notebook) must not collect decoders."""
    before = Usage.now().sources
    web = WebCamera()
    kept: list[SourceError] = []
    try:
        for _ in range(2):
            with StreamSource(web.url()) as source:
                source.read()
                web.away.set()
                with pytest.raises(SourceLost) as caught:
                    list(iter(source.read, None))
                kept.append(caught.value.with_traceback(None))
                del caught
                with pytest.raises(SourceLost, match=r"ended|broke"):
                    source.read()
            del source
            with pytest.raises(SourceNotFound) as refused:
                StreamSource(web.url())
            kept.append(refused.value.with_traceback(None))
            del refused
            web.away.clear()
        assert len(kept) == 4
        assert Usage.now().sources == before
    finally:
        web.close()
