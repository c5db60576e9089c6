"""What every command shares: options as a dataclass, and old spellings that still work."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from edgevision.cli.help import command_help

Options = TypeVar("Options")
Function = TypeVar("Function", bound=Callable[..., Any])

OLD_SPELLINGS = {
    "--duration": "--seconds",
    "--streams": "--workers",
    "--watch": "--watch-folder",
}
"""Old option to new: a command that has the new one and not the old one still takes the old one, for one release."""


def takes(options: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Make a command of a function of one dataclass: each field, ``name: Annotated[type, typer.Option(…)]``, is one of
    its options."""
    assert is_dataclass(options)

    def decorate(function: Callable[[Options], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**values: Any) -> None:
            function(options(**values))

        hints = get_type_hints(options, include_extras=True)
        command.__annotations__ = hints
        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if field.default is MISSING else field.default,
                    annotation=hints[field.name],
                )
                for field in fields(options)
            ]
        )
        return command

    return decorate


class Command(TyperCommand):
    """A command that takes an option's old spelling, which its help does not show, and names the new one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        renamed = {old: new for old, new in OLD_SPELLINGS.items() if new in own and old not in own}
        end = args.index("--") if "--" in args else len(args)
        words = [_renamed(word, renamed) for word in args[:end]]
        return super().parse_args(ctx, words + args[end:])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(command_help(self, ctx))


class Group(TyperGroup):
    """A group of commands, with the same layout of help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(command_help(self, ctx))


class CommandGroup(typer.Typer):
    """A `typer.Typer` whose commands and group are ours: the same help everywhere, old spellings everywhere."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            cls=Group,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **options,
        )

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        return super().command(name, cls=Command, **options)


def _renamed(word: str, renamed: dict[str, str]) -> str:
    option, equals, value = word.partition("=")
    if option not in renamed:
        return word
    typer.echo(f"edgevision: {option} is now {renamed[option]}; the old spelling goes with the next release", err=True)
    return f"{renamed[option]}{equals}{value}"
