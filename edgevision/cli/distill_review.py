"""``edgevision distill review``: review labels in the browser, uncertain ones first."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from edgevision.cli.tokens import Token, shown_address, take_token


def review(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Dataset folder, labelled or not.")],
    host: Annotated[
        str, typer.Option(help="Address of the page; 0.0.0.0 opens it to the network, for a phone.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the page. Default: the first free port from 8080.")
    ] = None,
    token: Token = None,
    classes: Annotated[
        str | None, typer.Option(help="Comma-separated class names, for a folder without labels.")
    ] = None,
) -> None:
    """Review labels in the browser, uncertain ones first; every change is saved immediately. Ctrl-C ends it.

    Examples:

        edgevision distill review data
        edgevision distill review data --host 0.0.0.0     # on a phone
    """
    from edgevision.cli import distill_console
    from edgevision.cli.console import stop_on_signal
    from edgevision.datasets.data_folder import DataFolder
    from edgevision.errors import UsageError

    secret = take_token(token)
    names = [n.strip() for n in classes.split(",") if n.strip()] if classes else None
    if not data.is_dir():
        raise UsageError(f"{data}: expected a data folder, found {'a file' if data.exists() else 'nothing'}")
    with DataFolder(data, names) as folder:
        # The server's libraries import slowly: only once they are needed.
        from edgevision.datasets.review import Review
        from edgevision.web.review_page import ReviewPage

        work, stop = Review(folder), threading.Event()
        with ReviewPage(work, host, port, secret) as page, stop_on_signal(stop.set):
            counts = ", ".join(f"{n} {status}" for status, n in work.counts().items() if n)
            distill_console.say(f"{data}: {counts}")
            address = shown_address(page.url, page.address, secret)
            distill_console.say(f"review them at {address} (Ctrl-C ends it; every change is saved)")
            if page.exposure is not None:
                distill_console.say(page.exposure)
            stop.wait()
        now, left = work.reviewed_now, work.left()
        distill_console.say(f"{now} reviewed now, {work.counts()['done']} in all, {left} left")
