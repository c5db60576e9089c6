"""``edgevision distill review``: a person looks at labels, doubtful ones first, in a browser on this machine."""

from __future__ import annotations

import threading
from pathlib import Path
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
    from edgevision.cli.console import stop_on_signal
    from edgevision.datasets.data_folder import DataFolder
    from edgevision.errors import UsageError

    names = [n.strip() for n in classes.split(",") if n.strip()] if classes else None
    if not data.is_dir():
        raise UsageError(f"{data}: expected a data folder, found {'a file' if data.exists() else 'nothing'}")
    with DataFolder(data, names) as folder:
        # The server's libraries take a while to import: not before it is known that they are wanted.
        from edgevision.datasets.review import Review
        from edgevision.web.review_page import ReviewPage

        work, stop = Review(folder), threading.Event()
        with ReviewPage(work, host, port, token) as page, stop_on_signal(stop.set):
            counts = ", ".join(f"{n} {status}" for status, n in work.counts().items() if n)
            distill_console.say(f"{data}: {counts}")
            distill_console.say(f"review them at {page.url} (Ctrl-C ends it; what is done is on disk)")
            stop.wait()
        now, left = work.reviewed_now, work.left()
        distill_console.say(f"{now} reviewed now, {work.counts()['done']} in all, {left} left to look at")
