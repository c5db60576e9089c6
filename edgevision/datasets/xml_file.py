"""XML of labelling tools as a tree that knows its lines; entities and document types are refused, not followed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from edgevision.datasets.text_encoding import read_text
from edgevision.errors import UsageError

_MOST_DEPTH = 100


@dataclass(slots=True)
class Element:
    """One element."""

    tag: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> list[Element]:
        """Children of that name."""
        return [c for c in self.children if c.tag == tag]

    def first(self, tag: str) -> Element | None:
        return next((c for c in self.children if c.tag == tag), None)

    def value(self, tag: str) -> str:
        """Text of the first child of that name, nothing where there is none."""
        child = self.first(tag)
        return child.text.strip() if child is not None else ""


def read_xml(path: Path) -> Element:
    """The file's root. Raises `UsageError` with the line of the fault."""
    text = read_text(path)
    root = Element("", 0)
    stack = [root]
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(stack) > _MOST_DEPTH:
            raise UsageError(f"{path}:{parser.CurrentLineNumber}: expected labels, got elements nested without end")
        element = Element(tag, parser.CurrentLineNumber, attributes)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def characters(data: str) -> None:
        stack[-1].text += data

    def refuse(*_: object) -> None:
        raise UsageError(f"{path}:{parser.CurrentLineNumber}: expected labels, got a definition of entities")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(_without_declaration(text), True)
    except expat.ExpatError as exc:
        raise UsageError(f"{path}:{exc.lineno}: expected XML: {expat.ErrorString(exc.code)}") from exc
    if not root.children:
        raise UsageError(f"{path}: expected XML, got nothing")
    return root.children[0]


def _without_declaration(text: str) -> bytes:
    """UTF-8 of a text whose first line names the encoding that it had; lines count as before."""
    text = text.lstrip("\ufeff")
    if text.lstrip().startswith("<?xml"):
        head, _, rest = text.partition("?>")
        text = "\n" * head.count("\n") + rest
    return text.encode("utf-8", "replace")
