"""Snapshots: exactly the picture, a new file each, and a plain word when there is no room."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.errors import SinkError
from edgevision.sinks.render import Renderer
from edgevision.sinks.snapshot import SnapshotWriter
from tests.support.display import RUNNING, result_of

ROOT = Path(__file__).resolve().parents[2]


def test_saves_every_pixel_in_a_file_of_its_own(tmp_path):
    result = result_of(12, name="rtsp://camera.local/stream one")
    picture = Renderer().draw(result, RUNNING)
    writer = SnapshotWriter(tmp_path / "kept")
    first, second = writer.write(picture, result), writer.write(picture, result)
    assert first != second
    assert np.array_equal(cv2.imread(str(first)), picture)
    assert np.array_equal(cv2.imread(str(second)), picture)
    assert first.name.startswith("edgevision-stream-one-20")
    assert "frame12" in first.name


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    result = result_of(0)
    with pytest.raises(SinkError, match="could not be saved in"):
        SnapshotWriter(tmp_path / "file").write(Renderer().draw(result, RUNNING), result)


def test_a_full_disk_leaves_no_half_picture(tmp_path):
    code = f"""
from edgevision.errors import SinkError
from edgevision.sinks.snapshot import SnapshotWriter
from tests.support.display import *
result = result_of(0, pixels=np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
try:
    SnapshotWriter({str(tmp_path)!r}).write(Renderer().draw(result, RUNNING), result)
except SinkError as exc:
    print(exc)
"""
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000)),
    )
    assert "free some space there" in child.stdout, child.stderr
    assert list(tmp_path.iterdir()) == []
