"""A run that is stopped, starved or pointed at its own files."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import av
import numpy as np
import pytest

from tests.support.models import blob_frame_pixels, blob_model

FRAMES = 60


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    blob_model(folder / "blobs")
    with av.open(str(folder / "clip.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 128, "yuv420p"
        for k in range(FRAMES):
            pixels = blob_frame_pixels(256, 128, [(32 + 2 * k, 32, 64 + 2 * k, 64)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())
    return folder


def start(place, *arguments):
    keep = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY", "EDGEVISION_MODELS"}}
    return subprocess.Popen(
        [sys.executable, "-m", "edgevision", "run", "--model", "./blobs", "--display", "none", *arguments],
        cwd=place,
        env=keep,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def camera():
    """An HTTP camera that sends the pictures it is told to, and then nothing; its connections stay open."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked, held = threading.Event(), []

    class Camera:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/stream"
        pictures = 0
        connected = asked

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            asked.set()
            if Camera.pictures:
                connection.recv(4096)
                head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"
                connection.sendall(head.encode())
                jpeg = cv2.imencode(".jpg", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()
                part = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                for _ in range(Camera.pictures):
                    connection.sendall(part + jpeg + b"\r\n")
                    time.sleep(0.05)
                Camera.pictures = 0

    threading.Thread(target=serve, daemon=True).start()
    yield Camera
    listener.close()
    for connection in held:
        connection.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_before_the_first_frame_leaves_no_empty_files(place, camera, tmp_path, number, code):
    old = tmp_path / "old.jsonl"
    old.write_text("kept\n")
    process = start(place, "--source", camera.url, "--save", str(tmp_path / "out.mp4"), "--json", str(old))
    assert camera.connected.wait(30)
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "Aborted" not in err
    assert os.listdir(tmp_path) == ["old.jsonl"]
    assert old.read_text() == "kept\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_file_cut_short_by_a_signal_says_so(place, tmp_path, number, code):
    out = tmp_path / "out.mp4"
    process = start(place, "--source", "clip.mkv", "--fps", "10", "--save", str(out), "--json", "-")
    for _ in range(10):
        process.stdout.readline()
    process.send_signal(number)
    lines, err = process.communicate(timeout=10)
    assert process.returncode == code, err
    count = 10 + len(lines.splitlines())
    assert count < FRAMES
    assert f"{count} frames" in err
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_live_source_that_is_stopped_is_complete(place, number):
    process = start(place, "--source", "scene://?size=160x120", "--json", "-")
    process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_live_source_that_is_stopped_before_its_first_result_too(place, number):
    process = start(place, "--source", "scene://?size=160x120", "--model", "./blobs")
    process.stderr.readline()  # the model is loaded, the loop not yet begun
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0, err


@pytest.mark.parametrize("pictures", [0, 20])
def test_a_silent_camera_is_lost_within_2_s(place, camera, pictures, tmp_path):
    camera.pictures = pictures
    process = start(place, "--source", camera.url, "--json", "-")
    try:
        assert camera.connected.wait(30)
        for line in process.stdout:
            record = json.loads(line)
            if "status" in record:
                break
            last_ns = record["captured_ns"]
        else:
            last_ns = record = None
        assert record is not None, process.stderr.read()
        assert record["status"] == "lost"
        assert "gave no frame for 2 s" in record["detail"]
        if pictures:
            assert record["at_ns"] - last_ns < 2.3e9
        said = next(line for line in process.stderr if "no frame" in line)
        assert said.startswith(f"edgevision: {camera.url} gave no frame for 2 s")
    finally:
        process.kill()
        process.communicate()


def test_the_source_is_never_written_over(place, tmp_path):
    whole = (place / "clip.mkv").read_bytes()
    (tmp_path / "link.mkv").symlink_to(place / "clip.mkv")
    os.link(place / "clip.mkv", tmp_path / "hard.mkv")
    for option, path in (("--json", "clip.mkv"), ("--save", tmp_path / "hard.mkv"), ("--json", tmp_path / "link.mkv"),
                         ("--sink", f"json={tmp_path / 'link.mkv'}"), ("--json", "blobs/model.onnx")):  # fmt: skip
        process = start(place, "--source", "clip.mkv", option, str(path))
        _, err = process.communicate(timeout=60)
        assert process.returncode == 5, err
        assert len(err.splitlines()) == 1
        assert "are the same file, and writing would destroy it" in err
    assert (place / "clip.mkv").read_bytes() == whole
    assert not Path(tmp_path / "a.jsonl").exists()


def test_two_outputs_never_share_a_file(place, tmp_path):
    process = start(place, "--source", "clip.mkv", "--save", f"{tmp_path}/a.mp4", "--json", f"{tmp_path}/./a.mp4")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "are the same file" in err
    assert os.listdir(tmp_path) == []
