"""A prompted detector as an ONNX file, its words fixed in it: a foundation model that runs without torch.

YOLO-World and YOLOE only: their networks are plain convolutions once the words are known. The file carries
Ultralytics' own metadata, so `edgevision run --model FILE.onnx` and every other ONNX tool that knows it can run it.
Of the others, transformers exports none by itself; that is another package's work (optimum).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevision.detectors.foundation.base import FoundationDetector
from edgevision.detectors.foundation.torch_base import RANDOM_SEED, inference
from edgevision.detectors.foundation.yolo_world import SIDE_PX, STRIDE_PX, PromptedYolo
from edgevision.detectors.onnx_protobuf import bytes_field
from edgevision.errors import EdgeVisionError, UsageError

if TYPE_CHECKING:
    import torch

OPSET = 17
_METADATA_FIELD = 14
"""Of an ONNX file's outermost message; repeated fields may stand anywhere, so also at its end."""


def export_prompted(detector: FoundationDetector, path: Path, side_px: int = SIDE_PX) -> Path:
    """Write ``path``: images (1, 3, side, side) float32 RGB in 0-1, to output0 (1, 4 + classes, cells).

    Several prompts of one class become one row: the best of them. Raises `UsageError` for a model that cannot be
    exported, `EdgeVisionError` where it cannot be written.
    """
    if not isinstance(detector, PromptedYolo):
        raise UsageError(f"{detector.name}: only yoloe and yolo-world can be exported to ONNX here")
    if side_px < STRIDE_PX or side_px % STRIDE_PX:
        raise UsageError(f"input size: expected a multiple of {STRIDE_PX} px, got {side_px}")
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path}: expected the name of an .onnx file")
    if path.exists():
        raise UsageError(f"{path}: exists already; name another file")
    graph = _graph(detector, side_px)
    said = {
        "description": f"{detector.title}, its words fixed by edgevision",
        "author": "Ultralytics",
        "license": "AGPL-3.0",
        "task": "detect",
        "stride": str(STRIDE_PX),
        "batch": "1",
        "imgsz": str([side_px, side_px]),
        "names": str(dict(enumerate(detector.classes))),
        "edgevision": detector.name + ("; random weights: latency only" if detector.random_weights else ""),
    }
    props = b"".join(
        bytes_field(_METADATA_FIELD, bytes_field(1, key) + bytes_field(2, value)) for key, value in said.items()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".exporting-", dir=path.parent) as scratch:
            ready = Path(scratch) / path.name
            ready.write_bytes(graph + props)
            ready.rename(path)
    except OSError as exc:
        raise EdgeVisionError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    return path


def _graph(detector: PromptedYolo, side_px: int) -> bytes:
    import torch

    picture = torch.rand(1, 3, side_px, side_px, generator=torch.Generator().manual_seed(RANDOM_SEED))
    network = _by_class(detector)
    with tempfile.TemporaryDirectory() as scratch, inference(None):
        plain = Path(scratch) / "plain.onnx"
        torch.onnx.export(
            network,
            (picture.to(detector.device),),
            str(plain),
            dynamo=False,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["output0"],
        )
        return plain.read_bytes()


def _by_class(detector: PromptedYolo) -> torch.nn.Module:
    import torch

    groups: list[list[int]] = [[] for _ in detector.classes]
    for row, class_id in enumerate(detector.prompts.class_ids):
        groups[class_id].append(row)

    class ByClass(torch.nn.Module):
        """The network, its prompts' rows gathered into their classes'."""

        def __init__(self) -> None:
            super().__init__()
            self.network = detector.network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            output: Any = self.network(images)
            while isinstance(output, list | tuple):
                output = output[0]
            rows: torch.Tensor = output
            if all(len(group) == 1 for group in groups):
                return rows[:, : 4 + len(groups)]
            best = [rows[:, [4 + r for r in group]].amax(1, keepdim=True) for group in groups]
            return torch.cat([rows[:, :4], *best], 1)

    head = detector.network.model[-1]
    if getattr(head, "end2end", False):
        raise UsageError(f"{detector.name}: an end-to-end network; have ultralytics export it")
    return ByClass().eval()
