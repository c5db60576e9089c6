"""Where frames come from: one file a kind of source, and this one table of them.

    with open_source("rtsp://camera.local/stream") as source:
        frame = source.read()

To add a source: a file here with a class that keeps the contract `edgevision.interfaces.Source`
(tests/capture/test_source_contract.py says what that means), and a line in the table.
"""

from __future__ import annotations

import glob
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from edgevision.capture.redact import hide_credentials
from edgevision.errors import SourceNotFound, UsageError
from edgevision.interfaces import Source

__all__ = ["KINDS", "Kind", "first_camera", "open_source"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source, and how its address is told from others."""

    name: str
    example: str
    fits: Callable[[str], bool]
    place: str
    """``module:attribute`` of what opens it, imported when first needed: most need a package of their own."""
    takes: frozenset[str]
    """Which of width_px, height_px, fps and clock it can be asked."""
    in_address: bool = False
    """Size and rate are asked of it in its address, as ``?size=640x480&fps=15``."""
    comes_back: bool = False
    """A device that may be lost and return."""


def _scheme(*names: str) -> Callable[[str], bool]:
    starts = tuple(f"{name}://" for name in names)
    return lambda spec: spec.lower().startswith(starts)


def _camera(spec: str) -> bool:
    return spec.isdecimal() or spec.startswith(("/dev/video", "/dev/v4l/"))


def _images(spec: str) -> bool:
    path = Path(spec).expanduser()
    if not spec:
        return False
    if path.is_file():
        from edgevision.capture.images import is_still

        # A GIF is a film as often as not.
        return is_still(path) and path.suffix.lower() != ".gif"
    return path.is_dir() or (glob.has_magic(spec) and "://" not in spec)


def _file(spec: str) -> bool:
    return Path(spec).expanduser().is_file()


_SIZE_AND_FPS = frozenset({"width_px", "height_px", "fps"})
_FPS_AND_CLOCK = frozenset({"fps", "clock"})
_CAPTURE = "edgevision.capture"
KINDS = (
    Kind("camera", "0 or /dev/video0", _camera, f"{_CAPTURE}.camera:CameraSource", _SIZE_AND_FPS, comes_back=True),
    Kind("Pi camera", "csi://0", _scheme("csi"), f"{_CAPTURE}.picamera:PiCameraSource", _SIZE_AND_FPS, comes_back=True),
    Kind(
        "built-in scene",
        "scene://",
        _scheme("scene"),
        f"{_CAPTURE}.scene:SceneSource.from_address",
        _SIZE_AND_FPS | {"clock"},
        in_address=True,
    ),
    Kind(
        "stream",
        "rtsp://host/path, http://host/path, rtmp://, srt:// or udp://",
        _scheme("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp"),
        f"{_CAPTURE}.stream:StreamSource",
        frozenset({"clock"}),
        comes_back=True,
    ),
    Kind(
        "images",
        "an image, a folder or a glob such as 'shots/*.jpg'",
        _images,
        f"{_CAPTURE}.images:ImageSource",
        _FPS_AND_CLOCK,
    ),
    Kind("video", "clip.mp4", _file, f"{_CAPTURE}.video:VideoSource", _FPS_AND_CLOCK),
)
"""In this order: the first that fits an address opens it."""


def open_source(
    spec: str | int | Path,
    *,
    width_px: int | None = None,
    height_px: int | None = None,
    fps: float | None = None,
    rotate: int = 0,
    flip: bool = False,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Source:
    """Open whatever an address names, with its first frame seen; `KINDS` lists them.

    Size and rate are asked of cameras (`Source.info` says what they gave) and of the scene; ``fps`` paces files and
    images, which otherwise come as fast as they are read. Images of any source are rotated clockwise by ``rotate`` (0,
    90, 180 or 270 degrees), then mirrored left to right with ``flip``. ``clock`` gives monotonic nanoseconds. A live
    device that is lost later is opened again until it is back; meanwhile `Source.trouble` says why no frames come.

    Raises `SourceNotFound` where nothing is there, `SourceBroken` where it cannot be read, `UsageError` for a size or
    rate that this kind of source cannot be asked.
    """
    if not (rotate or flip):
        return _open_upright(spec, width_px, height_px, fps, clock)
    from edgevision.capture.orientation import TurnedSource, check_rotation

    check_rotation(rotate)  # before a camera is started for nothing
    return TurnedSource(_open_upright(spec, width_px, height_px, fps, clock), rotate, flip)


def _open_upright(
    spec: str | int | Path,
    width_px: int | None,
    height_px: int | None,
    fps: float | None,
    clock: Callable[[], int],
) -> Source:
    text = str(spec).strip().removeprefix("file://") if isinstance(spec, str) else str(spec)
    kind = next((kind for kind in KINDS if kind.fits(text)), None)
    if kind is None:
        raise SourceNotFound(_unknown(text))
    asked = {"width_px": width_px, "height_px": height_px, "fps": fps}
    options: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    wrong = sorted(name for name, value in options.items() if value <= 0)
    if wrong:
        raise UsageError(f"expected a {wrong[0].removesuffix('_px')} above 0, got {options[wrong[0]]:g}")
    unmet = sorted(options.keys() - kind.takes)
    if unmet:
        words = " and ".join(name.removesuffix("_px") for name in unmet)
        raise UsageError(
            f"{words} can be asked of a camera or the scene, "
            f"{hide_credentials(text)} ({kind.name}) has its own: leave it out"
        )
    if kind.in_address:
        text, options = _with_query(text, options), {}
    if "clock" in kind.takes:
        options["clock"] = clock

    def opened() -> Source:
        return cast(Source, _import(kind.place)(text, **options))

    first = opened()
    if not (kind.comes_back and first.info.live):
        return first
    from edgevision.capture.reconnect import ReconnectingSource

    return ReconnectingSource(opened, first, clock=clock)


def first_camera() -> str | None:
    """Address of the likeliest camera that is plugged in, or None. Looks when called, never at import."""
    cameras = _import(f"{_CAPTURE}.camera:list_cameras")()
    return cast(str, cameras[0].spec) if cameras else None


def _with_query(address: str, asked: dict[str, Any]) -> str:
    width_px, height_px, fps = asked.get("width_px"), asked.get("height_px"), asked.get("fps")
    if (width_px is None) != (height_px is None):
        raise UsageError(f"{address} wants a width and a height together, got one of them: give both")
    parts = [] if width_px is None else [f"size={width_px}x{height_px}"]
    parts += [] if fps is None else [f"fps={fps:g}"]
    return address + ("&" if "?" in address else "?") * bool(parts) + "&".join(parts)


def _import(place: str) -> Any:
    module, _, path = place.partition(":")
    return reduce(getattr, path.split("."), import_module(module))


def _unknown(text: str) -> str:
    expected = "; ".join(kind.example for kind in KINDS)
    scheme = re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE)
    found = f"an unknown kind of address, {hide_credentials(text)}" if scheme else f"nothing at {text!r}"
    return f"expected a source ({expected}), found {found}: check the spelling and the path"
