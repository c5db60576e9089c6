"""Data folders to review, made by the tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from edgevision.datasets.annotations import Box, PictureLabels
from edgevision.datasets.data_folder import DataFolder

WIDTH, HEIGHT = 320, 240
TOKEN = "a-token-for-tests"
CLASSES = ("person", "hard hat")


def box(class_id: int, corners, score: float, by: str = "teacher@1") -> Box:
    return Box(class_id, tuple(float(v) for v in corners), score, min(score / 0.65, 1.0) if score >= 0.45 else 0.0, by)


SURE = box(0, (20, 30, 90, 200), 0.9)
DOUBTFUL = box(0, (150, 40, 220, 210), 0.43)
LESS = box(1, (230, 100, 300, 180), 0.3)
DOUBTS = ("1 doubtful person", "1 doubtful hard hat")
FAINT = box(1, (5, 5, 40, 40), 0.1)


def labels(file: str, status: str, *boxes: Box, doubts=(), faint=(), **more) -> PictureLabels:
    return PictureLabels(file, WIDTH, HEIGHT, status, boxes, faint, doubts=doubts, teacher="teacher@1", **more)


def data_folder(folder: Path) -> Path:
    """Six pictures, of which two have doubts, three have none, and one has no labels yet."""
    (folder / "images" / "yard").mkdir(parents=True)
    made = (
        labels("a.png", "labelled", SURE),
        labels("b.png", "labelled", box(0, (10, 10, 60, 60), 0.5), faint=(FAINT,)),
        labels("c.png", "review", SURE, DOUBTFUL, LESS, doubts=DOUBTS, faint=(FAINT,)),
        labels("yard/d.png", "review", SURE, doubts=("teachers disagree: person 0.90 of a not seen by b",)),
        labels("e.png", "done", box(0, (10, 10, 60, 60), 1.0, "person")),
    )  # fmt: skip
    for number, name in enumerate((*(p.file for p in made), "f.png")):
        pixels = np.full((HEIGHT, WIDTH, 3), 40 + 25 * number, np.uint8)
        cv2.rectangle(pixels, (150, 40), (220, 210), (60, 160, 230), -1)
        cv2.imwrite(str(folder / "images" / name), pixels)
    with DataFolder(folder, CLASSES) as data:
        for picture in made:
            data.put(picture)
    return folder


def on_disk(folder: Path) -> dict[str, PictureLabels]:
    """What whoever opens the folder now would find, without touching it."""
    return DataFolder(folder, write=False).pictures


def start(folder: Path, *options: str) -> tuple[subprocess.Popen[str], int]:
    """The command in a process of its own, and its port."""
    command = [sys.executable, "-m", "edgevision", "distill", "review", str(folder), "--port", "0", "--token", TOKEN]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(r"http://127\.0\.0\.1:(\d+)/\?token=", line):
            return process, int(match[1])
    raise AssertionError(f"it did not start: {process.wait(10)}")
