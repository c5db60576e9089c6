"""Fields of a dataclass that people and programs set: by an option, by a key in JSON, on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields
from functools import wraps
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, get_type_hints

from edgevision.errors import UsageError

T = TypeVar("T")


class Setting(NamedTuple):
    """One field, as it is met from outside."""

    name: str
    """Of the field, and key in JSON."""
    kinds: tuple[type, ...]
    """What it may be: float, int or str, and None."""
    default: Any
    help: str
    unit: str = ""
    """In words, many of it: milliseconds."""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    """It must be more than that."""
    option: str | None = None
    """On the command line; None where it is not there."""
    label: str | None = None
    """On the page; None where it is not there."""
    is_path: bool = False

    def check(self, value: Any) -> None:
        """Raises `UsageError` where ``value`` cannot be meant."""
        if value is None and type(None) in self.kinds:
            return
        kinds = (*self.kinds, int) if float in self.kinds else self.kinds
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise UsageError(f"{self.name} cannot be {value!r}")
        if not isinstance(value, int | float):
            return
        if self.above is not None and not value > self.above:
            raise UsageError(f"{self.name}: expected {self.unit or 'a number'} above {self.above:g}, got {value:g}")
        if self.low is not None and not self.low <= value <= (value if self.high is None else self.high):
            number = f"at least {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"
            expected = f"{number} {self.unit}" if self.unit else f"a number from {number}".replace("from at", "of at")
            raise UsageError(f"{self.name}: expected {expected}, got {value:g}")

    def as_json(self) -> dict[str, Any]:
        """For a page that asks for it."""
        kind = {int: "integer", float: "number", str: "text"}[self.kinds[0]]
        asked = {"name": self.name, "label": self.label, "help": self.help, "kind": kind, "default": self.default}
        return asked | {"min": self.low if self.above is None else self.above, "max": self.high}


def setting(default: Any, words: str, **more: Any) -> Any:
    """A dataclass's field that is a `Setting` with the help ``words``; ``more`` are others of its fields."""
    return field(default=default, metadata={"setting": {"help": words, **more}})


def settings_of(kind: type) -> tuple[Setting, ...]:
    """Those of a dataclass, in their order."""
    hints = get_type_hints(kind)
    return tuple(
        Setting(f.name, getattr(hints[f.name], "__args__", (hints[f.name],)), f.default, **f.metadata["setting"])
        for f in fields(kind)
        if "setting" in f.metadata
    )


def renamed(**new_names: str) -> Callable[[type[T]], type[T]]:
    """Let a dataclass take and show old names of its fields too, for one release."""

    def decorate(kind: type[T]) -> type[T]:
        construct = kind.__init__

        @wraps(construct)
        def init(self: T, *values: Any, **named: Any) -> None:
            construct(self, *values, **{new_names.get(name, name): value for name, value in named.items()})

        setattr(kind, "__init__", init)  # noqa: B010 - mypy takes no other way
        for old, new in new_names.items():
            setattr(kind, old, property(attrgetter(new), doc=f"Old name of `{new}`."))
        return kind

    return decorate
