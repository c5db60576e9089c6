"""YOLO26 of a given width with random weights, as .onnx at 320 px: width, path. Needs ultralytics (AGPL-3.0).

Width 0.25 is YOLO26n. Latency does not depend on the weights.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import ultralytics
import yaml
from plain import SIDE_PX
from ultralytics import YOLO


def main() -> None:
    width, out = float(sys.argv[1]), Path(sys.argv[2]).absolute()
    shape = yaml.safe_load((Path(ultralytics.__file__).parent / "cfg/models/26/yolo26.yaml").read_text())
    depth, _, most = shape["scales"]["n"]
    shape["scales"] = {"n": [depth, width, most]}
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # where Ultralytics leaves its files
        described = Path(scratch) / "yolo26n.yaml"
        described.write_text(yaml.safe_dump(shape))
        made = YOLO(str(described)).export(format="onnx", imgsz=SIDE_PX, simplify=False)
        shutil.move(made, out)


if __name__ == "__main__":
    main()
