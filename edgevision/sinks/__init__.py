"""Where results go: one file a sink, and this one table of them.

    sink = open_sink("json", "results.jsonl")

To add a sink: a file here with a class that keeps the contract `edgevision.interfaces.Sink`
(tests/sinks/test_sink_contract.py says what that means), and a line in the table; ``edgevision run --sink NAME=TARGET``
then writes to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, cast

from edgevision.errors import UsageError
from edgevision.interfaces import Controls, Sink


@dataclass(frozen=True, slots=True)
class SinkKind:
    """A sink's class, and what it is constructed with."""

    place: str
    """``module:Class``, imported when first asked for: a machine without a display never loads a window."""
    target: str | None = None
    """What its first argument names (``FILE``, ``URL``); None where it takes none."""
    controlled: bool = False
    """It takes `Controls` after the target: its users, or its reader's end, may stop the loop."""


SINKS: Mapping[str, SinkKind] = MappingProxyType(
    {
        "window": SinkKind("edgevision.sinks.window:WindowSink", controlled=True),
        "browser": SinkKind("edgevision.sinks.browser:BrowserSink"),
        "video": SinkKind("edgevision.sinks.video_file:VideoFileSink", "FILE"),
        "json": SinkKind("edgevision.sinks.json_lines:JsonLinesSink", "FILE", controlled=True),
        "none": SinkKind("edgevision.sinks.null:NothingSink"),
    }
)


def open_sink(name: str, *arguments: Any, **options: Any) -> Sink:
    """The sink of that name, opened with the arguments of its class.

    Raises `UsageError` for a name that is not in the table, and what the sink raises: `SinkError` where results
    cannot go there, always before the first frame.
    """
    module, _, kind = sink_kind(name).place.partition(":")
    return cast(Sink, getattr(import_module(module), kind)(*arguments, **options))


def open_sinks(asked: Iterable[tuple[str, str | None]], controls: Controls, stack: ExitStack) -> list[Sink]:
    """The sinks of (name, target) pairs, in their order; ``stack`` closes them.

    Raises `UsageError` for a name that is not in the table, for a target that is missing or not taken, and what the
    sink raises.
    """
    opened = []
    for name, target in asked:
        kind = sink_kind(name)
        if kind.target is not None and target is None:
            raise UsageError(f"the sink {name} expects where to write: {name}={kind.target}")
        if kind.target is None and target is not None:
            raise UsageError(f"the sink {name} takes no target, got {target!r}")
        arguments = [*([target] if kind.target is not None else []), *([controls] if kind.controlled else [])]
        sink = open_sink(name, *arguments)
        stack.callback(sink.close)
        opened.append(sink)
    return opened


def sink_kind(name: str) -> SinkKind:
    """The table's row of that name. Raises `UsageError`."""
    if name not in SINKS:
        raise UsageError(f"expected a sink of {', '.join(SINKS)}, got {name!r}")
    return SINKS[name]
