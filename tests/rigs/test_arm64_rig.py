"""The core's own tests on 64-bit Arm, under emulation: Debian bookworm and the Arm wheels, as on a Raspberry Pi."""

# ruff: noqa: T201 - what is printed is the rig's report
from __future__ import annotations

import pytest

from tests.rigs.rootfs import Rootfs

pytestmark = pytest.mark.rig

ARM64 = Rootfs(
    name="arm64",
    suite="bookworm",
    architecture="arm64",
    # libgl1 and libglib2.0-0 are what opencv-python wants of a system without a desktop
    packages=("python3", "python3-venv", "python3-pip", "ca-certificates", "libgl1", "libglib2.0-0"),
    steps=(
        "python3 -m venv /venv",
        "/venv/bin/pip install --quiet --require-hashes --requirement scripts/locks/runtime.txt",
        "/venv/bin/pip install --quiet pytest pytest-asyncio hypothesis onnx",
    ),
)

TESTS = (
    "detectors/test_boxes.py",
    "test_frame_queue.py",
    "pipeline/test_metrics.py",
    "detectors/test_preprocess.py",
    "tracking/test_assignment.py",
    "tracking/test_kalman.py",
    "detectors/test_ultralytics_decoder.py",
    "detectors/test_decoders.py",
    "detectors/test_registry.py",
    "tracking/test_bytetrack.py",
    "sinks/test_render.py",
    "capture/test_files.py",
    "capture/test_source_contract.py",
    "capture/test_camera.py",
    "capture/test_picamera.py",
    "sinks/test_json_lines.py",
    "sinks/test_video_file.py",
    "sinks/test_sink_contract.py",
    "cli/test_doctor.py",
)
"""Floors 0 to 2, and the doctor. What needs a browser, a screen or an RTSP server is not there."""

LEFT_OUT = ("capture/test_camera.py::test_a_device_that_is_no_camera",)
"""qemu-user answers every V4L2 ioctl with ENOSYS, where a kernel says ENOTTY of what is no camera."""


def test_the_core_on_arm64():
    absent = ARM64.missing()
    if absent:
        pytest.skip(f"needs {', '.join(absent)}; scripts/test-rigs installs what it can")
    ARM64.build()
    names = " ".join([f"tests/{name}" for name in TESTS] + [f"--deselect tests/{name}" for name in LEFT_OUT])
    code, told = ARM64.run(
        "/venv/bin/python -c 'import platform, onnxruntime, cv2, numpy, av; "
        "print(platform.machine(), onnxruntime.__version__, cv2.__version__, numpy.__version__, av.__version__)' && "
        f"/venv/bin/python -m pytest -p no:cacheprovider --durations=10 -rfEs {names}",
        limit_s=3000,
    )
    print(told)
    # onnxruntime complains first that there is no /sys to read the processors from.
    assert any(line.startswith("aarch64 ") for line in told.splitlines()), told[-3000:]
    assert code == 0, told[-6000:]
