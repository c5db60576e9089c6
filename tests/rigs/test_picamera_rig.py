"""The real Picamera2 class on libcamera's virtual cameras: see picamera_checks.py for what is run."""

# ruff: noqa: T201 - what is printed is the rig's report
from __future__ import annotations

import pytest

from tests.rigs.rootfs import Rootfs

pytestmark = pytest.mark.rig

LIBCAMERA = Rootfs(
    name="picamera",
    suite="sid",  # the first Debian whose libcamera has the virtual pipeline
    packages=("python3-libcamera", "libcamera-ipa", "python3-venv", "python3-dev", "libcap-dev", "gcc", "libc6-dev"),
    options=("--aptopt=Acquire::Check-Valid-Until false",),
    steps=(
        "python3 -m venv --system-site-packages /venv",
        # without a window, so that no libGL is needed
        "/venv/bin/pip install --quiet picamera2==0.3.38 opencv-python-headless numpy pytest",
    ),
)


def test_the_real_picamera2():
    absent = LIBCAMERA.missing()
    if absent:
        pytest.skip(f"needs {', '.join(absent)}; scripts/test-rigs installs what it can")
    LIBCAMERA.build()
    code, told = LIBCAMERA.run(
        "gcc -shared -fPIC -O1 -o /tmp/dma_shim.so tests/rigs/dma_shim.c -ldl && "
        "cp tests/rigs/virtual_cameras.yaml /usr/share/libcamera/pipeline/virtual/virtual.yaml && "
        "LD_PRELOAD=/tmp/dma_shim.so LIBCAMERA_LOG_LEVELS='*:ERROR' /venv/bin/python -m pytest -p no:cacheprovider "
        "-o addopts= -W ignore -rA tests/rigs/picamera_checks.py tests/capture/test_picamera.py",
        limit_s=600,
    )
    print(told)
    assert code == 0, told[-6000:]
