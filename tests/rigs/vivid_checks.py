"""Run inside the vivid guest by test_vivid_rig.py: a real V4L2 device, and every fault that its driver can play."""

# ruff: noqa: T201 - what is printed is the rig's report
from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from edgevision.capture import open_source, v4l2
from edgevision.capture.camera import CameraSource, list_cameras
from edgevision.cli.doctor import cameras as doctor_cameras
from edgevision.errors import SourceLost, SourceNotFound
from tests.support.cuts import Usage, camera_cuts
from tests.support.models import blob_model
from tests.support.waiting import wait_for

DEVICE = "/dev/video0"
LOST_LIMIT_S = 2.0
BACK_LIMIT_S = 5.0


def control(**values: int) -> None:
    for name, value in values.items():
        subprocess.run(["v4l2-ctl", "-d", DEVICE, "-c", f"{name}={value}"], check=True, timeout=20)


def format_now() -> str:
    return subprocess.run(
        ["v4l2-ctl", "-d", DEVICE, "--get-fmt-video", "--get-parm"], capture_output=True, text=True, check=True
    ).stdout


@contextmanager
def holding():
    """Another process that has the device open: while it does, a disconnected vivid does not come back."""
    code = f"import os; os.open({DEVICE!r}, os.O_RDWR | os.O_NONBLOCK); print(1, flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    try:
        yield
    finally:
        child.communicate(b"\n")


@pytest.fixture(autouse=True)
def _well():
    """No fault is left over from the test before."""
    yield
    control(percentage_of_dropped_buffers=0)


def until_lost(source: CameraSource) -> float:
    """Seconds until `read` says that the source is lost."""
    start_s = time.monotonic()
    with pytest.raises(SourceLost):
        while True:
            source.read()
            assert time.monotonic() - start_s < 30
    return time.monotonic() - start_s


def test_listed():
    assert [(camera.spec, camera.name) for camera in list_cameras()] == [(DEVICE, "vivid")]


@pytest.mark.parametrize("asked", [(640, 360), (1280, 720), (320, 180)])
def test_frames_come_at_the_size_that_is_told(asked):
    with CameraSource(0, width_px=asked[0], height_px=asked[1], fps=15) as source:
        info = source.info
        told = format_now()
        assert f"{info.width_px}/{info.height_px}" in told
        assert re.search(r"Frames per second: ([\d.]+)", told)[1].startswith(f"{info.fps:.0f}")
        assert f"'{source.fourcc}'" in told
        assert (info.width_px, info.height_px) == asked
        frame = source.read()
        assert frame.pixels.shape == (info.height_px, info.width_px, 3)
        assert frame.pixels.std() > 20, "colour bars, not a black picture"
        assert source.trouble is None
    if asked == (640, 360):
        good, packed = cv2.imencode(".jpg", frame.pixels)
        assert good
        print("PICTURE " + base64.b64encode(packed.tobytes()).decode())


def test_a_size_it_has_not_is_told():
    with CameraSource(DEVICE, width_px=1000, height_px=700) as source:
        frame = source.read()
        assert (source.info.width_px, source.info.height_px) == frame.size_wh != (1000, 700)


def test_rate_and_time_stamps():
    with CameraSource(0, width_px=640, height_px=360, fps=15) as source:  # what emulation keeps up with
        source.read()
        frames = []
        ages_ms = []
        for _ in range(60):
            frame = source.read()
            frames.append(frame)
            ages_ms.append((time.monotonic_ns() - frame.captured_ns) / 1e6)
        stamps_ns = np.array([frame.captured_ns for frame in frames])
        assert np.all(np.diff(stamps_ns) > 0)
        rate = (len(frames) - 1) / ((stamps_ns[-1] - stamps_ns[0]) / 1e9)
        print(f"told {source.info.fps} fps, measured {rate:.2f}")
        print(f"age ms p50 {np.median(ages_ms):.1f} max {max(ages_ms):.1f}")
        # Not below a half: emulation on a machine that is busy loses frames, a wrong clock or size loses most of them.
        assert 0.5 * source.info.fps <= rate <= 1.1 * source.info.fps
        assert [frame.index for frame in frames] == list(range(frames[0].index, frames[0].index + 60))
        assert min(ages_ms) >= 0
        assert np.median(ages_ms) < 200


