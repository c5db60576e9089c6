"""Why a camera cannot be read, in a sentence that says what to do. Asked only once something went wrong."""

from __future__ import annotations

import errno
from pathlib import Path

from edgevision.capture import v4l2
from edgevision.errors import SourceNotFound


def checked_node(path: str) -> v4l2.Node:
    """The device node of a camera. Raises `SourceNotFound` saying why it is none."""
    try:
        node = v4l2.inspect(path)
    except OSError as exc:
        if exc.errno in (errno.EACCES, errno.EPERM):
            why = f"{path} may not be opened by this user: sudo usermod -aG video $USER, then log out and in again"
        elif exc.errno == errno.EBUSY:
            why = busy(path)
        elif exc.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            why = f"there is no camera {path}{instead()}"
        elif exc.errno in (errno.ENOTTY, errno.EINVAL):
            why = f"{path} is no video device{instead()}"
        else:
            why = f"{path} cannot be opened ({exc.strerror}){instead()}"
        raise SourceNotFound(why) from exc
    if node.captures:
        return node
    if node.by_libcamera:
        own = v4l2.raspberry_pi() is not None or node.driver in ("unicam", "rp1-cfe")
        hint = "--source csi://0" if own else "a camera application that goes through libcamera or PipeWire"
        raise SourceNotFound(
            f"{path} ({node.driver}) is part of a camera that only libcamera can read: use {hint}{instead(', or ')}"
        )
    raise SourceNotFound(f"{path} ({node.card}) gives no frames: it is the camera's metadata, or an output{instead()}")


def instead(join: str = ": ") -> str:
    """The cameras that there are, for the end of a sentence that said which one is not."""
    nodes = v4l2.nodes()
    usable = [f"{node.path} ({node.card})" for node in nodes if node.captures]
    if usable:
        return f"{join}there {'is' if len(usable) == 1 else 'are'} {', '.join(usable)}"
    own = [node for node in nodes if node.by_libcamera]
    if join == ": " and own and v4l2.raspberry_pi() is not None:
        return ": this Raspberry Pi's own camera is --source csi://0"
    others = [path for path in v4l2.paths() if path not in {node.path for node in own}]
    there = f"none of {', '.join(others)} can be used as a camera" if others else "this machine shows no camera at all"
    return f"; {there}. `edgevision doctor` says more" if join == ": " else ""


def busy(path: str) -> str:
    who = ", ".join(v4l2.holders(path)) or "another program"
    return f"{path} is in use by {who}: close that first"


def why_not_opened(path: str) -> str:
    if v4l2.holders(path):
        return busy(path)
    return (
        f"{path} does not start: OpenCV knows none of its picture formats, or its driver refuses. "
        "`v4l2-ctl --list-formats-ext` shows what it offers; `edgevision doctor` tries every camera"
    )


def why_no_frame(name: str, linux: bool, waited_s: float) -> str:
    if linux and (who := v4l2.holders(name)):
        return f"{name} opens but gives no frame, and {', '.join(who)} has it open too: close that first"
    return (
        f"{name} opens but gave no frame within {waited_s:.0f} s: unplug it and plug it in again, "
        "try another USB port or cable, or a smaller --width and --height. `edgevision doctor` tries every camera"
    )


def why_lost(name: str, linux: bool) -> str:
    if linux and not Path(name).exists():
        return f"{name} is gone: unplugged?"
    if linux:
        try:
            v4l2.inspect(name)
        except OSError as exc:
            return f"{name} is gone ({exc.strerror}): unplugged?"
    return f"{name} stopped giving frames"
