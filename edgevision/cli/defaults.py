"""What ``edgevision run`` does by default on this machine, where ``edgevision bench tune --write`` has put it down."""

from __future__ import annotations

from collections.abc import Sequence

from edgevision.cli.console import announce
from edgevision.detectors.registry import user_data_folder
from edgevision.errors import UsageError
from edgevision.regular_file import parse_toml, read_regular_text

KEYS = {"model": str, "imgsz": int, "threads": int, "workers": int, "streams": int, "detect_every": int}
_RENAMED = {"streams": "workers"}
"""The file keeps the name of an option that it was written with."""


def run_defaults(words: Sequence[str]) -> dict[str, str | int]:
    """Options that are not given in ``words``, from the user's ``run.toml``; none where a model is named.

    Raises `UsageError` for a file that is damaged or holds anything else.
    """
    if any(word == "--model" or word.startswith("--model=") for word in words):
        return {}  # what was tuned was tuned for another model
    path = user_data_folder() / "run.toml"
    try:
        values = parse_toml(read_regular_text(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path}: cannot be read as TOML: {exc}; correct or remove it") from exc
    wrong = [key for key, value in values.items() if key not in KEYS or type(value) is not KEYS[key]]
    if wrong:
        known = ", ".join(KEYS)
        raise UsageError(f"{path}: expected {known} in it, got {wrong[0]} = {values[wrong[0]]!r}; correct or remove it")
    values = {_RENAMED.get(key, key): value for key, value in values.items()}
    told = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in values.items())
    announce(f"{told} (from {path})")
    return values
