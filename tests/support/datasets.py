"""Small datasets in the layouts of labelling tools, written as those write them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 200, 100


def image(path: Path, width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Path:
    """A picture of noise, of any of OpenCV's formats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, pixels[..., 0] if path.suffix == ".pgm" else pixels)[1].tobytes())
    return path


def text(path: Path, content: str | bytes) -> Path:
    """A file of that text, or of those bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def yolo(root: Path, rows: str | bytes = "0 0.5 0.5 0.2 0.4\n", yaml: str | bytes = "names: [person, dog]\n") -> Path:
    """One image, ``images/a.jpg``, its rows and a data.yaml."""
    image(root / "images/a.jpg")
    text(root / "labels/a.txt", rows)
    text(root / "data.yaml", yaml)
    return root


def coco(root: Path, annotations=None, images=None, categories=None, name: str = "annotations/instances.json") -> Path:
    """One image, ``images/a.jpg``, with a box of a dog at (10, 20, 40, 60), in COCO JSON."""
    image(root / "images/a.jpg")
    values = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}] if images is None else images,
        "categories": [{"id": 3, "name": "person"}, {"id": 9, "name": "dog"}] if categories is None else categories,
        "annotations": [{"id": 5, "image_id": 1, "category_id": 9, "bbox": [10, 20, 30, 40]}]
        if annotations is None
        else annotations,
    }
    text(root / name, json.dumps(values))
    return root


def voc_object(name: str, box: tuple[float, float, float, float], extra: str = "") -> str:
    """One object of a VOC file."""
    corners = "".join(f"<{t}>{v}</{t}>" for t, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"\t<object>\n\t\t<name>{name}</name>{extra}\n\t\t<bndbox>{corners}</bndbox>\n\t</object>\n"


def voc(objects: str, filename: str = "a.jpg", size: str = f"<width>{WIDTH}</width><height>{HEIGHT}</height>") -> str:
    """A VOC file of these objects."""
    head = f"<annotation>\n\t<filename>{filename}</filename>\n\t<size>{size}<depth>3</depth></size>\n"
    return f"{head}{objects}</annotation>\n"


def boxes_of(data) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """{stem of the image: [(class name, corners in whole px)]} of a `LabelledData`, images that can be used."""
    return {
        p.path.stem: [(data.classes[b.class_id], tuple(round(v) for v in b.corners)) for b in p.labels.boxes]
        for p in data.usable
    }


def counts(data) -> dict[str, int]:
    """What its report counted."""
    return dict(data.report.counts)
