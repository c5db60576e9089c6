"""The frames a benchmark runs on: what makes a source the same one in another run, and one that is read in turns."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from edgevision.bench.records import Clip
from edgevision.capture import open_source
from edgevision.capture.images import SUFFIXES
from edgevision.errors import SourceNotFound, UsageError
from edgevision.interfaces import ContextManaged, Source
from edgevision.regular_file import open_regular
from edgevision.types import Frame, SourceInfo

BUNDLED = Path(__file__).resolve().parent / "assets" / "scene.mp4"
"""300 frames of the built-in scene, 720p H.264. ``scene.json`` beside it has their true boxes."""
SCENE = "scene://?people=5&size=1280x720&fps=30&seed=1"


def describe_clip(address: str) -> Clip:
    """What a source is, seen by opening it once. Raises what `open_source` does."""
    with open_source(address) as source:
        info = source.info
    path = Path(address).expanduser()
    kind: Literal["video", "images", "scene", "live"]
    sha256: str | None = None
    if address.startswith("scene://"):
        kind = "scene"
    elif path.is_dir():
        kind, sha256 = "images", _hash_of(sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES))
    elif path.is_file():
        kind, sha256 = "video", _hash_of([path])
    else:
        kind = "live" if info.live else "video"
    return Clip(
        name=_clip_name(info, path),
        kind=kind,
        sha256=sha256,
        width_px=info.width_px,
        height_px=info.height_px,
        fps=info.fps,
        live=info.live,
        frames=info.frame_count,
    )


def _clip_name(info: SourceInfo, path: Path) -> str:
    if not info.name.startswith("scene://"):
        return path.name if path.exists() else info.name
    return info.name + ("" if info.live else "&live=0")


def _hash_of(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        if len(files) > 1:
            digest.update(path.name.encode() + b"\0")
        with open_regular(path) as file:
            while data := file.read(1 << 20):
                digest.update(data)
    return digest.hexdigest()


class TurnSource(ContextManaged):
    """A source read in turns: each turn ends after so many frames or at its deadline, the next goes on from there.

    At its end a file begins anew with the next turn. A live device is given back between turns where ``shared``:
    another process wants it.
    """

    def __init__(
        self,
        address: str,
        shared: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
        source: Source | None = None,
    ) -> None:
        """``source`` is one that is open already; it is the caller's to close, and cannot begin anew."""
        self._address, self._shared, self._clock = address, shared, clock
        self._given = source
        self._source: Source | None = source
        self._ended = False
        self._deadline_ns = 0
        self._left: int | None = None
        self.trouble: str | None = None

    @property
    def info(self) -> SourceInfo:
        return self._open().info

    def begin_turn(self, seconds: float, frames: int | None = None) -> None:
        """Open what must be opened, and let `read` give frames for so long."""
        if self._ended:
            self._release()
            self._ended = False
        self._open()
        self._left = frames
        self._deadline_ns = self._clock() + round(seconds * 1e9)

    def end_turn(self) -> None:
        """No more frames in this turn. Safe from any thread."""
        self._deadline_ns = 0

    def finish_turn(self) -> None:
        """After the last frame of a turn was served."""
        if self._shared and self._source is not None and self._source.info.live:
            self._release()

    def read(self) -> Frame | None:
        if self._clock() >= self._deadline_ns or self._left == 0:
            return None
        frame = self._open().read()
        if frame is None:
            self._ended = True
            return None
        if self._left is not None:
            self._left -= 1
        return frame

    def close(self) -> None:
        self.end_turn()
        self._release()

    def _open(self) -> Source:
        if self._source is None:
            self._source = open_source(self._address)
        return self._source

    def _release(self) -> None:
        if self._source is not None and self._given is None:
            self._source.close()
            self._source = None


def first_frames(address: str, count: int) -> list[Frame]:
    """Up to ``count`` frames from the beginning of a source. Raises `SourceNotFound` where there is none."""
    frames: list[Frame] = []
    with open_source(address) as source:
        while len(frames) < count and (frame := source.read()) is not None:
            frames.append(frame)
    if not frames:
        raise SourceNotFound(f"{address}: expected frames to measure on, got none")
    return frames


def check_distinct(clips: list[Clip]) -> None:
    """Raises `UsageError` where two sources would be told apart by nothing."""
    names = [clip.name for clip in clips]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"expected each source once, got {twice[0]} twice: leave one out")
