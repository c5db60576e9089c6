"""What a run refuses before the camera's light goes on, and its page's token."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from edgevision.cli.tokens import VARIABLE
from edgevision.detectors import devices, engines, onnx_session
from edgevision.detectors.devices import Placement, placement
from edgevision.detectors.engines import check_placement
from edgevision.detectors.onnx_session import Session
from edgevision.errors import UsageError
from tests.support.models import blob_model

SECRET = "s3cret-that-Outlives-a-restart"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusals")
    blob_model(folder / "blobs")
    (folder / "best.pt").write_bytes(b"PK\x03\x04 a pickle")
    (folder / "best.tflite").write_bytes(b"TFL3")
    (folder / "broken").mkdir()
    (folder / "broken/model.toml").write_text((folder / "blobs/model.toml").read_text())
    (folder / "broken/model.onnx").write_bytes(b"damaged")
    return folder


def start(place, *arguments, **more):
    keep = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY", "EDGEVISION_MODELS"}}
    return subprocess.Popen(
        [sys.executable, "-m", "edgevision", "run", *arguments],
        cwd=place, env={**keep, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (["--model", "best.pt"], r"best\.pt: a \.pt file is a pickle.*yolo export model=best\.pt format=onnx", 4),
        (["--model", "best.tflite"], r"another runtime.*yolo export model=best\.pt format=onnx", 4),
        (["--model", "./broken"], r"SHA-256", 4),
        (["--model", "nobody"], r"no model named 'nobody'", 4),
        (["--model", "./blobs", "--then", "best.pt"], r"is a pickle", 4),
        (["--model", "./blobs", "--device", "gpu"], r"--device: expected auto, cpu, cuda, mps or cuda:1, got 'gpu'", 2),
        (["--model", "./blobs", "--token", "short"], r"--token: expected at least 16 characters", 2),
        (["--model", "./blobs", "--token", "aaaaaaaaaaaaaaaaaaaaaaaa"], r"6 of them different", 2),
    ],
)  # fmt: skip
def test_refused_before_the_camera_is_opened(place, words, message, code):
    """The camera is not there: were it opened first, that would be the error."""
    process = start(place, "--source", "/dev/video97", "--display", "none", *words)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert len(err.splitlines()) == 1
    assert re.search(message, err), err
    assert "aaaa" not in err


def answer(address, token):
    try:
        with urllib.request.urlopen(f"{address}/?token={token}", timeout=10) as page:
            return page.status
    except urllib.error.HTTPError as exc:
        return exc.code


@pytest.mark.parametrize("given", ["option", "option with =", "environment"])
def test_the_pages_token_outlives_a_restart_and_is_not_shown(place, given):
    words = {"option": ["--token", SECRET], "option with =": [f"--token={SECRET}"], "environment": []}[given]
    more = {VARIABLE: SECRET} if given == "environment" else {}
    process = start(
        place, "--model", "./blobs", "--source", "scene://?size=160x120", "--display", "browser", *words, **more
    )
    try:
        lines = []
        while not (lines and "live page" in lines[-1]):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
        address = re.search(r"live page at (http://\S+)/\?token=<your token>", lines[-1])[1]
        assert answer(address, SECRET) == 200
        assert answer(address, SECRET[:-1]) == 403
        if sys.platform == "linux":
            assert SECRET not in Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=20)
    assert process.returncode == 0, rest
    assert SECRET not in "".join(lines) + rest


def test_devices_are_onnxruntimes_providers():
    cpu = "CPUExecutionProvider"
    assert placement("auto").providers == placement("cpu").providers == [cpu]
    assert placement("cuda:1").providers == [("CUDAExecutionProvider", {"device_id": 1}), cpu]
    assert placement("mps").providers == [("CoreMLExecutionProvider", {}), cpu]
    for wrong in ("cpu:1", "cuda:", "CUDA", "", "cuda:x"):
        with pytest.raises(UsageError, match="--device: expected"):
            placement(wrong)


def test_a_device_that_is_not_here_names_what_to_install(monkeypatch):
    monkeypatch.setattr(engines, "available_providers", lambda: ("CPUExecutionProvider",))
    install = r"pip uninstall -y onnxruntime, then pip install 'onnxruntime-gpu"
    with pytest.raises(UsageError, match=f"this onnxruntime runs on CPUExecutionProvider only.*{install}"):
        check_placement("cuda", "onnxruntime")
    with pytest.raises(UsageError, match="the engine openvino runs on the CPU only"):
        check_placement("cuda", "openvino")
    monkeypatch.setattr(engines, "available_providers", lambda: ("CUDAExecutionProvider", "CPUExecutionProvider"))
    assert check_placement("cuda", "onnxruntime") == Placement("cuda")


def test_a_device_that_falls_back_is_refused(place, monkeypatch):
    """onnxruntime without CUDA's libraries goes on with the CPU and says so in its own log only."""
    graph = (place / "blobs/model.onnx").read_bytes()
    ort = onnx_session.silent_onnxruntime()

    class Falling:
        def __init__(self, model, options, providers):
            assert providers[0] == ("CUDAExecutionProvider", {"device_id": 0})

        def get_providers(self):
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(ort, "InferenceSession", Falling)
    with pytest.raises(UsageError, match="onnxruntime has CUDAExecutionProvider and could not use it: needs an NVIDIA"):
        Session(graph, "blobs", place=devices.placement("cuda"))
