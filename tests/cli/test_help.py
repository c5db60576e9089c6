"""The help of every command at 80 columns."""

from __future__ import annotations

import re

import pytest
import typer.main
from typer.testing import CliRunner

from edgevision.cli import app
from tests.support.command_line import unknown_options


def commands(command=None, path=()):
    command = command or typer.main.get_command(app)
    yield path
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*path, name))


COMMANDS = sorted(commands())


def help_of(path, columns=80):
    got = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": str(columns)})
    assert got.exit_code == 0, got.output
    return got.output


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_fits_80_columns_and_shows_no_types(path):
    text = help_of(path)
    assert not [line for line in text.splitlines() if len(line) > 80]
    assert not re.search(r"<(bool|int|float|str|path|list)|x>=|int range|float range|\{", text)


def test_defaults_and_required_options_are_shown():
    text = help_of(("distill", "label"))
    assert "--images" in text
    assert "[required]" in text
    assert "[default: local]" in text
    assert "[default: --mirror]" in " ".join(text.split())


@pytest.mark.parametrize("path", [p for p in COMMANDS if p], ids=" ".join)
def test_help_has_examples_that_the_command_line_takes(path):
    block = re.search(r"Examples?:\n((?:  .*\n)+)", help_of(path, 100))
    assert block, "an example is missing"
    lines = re.sub(r"\\\n\s+", "", block[1]).splitlines()
    assert lines
    for line in lines:
        if line.strip().startswith("edgevision "):
            assert not unknown_options(line.strip()), line
