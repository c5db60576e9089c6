"""What reaches the app of ``edgevision run`` from outside: the page, `edgevision swap`, the model's folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from edgevision.cli.console import announce
from edgevision.cli.run_options import RunOptions
from edgevision.cli.tokens import shown_address
from edgevision.deployment.app import App
from edgevision.deployment.model_watcher import ModelWatch, WatchThread, swap_in
from edgevision.deployment.report import Progress
from edgevision.interfaces import Sink
from edgevision.sinks.browser import BrowserSink
from edgevision.web.control_endpoint import ControlEndpoint


def start_control(
    app: App,
    options: RunOptions,
    sinks: Sequence[Sink],
    stack: ExitStack,
    *,
    token: str | None = None,
    why_page: str = "",
    watch: ModelWatch | None = None,
) -> None:
    """Open what was asked for; ``stack`` closes it.

    ``token`` is the page's, ``why_page`` comes before its address; ``watch`` swaps when the model's folder changes.
    """
    app.swapper.listen(_announce_report)
    page = None
    browser = next((sink for sink in sinks if isinstance(sink, BrowserSink)), None)
    if browser is not None:
        from edgevision.web import ControlApi, LivePage

        api = ControlApi(app.swapper, lambda: app.status) if options.control else None
        page = stack.enter_context(
            LivePage(browser, app.controls, host=options.host, port=options.port, token=token, api=api)
        )
        announce(f"{why_page}live page at {shown_address(page.url, page.address, token)}")
        if page.exposure is not None:
            announce(page.exposure)
    if options.control:
        endpoint = stack.enter_context(ControlEndpoint(app, page))
        app.swapper.listen(endpoint.told)
    if watch is not None:
        stack.enter_context(WatchThread(watch, lambda: swap_in(app, options.model, announce), announce))


def _announce_report(progress: Progress) -> None:
    if progress.report is not None:
        announce(f"swap: {progress.report.sentence()}")
