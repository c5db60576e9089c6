"""What a person may say of a file that is to become a model, and how its text is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevision.errors import UsageError
from edgevision.regular_file import read_regular_text


@dataclass(frozen=True, slots=True)
class AddOptions:
    """What the caller says about a file; all of it may be left out."""

    name: str | None = None
    version: str = "1"
    family: str | None = None
    classes: str | None = None
    """``coco``, a text file with a name a line, or names with commas between."""
    input: str = ""
    """How it is to be fed; see `parse_input`."""
    licence: str | None = None
    front: bool = True
    """Put normalisation and layout inside the graph."""
    replace: bool = False


def parse_input(text: str, channel_order: str = "rgb") -> dict[str, Any]:
    """``"416x320 bgr stretch imagenet"`` to values of the manifest's [input]. Raises `UsageError`.

    ``channel_order`` is the order where the text names none.

    Words in any order, spaces or commas between: a size in px (``416`` or ``416x320``, width first), ``rgb`` or
    ``bgr``, ``letterbox``, ``letterbox-top-left`` or ``stretch``, ``0-1``, ``0-255``, ``-1-1`` or ``imagenet``,
    ``nchw`` or ``nhwc``, ``mean=a/b/c``, ``std=a/b/c``, ``pad=N``.
    """
    values: dict[str, Any] = {}
    imagenet = False
    for word in filter(None, re.split(r"[,\s]+", text.lower())):
        if match := re.fullmatch(r"(\d+)(?:[x×](\d+))?", word):
            values["width_px"], values["height_px"] = int(match[1]), int(match[2] or match[1])
        elif word in ("rgb", "bgr"):
            values["channel_order"] = word
        elif word in ("letterbox", "letterbox-top-left", "stretch"):
            values["resize"] = word
        elif word in ("nchw", "nhwc"):
            values["layout"] = word
        elif word in ("0-1", "0-255", "-1-1"):
            mean, std = {"0-1": (0.0, 255.0), "0-255": (0.0, 1.0), "-1-1": (127.5, 127.5)}[word]
            values["mean"], values["std"] = (mean,) * 3, (std,) * 3
        elif word == "imagenet":
            imagenet = True
        elif match := re.fullmatch(r"(mean|std)=([\d.]+)/([\d.]+)/([\d.]+)", word):
            values[match[1]] = tuple(float(match[k]) for k in (2, 3, 4))
        elif match := re.fullmatch(r"pad=(\d+)", word):
            values["pad_value"] = int(match[1])
        else:
            raise UsageError(
                f"--input: expected a size such as 416x320, rgb|bgr, letterbox|letterbox-top-left|stretch, "
                f"0-1|0-255|-1-1|imagenet, nchw|nhwc, mean=a/b/c, std=a/b/c or pad=N, got {word!r}"
            )
    if imagenet:
        turn = slice(None, None, -1 if values.get("channel_order", channel_order) == "bgr" else 1)
        values["mean"], values["std"] = IMAGENET_MEAN[turn], IMAGENET_STD[turn]
    return values


IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of red, green and blue, in 0-255."""


def parse_classes(text: str) -> tuple[str, ...]:
    """Names from a text file (one a line; blank lines do not count) or with commas between. Raises `UsageError`."""
    path = Path(text).expanduser()
    try:
        is_file = path.is_file()
    except OSError:  # a long list of names is no path
        is_file = False
    if is_file:
        try:
            parts = read_regular_text(path).splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(f"--classes: {path} cannot be read as text: {exc}") from exc
    elif path.suffix.lower() in (".txt", ".names"):
        raise UsageError(f"--classes: {path}: no such file")
    else:
        parts = text.split(",")
    names = tuple(p.strip() for p in parts if p.strip())
    if not names or len(set(names)) != len(names):
        raise UsageError(f"--classes: expected names that differ, got {len(names)} of which {len(set(names))} differ")
    return names
