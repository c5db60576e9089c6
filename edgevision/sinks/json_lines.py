"""One line of JSON a frame, to a file or to standard output.

    {"frame": 12, "captured_ns": 81020030040, "age_ms": 14.2, "model": "person@1.0.0", "source": "/dev/video0",
     "size": [1280, 720], "predicted": false, "looks": 1, "times_ms": {"capture": 31.0, …}, "detections":
     [{"box": [x1, y1, x2, y2], "score": 0.8731, "class": "person", "class_id": 0, "track_id": 3}]}

Where no frames come, that is a line too, once for each state and reason, and once when they come again:

    {"status": "lost", "at_ns": 81022030040, "age_ms": 1520.1, "model": "person@1.0.0", "source": "/dev/video0",
     "detail": "/dev/video0 gave no frame for 2 s"}

An event of a zone or a line is a line of its own, before that of its frame:

    {"event": "enter", "id": "3f2a-7", "place": "yard", "direction": "", "class": "person", "track_id": 3,
     "began_ns": 81020030040, "at_ns": 81220030040, "box": [x1, y1, x2, y2], "score": 0.91, "model": "person@1.0.0",
     "source": "/dev/video0"}

Every line is handed to the system at once and whole: what is in the file after a crash is lines, and
``edgevision run --json - | jq`` shows each frame as it happens.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import SinkError
from edgevision.interfaces import ContextManaged, Controls
from edgevision.types import Event, Result, Status

_log = logging.getLogger(__name__)
_ATOMIC_BYTES = 512 if sys.platform == "darwin" else 4096
"""A pipe that says it is writable takes this much without blocking (PIPE_BUF)."""


def as_record(result: Result, now_ns: int) -> dict[str, Any]:
    """The line of a result. Boxes to a tenth of a pixel, scores to four places, times to a microsecond."""
    found = result.detections
    tracks = [None] * len(found) if found.track_ids is None else found.track_ids.tolist()
    return {
        "frame": result.frame.index,
        "captured_ns": result.frame.captured_ns,
        "age_ms": round(result.age_ms(now_ns), 3),
        "model": result.model,
        "source": result.frame.source.name,
        "size": list(result.frame.size_wh),
        "predicted": result.predicted,
        "looks": result.looks,
        "times_ms": result.times.as_ms(),
        "detections": [
            {
                "box": [round(edge, 1) for edge in box],
                "score": round(score, 4),
                "class": result.classes[class_id] if 0 <= class_id < len(result.classes) else f"class {class_id}",
                "class_id": class_id,
                "track_id": None if track is None or track < 0 else track,
            }
            for box, score, class_id, track in zip(
                found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), tracks, strict=True
            )
        ],
    }


def event_record(event: Event) -> dict[str, Any]:
    """The line of an event: what happened (`Event.name`), where, to which object."""
    return {
        "event": event.name,
        "id": event.id,
        "place": event.place,
        "direction": event.direction,
        "class": event.class_name,
        "track_id": event.track_id,
        "began_ns": event.began_ns,
        "at_ns": event.moment_ns,
        "box": [round(edge, 1) for edge in event.last_box],
        "score": round(event.score, 4),
        "model": event.model,
        "source": event.source,
    }


def status_record(status: Status, now_ns: int) -> dict[str, Any]:
    """The line of a state without frames: ``lost`` or ``paused``, or ``running`` once it is over."""
    return {
        "status": status.state,
        "at_ns": now_ns,
        "age_ms": round(status.age_ms, 3),
        "model": status.model,
        "source": status.source,
        "detail": status.detail,
    }


class JsonLinesSink(ContextManaged):
    """Writes lines to ``path``, or to standard output for ``-``. The first line replaces an old file of that name.

    A reader that goes away (``| head``) ends the loop through ``controls``, quietly, as every tool in a pipe does.
    A reader that stalls makes a file's loop wait; a live source's lines are left out and counted instead, since the
    camera will not wait. A full disk is one warning: the loop goes on, and the file keeps its whole lines.

    Raises `SinkError` on construction where ``path`` cannot be written.
    """

    def __init__(
        self,
        path: Path | str,
        controls: Controls | None = None,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._controls = controls
        self._now_ns = now_ns
        self._open = True
        self._written_bytes = 0
        self._lines = 0
        self._told = ("running", "")
        self._made = False
        self.skipped = 0
        """Lines left out because the reader of a live source's lines stalled."""
        self._to_pipe = str(path) == "-"
        if self._to_pipe:
            self.name = "standard output"
            try:
                sys.stdout.flush()
                # A descriptor of its own: closing it flushes nothing of anybody else's.
                self._fd = os.dup(sys.stdout.fileno())
            except (OSError, ValueError, AttributeError) as exc:
                raise SinkError("standard output is closed: name a file for the JSON lines instead of -") from exc
        else:
            self.name = str(path)
            self._made = not os.path.lexists(path)
            try:
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
            except OSError as exc:
                raise SinkError(
                    f"JSON lines cannot be written to {path}: {exc.strerror}; name a file in a folder you may write to"
                ) from exc
            # A named pipe or /dev/stdout can stall and break like any other pipe.
            self._to_pipe = not Path(path).is_file()

    @property
    def wants_picture(self) -> bool:
        return False

    def publish(self, result: Result, picture: NDArray[np.uint8] | None, status: Status) -> None:
        now_ns = self._now_ns()
        if self._told[0] != "running":
            self._told = ("running", "")
            self._put(status_record(replace(status, state="running", detail=""), now_ns), waits=True)
        self._put(as_record(result, now_ns), waits=not result.frame.source.live)

    def publish_events(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._put(event_record(event), waits=True)

    def notice(self, status: Status) -> None:
        """A line where no frames come and why, or its reason, is new."""
        if status.state in ("lost", "paused") and status.news != self._told:
            self._told = status.news
            self._put(status_record(status, self._now_ns()), waits=False)

    def _put(self, record: dict[str, Any], waits: bool) -> None:
        if not self._open:
            return
        line = json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"
        try:
            if self._to_pipe:
                self._write_to_pipe(line.encode(), waits)
            else:
                if self._lines == 0:
                    os.ftruncate(self._fd, 0)
                self._write(line.encode())
                self._written_bytes += len(line)
            self._lines += 1
        except BrokenPipeError:
            self._stop()
            if self._controls is not None:
                self._controls.quit()
        except OSError as exc:
            if not self._to_pipe:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._written_bytes)  # Half a line would spoil the file for its readers.
            self._stop()
            _log.warning("JSON lines to %s stopped: %s; the loop continues", self.name, exc.strerror)

    def close(self) -> None:
        if self._open:
            self._stop()
        if self.skipped:
            _log.warning("%d lines were left out of %s: its reader was slower than frames", self.skipped, self.name)
            self.skipped = 0

    def _stop(self) -> None:
        self._open = False
        os.close(self._fd)
        if self._made and self._lines == 0 and not self._to_pipe:
            with contextlib.suppress(OSError):
                Path(self.name).unlink()  # Checking that it can be written left an empty file.

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def _write_to_pipe(self, data: bytes, waits: bool) -> None:
        """Write without ever being stuck in a system call that a request to quit could not end."""
        if sys.platform == "win32":  # select knows only sockets there
            self._write(data)
            return
        for start in range(0, len(data), _ATOMIC_BYTES):
            first = start == 0
            while not select.select([], [self._fd], [], 0.1 if waits or not first else 0.0)[1]:
                if first and not waits:
                    self.skipped += 1
                    return
                if self._controls is not None and self._controls.quitting:
                    return
            self._write(data[start : start + _ATOMIC_BYTES])
