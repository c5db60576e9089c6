"""Ultralytics' own exports, read by edgevision and by Ultralytics: are the boxes the same?

Versions × tasks × heads (raw, end-to-end, suppression inside) × precisions (fp32, half, dynamic), random weights whose
scores are spread so that there is something to find. Each file goes through `models add` (fp32) or is run as it is
(half, dynamic), and its boxes are compared with those of Ultralytics' predictor on the same frames, at the same
thresholds. Needs ultralytics (AGPL-3.0), which is imported here only; torchvision, where it is missing, is replaced by
a plain suppression.

    python benchmarks/exports.py --out benchmarks/results/DATE-exports.json
    python benchmarks/exports.py --only 'v8-detect-*' --only '26-obb-*'
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import platform
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SIDE_PX = 160
SCORE, IOU = 0.3, 0.6
NEAR = 0.01
"""A score so near the threshold may fall on either side of it in another arithmetic."""
MOST_PX = 1.0
MOST_GAIN = 4.0
YAML = {
    "v5u": "yolov5n.yaml",
    "v8": "yolov8n{}.yaml",
    "v9": "yolov9t.yaml",
    "v10": "yolov10n.yaml",
    "11": "yolo11n{}.yaml",
    "12": "yolo12n{}.yaml",
    "26": "yolo26n{}.yaml",
    "rtdetr": "rtdetr-l.yaml",
}
TASKS = {"detect": "", "segment": "-seg", "pose": "-pose", "obb": "-obb"}
PRECISIONS: dict[str, dict[str, Any]] = {"fp32": {}, "half": {"quantize": 16}, "dynamic": {"dynamic": True}}
END_TO_END = ("v10", "26")


def cases() -> list[tuple[str, str, str, str]]:
    """Version, task, head, precision of every export."""
    found = []
    for version, described in YAML.items():
        for task in TASKS if "{}" in described else ("detect",):
            heads = ["raw"] if version == "rtdetr" else ["raw", "nms"]
            heads += ["end2end"] if version in END_TO_END else []
            found += [(version, task, head) for head in heads]
    return [(*one, precision) for precision in PRECISIONS for one in found]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="a pattern of VERSION-TASK-HEAD-PRECISION")
    parser.add_argument("--out", type=Path, help="where the results are written as JSON")
    parser.add_argument("--keep", type=Path, help="a folder in which the exported files are kept")
    options = parser.parse_args()
    chosen = [c for c in cases() if not options.only or any(fnmatch.fnmatch("-".join(c), p) for p in options.only)]
    began = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        out = None if options.out is None else options.out.absolute()
        keep = None if options.keep is None else options.keep.absolute()
        rows = list(compare(chosen, Path(scratch), keep))
    bad = [row for row in rows if row["verdict"] == "wrong"]
    counts = {
        kind: sum(row["verdict"] == kind for row in rows) for kind in ("same", "refused", "wrong", "not exported")
    }
    print(f"{len(rows)} exports: {counts}; {time.time() - began:.0f} s")
    if out is not None:
        import ultralytics

        about = {"python": platform.python_version(), "ultralytics": ultralytics.__version__, "side_px": SIDE_PX}
        out.write_text(json.dumps({"about": about, "counts": counts, "rows": rows}, indent=1) + "\n")
    return 1 if bad else 0


def compare(chosen: list[tuple[str, str, str, str]], scratch: Path, keep: Path | None) -> Iterator[dict[str, Any]]:
    """A row for each export, printed as it comes."""
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
    os.environ |= {"XDG_DATA_HOME": str(scratch / "data"), "LOCALAPPDATA": str(scratch / "data")}
    os.environ.pop("EDGEVISION_MODELS", None)
    stand_in_for_torchvision()
    frames = pictures()
    read_every_box()
    os.chdir(keep or scratch)  # where Ultralytics leaves its files
    models: dict[tuple[str, str], Any] = {}
    for case in chosen:
        version, task, head, precision = case
        name = "-".join(case)
        if (version, task) not in models:
            models[version, task] = confident(version, task, frames)
        row: dict[str, Any] = {"export": name}
        try:
            path = exported(models[version, task], name, head, precision)
        except Exception as exc:  # an exporter that cannot do this is no fault of the reader
            row |= {"verdict": "not exported", "why": f"{type(exc).__name__}: {exc}"[:200]}
        else:
            row |= judged(path, task, frames, by_adding=precision == "fp32")
        print(json.dumps(row), flush=True)
        yield row


def judged(path: Path, task: str, frames: list[Any], by_adding: bool) -> dict[str, Any]:
    """How far the boxes of an export, added by `models add` or run as a bare file, are from Ultralytics' own."""
    from edgevision.deployment.add_model import add_model
    from edgevision.deployment.add_options import AddOptions
    from edgevision.deployment.probe import Limits
    from edgevision.detectors.registry import load_detector
    from edgevision.errors import EdgeVisionError

    wanted = ultralytics_boxes(path, task, frames)
    try:
        if by_adding:
            wish = AddOptions(name="export", input=str(SIDE_PX), replace=True)
            add_model(path, wish, Limits(load_and_first_run_s=120))
        detector = load_detector("export" if by_adding else path, min_score=SCORE, iou_threshold=IOU)
        got = []
        for frame in frames:
            found = detector.detect(frame)
            got.append(np.column_stack([found.boxes, found.scores, found.class_ids]))
    except EdgeVisionError as exc:
        return {"verdict": "refused", "why": str(exc).replace(str(path), path.name)}
    off = [differing(a, b) for a, b in zip(got, wanted, strict=True)]
    worst_px = max((px for _, _, px in off), default=0.0)
    missing, extra = sum(m for m, _, _ in off), sum(e for _, e, _ in off)
    boxes = sum(map(len, wanted))
    same = missing == extra == 0 and boxes > 0
    return {
        "verdict": "same" if same else "wrong",
        "family": detector.manifest.family,
        "boxes": boxes,
        "missing": missing,
        "extra": extra,
        "worst_px": round(worst_px, 3),
    }