def test_after_a_pause_frames_are_fresh():
    with CameraSource(0, width_px=640, height_px=360) as source:
        source.read()
        time.sleep(1.0)
        start_ns = time.monotonic_ns()
        assert source.read().captured_ns > start_ns - 50_000_000


def test_all_buffers_dropped_is_lost():
    with CameraSource(0) as source:
        source.read()
        control(percentage_of_dropped_buffers=100)
        source.read()  # what was filled already
        took_s = until_lost(source)
    print(f"lost after {took_s:.2f} s")
    assert took_s <= LOST_LIMIT_S


def test_streaming_error_is_lost_and_it_opens_again():
    source = CameraSource(0)
    source.read()
    control(inject_fatal_streaming_error=1)
    took_s = until_lost(source)
    print(f"lost after {took_s:.2f} s: {source.trouble}")
    assert took_s <= LOST_LIMIT_S
    with CameraSource(0) as again:  # although `source` was not closed: it let go by itself
        again.read()
    source.close()


def test_unplugged_is_lost():
    with holding(), CameraSource(0) as source:
        source.read()
        control(disconnect=1)
        took_s = until_lost(source)
        print(f"lost after {took_s:.2f} s: {source.trouble}")
        assert took_s <= LOST_LIMIT_S
        assert "is gone" in source.trouble
        with pytest.raises(SourceNotFound, match="there is no camera /dev/video0"):
            CameraSource(0)
    CameraSource(0).close()


def follow(source, seen: list, stop: threading.Event) -> threading.Thread:
    def read():
        while not stop.is_set():
            frame = source.read()
            if frame is None:
                return
            seen.append((time.monotonic(), frame))

    thread = threading.Thread(target=read)
    thread.start()
    return thread


@pytest.mark.parametrize("fault", ["unplugged", "stalled"])
def test_lost_is_told_and_it_comes_back_by_itself(fault):
    source = open_source(0, width_px=640, height_px=360)
    seen: list = []
    stop = threading.Event()
    reader = follow(source, seen, stop)
    try:
        wait_for(lambda: len(seen) > 5, 20)
        if fault == "unplugged":
            with holding():
                control(disconnect=1)
                told_s = wait_for(lambda: source.trouble, 20)
                time.sleep(2)
                count = len(seen)
                returned_s = time.monotonic()
        else:
            control(percentage_of_dropped_buffers=100)
            told_s = wait_for(lambda: source.trouble, 20)
            time.sleep(2)
            count = len(seen)
            returned_s = time.monotonic()
            control(percentage_of_dropped_buffers=0)
        wait_for(lambda: len(seen) > count, 30)
        back_s = seen[count][0] - returned_s
        print(f"{fault}: told after {told_s:.2f} s, back {back_s:.2f} s after its return")
        assert told_s <= LOST_LIMIT_S
        assert back_s <= BACK_LIMIT_S
        assert seen[count][1].captured_ns / 1e9 >= returned_s - 0.1, "a stale frame came first"
        wait_for(lambda: source.trouble is None, 5)
        indices = [frame.index for _, frame in seen]
        assert indices == sorted(set(indices))
    finally:
        stop.set()
        source.close()
        reader.join(10)
        assert not reader.is_alive()


def test_opens_but_gives_nothing():
    control(percentage_of_dropped_buffers=100)
    start_s = time.monotonic()
    with pytest.raises(SourceNotFound, match="opens but gave no frame"):
        CameraSource(0)
    print(f"told after {time.monotonic() - start_s:.2f} s")
    assert time.monotonic() - start_s < 8


