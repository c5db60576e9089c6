"""The command line in a process of its own, and a folder to run it in."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import av
import numpy as np
import typer.main

from edgevision.cli import app
from tests.support.models import blob_frame_pixels, blob_model

CLIP_FRAMES = 40


def blob_folder(folder: Path) -> Path:
    """Fill a folder with a detector of red blocks and a clip of one that moves right by 4 px a frame."""
    blob_model(folder / "blobs")
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 256, 128, "yuv444p"
        for k in range(CLIP_FRAMES):
            pixels = blob_frame_pixels(256, 128, [(32 + 4 * k, 32, 64 + 4 * k, 64)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())
    still = np.zeros((128, 256, 3), np.uint8)
    still[32:64, 96:128, 2] = 255
    for k in range(6):
        (folder / "still").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "still" / f"{k}.png"), still)
    return folder


def environment():
    keep = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY", "EDGEVISION_MODELS"}}
    return {**keep, "COLUMNS": "200", "NO_COLOR": "1"}


def start(place, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "edgevision", *arguments],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def call(place, *arguments):
    process = start(place, *arguments)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def run_blobs(place, *arguments):
    return call(place, "run", "--model", "./blobs", "--display", "none", *arguments)


def unknown_options(line: str) -> list[str]:
    """Options of an ``edgevision …`` line that its command does not have; a hidden one counts as unknown."""
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    known = {name for param in shown for name in (*param.opts, *param.secondary_opts)} | {"--help"}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
