"""A detector as others publish theirs: a graph for one picture of one size, and its manifest. Needs torch."""

from __future__ import annotations

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from edgevision.detectors.manifest import InputRecipe, Manifest, manifest_text
from edgevision.detectors.registry import find_model

CLASSES = ("square", "round", "flat")
SIDE = 64


class PicoLike(nn.Module):
    """What PicoDet's graph is made of, for one picture of one size: a shuffle of channels, h-swish, a neck, maps."""

    def __init__(self, side: int, levels: int = 4, head: str = "maps") -> None:
        """``head``: ``maps`` as PicoDet's, ``plus`` one table as NanoDet-Plus', ``yolox`` one as YOLOX's."""
        super().__init__()
        self.side, self.levels, self.head = side, levels, head
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.grouped = nn.Conv2d(8, 8, 3, 2, 1, groups=2)
        self.down = nn.Conv2d(8, 8, 3, 2, 1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.scores = nn.Conv2d(8, len(CLASSES), 1)
        self.distances = nn.Conv2d(8, 32, 1)

    def forward(self, pixels):
        x = F.leaky_relu(self.stem(pixels), 0.1)
        x = x * (self.grouped(x).mean((2, 3), keepdim=True).sigmoid())
        x = self.grouped(x)
        x = x * (x + 3).clamp(0, 6) / 6
        quarter = self.side // 4
        x = x.reshape(1, 2, 4, quarter, quarter).transpose(1, 2).reshape(1, 8, quarter, quarter)
        x = x * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        maps = [self.down(x)]
        for _ in range(self.levels - 1):
            maps.append(F.max_pool2d(maps[-1], 3, 2, 1))
        maps[0] = maps[0] + F.interpolate(maps[1], scale_factor=2.0, mode="nearest")
        maps[1] = torch.cat([maps[1][:, 4:], maps[1][:, :4]], 1)
        sizes = [(self.side // 8) // 2**k for k in range(self.levels)]
        flat = [(m, s * s) for m, s in zip(maps, sizes, strict=True)]
        scores = [self.scores(m).sigmoid().reshape(1, len(CLASSES), n).permute(0, 2, 1) for m, n in flat]
        distances = [self.distances(m).reshape(1, 32, n).permute(0, 2, 1) for m, n in flat]
        if self.head == "yolox":
            # The middle and logarithms of the sides in strides, then object and classes; boxes hold their cell.
            pairs = zip(scores, distances, strict=True)
            parts = [torch.cat([d[..., :4].sigmoid(), d[..., 4:5].sigmoid(), s], 2) for s, d in pairs]
            return torch.cat(parts, 1)
        if self.head == "plus":
            return torch.cat([torch.cat([s, d], 2) for s, d in zip(scores, distances, strict=True)], 1)
        return (*scores, *distances)


def network(side=SIDE, levels=4, head="maps"):
    torch.manual_seed(3)
    made = PicoLike(side, levels, head).eval()
    with torch.no_grad():
        made.scores.weight.mul_(6)
        made.distances.weight.mul_(4)
    return made


def written(path, made):
    torch.onnx.export(made, (torch.zeros(1, 3, made.side, made.side),), str(path), dynamo=False, opset_version=17)
    return path


def in_folder(folder, made, family="nanodet", classes=CLASSES):
    folder.mkdir()
    written(folder / "model.onnx", made)
    recipe = InputRecipe(
        width_px=made.side, height_px=made.side, resize="stretch", mean=(123.0, 116.0, 103.0), std=(58.0, 57.0, 56.0)
    )
    manifest = Manifest(name="teacher", family=family, classes=classes, input=recipe)
    (folder / "model.toml").write_text(manifest_text(manifest), encoding="utf-8")
    return find_model(folder)


def one_node(path, kind, *constants, attributes=None, outputs=1, shape=(1, 4, 7, 9)):
    names = [f"c{k}" for k in range(len(constants))]
    node = helper.make_node(kind, ["x", *names], [f"y{k}" for k in range(outputs)], **(attributes or {}))
    made = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"y{k}", TensorProto.FLOAT, None) for k in range(outputs)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in zip(names, constants, strict=True)],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path
