"""A small labelled folder in YOLO's layout."""

from __future__ import annotations

import cv2
import numpy as np


def image(path, width=200, height=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def yolo(folder, rows="0 0.5 0.5 0.2 0.4\n1 0.25 0.5 0.1 0.2\n", names="names: [person, hard hat]\n"):
    image(folder / "images/a.png")
    image(folder / "images/b.png")
    (folder / "labels").mkdir()
    (folder / "labels/a.txt").write_text(rows)
    (folder / "labels/b.txt").write_text("")
    if names:
        (folder / "data.yaml").write_text(f"train: images\n{names}")
    return folder
