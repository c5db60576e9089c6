"""What a person may ask of a running loop."""

from __future__ import annotations

import threading


class Controls:
    """What a person asks of the running loop, from a window, a page or a signal. Safe from any thread."""

    def __init__(self) -> None:
        self._quit = threading.Event()
        self._paused = threading.Event()
        self._snapshot = threading.Event()

    def quit(self) -> None:
        self._quit.set()

    @property
    def quitting(self) -> bool:
        return self._quit.is_set()

    def toggle_pause(self) -> bool:
        """Pause or go on; returns whether it is paused now."""
        if self._paused.is_set():
            self._paused.clear()
        else:
            self._paused.set()
        return self._paused.is_set()

    @property
    def paused(self) -> bool:
        return self._paused.is_set()

    def ask_snapshot(self) -> None:
        self._snapshot.set()

    def take_snapshot_request(self) -> bool:
        """True once for each time (or several at once) that a snapshot was asked for."""
        if self._snapshot.is_set():
            self._snapshot.clear()
            return True
        return False
