"""Labelled pictures held decoded in one flat file, and the batches made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from edgevision.capture.images import read_image
from edgevision.datasets.storage import write_whole
from edgevision.errors import SourceBroken
from edgevision.training.augment import SMALLEST_PX, Image, Labels, mosaic, paste, relight, single
from edgevision.training.recipe import Augmentation, Recipe


class ImageCache:
    """Decoded BGR pictures in one memory-mapped file: a JPEG is decoded once, not once an epoch."""

    def __init__(self, folder: Path) -> None:
        """Open what `build` wrote."""
        self.folder = folder
        index = json.loads((folder / "index.json").read_text())
        self.names: list[str] = index["names"]
        self._shapes: list[tuple[int, int]] = [tuple(s) for s in index["shapes"]]
        self._starts: list[int] = index["starts"]
        self._pixels: NDArray[np.uint8] = np.memmap(folder / "pixels.bin", np.uint8, "r")
        labels = np.load(folder / "labels.npz")
        self.labels: list[Labels] = [labels[str(i)] for i in range(len(self.names))]

    def __reduce__(self) -> tuple[type[ImageCache], tuple[Path]]:
        # To another process goes the place, not gigabytes of pixels.
        return ImageCache, (self.folder,)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Image, Labels]:
        height, width = self._shapes[i]
        start = self._starts[i]
        flat = self._pixels[start : start + height * width * 3]
        return flat.reshape(height, width, 3), self.labels[i]

    @staticmethod
    def build(folder: Path, pictures: Iterable[tuple[str, Path, Labels]], longest_px: int = 384) -> int:
        """Write a store; pictures that cannot be read are left out. Returns how many were."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.json").unlink(missing_ok=True)
        names: list[str] = []
        shapes: list[tuple[int, int]] = []
        starts: list[int] = []
        kept: dict[str, Labels] = {}
        left_out = 0
        at = 0
        with (folder / "pixels.bin").open("wb") as file:
            for name, path, labels in pictures:
                try:
                    image = read_image(path)
                except SourceBroken:
                    left_out += 1
                    continue
                scale = min(1.0, longest_px / max(image.shape[:2]))
                if scale < 1:
                    image = np.asarray(
                        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
                    )
                    labels = labels.copy()
                    labels[:, 1:5] *= scale
                file.write(image.tobytes())
                kept[str(len(names))] = labels.astype(np.float32)
                names.append(name)
                shapes.append((image.shape[0], image.shape[1]))
                starts.append(at)
                at += image.size
        np.savez(folder / "labels.npz", allow_pickle=False, **kept)
        # Last, and whole: a folder without it was being written when the process was killed.
        write_whole(folder / "index.json", json.dumps({"names": names, "shapes": shapes, "starts": starts}))
        return left_out

    @staticmethod
    def is_whole(folder: Path) -> bool:
        return (folder / "index.json").exists()


class Draw:
    """Which pictures an epoch has, and in which order: each as often as its weight says, on average."""

    def __init__(self, names: Sequence[str], times: Mapping[str, float]) -> None:
        """``times``: globs of names to how often; the first that fits counts, 1 where none does."""
        each = [next((n for glob, n in times.items() if fnmatchcase(name, glob)), 1.0) for name in names]
        self._each = np.asarray(each, np.float64)
        self._ends = np.cumsum(self._each)
        self.unused = [glob for glob in times if not any(fnmatchcase(name, glob) for name in names)]
        """Globs that fit no picture."""

    def __len__(self) -> int:
        """Samples of an epoch; the same for each."""
        return int(self._ends[-1] + 1e-6) if len(self._ends) else 0

    def epoch(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """(N,) picture indices in random order; what is drawn 2.5 times an epoch is in it two or three times."""
        shuffled = rng.permutation(len(self._each))
        ends = np.cumsum(self._each[shuffled])
        # Marks evenly over all weights laid end to end: a picture is in the epoch once for each that falls on it.
        marks = (np.arange(len(self)) + rng.random()) * (ends[-1] / len(self))
        at = np.searchsorted(ends, marks, side="right").clip(max=len(ends) - 1)
        return rng.permutation(shuffled[at])

    def some(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        """(n,) picture indices, each drawn by its weight."""
        return np.searchsorted(self._ends, rng.uniform(0, self._ends[-1], n), side="right")


class TrainingPictures(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented samples of one epoch: uint8 (H, W, 3) BGR, and labels (M, 6)."""

    def __init__(
        self,
        store: ImageCache,
        draw: Draw,
        size_wh: tuple[int, int],
        mosaic_share: float,
        how: Augmentation,
        seed: int,
        epoch: int,
    ) -> None:
        self.store, self.draw, self.size_wh, self.mosaic_share, self.how = store, draw, size_wh, mosaic_share, how
        self.seed, self.epoch = seed, epoch
        self._order = draw.epoch(np.random.default_rng((seed, epoch)))

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self.seed, self.epoch, i))
        first = self._order[i]
        if rng.random() < self.mosaic_share:
            others = self.draw.some(rng, 3)
            image, labels = mosaic([self.store[j] for j in (first, *others)], self.size_wh, rng, self.how)
        else:
            image, labels = single(self.store[first], self.size_wh, rng, self.how)
        if rng.random() < self.how.paste:
            for j in self.draw.some(rng, int(rng.integers(1, 4))):
                labels = paste(image, labels, self.store[j], rng, self.how)
        image = relight(image, rng, self.how)
        sides = labels[:, 3:5] - labels[:, 1:3]
        labels[(sides < SMALLEST_PX).any(1), 5] = 0
        return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(labels)


def fitting_pictures(
    store: ImageCache, draw: Draw, recipe: Recipe, epoch: int, most: int = 128
) -> Iterator[torch.Tensor]:
    """A few batches as an epoch has them, (B, 3, H, W) of 0-1: what batch norms are fitted to."""
    phase = recipe.phase(epoch)
    pictures = TrainingPictures(
        store, draw, (phase.side_px,) * 2, phase.mosaic, recipe.augmentation, recipe.seed, epoch
    )
    most = min(most, len(pictures))
    for at in range(0, most, recipe.batch):
        images, _ = collate([pictures[i] for i in range(at, min(most, at + recipe.batch))])
        yield images.float() / 255


def collate(samples: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Batch of images (B, 3, H, W) uint8, channels last in memory, and labels (B, M, 6) padded with class -1."""
    most = max(1, max(len(labels) for _, labels in samples))
    truth = torch.full((len(samples), most, 6), 0.0)
    truth[..., 0] = -1
    for row, (_, labels) in zip(truth, samples, strict=True):
        row[: len(labels)] = labels
    return torch.stack([image for image, _ in samples]).permute(0, 3, 1, 2), truth