def test_in_use_by_another_program():
    code = "from edgevision.capture.camera import CameraSource as C; s = C(0); s.read(); print(1, flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        with pytest.raises(SourceNotFound) as raised:
            CameraSource(0)
    finally:
        other.communicate(b"\n")
    print(raised.value)
    assert re.search(rf"in use by python\S* \(process {other.pid}\): close that first", str(raised.value))


def test_another_number_names_the_one_there_is():
    with pytest.raises(SourceNotFound, match=r"there is no camera /dev/video5: there is /dev/video0 \(vivid\)"):
        CameraSource(5)


def test_not_allowed():
    # Imported as the superuser, who alone may be let into the environment's folder; then opened as nobody.
    code = (
        "import os\nfrom edgevision.capture.camera import CameraSource as C\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "try: C(0)\nexcept Exception as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    print(done.stdout)
    assert "sudo usermod -aG video" in done.stdout, done.stderr


def test_close_while_a_read_waits():
    source = CameraSource(0)
    source.read()
    control(percentage_of_dropped_buffers=100)
    ended: list = []
    reader = threading.Thread(target=lambda: ended.extend(iter(source.read, None)))
    reader.start()
    time.sleep(0.3)
    start_s = time.monotonic()
    source.close()
    reader.join(20)
    took_s = time.monotonic() - start_s
    print(f"closed after {took_s:.2f} s")
    assert took_s <= LOST_LIMIT_S
    control(percentage_of_dropped_buffers=0)
    with CameraSource(0) as again:
        again.read()


def test_opening_again_and_again_leaks_nothing():
    def held() -> int:
        return len(os.listdir("/proc/self/fd"))

    CameraSource(0).close()
    before = held()
    for _ in range(15):
        with CameraSource(0, width_px=320, height_px=180) as source:
            source.read()
    assert held() == before
    assert v4l2.holders(DEVICE) == []


def cli(*arguments: str, limit_s: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgevision", *arguments], capture_output=True, text=True, timeout=limit_s
    )


def test_doctor_sees_it(monkeypatch):
    monkeypatch.setattr(doctor_cameras, "TRIAL_LIMIT_S", 300.0)  # imports take long under emulation
    (found,) = doctor_cameras.cameras()
    print(found)
    assert found.subject == f"{DEVICE} vivid"
    assert found.state == "ok"


def test_the_whole_loop(tmp_path):
    """With a detector of bright red cells: real ones take seconds a frame under emulation."""
    model = blob_model(tmp_path) / "model.onnx"
    arguments = ("--source", "0", "--model", str(model), "--display", "none", "--frames", "100", "--json", "-")
    done = cli("run", *arguments)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 100
    indices = [line["frame"] for line in lines]
    assert indices == sorted(set(indices))
    assert all(line["source"] == DEVICE and line["size"] == [640, 480] for line in lines)
    assert all(line["detections"] for line in lines), "the colour bars have bright red in them"
    ages_ms = [line["age_ms"] for line in lines]
    print(f"age ms p50 {np.median(ages_ms):.0f} max {max(ages_ms):.0f}; last index {indices[-1]}")
    print(done.stderr[-1500:])
    assert min(ages_ms) >= 0
    CameraSource(0).close()  # it was let go


def test_cuts_leave_nothing_behind():
    """Lost and back six times: no thread and no descriptor more."""
    with camera_cuts(DEVICE) as cut:
        cut(0)
        before = Usage.now()
        for number in range(6):
            cut(number)
        wait_for(lambda: Usage.now().threads <= before.threads, 10)
        now = Usage.now()
        print(f"CUTS threads {before.threads} to {now.threads}, RSS {before.rss_mib:.1f} to {now.rss_mib:.1f} MiB")
        assert (now.threads, now.fds) == (before.threads, before.fds)
        assert now.rss_mib - before.rss_mib <= 5
