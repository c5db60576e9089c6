"""A few of benchmarks/exports.py: exports of the installed Ultralytics, read as Ultralytics reads them. Minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.extra
ROOT = Path(__file__).resolve().parents[2]
CHOSEN = (
    "v8-detect-raw-fp32",
    "v8-detect-nms-dynamic",
    "11-pose-raw-half",
    "11-segment-nms-fp32",
    "26-detect-end2end-dynamic",
    "26-obb-raw-fp32",
    "26-obb-end2end-half",
    "rtdetr-detect-raw-fp32",
)


def test_boxes_are_ultralytics_own(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("ultralytics")
    only = [word for name in CHOSEN for word in ("--only", name)]
    subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "exports.py", *only, "--out", tmp_path / "rows.json"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        timeout=1200,
    )
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))["rows"]
    assert {row["export"]: row["verdict"] for row in rows} == dict.fromkeys(CHOSEN, "same"), rows
