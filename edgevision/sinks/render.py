"""Drawing what was found, on a copy of the frame it was found in.

A picture returned from here is the caller's to keep: every one is a fresh array, since sinks encode it in
threads of their own long after the loop has gone on. (A fresh 720p copy costs 0.06 ms, because the allocator
hands the same pages out again; a pool of buffers would save nothing and could hand out one still in use.)
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.sinks.outlines import Outline
from edgevision.types import Result, Status

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
"""Blue, green, red, 0-255."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAP_HEIGHT_PX = 22.0
"""Height of a capital in that font at scale 1."""
_STATUS_EVERY_NS = 250_000_000
"""Figures that change thirty times a second cannot be read."""
_APART_LIMIT = 40
"""Beyond this many labels no layout is legible, and looking for free room would cost more than drawing."""

_PALETTE: tuple[Colour, ...] = (
    # Bright and far apart on most footage; neighbours in the list differ in hue and in lightness, since models
    # list the classes that occur together (hat, no hat; car, bus) next to each other.
    (80, 225, 60),
    (40, 160, 255),
    (255, 170, 60),
    (200, 90, 255),
    (60, 235, 250),
    (90, 80, 245),
    (250, 240, 90),
    (235, 130, 165),
    (110, 170, 20),
    (200, 200, 215),
)
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)
_GREY: Colour = (176, 176, 176)
_STATE_COLOURS: dict[str, Colour] = {
    "running": (90, 220, 80),
    "starting": (240, 180, 80),
    "paused": (60, 190, 250),
    "lost": (70, 70, 245),
    "ended": _GREY,
}
_TITLES = {"paused": "PAUSED", "lost": "LOST", "starting": "STARTING", "ended": "ENDED"}


