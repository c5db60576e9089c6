"""What a student's shape costs: int8 networks of many widths, depths, necks and input sizes, untrained, timed in turns.

    python benchmarks/shapes.py [--out FILE.json]

Time does not depend on the weights; what a shape can learn is for training to show. One thread, `session.run` on a
ready tensor, as a share of the bundled `person` in the same run. Needs the extra [train].
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.onnx_session import Session
from edgevision.detectors.registry import load_detector
from edgevision.training.export.model_card import ModelCardFields
from edgevision.training.export.onnx_export import export_float, put_front_in_graph
from edgevision.training.export.package_model import machine_in_words, manifest_for, median_ms
from edgevision.training.export.quantize_int8 import quantise
from edgevision.training.student import Student, StudentShape

WIDTHS, DEPTHS, NECK, SIDE = (24, 48, 96, 192), (1, 2, 3, 2), 48, 320
TRIED = [
    (WIDTHS, DEPTHS, NECK, SIDE),
    ((16, 32, 64, 112), (1, 1, 2, 1), 32, 256),
    ((16, 32, 64, 128), DEPTHS, NECK, SIDE),
    ((20, 40, 80, 160), DEPTHS, NECK, SIDE),
    ((28, 56, 112, 224), DEPTHS, NECK, SIDE),
    ((32, 64, 128, 256), DEPTHS, NECK, SIDE),
    (WIDTHS, (0, 1, 2, 1), NECK, SIDE),
    (WIDTHS, (1, 3, 5, 3), NECK, SIDE),
    (WIDTHS, DEPTHS, 32, SIDE),
    (WIDTHS, DEPTHS, 64, SIDE),
    (WIDTHS, DEPTHS, NECK, 256),
    (WIDTHS, DEPTHS, NECK, 352),
    (WIDTHS, DEPTHS, NECK, 416),
]
"""Widths and depths of strides 4, 8, 16, 32; the neck's width; the input side in px."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    made = [untrained(StudentShape(1, *shape), side) for *shape, side in TRIED]
    base, *took = median_ms([load_detector("person", threads=1), *(detector for detector, _ in made)], options.rounds)
    print(f"{machine_in_words()}, one thread, medians of {options.rounds} rounds; `person` {base:.2f} ms\n")
    print("| widths | depths | neck | input px | parameters | ms | ÷ `person` |\n|---|---|---|---|---|---|---|")
    rows = []
    for (widths, depths, neck, side), (_, parameters), ms in zip(TRIED, made, took, strict=True):
        columns = (" ".join(map(str, widths)), " ".join(map(str, depths)), neck, side)
        print(f"| {' | '.join(map(str, columns))} | {parameters / 1e6:.2f} M | {ms:.2f} | {ms / base:.2f} |")
        rows.append(
            {"widths": widths, "depths": depths, "neck": neck, "side_px": side, "ms": ms, "to_person": ms / base}
        )
    if options.out is not None:
        options.out.write_text(json.dumps({"machine": machine_in_words(), "person_ms": base, "rows": rows}, indent=1))


def untrained(shape: StudentShape, side_px: int) -> tuple[OnnxDetector, int]:
    """A network of this shape with random weights as an int8 detector, and how many parameters it has."""
    torch.manual_seed(0)
    student = Student(shape).eval()
    rng = np.random.default_rng(0)

    def pictures() -> Iterator[NDArray[np.float32]]:
        for _ in range(4):
            yield rng.random((1, 3, side_px, side_px), np.float32)

    with tempfile.TemporaryDirectory() as scratch:
        whole, small = Path(scratch) / "float.onnx", Path(scratch) / "int8.onnx"
        export_float(student, side_px, whole)
        quantise(whole, small, pictures())
        put_front_in_graph(small, {})
        session = Session(small.read_bytes(), "shape", threads=1)
    manifest = manifest_for(ModelCardFields("shape"), ["thing"], side_px)
    return OnnxDetector(manifest, session), sum(p.numel() for p in student.parameters())


if __name__ == "__main__":
    main()
