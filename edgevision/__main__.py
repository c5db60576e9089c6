"""The way in: ``edgevision``, and ``python -m edgevision``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command. Ctrl-C while its code is still imported, seconds on a small board, ends it as quietly as later."""
    try:
        from edgevision.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
