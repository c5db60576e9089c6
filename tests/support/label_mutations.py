"""Damaged label files: a sound one of each format, and what random hands make of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.support.datasets import voc, voc_object

WORDS = (
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "0",
    "1",
    "2",
    "0.5",
    "1.0000001",
    "99999999999999999999",
    "1_0",
    "0x1F",
    "null",
    "~",
    "true",
    "yes",
    "[]",
    "{}",
    "[[[",
    "{{{",
    "&a *a",
    "!!python/object:os.system",
    "../../../x.jpg",
    "/etc/passwd",
    "C:\\x.jpg",
    "\x00",
    "\ufeff",
    "\u2028",
    "é",
    "狗",
    "😀",
    "\t",
    "\r",
    "\n\n",
    "#",
    ":",
    ",",
    '"',
    "'",
    "\\",
    "-",
    "%",
    "<a>",
    "&lt;",
    "<!--",
    "]]>",
    "<![CDATA[",
    "9" * 5000,
    "a" * 300,
    "..",
    ".",
    "\ud7ff",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    10**30,
    "",
    "1",
    "a.jpg",
    "../../a.jpg",
    "/a.jpg",
    "C:\\a.jpg",
    "\x00",
    "x" * 300,
    [],
    {},
    [[]],
    [1, 2, 3],
    [0, 0, 0, 0],
    [10, 20, 30, 40],
    ["10", "20", "30", "40"],
    [-5, -5, 400, 400],
    {"size": [100, 200], "counts": [5, 50, 100]},
    {"size": [100, 200], "counts": "PQ0"},
    [[1, 2, 3, 4, 5, 6]],
    "nan",
    1.0,
    9,
    3,
)

ROWS = "0 0.5 0.5 0.2 0.4\n1 0.25 0.25 0.1 0.1 0.75\n0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
YAML = "path: .\ntrain: images\nval: images/val # none\nnc: 2\nnames:\n  0: person\n  1: 'dog'\nkpt_shape: [4, 2]\n"
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}, {"id": 2, "file_name": "sub/b.jpg"}],
    "categories": [{"id": 3, "name": "person"}, {"id": 9, "name": "dog", "supercategory": "animal"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 9, "bbox": [10, 20, 30, 40], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 3, "segmentation": [[1, 1, 50, 1, 50, 50]], "score": 0.5},
        {"id": 3, "image_id": 2, "category_id": 3, "segmentation": {"size": [100, 200], "counts": [500, 60, 19440]}},
    ],
}
VOC = voc(voc_object("dog", (10, 20, 40, 60)) + voc_object("person", (1, 1, 200, 100), "<difficult>1</difficult>"))


def damaged_text(text: str, rng: random.Random) -> bytes:
    """A text with one to four changes, in one of several encodings."""
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        end = min(end, at + 30)
        change = rng.randrange(6)
        if change == 0:
            text = text[:at] + rng.choice(WORDS) + text[at:]
        elif change == 1:
            text = text[:at] + rng.choice(WORDS) + text[end:]
        elif change == 2:
            text = text[:at] + text[end:]
        elif change == 3:
            text = text[:at] + text[at:end] * rng.choice((2, 3, 50)) + text[end:]
        elif change == 4:
            words = text.split(" ")
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            text = " ".join(words)
        else:
            text = text.replace("\n", rng.choice(("\r\n", "\r", "\n\n", " ")))
    encoding = rng.choice(("utf-8",) * 6 + ("utf-8-sig", "utf-16", "utf-16-be", "gb18030", "latin-1"))
    data = bytearray(text.encode(encoding, "replace"))
    if rng.random() < 0.2 and data:
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def damaged_json(values: Any, rng: random.Random) -> bytes:
    """JSON whose values or keys are exchanged, doubled or taken out; at times its text is damaged too."""
    values = json.loads(json.dumps(values))
    for _ in range(rng.randint(1, 3)):
        change = rng.choice(list(_places(values)))
        change(rng)
    text = json.dumps(values, ensure_ascii=rng.random() < 0.5)
    return damaged_text(text, rng) if rng.random() < 0.2 else text.encode("utf-8", "replace")


def _places(values: Any) -> list[Callable[[random.Random], None]]:
    """What can be changed, one function for each place and kind of change."""
    found: list[Callable[[random.Random], None]] = []
    keys = list(values) if isinstance(values, dict) else range(len(values))
    for key in keys:

        def put(rng: random.Random, key: Any = key) -> None:
            values[key] = json.loads(json.dumps(rng.choice(VALUES)))

        def take(rng: random.Random, key: Any = key) -> None:
            if isinstance(values, dict):
                values.pop(key, None)
            elif key < len(values):
                values.append(values[key])

        found += [put, take]
        if isinstance(values[key], dict | list):
            found += _places(values[key]) if values[key] else []
    return found
