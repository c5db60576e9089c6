"""The control API: whoever has the token may swap the model of the running loop, go back, and see how a swap goes.

POST only, JSON in and out; `Guard` judges each request before it comes here. What is wrong is one sentence in
``{"error": …}``.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from edgevision import __version__
from edgevision.deployment import gates
from edgevision.deployment.swapper import Swapper
from edgevision.detectors.model_rows import model_rows
from edgevision.errors import EdgeVisionError, UsageError
from edgevision.types import Status
from edgevision.web.application import json_of

Answer = Callable[[dict[str, Any]], Awaitable[Any]]
_LONGEST_NAME = 4096
_SENTENCES_FOR = {400: "The request is not JSON in an object.", 415: "Send JSON: Content-Type: application/json."}


class ControlApi:
    """Handlers over one loop's `Swapper`. All of it runs in the server's thread; what blocks, in others."""

    def __init__(self, swapper: Swapper, status: Callable[[], Status]) -> None:
        self._swapper, self._status = swapper, status

    def add_to(self, app: web.Application) -> None:
        answers: Mapping[str, Answer] = {
            "status": self._say_status,
            "models": self._say_models,
            "gates": self._say_gates,
            "swap": self._swap,
            "progress": self._say_progress,
            "revert": self._revert,
            "history": self._say_history,
        }
        for name, answer in answers.items():
            app.router.add_post(f"/api/{name}", _as_json(answer))

    def brief(self) -> dict[str, Any]:
        """What the page is told three times a second: enough to know when to ask for more."""
        progress = self._swapper.progress
        if progress is None:
            return {"number": 0, "doing": "", "checks": 0, "new": "", "decided": True}
        return {
            "number": progress.number,
            "doing": progress.doing,
            "checks": len(progress.checks),
            "new": progress.new,
            "decided": progress.report is not None,
        }

    async def _say_status(self, asked: dict[str, Any]) -> Any:
        _take(asked)
        progress = self._swapper.progress
        return {
            **asdict(self._status()),
            "version": __version__,
            "pid": os.getpid(),
            "swap": progress.as_json() if progress is not None else None,
        }

    async def _say_models(self, asked: dict[str, Any]) -> Any:
        _take(asked)
        rows = await asyncio.get_running_loop().run_in_executor(None, _models)
        return {"serves": self._status().model, "models": rows}

    async def _say_gates(self, asked: dict[str, Any]) -> Any:
        _take(asked)
        return {
            "gates": [{"name": gate.name, "help": inspect.getdoc(gate)} for gate in gates.GATES],
            "settings": [setting.as_json() for setting in gates.settings()],
        }

    async def _swap(self, asked: dict[str, Any]) -> Any:
        model, values = _take(asked, "model", "gates")
        if not isinstance(model, str) or not 0 < len(model) <= _LONGEST_NAME:
            raise UsageError("model: expected the name of a model, or the path of one")
        if not isinstance(values or {}, dict):
            raise UsageError("gates: expected an object")
        self._swapper.start(model, gates.gates_from(values or {}))
        progress = self._swapper.progress
        return progress.as_json() if progress is not None else {}

    async def _say_progress(self, asked: dict[str, Any]) -> Any:
        (number,) = _take(asked, "number")
        progress = self._swapper.progress
        if progress is None:
            raise UsageError("nothing was swapped yet")
        if number is None or progress.number == number:
            return progress.as_json()
        report = self._swapper.report(number) if isinstance(number, int) else None
        if report is None:
            raise UsageError(f"number: there is no swap {number!r}, or it is too long ago")
        return {
            "number": report.number,
            "old": report.old,
            "new": report.new,
            "doing": "",
            "checks": report.as_json()["checks"],
            "report": report.as_json(),
        }

    async def _revert(self, asked: dict[str, Any]) -> Any:
        _take(asked)
        report = await asyncio.get_running_loop().run_in_executor(None, self._swapper.revert)
        return report.as_json()

    async def _say_history(self, asked: dict[str, Any]) -> Any:
        _take(asked)
        return {"reports": [report.as_json() for report in self._swapper.history]}


def _as_json(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return _wrong(415, _SENTENCES_FOR[415])
        try:
            asked = await json_of(request, empty=b"{}")
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return _wrong(400, _SENTENCES_FOR[400])
        try:
            return web.json_response(await answer(asked))
        except UsageError as exc:
            return _wrong(400, str(exc))
        except EdgeVisionError as exc:
            return _wrong(409, str(exc))

    return handle


def _wrong(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


def _take(asked: dict[str, Any], *names: str) -> list[Any]:
    """The values of ``names``. Raises `UsageError` for any other key: a slip must not be taken for a default."""
    unknown = set(asked) - set(names)
    if unknown:
        known = ", ".join(names) or "none"
        raise UsageError(f"unknown key {', '.join(map(repr, sorted(unknown)))}; known are {known}")
    return [asked.get(name) for name in names]


def _models() -> list[dict[str, Any]]:
    """The models that can be swapped in by name, as the page lists them."""
    return [row.for_page() for row in model_rows() if not row.hidden]
