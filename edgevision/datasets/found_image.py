"""From images that a layout's reader has found, with what reads their labels, to `Picture`s.

The images are decoded here, and only here: their own size counts, whatever the labels say of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edgevision.capture.images import read_image
from edgevision.concurrency import usable_cores
from edgevision.datasets.annotations import Box, Picture, PictureLabels
from edgevision.datasets.reading_report import LabelError, ReadingReport
from edgevision.errors import EdgeVisionError, SourceBroken
from edgevision.types import ProgressCallback

Sizes = Mapping[Path, tuple[int, int]]
"""Width and height in pixels of each image that can be read."""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image of a dataset and how its labels are read."""

    path: Path
    labels: PictureLabels
    """What is known of it before it is decoded: its name in the dataset, its part."""
    boxes: Callable[[tuple[int, int]], tuple[Box, ...]] | None
    """From the image's size (width, height) in pixels. Raises `LabelError`. None: the image is not labelled."""
    missing: str = ""
    """Where it is named, if it is not there."""


class Layout(Protocol):
    """A dataset of some tool, its images found and its labels not read yet."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def images(self) -> list[FoundImage]:
        """All of its images, in order."""

    def prepare(self, images: Sequence[FoundImage], sizes: Sizes) -> None:
        """Read what is needed before the labels of ``images`` can be read, those that were chosen."""


def read_found(
    layout: Layout, chosen: Sequence[FoundImage], report: ReadingReport, progress: ProgressCallback | None = None
) -> tuple[Picture, ...]:
    """Decode images and read their labels; one that cannot be used has ``status`` failed and its reason."""
    sizes = _sizes(chosen, progress)
    layout.prepare(chosen, {path: size for path, size in sizes.items() if not isinstance(size, str)})
    return tuple(Picture(image.path, _labels(image, sizes.get(image.path, ""), report)) for image in chosen)


def _labels(image: FoundImage, size: tuple[int, int] | str, report: ReadingReport) -> PictureLabels:
    labels = image.labels
    if image.missing:
        report.add("image missing", image.missing, f"expected the image {labels.file}, which is not there")
        return replace(labels, status="failed", error=report.shown(f"{image.missing}: the image is not there"))
    if isinstance(size, str):
        report.add("image unreadable", image.path, size.replace(f"{image.path} ", "").replace(str(image.path), "it"))
        return replace(labels, status="failed", error=report.shown(size))
    labels = replace(labels, width_px=size[0], height_px=size[1])
    if image.boxes is None:
        report.add("no labels", image.path, "has no labels", image.path)
        return labels
    try:
        boxes = image.boxes(size)
    except LabelError as exc:
        for error in (exc, *exc.more):
            report.add(error.reason, error.place, error.text, image.path)
        if exc.others:
            report.add("with its image", image.path, f"{exc.others} more labels", image.path, exc.others)
        return replace(labels, status="failed", error=report.shown(exc))
    except (EdgeVisionError, ValueError, OverflowError) as exc:
        report.add("bad text", image.path, str(exc), image.path)
        return replace(labels, status="failed", error=report.shown(exc))
    known = labels.status not in ("new", "failed")
    return replace(labels, boxes=boxes, status=labels.status if known else "done", error="")


def _sizes(found: Sequence[FoundImage], progress: ProgressCallback | None) -> dict[Path, tuple[int, int] | str]:
    """Size of each image, or why it cannot be read. OpenCV decodes outside Python's lock."""
    sizes: dict[Path, tuple[int, int] | str] = {}
    there = [image for image in found if not image.missing]
    if not there:
        return sizes
    with ThreadPoolExecutor(usable_cores()) as pool:
        for number, (image, size) in enumerate(zip(there, pool.map(_size, there), strict=True), 1):
            sizes[image.path] = size
            if progress is not None:
                progress(number, len(there), image.labels.file)
    return sizes


def _size(image: FoundImage) -> tuple[int, int] | str:
    try:
        height, width = read_image(image.path).shape[:2]
    except SourceBroken as exc:
        return str(exc)
    return width, height
