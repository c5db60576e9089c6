"""The way in: ``edgevision``, and ``python -m edgevision``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> None:
    """Run a command. Ctrl-C and SIGTERM while its code is still imported, seconds on a small board, end it as quietly
    as later: with what it had opened closed, and exit code 130 or 143."""
    try:
        signal.signal(signal.SIGTERM, _terminate)
        _hide_token()
        from edgevision.cli import main as command

        command()
    except KeyboardInterrupt:
        _end_interrupted()
    except SystemExit as exc:
        if exc.code == 130:
            _end_interrupted()
        raise


def _end_interrupted() -> NoReturn:
    """Exit with 130. What was opened is closed by now.

    Not by `sys.exit`: an interpreter in which a KeyboardInterrupt has passed through certain frames ends itself by
    SIGINT after all, though it was handled.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(130)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends what closing waits for
    sys.exit(128 + number)


def _hide_token() -> None:
    """Start this command again with ``--token`` moved to the environment, which only this user can read.

    What is on a command line, every user of the machine can. Returns where there is nothing to hide, or no way to.
    """
    words, token = _without_token(sys.orig_argv)
    if token is None or sys.platform == "win32":
        return
    os.execve(sys.executable, [sys.executable, *words[1:]], {**os.environ, "EDGEVISION_TOKEN": token})


def _without_token(words: list[str]) -> tuple[list[str], str | None]:
    for k, word in enumerate(words):
        if word == "--":
            break
        if word == "--token" and k + 1 < len(words):
            return [*words[:k], *words[k + 2 :]], words[k + 1]
        if word.startswith("--token="):
            return [*words[:k], *words[k + 1 :]], word.partition("=")[2]
    return words, None


if __name__ == "__main__":
    main()
