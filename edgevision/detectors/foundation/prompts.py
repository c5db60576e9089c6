"""What to look for: the words that stand for each class. Shared by detection, benchmark and distillation.

Inline, classes apart by ``;``:       ``person: a person, a worker; helmet: a hard hat``
A text file, a class a line:          ``person: a person, a worker``       (``#`` begins a comment)
A TOML file, at the top or in [prompts]:  ``person = ["a person", "a worker"]``

A class without words is looked for by its own name.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgevision.errors import UsageError
from edgevision.regular_file import parse_toml, read_regular_text

MOST_BYTES = 1 << 20
"""A file of words is not larger; a video given by mistake is."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Classes in order, each with one or more prompts. Raises `UsageError` where a class or a prompt is not one."""

    classes: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    """The prompts of each class."""

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.texts) or not self.classes:
            raise UsageError(f"prompts: expected at least one class, each with its prompts, got {len(self.classes)}")
        for name, texts in zip(self.classes, self.texts, strict=True):
            if not name.strip() or not texts or not all(t.strip() for t in texts):
                raise UsageError(
                    f"prompts: expected a class with a name and at least one prompt, got {name!r}: {texts}"
                )
        if twice := {c for c in self.classes if self.classes.count(c) > 1}:
            raise UsageError(f"prompts: the class {min(twice)!r} is named twice; give all its prompts at once")

    @property
    def flat(self) -> tuple[str, ...]:
        """All prompts, class by class."""
        return tuple(text for texts in self.texts for text in texts)

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The class of each of `flat`."""
        return tuple(k for k, texts in enumerate(self.texts) for _ in texts)

    @classmethod
    def default(cls) -> Prompts:
        """People: what the bundled model finds."""
        return cls(("person",), (("a person",),))

    @classmethod
    def of_classes(cls, classes: Iterable[str]) -> Prompts:
        """Each class by its own name."""
        names = tuple(classes)
        return cls(names, tuple((name,) for name in names))

    @classmethod
    def given(cls, text: str) -> Prompts:
        """A file where there is one of that name, else the inline form."""
        if _is_file(text):
            return cls.read(Path(text).expanduser())
        looks_like_path = text.endswith((".toml", ".txt")) or (os.sep in text and ":" not in text)
        if looks_like_path:
            raise UsageError(
                f"{text}: no such file; expected a prompts file, or 'class: prompt, prompt; class: prompt'"
            )
        return cls.parse(text)

    @classmethod
    def parse(cls, text: str, where: str = "prompts") -> Prompts:
        """The inline form or a text file's lines. Errors name the line, where there is more than one."""
        lines = text.splitlines()
        entries: list[tuple[str, str, tuple[str, ...]]] = []
        for number, line in enumerate(lines, start=1):
            place = f"{where}, line {number}" if len(lines) > 1 else where
            parts = [part for part in line.partition("#")[0].split(";") if part.strip()]
            entries.extend((place, *_entry(part, place)) for part in parts)
        return _joined(entries, where)

    @classmethod
    def read(cls, path: Path) -> Prompts:
        """A ``.toml`` file, or any other as text. Raises `UsageError` naming file and line."""
        try:
            if path.stat().st_size > MOST_BYTES:
                raise UsageError(f"{path}: expected a small file of prompts, got {path.stat().st_size >> 20} MiB")
            text = read_regular_text(path)
        except UnicodeDecodeError:
            raise UsageError(f"{path}: expected prompts as UTF-8 text, got something else") from None
        except OSError as exc:
            raise UsageError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
        return _from_toml(text, str(path)) if path.suffix.lower() == ".toml" else cls.parse(text, str(path))

    def to_text(self) -> str:
        """As a text file: `parse` gives the same again."""
        return "".join(f"{name}: {', '.join(texts)}\n" for name, texts in zip(self.classes, self.texts, strict=True))


def _is_file(text: str) -> bool:
    try:
        return Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False  # too long or too odd for a path


def _entry(part: str, place: str) -> tuple[str, tuple[str, ...]]:
    name, colon, rest = part.partition(":")
    name = name.strip()
    if not colon:
        if "," in name:
            raise UsageError(
                f"{place}: expected 'class: prompt, prompt', got {part.strip()!r}; put ';' between classes"
            )
        return name, (name,)
    texts = tuple(t.strip() for t in rest.split(",") if t.strip())
    if not name or not texts:
        raise UsageError(f"{place}: expected 'class: prompt, prompt', got {part.strip()!r}")
    return name, texts


def _from_toml(text: str, where: str) -> Prompts:
    try:
        table = parse_toml(text)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"{where}: is not TOML: {exc}") from exc
    table = table.get("prompts", table)
    if not isinstance(table, dict):
        raise UsageError(f"{where}: expected a table [prompts] of classes, got {type(table).__name__}")
    entries: list[tuple[str, str, tuple[str, ...]]] = []
    for name, value in table.items():
        place = f"{where}, line {_line_of(name, text)}"
        values = [value] if isinstance(value, str) else value
        right = isinstance(values, list) and values and all(isinstance(v, str) and v.strip() for v in values)
        if not right:
            raise UsageError(f'{place}: expected {name} = "prompt" or ["prompt", "prompt"], got {value!r}')
        entries.append((place, name.strip(), tuple(v.strip() for v in values)))
    return _joined(entries, where)


def _line_of(key: str, text: str) -> int:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip().strip("\"'[").startswith(key):
            return number
    return 1


def _joined(entries: list[tuple[str, str, tuple[str, ...]]], where: str) -> Prompts:
    if not entries:
        raise UsageError(f"{where}: expected at least one class, as 'class: prompt, prompt'; got none")
    seen: set[str] = set()
    for place, name, _ in entries:
        if name in seen:
            raise UsageError(f"{place}: the class {name!r} is named twice; give all its prompts at once")
        seen.add(name)
    return Prompts(tuple(name for _, name, _ in entries), tuple(texts for _, _, texts in entries))
