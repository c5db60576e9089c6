"""The way in for ``edgevision swap``: the control API of a running loop, and the file that says where it is."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from edgevision.deployment.app import App
from edgevision.deployment.report import Progress
from edgevision.errors import EdgeVisionError
from edgevision.interfaces import ContextManaged

if TYPE_CHECKING:
    from edgevision.types import Result
    from edgevision.web import ControlServer, LivePage
    from edgevision.web.discovery import RuntimeFile

_log = logging.getLogger(__name__)

_AFTER_S = 0.7
"""The server's libraries take a third of a second of one core to import: not while the loop gets under way, and never
for a file that is done before."""
_LOOK_EVERY_S = 5.0
"""How often the app looks whether its file is there still."""


class ControlEndpoint(ContextManaged):
    """Opens once the loop runs; closes with it.

    Where there is a live page its server is the way in; else one is started for this machine only.
    """

    def __init__(self, app: App, page: LivePage | None = None) -> None:
        self._app, self._page = app, page
        self._server: ControlServer | None = None
        self._file: RuntimeFile | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._keeper: threading.Thread | None = None
        if page is not None:
            self._open(page)
        else:
            self._stop = app.observe(self._begin)

    def told(self, progress: Progress) -> None:
        """Keeps the file right: another model serves after a swap."""
        with self._lock:
            if self._file is not None and progress.report is not None:
                self._file.serves(progress.report.serves)

    def close(self) -> None:
        self._closing.set()
        for thread in (self._thread, self._keeper):
            if thread is not None:
                thread.join(5)
        with self._lock:
            if self._file is not None:
                self._file.remove()
                self._file = None
        if self._server is not None:
            self._server.close()

    def _begin(self, result: Result) -> None:
        self._stop()
        self._thread = threading.Thread(target=self._open_later, name="control", daemon=True)
        self._thread.start()

    def _open_later(self) -> None:
        if self._closing.wait(_AFTER_S):
            return
        from edgevision.web import ControlApi, ControlServer

        try:
            self._server = ControlServer(ControlApi(self._app.swapper, lambda: self._app.status))
        except EdgeVisionError as exc:
            _log.warning("this loop cannot be controlled from outside: %s", exc)
            return
        self._open(self._server)

    def _open(self, server: LivePage | ControlServer) -> None:
        from edgevision.web.discovery import RuntimeFile

        app = self._app
        try:
            file = RuntimeFile(server.local_address, server.token, app.status.source, app.detector.name)
        except (EdgeVisionError, OSError) as exc:
            _log.warning("%s", exc)
            return
        with self._lock:
            self._file = file
        self._keeper = threading.Thread(target=self._keep, name="control-file", daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        """Restore the file whenever it vanishes."""
        while not self._closing.wait(_LOOK_EVERY_S):
            with self._lock:
                if self._file is not None and self._file.restore():
                    _log.info("the file by which `edgevision swap` finds this app had vanished; it is back")
