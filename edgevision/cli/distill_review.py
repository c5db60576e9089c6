"""``edgevision distill review``: a person looks at labels, doubtful ones first, in a browser on this machine."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer


def review(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A data folder, labelled or not.")],
    host: Annotated[str, typer.Option(help="Address of the page; 0.0.0.0 lets a phone in.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the page. Default: the first free from 8080.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="What the page wants to be shown. Default: random.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="For pictures that nobody labelled yet: class names, with commas between.")
    ] = None,
) -> None:
    """Look at labels in the browser, doubtful ones first; each word is on disk at once. Ctrl-C ends it."""
    from edgevision.cli import distill_console
    from edgevision.datasets.data_folder import DataFolder
    from edgevision.errors import UsageError

    names = [n.strip() for n in classes.split(",") if n.strip()] if classes else None
    if not data.is_dir():
        raise UsageError(f"{data}: expected a data folder, found {'a file' if data.exists() else 'nothing'}")
    with DataFolder(data, names) as folder:
        # The server's libraries take a while to import: not before it is known that they are wanted.
        from edgevision.datasets.review import Review
        from edgevision.web.review_page import ReviewPage

        work = Review(folder)
        with ReviewPage(work, host, port, token) as page, _until_told() as told:
            counts = ", ".join(f"{n} {status}" for status, n in work.counts().items() if n)
            distill_console.say(f"{data}: {counts}")
            distill_console.say(f"review them at {page.url} (Ctrl-C ends it; what is done is on disk)")
            told.wait()
        now, left = work.reviewed_now, work.left()
        distill_console.say(f"{now} reviewed now, {work.counts()['done']} in all, {left} left to look at")


@contextmanager
def _until_told() -> Iterator[threading.Event]:
    """Set by SIGINT or SIGTERM; a second SIGINT ends it at once."""
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if told.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        told.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
