"""The READMEs: length, links, and that every command in them is one that the command line takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.command_line import unknown_options

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted(
    path
    for path in [ROOT / "CONTRIBUTING.md", *ROOT.rglob("README.md")]
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """Of headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def commands(path: Path) -> list[str]:
    """The ``edgevision …`` lines of code blocks; a line that ends in a backslash goes on."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if re.match(r" {4,}edgevision ", line)]


def test_the_first_readme_has_at_most_150_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_links_lead_to_files_and_headings(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f"{target}: there is no such file"
        assert not anchor or anchor in anchors(linked), f"{target}: there is no such heading"


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_commands_are_taken_by_the_command_line(path):
    for line in commands(path):
        assert not unknown_options(line), line
