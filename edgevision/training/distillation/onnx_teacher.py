"""Another's detector as a dense teacher: what it says at every cell of the student, of all its classes.

A detector with one prediction a cell at strides 8, 16 and 32 has the student's cells. It looks at the student's own
augmented batch, so it teaches pictures that nobody labelled: mosaics, crops, what is pasted (Beyer et al.,
arXiv:2106.05237, "a good teacher is patient and consistent"). Its other classes tell the student what else there is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edgevision.detectors.manifest import Manifest
from edgevision.detectors.onnx_session import Session
from edgevision.detectors.registry import StoredModel, read_graph
from edgevision.errors import ModelInvalid, UsageError
from edgevision.training.distillation.onnx_to_torch import TorchGraph
from edgevision.training.student import STRIDES, cell_centres

FAMILIES = ("nanodet", "yolox")
_LEAST_SCORE = 1e-6
_LEAST_DISTANCE = 1e-3
_APART = 1e-2


class ForeignTeacher(nn.Module):
    """A stored NanoDet, PicoDet or YOLOX: pixels (B, 3, H, W), BGR 0-1, to what `Student` gives, of all its classes."""

    order: Tensor
    gain: Tensor
    shift: Tensor

    def __init__(self, stored: StoredModel, classes: Sequence[str]) -> None:
        """``classes`` are the student's: they come first. Raises `UsageError` where the model cannot teach them."""
        super().__init__()
        manifest = stored.manifest
        if manifest is None or manifest.family not in FAMILIES:
            name, family = (stored.path.name, "none") if manifest is None else (manifest.name, manifest.family)
            raise UsageError(
                f"expected a network of ours or a stored model of the families {', '.join(FAMILIES)}, "
                f'got {name} of the family {family}; teach by its boxes instead (targets = "scores")'
            )
        missing = [c for c in classes if c not in manifest.classes]
        if missing:
            known = ", ".join(manifest.classes[:6]) + (", …" if len(manifest.classes) > 6 else "")
            raise UsageError(
                f"{manifest.name} does not know {', '.join(missing)}, only {known}: name classes as it does, or "
                'teach by its boxes (targets = "scores")'
            )
        try:
            self.graph = TorchGraph.from_onnx(stored.path)
        except ModelInvalid as exc:
            raise UsageError(str(exc)) from exc
        self.classes = (*classes, *(c for c in manifest.classes if c not in classes))
        """What the rows say, after the box."""
        order = [manifest.classes.index(c) for c in self.classes]
        self.register_buffer("order", torch.tensor(order))
        recipe = manifest.input
        self.family, self._rgb = manifest.family, recipe.channel_order == "rgb"
        self._layout = recipe.layout
        self.register_buffer("gain", (255 / torch.tensor(recipe.std)).view(1, 3, 1, 1))
        self.register_buffer("shift", (torch.tensor(recipe.mean) / torch.tensor(recipe.std)).view(1, 3, 1, 1))
        self.size_wh = (recipe.width_px, recipe.height_px)
        """What the file was exported for: the size that `on_onnxruntime` takes."""
        self._number = recipe.dtype
        self._session = Session(read_graph(stored), manifest.name)
        self._try(manifest.name)
        self._compare(manifest)

    def _try(self, name: str) -> None:
        """That it runs in batches and in another size than it was exported for, and has the student's cells."""
        side = 3 * max(STRIDES)
        wanted = (2, len(cell_centres((side, side))[0]), 4 + len(self.classes))
        try:
            got = tuple(self(torch.zeros(2, 3, side, side)).shape)
        except (RuntimeError, IndexError, TypeError, ValueError, ModelInvalid) as exc:
            raise UsageError(
                f"{name}: cannot be run in batches of {side} px: {' '.join(str(exc).split())[:160]}"
            ) from exc
        if got != wanted:
            raise UsageError(f"{name}: expected {wanted} of two pictures of {side} px, got {got}")

    @torch.no_grad()
    def _compare(self, manifest: Manifest) -> None:
        """That torch makes of the graph what onnxruntime makes of it: an operator read wrongly would teach nonsense."""
        recipe = manifest.input
        shape = (recipe.height_px, recipe.width_px)
        picture = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), np.uint8)
        fed = picture if recipe.layout == "nhwc" else np.ascontiguousarray(picture.transpose(0, 3, 1, 2))
        # uint8 as it is, floats about where a normalised picture has them.
        centred = (fed - np.mean(recipe.mean)) / np.mean(recipe.std)
        numbers = fed if recipe.dtype == "uint8" else centred.astype(recipe.dtype)
        expected = self._session.run(numbers)
        got = self.graph(torch.from_numpy(numbers.astype(np.float32)))
        for one, other in zip(got, expected, strict=True):
            apart = np.abs(one.numpy() - other)
            if not (apart <= _APART * (1 + np.abs(other))).all():
                raise UsageError(
                    f"{manifest.name}: its graph gives other numbers in PyTorch than in onnxruntime (up to "
                    f'{apart.max():.3g} apart); teach by its boxes (targets = "scores")'
                )

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        fed = self._fed(pixels)
        outputs = self.graph(fed if self._layout == "nhwc" else fed.contiguous(memory_format=torch.channels_last))
        return self._as_student(outputs, (pixels.shape[3], pixels.shape[2]))

    @torch.no_grad()
    def on_onnxruntime(self, pixels: Tensor) -> Tensor:
        """The same for one image (1, 3, H, W) of `size_wh`. On a CPU onnxruntime takes a third of PyTorch's time."""
        fed = self._fed(pixels).contiguous().numpy()
        outputs = self._session.run((np.rint(fed) if self._number == "uint8" else fed).astype(self._number))
        return self._as_student([torch.from_numpy(o) for o in outputs], self.size_wh)

    def _fed(self, pixels: Tensor) -> Tensor:
        """Pixels as the graph takes them."""
        fed = (pixels.flip(1) if self._rgb else pixels) * self.gain - self.shift
        return fed.permute(0, 2, 3, 1) if self._layout == "nhwc" else fed

    def _as_student(self, outputs: list[Tensor], side: tuple[int, int]) -> Tensor:
        if self.family == "yolox":
            levels = _yolox(outputs[0], side)
        elif len(outputs) == 1:
            levels = _nanodet_plus(outputs[0], side, len(self.classes))
        else:
            levels = _nanodet(outputs)
        if len(levels) > len(STRIDES):
            levels[2] = _folded(*levels[2], *levels[3], side, int(self.order[0]))
        distances = torch.cat([d for d, _ in levels[: len(STRIDES)]], 1).clamp(min=_LEAST_DISTANCE)
        scores = torch.cat([s for _, s in levels[: len(STRIDES)]], 1)[..., self.order]
        # As the student gives them: softplus of the first four is a distance, sigmoid of the others a score.
        raw = distances + torch.log(-torch.expm1(-distances))
        return torch.cat([raw, torch.logit(scores, _LEAST_SCORE)], -1)


