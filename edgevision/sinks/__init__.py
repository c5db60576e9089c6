"""Where results go: one file a sink, and this one table of them.

    sink = open_sink("json", "results.jsonl")

To add a sink: a file here with a class that keeps the contract `edgevision.interfaces.Sink`
(tests/sinks/test_sink_contract.py says what that means), and a line in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, cast

from edgevision.errors import UsageError
from edgevision.interfaces import Sink

SINKS: Mapping[str, str] = MappingProxyType(
    {
        "window": "edgevision.sinks.window:WindowSink",
        "browser": "edgevision.sinks.browser:BrowserSink",
        "video": "edgevision.sinks.video_file:VideoFileSink",
        "json": "edgevision.sinks.json_lines:JsonLinesSink",
        "none": "edgevision.sinks.null:NothingSink",
    }
)
"""Name to ``module:Class``, imported when first asked for: a machine without a display never loads a window."""


def open_sink(name: str, *arguments: Any, **options: Any) -> Sink:
    """The sink of that name, opened with the arguments of its class.

    Raises `UsageError` for a name that is not in the table, and what the sink raises: `SinkError` where results
    cannot go there, always before the first frame.
    """
    if name not in SINKS:
        raise UsageError(f"expected a sink of {', '.join(SINKS)}, got {name!r}")
    module, _, kind = SINKS[name].partition(":")
    return cast(Sink, getattr(import_module(module), kind)(*arguments, **options))
