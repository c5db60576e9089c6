"""Asking a language model for boxes or presence, and reading its answer strictly.

An answer is read whole or not at all: what has to be guessed at would be a wrong label sooner or later. Answers that
cannot be read are counted, never mended.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.prompts import Prompts

SHARES = (1000.0, 1000.0)
"""Boxes are asked for in thousandths of the picture: no resizing on the way can shift them."""
MOST_CHARACTERS = 65_536
MOST_BOXES = 300
_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n?```\Z", re.DOTALL)
_GROUNDED = re.compile(r"([^<>]+)((?:<loc_\d+>)+)")
_LOCATION = re.compile(r"<loc_(\d+)>")


class Unparsable(Exception):
    """An answer that is not what was asked for; says why, in a few words and without the answer."""


@dataclass(slots=True)
class Tally:
    """What became of the questions so far."""

    asked: int = 0
    answered: int = 0
    """Answers that could be read, also those that say that nothing is there."""
    unparsable: int = 0
    last_reason: str = ""
    """Why the last unparsable answer could not be read."""

    @property
    def words(self) -> str:
        """In one sentence; empty before the first question."""
        if not self.asked:
            return ""
        reason = f" (the last: {self.last_reason})" if self.unparsable else ""
        return f"{self.asked} questions, {self.answered} answers read, {self.unparsable} unparsable{reason}"


def question(ask: str, prompts: Prompts, *, in_pixels: bool = False) -> str:
    """What a model is asked, in words. ``in_pixels`` for those that were trained to answer in pixels."""
    lines = "\n".join(
        f'- "{name}"' + ("" if texts == (name,) else f": {', '.join(texts)}")
        for name, texts in zip(prompts.classes, prompts.texts, strict=True)
    )
    if ask == "presence":
        form = ", ".join(f'"{name}": true or false' for name in prompts.classes)
        return (
            f"Which of these classes can be seen in the picture?\n{lines}\n"
            f"Answer with one JSON object and nothing else: {{{form}}}"
        )
    unit = "in pixels" if in_pixels else "as integers from 0 to 1000, relative to the picture's width and height"
    return (
        f"Find every object of these classes in the picture:\n{lines}\n"
        'Answer with one JSON array and nothing else, one element an object: {"class": name, "box": [x1, y1, x2, y2]}, '
        f"the corners {unit}. If there is none, answer []."
    )


def read_answer(
    ask: str, text: str, prompts: Prompts, frame_wh: tuple[int, int], most: tuple[float, float] = SHARES
) -> Found:
    """An answer as boxes in frame pixels; a presence as a box of the whole frame. Scores are 1: none is given.

    ``most``: what the right and lower edge of the picture are in the answer's coordinates. Raises `Unparsable`.
    """
    value = _json(text)
    if ask == "presence":
        return _presence(value, prompts, frame_wh)
    if not isinstance(value, list):
        raise Unparsable("expected a JSON array")
    if len(value) > MOST_BOXES:
        raise Unparsable(f"expected at most {MOST_BOXES} boxes")
    return _found([_element(item, prompts, most) for item in value], frame_wh, most)


def read_grounding(text: str, prompts: Prompts, frame_wh: tuple[int, int]) -> Found:
    """Florence-2's ``phrase<loc_x1><loc_y1><loc_x2><loc_y2>…``, in thousandths. Raises `Unparsable`."""
    text = text.strip()
    if len(text) > MOST_CHARACTERS:
        raise Unparsable("expected a short answer")
    rows: list[tuple[int, list[float]]] = []
    at = 0
    for match in _GROUNDED.finditer(text):
        if match.start() != at:
            raise Unparsable("expected phrases, each with its locations")
        at = match.end()
        class_id = _class_id(match[1].strip(" .,\n"), prompts)
        numbers = [int(n) for n in _LOCATION.findall(match[2])]
        if len(numbers) % 4 or max(numbers) >= SHARES[0]:
            raise Unparsable("expected four locations of 0 to 999 a box")
        # A location is the middle of its bin.
        middles = [n + 0.5 for n in numbers]
        rows.extend((class_id, _corners(middles[k : k + 4], SHARES)) for k in range(0, len(middles), 4))
    if at != len(text):
        raise Unparsable("expected phrases, each with its locations")
    return _found(rows, frame_wh, SHARES)


def _json(text: str) -> Any:
    text = text.strip()
    if len(text) > MOST_CHARACTERS:
        raise Unparsable("expected a short answer")
    if fenced := _FENCE.match(text):
        text = fenced[1]
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise Unparsable("expected JSON and nothing else") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key twice")
    return keys


def _presence(value: Any, prompts: Prompts, frame_wh: tuple[int, int]) -> Found:
    if not isinstance(value, dict) or set(value) != set(prompts.classes):
        raise Unparsable("expected a JSON object of exactly the classes")
    if not all(isinstance(there, bool) for there in value.values()):
        raise Unparsable("expected true or false for each class")
    rows = [(k, [0.0, 0.0, *SHARES]) for k, name in enumerate(prompts.classes) if value[name]]
    return _found(rows, frame_wh, SHARES)


def _element(item: Any, prompts: Prompts, most: tuple[float, float]) -> tuple[int, list[float]]:
    if not isinstance(item, dict):
        raise Unparsable("expected objects in the array")
    # The second names are those that the Qwen-VL family was trained on.
    name, box = (_either(item, first, second) for first, second in (("class", "label"), ("box", "bbox_2d")))
    if not isinstance(name, str):
        raise Unparsable("expected a class by its name")
    if not isinstance(box, list) or len(box) != 4:
        raise Unparsable("expected a box of four numbers")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and -1e9 < v < 1e9 for v in box):
        raise Unparsable("expected a box of four numbers")
    return _class_id(name, prompts), _corners([float(v) for v in box], most)


def _either(item: dict[str, Any], first: str, second: str) -> Any:
    if (first in item) == (second in item):
        raise Unparsable(f"expected {first!r} in each element")
    return item.get(first, item.get(second))


def _class_id(name: str, prompts: Prompts) -> int:
    wanted = name.strip().casefold()
    for k, (class_name, texts) in enumerate(zip(prompts.classes, prompts.texts, strict=True)):
        if wanted in {class_name.casefold(), *(t.casefold() for t in texts)}:
            return k
    raise Unparsable("expected only classes that were asked for")


def _corners(box: list[float], most: tuple[float, float]) -> list[float]:
    x1, y1, x2, y2 = box
    if not (0 <= x1 < x2 <= most[0] and 0 <= y1 < y2 <= most[1]):
        raise Unparsable("expected x1 < x2 and y1 < y2 inside the picture")
    return box


def _found(rows: list[tuple[int, list[float]]], frame_wh: tuple[int, int], most: tuple[float, float]) -> Found:
    if not rows:
        return Found.nothing()
    scale = np.array([frame_wh[0] / most[0], frame_wh[1] / most[1]] * 2, np.float64)
    boxes = (np.array([box for _, box in rows], np.float64) * scale).astype(np.float32)
    ids = np.array([class_id for class_id, _ in rows], np.int64)
    return Found(boxes, np.ones(len(rows), np.float32), ids)
