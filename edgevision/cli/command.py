"""What every command shares: options as a dataclass, and old spellings that still work."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from edgevision.cli.help import command_help

if TYPE_CHECKING:
    from edgevision.deployment.settings import Setting

Options = TypeVar("Options")
Function = TypeVar("Function", bound=Callable[..., Any])

OLD_SPELLINGS = {
    "--duration": "--seconds",
    "--streams": "--workers",
    "--against": "--baseline",
    "--answer": "--answer-type",
    "--budget": "--budget-ms",
    "--decide": "--answers",
    "--device": "--target",
    "--doubt": "--review-conf",
    "--labels": "--labelled-images",
    "--score": "--conf",
    "--side": "--imgsz",
    "--sure": "--conf",
    "--watch": "--watch-folder",
    "--watch-s": "--watch-seconds",
}
"""Old option to new: a command that has the new one and not the old one still takes the old one, for one release."""


def takes(options: type[Options]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function whose last parameter is a dataclass: each field, ``name: Annotated[type,
    typer.Option(…)]``, is one of its options. A first parameter may be the `typer.Context`."""
    assert is_dataclass(options)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[:-1]

        @functools.wraps(function)
        def command(**values: Any) -> None:
            first = [values.pop(parameter.name) for parameter in own]
            function(*first, options(**values))

        hints = get_type_hints(options, include_extras=True)
        command.__annotations__ = {p.name: p.annotation for p in own} | hints
        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
            + [
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


def has_settings(settings: Iterable[Setting], panel: str) -> Callable[[Function], Function]:
    """Give a function that takes ``settings: dict[str, Any]`` an option for each `Setting` that has one: the dictionary
    holds, by the setting's name, those that are not None."""
    shown = [setting for setting in settings if setting.option is not None]

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(*arguments: Any, **values: Any) -> Any:
            given = {s.name: values.pop(s.name, None) for s in shown}
            chosen = {name: value for name, value in given.items() if value is not None}
            return function(*arguments, settings=chosen, **values)

        signature = inspect.signature(function, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "settings"]
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        added = [_option_of(setting, panel) for setting in shown]
        command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
        return cast(Function, command)

    return decorate


def _option_of(setting: Setting, panel: str) -> inspect.Parameter:
    kind: Any = Path if setting.is_path else setting.kinds[0]
    low = setting.low if setting.above is None else None
    option = typer.Option(
        setting.option, help=setting.help, rich_help_panel=panel, min=low, max=setting.high, resolve_path=True
    )
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=setting.default, annotation=Annotated[kind | None, option]
    )


class _OldSpellings:
    """Takes an option's old spelling, which its help does not show, and names the new one."""

    params: list[Any]

    def modern(self, args: list[str], end: int) -> list[str]:
        """The arguments with the old spellings among the first ``end`` renamed."""
        own = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        renamed = {old: new for old, new in OLD_SPELLINGS.items() if new in own and old not in own}
        end = min(end, args.index("--") if "--" in args else end)
        return [_renamed(word, renamed) for word in args[:end]] + args[end:]


class Command(_OldSpellings, TyperCommand):
    """A command with our layout of help, and old spellings."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self.modern(args, len(args)))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(command_help(self, ctx))


class Group(_OldSpellings, TyperGroup):
    """A group of commands, with the same layout of help; its own options stand before a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = next((k for k, word in enumerate(args) if word in self.commands), len(args))
        return super().parse_args(ctx, self.modern(args, own))

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