def differing(got: Any, wanted: Any) -> tuple[int, int, float]:
    """Boxes of Ultralytics' that are missing, boxes that are not of Ultralytics', and the farthest side of the others.

    Rows of x1, y1, x2, y2, score, class. Those at the threshold count for neither; nor do two that overlap and have one
    score, as happens in half precision: which of them suppresses the other is chance.
    """
    free = list(range(len(got)))
    missing, worst = 0, 0.0
    for row in wanted:
        near = [
            (float(np.abs(got[k, :4] - row[:4]).max()), k)
            for k in free
            if got[k, 5] == row[5] and abs(got[k, 4] - row[4]) < NEAR
        ]
        px, k = min(near, default=(np.inf, -1))
        if px <= MOST_PX:
            free.remove(k)
            worst = max(worst, px)
        elif row[4] > SCORE + NEAR and not stands_in(row, got):
            missing += 1
    extra = [k for k in free if got[k, 4] > SCORE + NEAR and not stands_in(got[k], wanted)]
    return missing, len(extra), worst


def stands_in(row: Any, others: Any) -> bool:
    """Whether one of the others has the row's class and score, and overlaps it as suppressed boxes do."""
    from edgevision.detectors.boxes import iou

    alike = others[(others[:, 5] == row[5]) & (np.abs(others[:, 4] - row[4]) < NEAR / 10)]
    return len(alike) > 0 and bool(iou(row[None, :4], alike[:, :4]).max() > IOU)


def ultralytics_boxes(path: Path, task: str, frames: list[Any]) -> list[Any]:
    from ultralytics import YOLO

    model = YOLO(str(path), task=task)
    rows = []
    for frame in frames:
        (result,) = model.predict(
            frame, conf=SCORE, iou=IOU, imgsz=SIDE_PX, rect=False, verbose=False, max_det=300, device="cpu"
        )
        found = result.boxes if result.obb is None else result.obb
        boxes = found.xyxy.numpy()
        height, width = frame.shape[:2]
        boxes = np.clip(boxes, 0, [width, height, width, height])
        table = np.column_stack([boxes, found.conf.numpy(), found.cls.numpy()])
        rows.append(table[(table[:, 2] > table[:, 0]) & (table[:, 3] > table[:, 1])])
    return rows


def confident(version: str, task: str, frames: list[Any]) -> Any:
    """A model of random weights whose class scores are spread: one in a thousand passes the threshold."""
    import torch
    from ultralytics import RTDETR, YOLO

    torch.manual_seed(7)
    described = YAML[version].format(TASKS[task])
    made = (RTDETR if version == "rtdetr" else YOLO)(described, **({} if version == "rtdetr" else {"task": task}))
    net = made.model.eval()
    head = net.model[-1]
    layers = list(score_layers(head))
    seen: dict[int, list[Any]] = {id(layer): [] for layer in layers}
    views = torch.from_numpy(np.concatenate([prepared(frame) for frame in frames]))
    with torch.no_grad():
        awaken(net, torch.cat([views, torch.from_numpy(np.concatenate([prepared(p) for p in patterns()]))]))
        hooks = [layer.register_forward_hook(lambda m, _, out: seen[id(m)].append(out)) for layer in layers]
        net.eval()(views)
        for hook in hooks:
            hook.remove()
        for layer in (layer for layer in layers if seen[id(layer)]):
            out = torch.cat([o.flatten() for o in seen[id(layer)]])
            # One in a thousand passes the threshold. A larger gain would enlarge what half precision rounds off.
            share = min(max(1e-3, 10 / out.numel()), 0.5)
            passing, best = float(out.quantile(1 - share)), float(out.max())
            gain = min(3.8 / max(best - passing, 1e-6), MOST_GAIN)
            layer.bias.copy_((layer.bias - passing) * gain - 0.85)
            layer.weight.mul_(gain)
        for layer in box_layers(head):
            bins = layer.out_channels // 4
            # Sides of some two cells: by themselves they would reach over the whole image.
            layer.bias.copy_(torch.full((4,), 1.0) if bins == 1 else -0.5 * torch.arange(bins).repeat(4))
    return made


