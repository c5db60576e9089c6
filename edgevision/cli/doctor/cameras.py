"""Which cameras there are, and whether each gives a picture: tried in a child, since a driver may hang."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgevision.cli.doctor.child import Outcome, try_in_child
from edgevision.cli.doctor.finding import Finding, State

AREA = "cameras"
TRIAL_LIMIT_S = 45.0
"""A camera answers within 5 s; the rest is for imports from a slow SD card."""

LIST = """
import json
from edgevision.capture import v4l2
from edgevision.capture.camera import list_cameras
print(json.dumps({
    "cameras": [[camera.spec, camera.name] for camera in list_cameras()],
    "libcamera": sorted({node.driver for node in v4l2.nodes() if node.by_libcamera})}))
"""

LIST_CSI = """
import json, os
os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
from picamera2 import Picamera2
print(json.dumps([camera.get("Model", "?") for camera in Picamera2.global_camera_info()]))
"""

TRY = """
import json, sys, time
from edgevision.errors import EdgeVisionError
spec = sys.argv[1]
if spec.startswith("csi://"):
    from edgevision.capture.picamera import PiCameraSource as Source
else:
    from edgevision.capture.camera import CameraSource as Source
try:
    with Source(spec) as source:
        first = source.read()
        frames = [source.read() for _ in range(10)]
        seconds = (frames[-1].captured_ns - first.captured_ns) / 1e9
        info = source.info
        print(json.dumps({
            "width": info.width_px, "height": info.height_px,
            "fps": info.fps, "measured": 10 / seconds if seconds else 0, "fourcc": getattr(source, "fourcc", ""),
            "brightest": int(frames[-1].pixels.max()),
            "still": all((frame.pixels == first.pixels).all() for frame in frames)}))
except EdgeVisionError as exc:
    print(json.dumps(str(exc)))
"""


def cameras() -> Iterator[Finding]:
    listed = try_in_child(LIST, limit_s=TRIAL_LIMIT_S)
    if listed.answer is None:
        fix = "mend the imports above first"
        yield Finding(AREA, "cameras", State.FAULT, f"cannot be listed: {listed.failure}", fix)
        return
    found = [(spec, name) for spec, name in listed.answer["cameras"] if not spec.startswith("csi://")]
    found += [(f"csi://{number}", model) for number, model in enumerate(_csi_models())]
    for spec, name in found:
        yield camera_finding(spec, name, try_in_child(TRY, spec, limit_s=TRIAL_LIMIT_S))
    closed = closed_nodes()
    if closed:
        text = f"{', '.join(closed)} may not be opened by this user"
        fix = "sudo usermod -aG video $USER, then log out and in again"
        yield Finding(AREA, "permission", State.FAULT, text, fix)
    elif not found and listed.answer["libcamera"]:
        text = f"none, but for one that only libcamera can read ({', '.join(listed.answer['libcamera'])})"
        fix = "on a Raspberry Pi: sudo apt install python3-picamera2, then --source csi://0; elsewhere a USB camera"
        yield Finding(AREA, "cameras", State.WARN, text, fix)
    elif not found:
        text = "none found: `edgevision run` shows the built-in scene"
        yield Finding(AREA, "cameras", State.WARN, text, "plug in a USB camera, or connect a Raspberry Pi camera")


def camera_finding(spec: str, name: str, outcome: Outcome) -> Finding:
    subject = f"{spec} {name}".strip()
    answer: Any = outcome.answer
    if answer is None:
        fix = "unplug it and plug it in again; on another USB port if that does not help"
        return Finding(AREA, subject, State.FAULT, f"does not answer: {outcome.failure}", fix)
    if isinstance(answer, str):
        said, _, todo = answer.partition(": ")
        return Finding(AREA, subject, State.FAULT, said, todo or "unplug it and plug it in again")
    rate = f"{answer['fps']:g} fps" if answer["fps"] else "unknown rate"
    text = (
        f"answers: {answer['width']}×{answer['height']} {answer['fourcc']} at {rate}, {answer['measured']:.0f} measured"
    )
    if answer["brightest"] < 10:
        return Finding(AREA, subject, State.WARN, f"{text}; the frame is black", "take the cover off its lens")
    if answer["still"]:
        fix = "if it should move, unplug it and plug it in again"
        return Finding(AREA, subject, State.WARN, f"{text}; the frames do not change", fix)
    return Finding(AREA, subject, State.OK, text)


def _csi_models() -> list[str]:
    if find_spec("picamera2") is None:
        return []
    answer = try_in_child(LIST_CSI, limit_s=TRIAL_LIMIT_S).answer
    # What else libcamera lists (USB cameras) was found by its own driver above.
    return [model for model in answer or [] if "usb" not in model.lower()]


def closed_nodes(folder: Path = Path("/dev")) -> list[str]:
    if sys.platform != "linux":
        return []
    return sorted(str(node) for node in folder.glob("video*") if not os.access(node, os.R_OK | os.W_OK))
