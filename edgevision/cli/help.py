"""The help of every command: what it does, examples, and options in two columns that fit 80 characters."""

from __future__ import annotations

import enum
import shutil
import textwrap
from collections.abc import Iterable
from typing import Any

import typer

MOST_WIDTH = 100
"""Lines longer than this are hard to read, however wide the terminal is."""
_LEFT_MOST = 26
"""The column of options; a longer option has its help on the next line."""
_NO_BREAK = "\N{NO-BREAK SPACE}"

PLACEHOLDERS = {
    "out": "FOLDER",
    "save": "FILE",
    "json": "FILE",
    "seconds": "S",
    "frames": "N",
    "threads": "N",
    "workers": "N",
    "streams": "N",
    "epochs": "N",
    "conf": "SCORE",
    "imgsz": "PX",
    "width": "PX",
    "height": "PX",
    "classes": "A,B,C",
    "budget-ms": "MS",
    "api-url": "URL",
    "api-model": "NAME",
    "source": "SOURCE",
    "teacher": "MODEL",
    "baseline": "MODEL",
    "then": "MODEL",
    "model": "MODEL",
    "student": "RECIPE",
    "init": "NET",
    "soft": "TARGETS",
    "images": "FOLDER",
    "calibrate": "FOLDER",
    "labels": "DATASET",
    "side": "PX",
    "most": "N",
    "every": "N",
    "address": "HOST:PORT",
    "budget": "TIME",
    "sustained": "TIME",
    "html": "FILE",
    "svg": "FILE",
    "bench": "FILE",
    "answers": "FILE",
    "min-ap": "AP50",
    "shadow": "N",
    "recall-of-old": "SHARE",
    "watch-seconds": "S",
    "frames-month": "N",
    "labelled-images": "N",
    "unlabelled": "N",
    "days": "N",
    "machine-hour": "PRICE",
    "person-hour": "PRICE",
    "api-frame": "PRICE",
    "prompts": "FILE|TEXT",
    "review-conf": "SCORE",
    "val": "DATASET",
    "data": "DATASET",
    "licence": "TEXT",
}
"""What stands for an option's value where the option does not say; else the option's last word, in capitals."""


def command_help(command: Any, ctx: Any) -> str:
    """The help text of a click command or group, with ANSI styles where click keeps them."""
    width = min(shutil.get_terminal_size().columns, MOST_WIDTH)
    lines = [_bold("Usage:") + f" {ctx.command_path} {_usage(command)}", ""]
    lines += _prose(command.help or "", width)
    lines += _commands(command, ctx, width)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    lines += _section("Arguments", [(_argument(p), p.help or "") for p in arguments], width)
    panels: dict[str, list[tuple[str, str]]] = {"Options": []}
    for param in command.get_params(ctx):
        if param.param_type_name == "option" and not param.hidden:
            panel = getattr(param, "rich_help_panel", None) or "Options"
            panels.setdefault(panel, []).append((_option(param), _words(param, ctx)))
    for title, rows in panels.items():
        lines += _section(title, rows, width)
    return "\n".join(lines).rstrip() + "\n"


def _usage(command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = ["[OPTIONS]", *(_argument(p) if p.required else f"[{_argument(p)}]" for p in arguments)]
    return " ".join([*words, "COMMAND"] if hasattr(command, "list_commands") else words)


def _prose(text: str, width: int) -> list[str]:
    """Paragraphs, wrapped; an indented one is a block of commands, kept as it is."""
    lines: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("    "):
            lines += [f"  {line[4:].rstrip()}" for line in paragraph.splitlines()]
        elif paragraph.strip() in ("Example:", "Examples:"):
            lines.append(_bold(paragraph.strip()))
            continue
        else:
            lines += textwrap.wrap(" ".join(paragraph.split()), width)
        lines.append("")
    return lines


def _commands(command: Any, ctx: Any, width: int) -> list[str]:
    if not hasattr(command, "list_commands"):
        return []
    rows = []
    for name in command.list_commands(ctx):
        sub = command.get_command(ctx, name)
        if sub is not None and not sub.hidden:
            rows.append((name, _first_sentence(sub.help or "")))
    return _section("Commands", rows, width)


def _first_sentence(text: str) -> str:
    first = " ".join(text.strip().split("\n\n")[0].split())
    return first.split(". ")[0].rstrip(".")


def _section(title: str, rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    rows = list(rows)
    if not rows:
        return []
    left = min(max(len(name) for name, _ in rows), _LEFT_MOST)
    lines = [_bold(f"{title}:")]
    for name, words in rows:
        room = max(width - left - 4, 20)
        wrapped = textwrap.wrap(words, room, break_long_words=False, break_on_hyphens=False) or [""]
        wrapped = [line.replace(_NO_BREAK, " ") for line in wrapped]
        if len(name) > left:
            lines += [f"  {name}", *(f"  {'':<{left}}  {line}" for line in wrapped)]
        else:
            lines.append(f"  {name:<{left}}  {wrapped[0]}".rstrip())
            lines += [f"  {'':<{left}}  {line}" for line in wrapped[1:]]
    return [*lines, ""]


def _argument(param: Any) -> str:
    name = param.metavar or str(param.name).strip("_").upper()
    return f"{name}..." if param.nargs != 1 and not name.endswith("...") else name


def _option(param: Any) -> str:
    """``-v, --verbose``, ``--track/--no-track``, ``--conf SCORE``."""
    names = ", ".join(sorted(param.opts, key=len))
    if param.secondary_opts:
        names += "/" + param.secondary_opts[0]
    if getattr(param, "is_flag", False) or getattr(param, "count", False):
        return names
    long = max(param.opts, key=len).lstrip("-")
    return f"{names} {param.metavar or PLACEHOLDERS.get(long) or long.rpartition('-')[2].upper()}"


def _words(param: Any, ctx: Any) -> str:
    """An option's help with its default."""
    words = (param.help or "").strip()
    if param.required:
        return f"{words} {_mark('required')}"
    default = param.get_default(ctx, call=False)
    if isinstance(default, enum.Enum):
        default = default.value
    if not getattr(param, "show_default", False) or default in (None, "", (), []) or callable(default):
        return words
    if isinstance(default, bool):
        if not param.secondary_opts:
            return words
        default = (param.opts if default else param.secondary_opts)[0]
    return f"{words} {_mark(f'default: {default:g}' if isinstance(default, float) else f'default: {default}')}"


def _mark(text: str) -> str:
    """``[text]``, not broken over two lines: textwrap takes no-break spaces for letters."""
    return f"[{text}]".replace(" ", _NO_BREAK)


def _bold(text: str) -> str:
    return typer.style(text, bold=True)
