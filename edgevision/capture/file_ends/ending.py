"""The three answers to "is this file whole?"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ending:
    """Whole where neither is said."""

    cut: str | None = None
    """How the file falls short of its end, in words."""
    damaged: str | None = None
    """Where it is not what its container allows, in words."""
    unknown: str | None = None
    """Why it cannot be known whether the file is whole."""


def proved() -> Ending:
    return Ending()


def cut_off(words: str) -> Ending:
    return Ending(cut=words)


def damaged(words: str) -> Ending:
    return Ending(damaged=words)


def unknown(words: str) -> Ending:
    return Ending(unknown=words)


def zeros_from(file_part: bytes) -> bool:
    """Whether a part that should be something is nothing but zeros."""
    return bool(file_part) and not file_part.strip(b"\0")
