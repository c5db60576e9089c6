"""A folder of labelled pictures in YOLO's layout, and how well a detector does on it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.datasets.annotations import Annotations
from edgevision.errors import UsageError
from edgevision.evaluation.average_precision import judge, mean_ap50, scores_from
from edgevision.interfaces import Detector

MOST_PICTURES = 1000
"""More make an estimate hardly better and a swap wait; they are then spread evenly over the folder's."""
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_SPLITS = ("val", "valid", "test")

Rest = Callable[[float], None]
"""Called after each picture with the seconds it took."""


@dataclass(frozen=True, slots=True)
class LabelledFolder:
    """Pictures and where their labels stand; class names where the folder tells them."""

    pairs: tuple[tuple[Path, Path], ...]
    classes: tuple[str, ...]


def measure_ap(detector: Detector, folder: str, rest: Rest = lambda _: None) -> tuple[float, str]:
    """AP50 over the classes that detector and labels share, and on what it was measured. Raises `UsageError`.

    COCO's matching and average precision, at IoU 0.5. Classes are matched by name; where the folder names none, by
    number.
    """
    there = open_folder(Path(folder).expanduser())
    names = there.classes or detector.classes
    mine = {_plain(name): k for k, name in enumerate(detector.classes)}
    shared = {k: mine[_plain(name)] for k, name in enumerate(names) if _plain(name) in mine}
    if not shared:
        raise UsageError(
            f"{folder}: has labels of {', '.join(names[:6])}, of which the model knows none: {detector.name} finds "
            f"{', '.join(detector.classes[:6])}"
        )
    found, truth = [], []
    with scores_from(detector):
        for picture, labels in there.pairs:
            pixels = _read(picture)
            began = time.perf_counter()
            found.append(detector.detect(pixels))
            rest(time.perf_counter() - began)
            truth.append(_labels(labels, pixels.shape[1], pixels.shape[0], shared))
    if not any(len(t.boxes) for t in truth):
        raise UsageError(f"{folder}: expected labels of a class that {detector.name} finds, there are none")
    boxes = sum(len(t.boxes) for t in truth)
    told = ", ".join(names[k] for k in list(shared)[:4]) + (", …" if len(shared) > 4 else "")
    ap = mean_ap50([judge(found, truth, k, (0.5,)) for k in sorted(set(shared.values()))])
    return ap.value, f"on {len(there.pairs)} pictures with {boxes} boxes of {told}"


def open_folder(folder: Path) -> LabelledFolder:
    """The pictures of a data set's validation part, or of a folder. Raises `UsageError` where there are none labelled.

    Takes a folder with a ``data.yaml`` (its ``val``, else ``test``, is read), one with ``images`` and ``labels``, or a
    folder of pictures under an ``images`` that has a ``labels`` beside it.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: expected a folder of labelled pictures, found {'a file' if folder.exists() else 'nothing'}"
        )
    folder = folder.resolve()
    home = next((p for p in (folder, *folder.parents[:3]) if (p / "data.yaml").is_file()), None)
    text = (home / "data.yaml").read_text(encoding="utf-8", errors="replace") if home is not None else ""
    pictures = _pictures_folder(folder, text if home == folder else "")
    pairs = []
    for path in sorted(p for p in pictures.rglob("*") if p.suffix.lower() in _SUFFIXES):
        labels = _labels_of(path)
        if labels is not None:
            pairs.append((path, labels))
    if not pairs:
        raise UsageError(
            f"{folder}: expected pictures under images/ with a text file each under labels/, as YOLO lays them out; "
            "found none"
        )
    if len(pairs) > MOST_PICTURES:
        pairs = [pairs[round(k)] for k in np.linspace(0, len(pairs) - 1, MOST_PICTURES)]
    return LabelledFolder(tuple(pairs), yaml_names(text))


def _pictures_folder(folder: Path, yaml: str) -> Path:
    named = [m[2].strip(" '\"") for key in ("val", "test") if (m := re.search(rf"(?m)^({key}):(.*)$", yaml))]
    tried = [folder / name for name in named if name]
    # Roboflow's exports say ../valid/images of a folder that is itself the one above.
    tried += [folder / name.removeprefix("../") for name in named if name.startswith("../")]
    tried += [folder / "images" / split for split in _SPLITS] + [folder / split / "images" for split in _SPLITS]
    tried.append(folder / "images")
    return next((p for p in tried if p.is_dir()), folder)


def _labels_of(picture: Path) -> Path | None:
    """``…/images/val/a.jpg`` has its labels in ``…/labels/val/a.txt``, or beside it; one without is not labelled."""
    parts = list(picture.parts)
    for k in range(len(parts) - 2, -1, -1):
        if parts[k] == "images":
            path = Path(*parts[:k], "labels", *parts[k + 1 :]).with_suffix(".txt")
            if path.is_file():
                return path
    beside = picture.with_suffix(".txt")
    return beside if beside.is_file() else None


def yaml_names(text: str) -> tuple[str, ...]:
    """``names`` of a YOLO ``data.yaml``, in any of the ways it is written; nothing where it has none.

    Not a YAML reader: one key of one kind of file does not need a package.
    """
    match = re.search(r"(?m)^names:[ \t]*(?:#.*)?(.*)$", text)
    if match is None:
        return ()
    rest = text[match.start(1) :]
    if match[1].strip().startswith(("[", "{")):
        end = re.search(r"[\]}]", rest)
        inner = rest[rest.index(match[1].strip()[0]) + 1 : end.start() if end else len(rest)]
        found = [_entry(part) for part in re.findall(r"""(?:[^,'"]|'[^']*'|"[^"]*")+""", inner)]
    else:
        found = []
        for line in rest.splitlines()[1:]:
            if line.strip() and not line[0].isspace() and not line.startswith("-"):
                break
            found.append(_entry(line.strip().removeprefix("- ")))
    return tuple(name for name in found if name)


def _entry(text: str) -> str:
    """``0: person`` or ``'person'  # a comment`` to ``person``."""
    text = re.sub(r"\s#.*$", "", text.strip())
    text = re.sub(r"^\d+\s*:\s*", "", text)
    return text.strip().strip("'\"")


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _read(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UsageError(f"{path}: cannot be read as a picture; mend it or take it out")
    return np.asarray(pixels, np.uint8)


def _labels(path: Path, width_px: int, height_px: int, class_of: dict[int, int]) -> Annotations:
    """Lines of ``class cx cy w h`` in shares of the picture, to the model's classes; polygons to their boxes."""
    boxes, class_ids = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            values = [0.0]
        if not values:
            continue
        if len(values) == 5:
            _, x, y, w, h = values
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        elif len(values) >= 7 and len(values) % 2:
            corners = [min(values[1::2]), min(values[2::2]), max(values[1::2]), max(values[2::2])]
        else:
            raise UsageError(f"{path}: line {number}: expected class, x, y, width, height, got {line.strip()[:60]!r}")
        if int(values[0]) in class_of:
            boxes.append(corners)
            class_ids.append(class_of[int(values[0])])
    scale = np.array([width_px, height_px] * 2, np.float32)
    return Annotations(np.array(boxes, np.float32).reshape(-1, 4) * scale, np.array(class_ids, np.int64))