def awaken(net: Any, views: Any) -> None:
    """Give every normalisation the frames' statistics: with those of its making, random layers let nothing through."""
    import torch

    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    net.train()
    net(views)
    net.eval()


def prepared(frame: Any) -> Any:
    from edgevision.detectors.manifest import InputRecipe
    from edgevision.detectors.preprocess import Preprocessor

    return Preprocessor(InputRecipe(width_px=SIDE_PX, height_px=SIDE_PX, std=(255.0,) * 3)).prepare(frame).tensor


def box_layers(head: Any) -> Iterator[Any]:
    for name in ("cv2", "one2one_cv2"):
        for level in getattr(head, name, None) or []:
            yield level[-1]


def score_layers(head: Any) -> Iterator[Any]:
    """The last layers of a head's class scores, of both branches where it has two."""
    if hasattr(head, "dec_score_head"):
        yield from [head.enc_score_head, *head.dec_score_head]
        return
    for name in ("cv3", "one2one_cv3"):
        for level in getattr(head, name, None) or []:
            yield level[-1]


def exported(model: Any, name: str, head: str, precision: str) -> Path:
    how = {"raw": {}, "nms": {"nms": True}, "end2end": {"nms": False}}[head]
    if head == "nms":
        how |= {"conf": SCORE, "iou": IOU}
    if head == "nms" and precision == "dynamic":
        how |= {"batch": 1}
    with contextlib.redirect_stdout(sys.stderr):
        made = model.export(
            format="onnx", imgsz=SIDE_PX, simplify=False, opset=17, device="cpu", **how, **PRECISIONS[precision]
        )
    return Path(made).rename(Path(made).absolute().with_name(f"{name}.onnx"))


def pictures() -> list[Any]:
    """Frames of the built-in scene: wide, high, and nearly the input's shape."""
    import cv2

    from edgevision.capture.scene import SceneSource

    with SceneSource(people=6, size_wh=(640, 480), seed=3, live=False, frames=8) as source:
        whole = [source.read().pixels for _ in range(3)]
    sizes = ((320, 180), (240, 320), (200, 180))
    return [np.ascontiguousarray(cv2.resize(frame, size)) for frame, size in zip(whole, sizes, strict=True)]


def patterns() -> list[Any]:
    """Images as unlike the frames as those of the trial at `models add`: half precision must not overflow on them."""
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    coarse = np.kron(rng.integers(0, 256, (10, 10, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
    ramp = np.repeat(np.linspace(0, 255, SIDE_PX).astype(np.uint8)[None, :, None], 3, 2).repeat(SIDE_PX, 0)
    return [noise, coarse, ramp, np.full_like(noise, 114)]


def read_every_box() -> None:
    """Ultralytics drops a segmenter's box whose mask is empty, as with random weights many are. Here none is."""
    import torch
    from ultralytics.models.yolo.segment import predict

    def full(proto: Any, coefficients: Any, boxes: Any, shape: tuple[int, int], upsample: bool = False) -> Any:
        return torch.ones(len(boxes), *shape)

    predict.ops.process_mask = full


def stand_in_for_torchvision() -> None:
    """Where torchvision cannot be imported: its one operator that Ultralytics needs, for torch and for ONNX alike."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        pass
    else:
        return
    import torch

    class Suppression(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, boxes: Any, scores: Any, iou: float) -> Any:
            order = scores.argsort(descending=True)
            kept = []
            while len(order):
                best, order = order[0], order[1:]
                kept.append(best)
                low = torch.maximum(boxes[best, :2], boxes[order, :2])
                high = torch.minimum(boxes[best, 2:4], boxes[order, 2:4])
                both = (high - low).clamp(min=0).prod(1)
                areas = (boxes[order, 2:4] - boxes[order, :2]).prod(1) + (boxes[best, 2:4] - boxes[best, :2]).prod()
                order = order[both <= iou * (areas - both)]
            return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)

        @staticmethod
        def symbolic(g: Any, boxes: Any, scores: Any, iou: float) -> Any:
            def constant(value: Any) -> Any:
                return g.op("Constant", value_t=value)

            first = constant(torch.tensor([0]))
            table = g.op("Unsqueeze", boxes, first)
            row = g.op("Unsqueeze", scores, constant(torch.tensor([0, 1])))
            most, limit = constant(torch.tensor([2**30])), constant(torch.tensor([iou]))
            chosen = g.op("NonMaxSuppression", table, row, most, limit)
            last = g.op("Gather", chosen, constant(torch.tensor([2])), axis_i=1)
            return g.op("Squeeze", last, constant(torch.tensor([1])))

    package, ops = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
    ops.nms = Suppression.apply  # type: ignore[attr-defined]
    package.ops = ops  # type: ignore[attr-defined]
    package.__version__ = "0"  # type: ignore[attr-defined]
    sys.modules |= {"torchvision": package, "torchvision.ops": ops}


if __name__ == "__main__":
    sys.exit(main())
