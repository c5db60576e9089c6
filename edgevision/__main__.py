"""The way in: ``edgevision``, and ``python -m edgevision``."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Run a command. Ctrl-C and SIGTERM while its code is still imported, seconds on a small board, end it as quietly
    as later: with what it had opened closed, and exit code 130 or 143."""
    try:
        signal.signal(signal.SIGTERM, _terminate)
        from edgevision.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends what closing waits for
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
