"""Augmented images with a dense teacher's outputs, computed once and used in every epoch.

On a CPU a dense teacher costs as much as the student's own training step. Here it runs once on each of a fixed set of
augmented images. An epoch draws a crop of each at a multiple of the coarsest stride, mirrors half of them, and changes
light and sharpness: the cells of such a crop are cells of the whole image, so the teacher's outputs are sliced instead
of computed. The teacher's image is unlit, the student's is not, so the student also learns to ignore light.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from edgevision.datasets.storage import write_whole
from edgevision.errors import UsageError
from edgevision.training.augment import SMALLEST_PX, Image, Labels, relight
from edgevision.training.distillation.dense import load_dense_teacher, taught_by
from edgevision.training.distillation.onnx_teacher import ForeignTeacher
from edgevision.training.image_cache import Draw, ImageCache, TrainingPictures, collate
from edgevision.training.recipe import Augmentation, Recipe
from edgevision.training.student import STRIDES, cell_centres

TEACHER = "teacher"
"""Folder of a run that holds its cache."""
MARGIN_PX = STRIDES[-1]
"""By how much a cached image is larger than the largest crop of it."""
_JPEG_QUALITY = 93
_LEAST_VISIBLE = 0.25
"""Share of an object that a crop must show to teach it."""
Teach = Callable[[Tensor], Tensor]
"""Images (1, 3, S, S) in 0-1 to outputs (1, A, 4 + classes), as `Student` gives them."""


class TeacherCache:
    """A folder of augmented images, their labels, and a teacher's outputs at every cell."""

    def __init__(self, folder: Path) -> None:
        """Open what `build` wrote."""
        self.folder = folder
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.side_px: int = index["side_px"]
        self.own: int = index["own"]
        """Classes of the student."""
        self._starts: list[int] = index["starts"]
        self._jpegs: NDArray[np.uint8] = np.memmap(folder / "images.bin", np.uint8, "r")
        self._outputs = np.load(folder / "outputs.npy", mmap_mode="r")
        self._scores = np.load(folder / "scores.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npz")
        self._labels: list[Labels] = [labels[str(i)] for i in range(len(self))]

    def __reduce__(self) -> tuple[type[TeacherCache], tuple[Path]]:
        return TeacherCache, (self.folder,)

    def __len__(self) -> int:
        return len(self._starts) - 1

    @property
    def others(self) -> int:
        """The teacher's classes that the student does not have."""
        return int(self._scores.shape[-1])

    @staticmethod
    def is_whole(folder: Path, images: int, side_px: int) -> bool:
        """Whether ``folder`` holds such a cache."""
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return len(index["starts"]) - 1 == images and index["side_px"] == side_px

    @staticmethod
    def build(
        folder: Path,
        samples: Iterator[tuple[Tensor, Tensor]],
        images: int,
        side_px: int,
        own: int,
        teach: Teach,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        """Write ``images`` samples, (S, S, 3) uint8 BGR with labels (M, 6), and what ``teach`` gives for them."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.json").unlink(missing_ok=True)
        cells = len(cell_centres((side_px, side_px))[0])
        outputs: Any = None
        scores: Any = None
        starts, labels = [0], {}
        with (folder / "images.bin").open("wb") as file:
            for number, (image, rows) in zip(range(images), samples, strict=False):
                taught = teach(image.permute(2, 0, 1)[None].float() / 255)[0].float().numpy()
                if outputs is None:
                    create = np.lib.format.open_memmap
                    outputs = create(folder / "outputs.npy", "w+", np.float16, (images, cells, 4 + own))
                    scores = create(folder / "scores.npy", "w+", np.uint8, (images, cells, taught.shape[1] - 4 - own))
                outputs[number] = taught[:, : 4 + own]
                scores[number] = np.rint(255 / (1 + np.exp(-taught[:, 4 + own :])))
                encoded = cv2.imencode(".jpg", image.numpy(), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
                file.write(encoded.tobytes())
                starts.append(starts[-1] + len(encoded))
                labels[str(number)] = rows.numpy()
                if progress is not None:
                    progress(number + 1, images, "teacher outputs")
        outputs.flush()
        scores.flush()
        np.savez(folder / "labels.npz", allow_pickle=False, **labels)
        # Last, and whole: a folder without it was being written when the process was killed.
        write_whole(folder / "index.json", json.dumps({"side_px": side_px, "own": own, "starts": starts}))

    def crop(self, k: int, side_px: int, corner: tuple[int, int], mirror: bool) -> tuple[Image, Labels, NDArray[Any]]:
        """Image (side, side, 3), labels and teacher's outputs (A, 4 + classes) of a square crop of image ``k``.

        ``corner`` is its top left in multiples of the coarsest stride.
        """
        x, y = (c * STRIDES[-1] for c in corner)
        jpeg = np.asarray(self._jpegs[self._starts[k] : self._starts[k + 1]])
        image = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)[y : y + side_px, x : x + side_px]
        labels = _cropped(self._labels[k], (x, y), side_px, mirror)
        own = self._sliced(self._outputs[k], side_px, (x, y), mirror).astype(np.float32)
        if mirror:
            own[:, [0, 2]] = own[:, [2, 0]]
        own[:, :4] = _within(own[:, :4], side_px)
        scores = self._sliced(self._scores[k], side_px, (x, y), mirror).astype(np.float32) / 255
        logits = np.log(np.maximum(scores, 1e-3)) - np.log1p(-np.minimum(scores, 1 - 1e-3))
        return (image[:, ::-1] if mirror else image), labels, np.concatenate([own, logits], 1)

    def _sliced(self, rows: NDArray[Any], side_px: int, corner: tuple[int, int], mirror: bool) -> NDArray[Any]:
        """The rows (A, V) of a crop's cells, level by level."""
        parts, begin = [], 0
        for stride in STRIDES:
            whole, part = self.side_px // stride, side_px // stride
            level = rows[begin : begin + whole * whole].reshape(whole, whole, -1)
            x, y = corner[0] // stride, corner[1] // stride
            level = level[y : y + part, x : x + part]
            parts.append((level[:, ::-1] if mirror else level).reshape(part * part, -1))
            begin += whole * whole
        return np.concatenate(parts)


def _within(raw: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Raw distances (A, 4) that do not reach beyond the crop, where its labels end too."""
    centres, strides = (t.numpy() for t in cell_centres((side_px, side_px)))
    room = np.concatenate([centres, side_px - centres], 1) / strides
    # softplus of the room; inverse of it as `ForeignTeacher` writes distances.
    most = room + np.log(-np.expm1(-room))
    return np.minimum(raw, most.astype(np.float32))


def _cropped(labels: Labels, corner: tuple[int, int], side_px: int, mirror: bool) -> Labels:
    moved = labels.copy()
    area = (labels[:, 3] - labels[:, 1]) * (labels[:, 4] - labels[:, 2])
    moved[:, [1, 3]] = (labels[:, [1, 3]] - corner[0]).clip(0, side_px)
    moved[:, [2, 4]] = (labels[:, [2, 4]] - corner[1]).clip(0, side_px)
    width, height = moved[:, 3] - moved[:, 1], moved[:, 4] - moved[:, 2]
    unseen = (width * height < _LEAST_VISIBLE * area) | (width < SMALLEST_PX) | (height < SMALLEST_PX)
    moved[unseen, 5] = 0
    if mirror:
        moved[:, [1, 3]] = side_px - moved[:, [3, 1]]
    return moved[(width > 1) & (height > 1)]


class CachedCrops(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """The samples of one epoch: uint8 (S, S, 3) BGR, labels (M, 6), and the teacher's outputs (A, 4 + classes)."""

    def __init__(self, cache: TeacherCache, side_px: int, how: Augmentation, seed: int, epoch: int) -> None:
        """Raises `UsageError` where the cached images are smaller than ``side_px``."""
        if side_px > cache.side_px:
            raise UsageError(f"cached images have {cache.side_px} px, fewer than the {side_px} px of a phase")
        self.cache, self.side_px, self.how, self.seed, self.epoch = cache, side_px, how, seed, epoch
        self._order = np.random.default_rng((seed, epoch)).permutation(len(cache))

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self.seed, self.epoch, i))
        x, y = rng.integers(0, (self.cache.side_px - self.side_px) // STRIDES[-1] + 1, 2).tolist()
        # The cached images are mirrored already, each once: this mirrors them anew, where the recipe mirrors at all.
        mirror = bool(self.how.mirror) and rng.random() < 0.5
        image, labels, taught = self.cache.crop(int(self._order[i]), self.side_px, (x, y), mirror)
        image = relight(np.ascontiguousarray(image), rng, self.how)
        return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(labels), torch.from_numpy(taught)


def collate_taught(samples: Sequence[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """`image_cache.collate`, and the teacher's outputs (B, A, 4 + classes)."""
    images, labels = collate([(image, rows) for image, rows, _ in samples])
    return images, labels, torch.stack([taught for _, _, taught in samples])


def cache_outputs(
    recipe: Recipe, run: Path, classes: Sequence[str], progress: Callable[[int, int, str], None] | None = None
) -> None:
    """Make the cache that a run's recipe asks for, where ``run`` does not hold it yet. Raises `UsageError`."""
    side_px = max(phase.side_px for phase in recipe.phases) + MARGIN_PX
    folder = run / TEACHER
    if TeacherCache.is_whole(folder, recipe.soft.cached_images, side_px):
        return
    teacher = load_dense_teacher(recipe.soft, classes)

    def teach(pixels: Tensor) -> Tensor:
        if isinstance(teacher, ForeignTeacher) and teacher.size_wh == (side_px, side_px):
            return teacher.on_onnxruntime(pixels)
        return taught_by(teacher, pixels)

    own = len(classes)
    keep = slice(None) if recipe.soft.others_weight else slice(4 + own)
    TeacherCache.build(
        folder, _samples(recipe, ImageCache(run / "train"), side_px), recipe.soft.cached_images, side_px, own,
        lambda pixels: teach(pixels)[..., keep], progress,
    )  # fmt: skip


def _samples(recipe: Recipe, store: ImageCache, side_px: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented images without end, unlit: light is changed at each use."""
    how = recipe.augmentation.model_copy(update={"light": 0.0, "damage": 0.0})
    draw, epoch = Draw(store.names, recipe.times), 0
    while True:
        mosaic = recipe.phases[0].mosaic
        pictures = TrainingPictures(store, draw, (side_px, side_px), mosaic, how, recipe.seed, epoch)
        yield from (pictures[i] for i in range(len(pictures)))
        epoch += 1
