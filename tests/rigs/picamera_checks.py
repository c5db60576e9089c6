"""Run inside the libcamera root file system by test_picamera_rig.py: the real Picamera2 class on virtual cameras."""

# ruff: noqa: T201 - what is printed is the rig's report
from __future__ import annotations

import gc
import os
import threading
import time

import cv2
import numpy as np
import pytest

from edgevision.capture import open_source, picamera
from edgevision.capture.picamera import PiCameraSource
from edgevision.errors import SourceLost, SourceNotFound
from tests.rigs import picamera_patches  # noqa: F401

import libcamera  # isort: skip
from picamera2 import Picamera2  # isort: skip

LOST_LIMIT_S = 2.0


def number_of(model: str) -> int:
    """The cameras' order is picamera2's own."""
    return [camera["Model"] for camera in Picamera2.global_camera_info()].index(model)


def test_the_cameras_are_there():
    models = [camera["Model"] for camera in Picamera2.global_camera_info()]
    print(models)
    assert set(models) >= {"Wide", "Small"}


@pytest.mark.parametrize(
    ("model", "asked", "got"),
    [("Wide", (1280, 720), (1280, 720)), ("Wide", (640, 360), (640, 360)), ("Small", (640, 360), (400, 300))],
)
def test_size_and_format_are_read_back(model, asked, got, tmp_path):
    with PiCameraSource(number_of(model), width_px=asked[0], height_px=asked[1]) as source:
        main = source._camera.camera_configuration()["main"]
        print(f"asked {asked} RGB888, got {main['size']} {main['format']}")
        assert (source.info.width_px, source.info.height_px) == got
        for _ in range(3):
            frame = source.read()
            assert frame.size_wh == got
        assert main["size"] == got
        assert frame.pixels.std() > 20, "a test pattern, not a grey picture"
        if model == "Wide":
            cv2.imwrite(f"/report/{asked[0]}x{asked[1]}.png", frame.pixels)
    if model == "Small":
        # "bars": white first, black last, and the colours between in the order of their lightness
        row = frame.pixels[got[1] // 2].astype(int)
        starts = [row[round((k + 0.5) * got[0] / 8)] for k in range(8)]
        cv2.imwrite("/report/bars.png", frame.pixels)
        lightness = [int(colour @ (29, 150, 77)) >> 8 for colour in starts]
        print(starts)
        assert lightness == sorted(lightness, reverse=True), "colours changed places"


def test_rate_and_time_stamps():
    with PiCameraSource(number_of("Wide"), width_px=640, height_px=360, fps=30) as source:
        frames, ages_ms = [], []
        for _ in range(60):
            frame = source.read()
            frames.append(frame)
            ages_ms.append((time.monotonic_ns() - frame.captured_ns) / 1e6)
    stamps_ns = np.array([frame.captured_ns for frame in frames])
    rate = 59 / ((stamps_ns[-1] - stamps_ns[0]) / 1e9)
    print(
        f"told {source.info.fps}, measured {rate:.1f} fps; age ms p50 {np.median(ages_ms):.2f} max {max(ages_ms):.1f}"
    )
    assert np.all(np.diff(stamps_ns) > 0)
    assert min(ages_ms) >= 0
    assert np.median(ages_ms) < 100
    assert [frame.index for frame in frames] == list(range(60))


def test_frames_after_a_pause_are_fresh():
    with PiCameraSource(number_of("Wide"), width_px=640, height_px=360) as source:
        source.read()
        time.sleep(1.0)
        start_ns = time.monotonic_ns()
        assert source.read().captured_ns > start_ns - 50_000_000


def test_opening_again_and_again_leaks_nothing():
    def held() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    def once():
        with PiCameraSource(number_of("Wide"), width_px=640, height_px=360) as source:
            source.read()

    once()
    before = held()
    for _ in range(10):
        once()
    print(f"file descriptors: {before} before, {held()} after 10 times")
    assert held() <= before


def test_a_stall_is_lost_and_the_camera_can_be_opened_again():
    source = PiCameraSource(number_of("Wide"), width_px=640, height_px=360)
    source.read()
    source._camera.process_requests = lambda *_: None  # as with a cable that came loose, no request completes
    start_s = time.monotonic()
    with pytest.raises(SourceLost, match="stopped giving frames"):
        while time.monotonic() < start_s + 20:
            source.read()
    took_s = time.monotonic() - start_s
    print(f"lost after {took_s:.2f} s")
    assert took_s <= LOST_LIMIT_S
    with PiCameraSource(number_of("Wide"), width_px=640, height_px=360) as again:
        again.read()
    source.close()


def test_close_while_a_read_waits():
    source = PiCameraSource(number_of("Wide"), width_px=640, height_px=360)
    source.read()
    source._camera.process_requests = lambda *_: None
    ended: list = []
    reader = threading.Thread(target=lambda: ended.extend(iter(source.read, None)))
    reader.start()
    time.sleep(0.3)
    start_s = time.monotonic()
    source.close()
    reader.join(20)
    print(f"closed after {time.monotonic() - start_s:.2f} s")
    assert not reader.is_alive()
    assert time.monotonic() - start_s <= LOST_LIMIT_S


def test_no_such_camera_names_those_there_are():
    with pytest.raises(SourceNotFound, match=r"no camera csi://9; there is csi://0 \(\w+\)"):
        PiCameraSource(9)


def test_in_use():
    """By this process: libcamera locks media devices against others, and virtual cameras have none."""
    with PiCameraSource(0) as first:
        with pytest.raises(SourceNotFound) as raised:
            PiCameraSource(0)
        print(raised.value)
        assert "in use by another program" in str(raised.value)
        first.read()


def test_through_the_table_of_sources():
    with open_source(f"csi://{number_of('Wide')}", width_px=640, height_px=360) as source:
        assert source.read().size_wh == (640, 360)
        assert source.info.name.startswith("csi://")


def test_every_format_this_camera_could_give_is_known():
    camera = Picamera2(number_of("Wide"))
    try:
        configuration = camera.camera.generate_configuration([libcamera.StreamRole.VideoRecording])
        offered = {str(pixel_format) for pixel_format in configuration.at(0).formats.pixel_formats}
    finally:
        camera.close()
    assert offered <= set(picamera.TO_BGR)