def class_colour(class_id: int) -> Colour:
    """The colour of a class: the same in every run, sink and frame."""
    if 0 <= class_id < len(_PALETTE):
        return _PALETTE[class_id]
    # The golden angle never comes back near a hue it has just used (hue is 0-179 in OpenCV).
    hue = int(class_id * 0.618034 * 180) % 180
    value = 255 - 60 * (class_id % 2)
    blue, green, red = cv2.cvtColor(np.array([[[hue, 170, value]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return blue, green, red


def contrasting(colour: Colour) -> Colour:
    """Black or white, whichever reads better on ``colour`` (WCAG 2 contrast: never under 4.5)."""
    blue, green, red = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return _BLACK if luminance > 0.179 else _WHITE


class Renderer:
    """Draws results. One for a loop: it remembers the colours and the wording of the status line."""

    def __init__(self, outlines: Sequence[Outline] = ()) -> None:
        """``outlines``: zones and lines, drawn under the boxes."""
        self._outlines = tuple(outlines)
        self._colours: dict[int, tuple[Colour, Colour]] = {}
        self._worded: tuple[tuple[str, str, str], int, list[str]] | None = None

    def draw(self, result: Result, status: Status) -> Picture:
        """Boxes, labels and the status line on a read-only copy of ``result.frame.pixels``: (H, W, 3) BGR.

        With ``status`` paused or lost, that is said over the dimmed picture, as `overlay` does.
        """
        picture = result.frame.pixels.copy()
        style = _Style(picture)
        for outline in self._outlines:
            outline.draw(picture, style.line_px)
        self._draw_detections(picture, style, result)
        if status.state in _TITLES:
            return self.overlay(picture, status)
        words = self._wording(status, result.frame.captured_ns)
        self._draw_status(picture, style, words, status.state, result.predicted)
        picture.flags.writeable = False
        return picture

    def overlay(self, picture: Picture | None, status: Status) -> Picture:
        """``picture`` dimmed, with the state in words over it, so that nobody takes an old frame for a live one.

        ``picture`` (H, W, 3) BGR is left alone; None stands for a dark field, where there has been no frame yet.
        """
        if picture is None:
            shown: Picture = np.full((360, 640, 3), 24, np.uint8)
        elif status.state == "paused":
            shown = np.asarray(cv2.convertScaleAbs(picture, alpha=0.75), np.uint8)
        else:
            # Without colour too: a dark live picture and a dimmed old one must not look alike.
            grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            shown = np.asarray(cv2.cvtColor(cv2.convertScaleAbs(grey, alpha=0.4), cv2.COLOR_GRAY2BGR), np.uint8)
        style = _Style(shown)
        _draw_notice(shown, style, _TITLES.get(status.state, status.state.upper()), explain(status), status.state)
        # The old line shimmers through a translucent one: the picture has a status line of its own already.
        shown[-style.bar_px :] = 0
        self._draw_status(shown, style, _words(status), status.state)
        shown.flags.writeable = False
        return shown

    def _draw_detections(self, picture: Picture, style: _Style, result: Result) -> None:
        found = result.detections
        if not len(found):
            return
        corners = np.rint(found.boxes).astype(int).tolist()
        scores = found.scores.tolist()
        class_ids = found.class_ids.tolist()
        tracks = found.track_ids.tolist() if found.track_ids is not None else [-1] * len(found)
        # Worst first, so that the surest box lies on top; all labels after all boxes, so that no line crosses a word.
        for (x1, y1, x2, y2), class_id in zip(reversed(corners), reversed(class_ids), strict=True):
            cv2.rectangle(picture, (x1, y1), (x2, y2), self._colour(class_id)[0], style.line_px)
        taken: list[tuple[int, int, int, int]] = []
        for corner, score, class_id, track in zip(corners, scores, class_ids, tracks, strict=True):
            name = result.classes[class_id] if 0 <= class_id < len(result.classes) else f"class {class_id}"
            self._draw_label(picture, style, corner, _label(name, score, track), class_id, taken)

    def _draw_label(
        self,
        picture: Picture,
        style: _Style,
        corner: list[int],
        text: str,
        class_id: int,
        taken: list[tuple[int, int, int, int]],
    ) -> None:
        ground, ink = self._colour(class_id)
        text = style.fitted(text, style.width_px - 2 * style.pad_px)
        width, height = style.text_width_px(text) + 2 * style.pad_px, style.label_px
        half = style.line_px // 2
        left = max(0, min(corner[0] - half, style.width_px - width))
        lowest = max(0, style.height_px - style.bar_px - height)
        # Above the box, else inside its top, else under it: the first that hides no better label.
        tops = [max(0, min(y, lowest)) for y in (corner[1] - height + half, corner[1] - half, corner[3] + half)]
        if corner[1] - height + half < 0:
            tops = [*tops[1:], tops[0]]
        top = tops[0]
        if len(taken) < _APART_LIMIT:
            free = (top for top in tops if not _hides(taken, left, top, left + width, top + height))
            top = next(free, tops[0])
            taken.append((left, top, left + width, top + height))
        picture[top : top + height, left : left + width] = ground
        style.write(picture, text, left + style.pad_px, top, height, ink)

    def _draw_status(
        self, picture: Picture, style: _Style, words: list[str], state: str, predicted: bool = False
    ) -> None:
        bar = picture[-style.bar_px :]
        cv2.convertScaleAbs(bar, dst=bar, alpha=0.3)
        top = style.height_px - len(bar)
        radius = max(2, round(style.bar_px * 0.17))
        centre = (style.bar_px // 2, top + len(bar) // 2)
        # A ring where the boxes are predicted: told on each frame, without words that flicker.
        cv2.circle(picture, centre, radius, _STATE_COLOURS.get(state, _GREY), 1 if predicted else -1, cv2.LINE_AA)
        x = style.bar_px
        for k, text in enumerate(words):
            if k == len(words) - 1:  # The source's name may be long; half a figure would be a wrong figure.
                text = style.fitted(text, style.width_px - x - style.pad_px)
            width = style.text_width_px(text)
            if not text or x + width > style.width_px:
                break
            style.write(picture, text, x, top, len(bar), _WHITE if k == 0 else (225, 225, 225))
            x += width + style.bar_px

    def _wording(self, status: Status, captured_ns: int) -> list[str]:
        key = (status.state, status.model, status.source)
        held = self._worded
        if held is None or held[0] != key or not 0 <= captured_ns - held[1] < _STATUS_EVERY_NS:
            self._worded = held = (key, captured_ns, _words(status))
        return held[2]

    def _colour(self, class_id: int) -> tuple[Colour, Colour]:
        """Ground and ink of a class. The table grows with the classes seen, not with frames."""
        pair = self._colours.get(class_id)
        if pair is None:
            ground = class_colour(class_id)
            pair = self._colours[class_id] = (ground, contrasting(ground))
        return pair


class _Style:
    """Sizes for one picture: all from its size, so that 4K and a thumbnail look alike."""

    __slots__ = ("bar_px", "height_px", "label_px", "line_px", "pad_px", "scale", "width_px")

    def __init__(self, picture: Picture) -> None:
        self.height_px, self.width_px = picture.shape[:2]
        mean_px = (self.width_px + self.height_px) / 2
        self.scale = max(0.36, mean_px / 2000)
        self.line_px = max(1 if mean_px < 300 else 2, round(mean_px / 450))
        self.label_px = round(_CAP_HEIGHT_PX * self.scale * 1.9)
        self.pad_px = max(2, round(_CAP_HEIGHT_PX * self.scale * 0.45))
        self.bar_px = min(self.height_px, round(_CAP_HEIGHT_PX * self.scale * 2.3))

    def text_width_px(self, text: str, larger: float = 1.0) -> int:
        return int(cv2.getTextSize(text, _FONT, self.scale * larger, 1)[0][0])

    def fitted(self, text: str, room_px: int) -> str:
        """``text``, cut with dots where it is wider than ``room_px``; empty where not even a letter fits."""
        if self.text_width_px(text) <= room_px:
            return text
        while text and self.text_width_px(text + "..") > room_px:
            text = text[:-1]
        return text + ".." if text else ""

    def write(
        self, picture: Picture, text: str, x: int, top: int, height: int, ink: Colour, larger: float = 1.0
    ) -> None:
        """Text in the middle of a line ``height`` px high whose upper edge is ``top``."""
        baseline = top + round((height + _CAP_HEIGHT_PX * self.scale * larger) / 2)
        thickness = max(1, round(self.scale * larger * 1.2))
        cv2.putText(picture, text, (x, baseline), _FONT, self.scale * larger, ink, thickness, cv2.LINE_AA)


def _hides(taken: list[tuple[int, int, int, int]], x1: int, y1: int, x2: int, y2: int) -> bool:
    """Whether a label there would lie over one that is placed already."""
    return any(x1 < right and left < x2 and y1 < bottom and top < y2 for left, top, right, bottom in taken)


def _label(name: str, score: float, track: int) -> str:
    return f"{name} {score:.2f} #{track}" if track >= 0 else f"{name} {score:.2f}"


def _words(status: Status) -> list[str]:
    """The status line, what matters most first: where a picture is narrow, the rest is left out."""
    often = f" every {status.detect_every} frames" if status.detect_every > 1 else ""
    looks = f", {status.looks} looks" if status.looks > 1 else ""
    words = [
        f"{status.fps:.1f} fps",
        f"infer {status.infer_ms:.1f} ms{often}{looks}",
        f"age {status.age_ms:.0f} ms" if status.age_ms < 10_000 else f"age {status.age_ms / 1000:.0f} s",
        f"dropped {status.dropped}",
    ]
    return words + [text for text in (status.model, status.source) if text]


def explain(status: Status) -> str:
    """The state in words for people: why, and for how long."""
    if status.state == "lost":
        why = status.detail or "no frame from the source"
        return f"{why}, {status.age_ms / 1000:.1f} s"
    return status.detail


def _draw_notice(picture: Picture, style: _Style, title: str, detail: str, state: str) -> None:
    """A title in the colour of the state in the middle, and one to three lines under it."""
    colour = _STATE_COLOURS.get(state, _GREY)
    larger = 2.2
    line_px = round(style.label_px * 1.25)
    room_px = style.width_px - 4 * style.pad_px
    lines = _wrapped(style, detail, room_px)[:3]
    title_px = round(style.label_px * larger)
    top = max(0, (style.height_px - style.bar_px - title_px - line_px * len(lines)) // 2)
    if state == "paused":  # Who pauses wants to look at the picture.
        top = min(top, 2 * style.pad_px)
    width = style.text_width_px(title, larger)
    left = max(0, (style.width_px - width) // 2)
    pad = 3 * style.pad_px
    picture[top : top + title_px, max(0, left - pad) : left + width + pad] = colour
    style.write(picture, title, left, top, title_px, contrasting(colour), larger)
    for k, line in enumerate(lines):
        x = max(0, (style.width_px - style.text_width_px(line)) // 2)
        style.write(picture, line, x, top + title_px + style.pad_px + k * line_px, line_px, _WHITE)


def _wrapped(style: _Style, text: str, room_px: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and style.text_width_px(longer) <= room_px:
            lines[-1] = longer
        else:
            lines.append(style.fitted(word, room_px))
    return lines
