"""The compact detector's network: plain 3x3 convolutions and ReLU, which int8 kernels run best.

SiLU, attention and depthwise blocks have fewer FLOPs but break the chain of quantised
convolutions that onnxruntime fuses, and cost more milliseconds. Channel counts avoid powers of two
from 64 up, since their strides alias in the L1 cache. Judge a shape by measured ms only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)


@dataclass(frozen=True, slots=True)
class StudentShape:
    """What decides the network's cost. ``widths`` and ``depths`` are for strides 4, 8, 16, 32."""

    classes: int = 1
    widths: tuple[int, int, int, int] = (24, 48, 96, 192)
    depths: tuple[int, int, int, int] = (1, 2, 3, 2)
    neck_width: int = 48


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, ReLU: folded into one quantised convolution at export."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        padding = 1 if stride == 4 else kernel // 2
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


def _stage(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    return nn.Sequential(ConvBlock(inputs, outputs, 3, 2), *(ConvBlock(outputs, outputs) for _ in range(depth)))


class Student(nn.Module):
    """Anchor-free detector with one prediction a cell at strides 8, 16, 32.

    ``forward`` takes (B, 3, H, W) float in 0-1, BGR, sides a multiple of 32, and gives
    (B, A, 4 + classes): softplus-ready left, top, right, bottom in units of the cell's stride, then
    class logits. Cells are row-major, stride 8 first.
    """

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        self.shape = shape
        w4, w8, w16, w32 = shape.widths
        d4, d8, d16, d32 = shape.depths
        neck = shape.neck_width
        # One 6x6/4 convolution in place of two strided ones: the two largest maps of a usual
        # backbone cost more than the rest of it together.
        self.stem = nn.Sequential(ConvBlock(3, w4, 6, 4), *(ConvBlock(w4, w4) for _ in range(d4)))
        self.stage8 = _stage(w4, w8, d8)
        self.stage16 = _stage(w8, w16, d16)
        self.stage32 = _stage(w16, w32, d32)
        self.squeeze = ConvBlock(w32, w32 // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.top = ConvBlock(w32 * 2, neck, 1)
        self.lateral16 = ConvBlock(w16, neck, 1)
        self.lateral8 = ConvBlock(w8, neck, 1)
        self.fuse16 = ConvBlock(neck * 2, neck)
        self.fuse8 = ConvBlock(neck * 2, neck)
        self.heads = nn.ModuleList(ConvBlock(neck, neck) for _ in STRIDES)
        self.predictions = nn.ModuleList(nn.Conv2d(neck, 4 + shape.classes, 1) for _ in STRIDES)
        for prediction in self.predictions:
            assert isinstance(prediction, nn.Conv2d)
            assert prediction.bias is not None
            nn.init.normal_(prediction.weight, std=0.01)
            nn.init.constant_(prediction.bias[:4], 1.5)
            # Prior probability 0.01, so that the first steps are not all background loss
            # (RetinaNet, arXiv:1708.02002, section 4.1).
            nn.init.constant_(prediction.bias[4:], -4.6)

    def forward(self, pixels: Tensor) -> Tensor:
        return by_cell(self.maps(pixels), self.predictions)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """What predictions are made from: (B, neck_width, H / stride, W / stride) of each stride."""
        p4 = self.stem(pixels)
        p8 = self.stage8(p4)
        p16 = self.stage16(p8)
        p32 = self.squeeze(self.stage32(p16))
        pooled = [p32]
        for _ in range(3):  # SPPF
            pooled.append(self.pool(pooled[-1]))
        n32 = self.top(torch.cat(pooled, 1))
        n16 = self.fuse16(torch.cat([_double(n32), self.lateral16(p16)], 1))
        n8 = self.fuse8(torch.cat([_double(n16), self.lateral8(p8)], 1))
        return [head(level) for level, head in zip((n8, n16, n32), self.heads, strict=True)]


def by_cell(maps: Sequence[Tensor], predictions: Iterable[nn.Module]) -> Tensor:
    """Each stride's map (B, C, H, W) through its prediction, all cells in one row: (B, A, values)."""
    outputs = [predict(level).flatten(2) for level, predict in zip(maps, predictions, strict=True)]
    return torch.cat(outputs, 2).transpose(1, 2)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def cell_centres(input_wh: tuple[int, int], device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Centres (A, 2) in input pixels and strides (A, 1), in the order of the network's output."""
    width, height = input_wh
    centres, strides = [], []
    for stride in STRIDES:
        ys = torch.arange(height // stride, device=device, dtype=torch.float32) + 0.5
        xs = torch.arange(width // stride, device=device, dtype=torch.float32) + 0.5
        grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
        cells = torch.stack([grid_x, grid_y], -1).reshape(-1, 2) * stride
        centres.append(cells)
        strides.append(torch.full((len(cells), 1), float(stride), device=device))
    return torch.cat(centres), torch.cat(strides)


def boxes_from(raw: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Raw (..., A, 4+) to xyxy boxes (..., A, 4) in input pixels. FCOS distances, arXiv:1904.01355."""
    distances = F.softplus(raw[..., :4].float()) * strides
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], -1)


class Exported(nn.Module):
    """The student with its boxes decoded in the graph: (B, 3, H, W) 0-1 to (B, 4 + classes, A).

    The layout is that of an Ultralytics raw head (cx, cy, w, h in input pixels, then class
    probabilities), so that any tool that reads those reads this.
    """

    centres: Tensor
    strides: Tensor

    def __init__(self, student: Student, input_wh: tuple[int, int]) -> None:
        super().__init__()
        self.student = student
        centres, strides = cell_centres(input_wh)
        self.register_buffer("centres", centres)
        self.register_buffer("strides", strides)

    def forward(self, pixels: Tensor) -> Tensor:
        raw = self.student(pixels)
        distances = F.softplus(raw[..., :4]) * self.strides
        near, far = distances[..., :2], distances[..., 2:]
        centre = self.centres + (far - near) * 0.5
        scores = torch.sigmoid(raw[..., 4:])
        return torch.cat([centre, near + far, scores], -1).transpose(1, 2)
