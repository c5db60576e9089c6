"""``scene://``: a camera that needs no hardware and knows the truth. People walk, stand and sit in drawn places."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.scenery.world import PLACES, World
from edgevision.errors import UsageError
from edgevision.interfaces import ContextManaged
from edgevision.types import Detections, Frame, SourceInfo

_SIDES_PX = (64, 4096)
_MOST_PEOPLE = 60
_MOST_FPS = 1000.0
_SWITCH = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False}
_KEYS = "people=5, size=1280x720, fps=30, seed=1, frames=N, live=1, place=" + "|".join(PLACES)


class SceneSource(ContextManaged):
    """The built-in scene. The same seed, size, place and number of people give the same pixels, frame by frame.

    Live, frames happen ``fps`` times a second whether or not they are read: who reads late finds a gap in
    `Frame.index`, and `Frame.captured_ns` is when the frame was due. Not live, it is like a file: every frame in
    order as fast as it is read, `Frame.captured_ns` the time of reading. A frame is always 1/30 s of the scene's own
    time, so that frame k does not depend on ``fps``. `Frame.truth` has the boxes of the people who can be seen.
    """

    trouble: str | None = None

    def __init__(
        self,
        people: int = 5,
        size_wh: tuple[int, int] = (1280, 720),
        fps: float = 30.0,
        seed: int = 1,
        live: bool = True,
        frames: int | None = None,
        place: str | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """``frames`` ends the scene after so many; ``place`` is one of `PLACES`, or the seed's choice.

        ``wait`` (seconds) is how it waits for a frame to be due, and ends early on `close` unless given. Raises
        `UsageError` for what cannot be drawn.
        """
        _check(people, size_wh, fps, seed, frames, place)
        self._world = World(seed, people, size_wh, place)
        self._drawing = threading.Lock()
        self._closing = threading.Event()
        self._clock = clock
        self._wait = self._closing.wait if wait is None else wait
        self._frames = frames
        width, height = size_wh
        name = f"scene://?people={people}&size={width}x{height}&fps={fps:g}&seed={seed}&place={self._world.name}"
        self._info = SourceInfo(name, width, height, float(fps), live, frames)
        self._next = 0
        self._start_ns = clock()

    @classmethod
    def from_address(
        cls,
        address: str,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[float], object] | None = None,
    ) -> Self:
        """``scene://?people=5&size=1280x720&fps=30&seed=1&frames=300&live=0&place=hall``, each part optional.

        Raises `UsageError` for a key or a value that cannot be meant.
        """
        values = _parts(address)
        return cls(
            people=_whole(values, "people", 5),
            size_wh=_size(values),
            fps=_number(values, "fps", 30.0),
            seed=_whole(values, "seed", 1),
            live=_switch(values, "live", True),
            frames=_whole(values, "frames", 0) if "frames" in values else None,
            place=values.get("place"),
            clock=clock,
            wait=wait,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def render(self, index: int) -> tuple[NDArray[np.uint8], Detections]:
        """Frame ``index`` at once, whatever was read: pixels (H, W, 3) BGR and the true boxes."""
        if index < 0:
            raise UsageError(f"expected a frame index from 0, got {index}")
        with self._drawing:
            return self._world.draw(index)

    def read(self) -> Frame | None:
        if self._closing.is_set():
            return None
        if not self._info.live:
            return self._frame(self._next, None)
        newest = (self._clock() - self._start_ns) * self._rate // 1_000_000_000_000
        return self._frame(max(self._next, newest), self._start_ns)

    def close(self) -> None:
        self._closing.set()

    @property
    def _rate(self) -> int:
        """Frames in 1000 s, whole, so that long runs do not drift."""
        assert self._info.fps is not None
        return round(self._info.fps * 1000)

    def _frame(self, index: int, start_ns: int | None) -> Frame | None:
        """Frame ``index``, drawn ahead and held back until it is due if the scene began at ``start_ns``."""
        if self._frames is not None and index >= self._frames:
            return None
        pixels, truth = self.render(index)
        captured_ns = self._clock()
        if start_ns is not None:
            captured_ns = start_ns + -(-index * 1_000_000_000_000 // self._rate)
            while not self._closing.is_set() and (early_ns := captured_ns - self._clock()) > 0:
                self._wait(early_ns / 1e9)
        if self._closing.is_set():
            return None
        self._next = index + 1
        return Frame(pixels, index, captured_ns, self._info, truth)


def scene_picture(
    seed: int, index: int, size_wh: tuple[int, int] = (1280, 720), people: int = 5, place: str | None = None
) -> tuple[NDArray[np.uint8], Detections]:
    """One labelled picture: pixels (H, W, 3) BGR and the boxes of the people in it (class 0, score 1).

    Every seed is other people in another variant of a place. Building the place takes far longer than drawing a
    frame: for several frames of a seed use `SceneSource.render`. Raises `UsageError` for what cannot be drawn.
    """
    _check(people, size_wh, 30.0, seed, None, place)
    if index < 0:
        raise UsageError(f"expected a frame index from 0, got {index}")
    return World(seed, people, size_wh, place).draw(index)


def _check(people: int, size_wh: tuple[int, int], fps: float, seed: int, frames: int | None, place: str | None) -> None:
    low, high = _SIDES_PX
    width, height = size_wh
    if not 0 <= people <= _MOST_PEOPLE:
        raise UsageError(f"scene: expected people from 0 to {_MOST_PEOPLE}, got {people}")
    if not (low <= width <= high and low <= height <= high):
        raise UsageError(f"scene: expected a size of {low} to {high} px a side, got {width}x{height}")
    if not 0.001 <= fps <= _MOST_FPS:  # false for NaN too
        raise UsageError(f"scene: expected fps from 0.001 to {_MOST_FPS:g}, got {fps:g}")
    if seed < 0:
        raise UsageError(f"scene: expected a seed from 0, got {seed}")
    if frames is not None and frames < 1:
        raise UsageError(f"scene: expected frames from 1, got {frames}")
    if place is not None and place not in PLACES:
        raise UsageError(f"scene: expected place to be one of {', '.join(PLACES)}, got {place!r}")


def _parts(address: str) -> dict[str, str]:
    """The keys and values of an address, each once and known."""
    split = urlsplit(address)
    if split.scheme != "scene" or split.netloc or split.path.strip("/") or split.fragment:
        raise UsageError(f"expected scene://?key=value&…, got {address!r}: the keys are {_KEYS}")
    pairs = parse_qsl(split.query, keep_blank_values=True)
    values = dict(pairs)
    known = {part.split("=")[0] for part in _KEYS.split(", ")}
    for key, _ in pairs:
        if key not in known:
            raise UsageError(f"scene:// has no key {key!r}: the keys are {_KEYS}")
    if len(values) < len(pairs):
        raise UsageError(f"expected each key once, got {address!r}: the keys are {_KEYS}")
    return values


def _bad(key: str, wanted: str, value: str) -> UsageError:
    return UsageError(f"scene://: expected {key} to be {wanted}, got {value!r}; the keys are {_KEYS}")


def _whole(values: dict[str, str], key: str, default: int) -> int:
    text = values.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _bad(key, "a whole number", text)
    return int(text)


def _number(values: dict[str, str], key: str, default: float) -> float:
    text = values.get(key, str(default))
    try:
        return float(text)
    except ValueError as exc:
        raise _bad(key, "a number", text) from exc


def _size(values: dict[str, str]) -> tuple[int, int]:
    text = values.get("size", "1280x720")
    width, _, height = text.lower().partition("x")
    if not all(side.isascii() and side.isdigit() and len(side) <= 6 for side in (width, height)):
        raise _bad("size", "WIDTHxHEIGHT in pixels", text)
    return int(width), int(height)


def _switch(values: dict[str, str], key: str, default: bool) -> bool:
    text = values.get(key)
    if text is None:
        return default
    if text.lower() not in _SWITCH:
        raise _bad(key, "1 or 0", text)
    return _SWITCH[text.lower()]