Level = tuple[Tensor, Tensor]
"""Distances (B, cells, 4) in strides from the cell's centre, and scores (B, cells, classes) of 0-1."""


def _nanodet(outputs: list[Tensor]) -> list[Level]:
    half = len(outputs) // 2
    levels = []
    for scores, logits in zip(outputs[:half], outputs[half:], strict=True):
        bins = logits.float().unflatten(-1, (4, -1)).softmax(-1)
        numbers = torch.arange(bins.shape[-1], device=bins.device, dtype=bins.dtype)
        levels.append(((bins * numbers).sum(-1), scores.float()))
    return levels


def _nanodet_plus(table: Tensor, size_wh: tuple[int, int], classes: int) -> list[Level]:
    """One row a cell of strides 8 to 64, which measures from the cell's corner."""
    counts = [-(-size_wh[0] // stride) * -(-size_wh[1] // stride) for stride in (*STRIDES, 2 * STRIDES[-1])]
    parts = table.float().split(counts, 1)
    levels = _nanodet([*(p[..., :classes] for p in parts), *(p[..., classes:] for p in parts)])
    to_centre = table.new_tensor([0.5, 0.5, -0.5, -0.5], dtype=torch.float32)
    return [(distances + to_centre, scores) for distances, scores in levels]


def _yolox(table: Tensor, size_wh: tuple[int, int]) -> list[Level]:
    table = table.float()
    centres, strides = cell_centres(size_wh, table.device)
    corners = centres / strides - 0.5
    near = (table[..., 2:4].exp()) / 2
    middle = table[..., :2] + corners
    at = corners + 0.5
    distances = torch.cat([at - (middle - near), middle + near - at], -1)
    scores = table[..., 4:5] * table[..., 5:]
    counts = strides.flatten().unique_consecutive(return_counts=True)[1].tolist()
    return list(zip(distances.split(counts, 1), scores.split(counts, 1), strict=True))


def _folded(
    distances: Tensor, scores: Tensor, coarse: Tensor, coarse_scores: Tensor, size_wh: tuple[int, int], first: int
) -> Level:
    """Stride 32 with what stride 64 says there where it is surer of the first class: the student has no stride 64."""
    width, height = size_wh[0] // 32, size_wh[1] // 32
    wide = -(-width // 2)
    y, x = torch.meshgrid(
        torch.arange(height, device=scores.device), torch.arange(width, device=scores.device), indexing="ij"
    )
    parent = ((y // 2) * wide + x // 2).flatten()
    # From the parent's centre to the cell's own, in strides of 32.
    right, down = (0.5 - x % 2).flatten(), (0.5 - y % 2).flatten()
    moved = coarse[:, parent] * 2 + torch.stack([-right, -down, right, down], -1)
    theirs = coarse_scores[:, parent]
    surer = theirs[..., first : first + 1] > scores[..., first : first + 1]
    return torch.where(surer, moved, distances), torch.where(surer, theirs, scores)
