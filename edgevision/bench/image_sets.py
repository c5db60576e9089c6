"""Pictures on which detections are compared with labels, or with another contender's: the same for each contender.

A set is named by a small description, so that each contender's process reads the pictures for itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.bench.clips import BUNDLED
from edgevision.capture import open_source
from edgevision.capture.images import read_image
from edgevision.capture.scene import SceneSource
from edgevision.datasets.annotations import Annotations
from edgevision.datasets.dataset import VALIDATION, read_data
from edgevision.errors import UsageError

MOST_FRAMES = 100
SEQUENCE_FRAMES = 300
"""Of a sequence looked at frame by frame: 10 s."""
SCENE_STEP = 15
"""Half a second of the scene between two pictures: nearer ones show all but the same."""


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Which pictures, in which order."""

    kind: Literal["scene", "clip", "files"]
    name: str
    address: str = ""
    step: int = 1
    frames: int = MOST_FRAMES
    files: tuple[str, ...] = ()
    fps: float = 30.0
    """At which a sequence was filmed."""

    @property
    def in_sequence(self) -> bool:
        """Whether each picture is the next frame after the one before it."""
        return self.kind != "files" and self.step == 1

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """(H, W, 3) BGR, at most ``frames`` of them. Raises what the source raises."""
        if self.kind == "files":
            for file in self.files[: self.frames]:
                yield read_image(Path(file))
            return
        if self.kind == "scene":
            with SceneSource.from_address(self.address) as scene:
                for k in range(self.frames):
                    yield scene.render(k * self.step)[0]
            return
        with open_source(self.address) as source:
            given = 0
            while given < self.frames and (frame := source.read()) is not None:
                if frame.index % self.step == 0:
                    given += 1
                    yield frame.pixels


@dataclass(frozen=True, slots=True)
class Truth:
    """What stands in each picture of a set."""

    classes: tuple[str, ...]
    boxes: tuple[Annotations, ...]

    @property
    def labels(self) -> int:
        return sum(int((~b.ignored).sum()) for b in self.boxes)


def labelled_set(address: str, frames: int = MOST_FRAMES, sequence: bool = False) -> tuple[FrameSet, Truth] | None:
    """The pictures and true boxes of a source that knows them (the scene, the bundled clip), else None.

    ``sequence``: one frame after the other from the first, not some far apart: what is predicted between detections
    can be right or wrong on those only.
    """
    if address.startswith("scene://"):
        with SceneSource.from_address(address) as scene:
            name, most = scene.info.name, scene.info.frame_count
            count = min(SEQUENCE_FRAMES if sequence else min(frames, MOST_FRAMES // 2), most or 10**9)
            step = 1 if sequence else max(1, min(SCENE_STEP, (most or 10**9) // count))
            found = [scene.render(k * step)[1] for k in range(count)]
        boxes = tuple(Annotations(d.boxes, d.class_ids) for d in found)
        return FrameSet("scene", name, address, step, count), Truth(("person",), boxes)
    if Path(address).expanduser().resolve() == BUNDLED:
        values = json.loads(BUNDLED.with_suffix(".json").read_text(encoding="utf-8"))
        step = 1 if sequence else max(1, len(values["boxes"]) // frames)
        chosen = values["boxes"][::step][: SEQUENCE_FRAMES if sequence else frames]
        rows = [np.array(one, np.float32).reshape(-1, 4) for one in chosen]
        boxes = tuple(Annotations(row, np.zeros(len(row), np.int64)) for row in rows)
        return FrameSet("clip", BUNDLED.name, address, step, len(boxes)), Truth(("person",), boxes)
    return None


def data_set(folder: Path, frames: int | None = None) -> tuple[FrameSet, Truth]:
    """Labelled images of a dataset, in any layout that `read_data` knows: its validation part, where it has parts.

    Raises `UsageError` where there are none, or where one cannot be used: a figure must say what it is of.
    """
    data = read_data(folder, part=VALIDATION, limit=frames)
    data.refuse_failed()
    usable = data.usable_or_refused()
    boxes = tuple(picture.labels.annotations() for picture in usable)
    truth = Truth(data.classes, boxes)
    if not truth.labels:
        raise UsageError(f"{folder}: expected labels, found {len(usable)} images and not one box")
    files = tuple(str(picture.path) for picture in usable)
    return FrameSet("files", folder.name, files=files, frames=len(files)), truth


def unlabelled_set(address: str, name: str, frame_count: int | None, live: bool, scratch: Path) -> FrameSet:
    """Pictures of any other source. Those of a live one are kept in ``scratch``: they do not come again."""
    count = 30
    if not live:
        return FrameSet("clip", name, address, max(1, (frame_count or count) // count), count)
    files: list[str] = []
    with open_source(address) as source:
        while len(files) < count and (frame := source.read()) is not None:
            path = scratch / f"{len(files):03d}.png"
            cv2.imwrite(str(path), frame.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            files.append(str(path))
    return FrameSet("files", name, frames=len(files), files=tuple(files))
