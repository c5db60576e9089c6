"""Foundation models where they are used: run, swapped in, exported; and an API against a real server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra foundation (torch, transformers)")
pytest.importorskip("transformers", reason="needs the extra foundation (torch, transformers)")
import torch

from edgevision.detectors.boxes import iou
from edgevision.detectors.foundation import load_foundation
from edgevision.detectors.foundation.api_settings import ApiSettings
from edgevision.errors import ModelFailed, UsageError
from tests.support.foundation import FIXED, PROMPTS, Shelf, frame, talking_llava

pytestmark = pytest.mark.extra


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return Shelf(tmp_path_factory.mktemp("foundation"))


def test_run_takes_one_by_name(shelf, tmp_path):
    import json

    from typer.testing import CliRunner

    from edgevision.cli import app

    folder, _ = shelf.saved("owlvit")
    out = tmp_path / "out.jsonl"
    arguments = ["run", "--model", "foundation:owlvit", "--weights", str(folder), "--prompts", "person: a person; hat"]
    arguments += ["--source", "scene://", "--display", "none", "--frames", "2", "--json", str(out), "--conf", "0.05"]
    done = CliRunner().invoke(app, [*arguments, "--no-control"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    frames = [line for line in lines if "frame" in line]
    assert len(frames) == 2 and frames[0]["model"] == f"foundation:owlvit@{folder.name}"


@pytest.mark.parametrize("flag", [["--iou", "0.5"], ["--imgsz", "320"], ["--classes", "person"], ["--workers", "2"]])
def test_run_refuses_flags_that_mean_nothing(flag):
    from typer.testing import CliRunner

    from edgevision.cli import app

    done = CliRunner().invoke(app, ["run", "--model", "foundation:owlvit", "--weights", "random", *flag])
    assert isinstance(done.exception, UsageError) and flag[0] in str(done.exception)


def test_it_can_be_swapped_in(shelf):
    """By the same loader, while another serves: as `swap` does it."""
    from edgevision.cli.foundation_options import FoundationLoader
    from edgevision.deployment.candidate import CandidateFactory

    folder, _ = shelf.saved("owlvit")
    loader = FoundationLoader(prompts="person: a person", weights="of the command line's own model")
    candidate = CandidateFactory(load_foundation=loader).candidate(f"foundation:owlvit@{folder}")
    detector = candidate.load()
    assert detector.classes == ("person",) and detector.name == f"foundation:owlvit@{folder.name}"


@pytest.mark.parametrize("name", sorted(FIXED))
def test_words_fixed_in_an_onnx_file(name, shelf, tmp_path):
    """What torch finds, onnxruntime finds too, by the same loader as any other model's."""
    pytest.importorskip("ultralytics")
    from edgevision.detectors.foundation.export_onnx import export_prompted
    from edgevision.detectors.registry import load_detector

    detector = shelf.detector(name)
    path = export_prompted(detector, tmp_path / f"{name}.onnx", 256)
    compact = load_detector(path, min_score=0.05, iou_threshold=0.7)
    assert compact.classes == ("person", "helmet")
    picture = frame(256, 256)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(sys.modules[type(detector).__module__], "SIDE_PX", 256)
    wanted, got = detector.detect(picture), compact.detect(picture)
    monkey.undo()
    assert len(wanted) == len(got) > 5
    assert np.allclose(wanted.scores, got.scores, atol=1e-3)
    overlap = iou(wanted.boxes, got.boxes)
    assert (overlap.max(1) > 0.95).mean() > 0.9
    with pytest.raises(UsageError, match="exists already"):
        export_prompted(detector, path)
    with pytest.raises(UsageError, match="only yoloe and yolo-world"):
        export_prompted(shelf.detector("clip"), tmp_path / "clip.onnx")


def test_several_prompts_become_one_class(shelf, tmp_path, monkeypatch):
    pytest.importorskip("ultralytics")
    from edgevision.detectors.foundation import yolo_world
    from edgevision.detectors.foundation.export_onnx import export_prompted
    from edgevision.detectors.registry import load_detector

    folder, _ = shelf.saved("yoloe")
    # The text encoder is a download; what it gives is not what is tested here.
    words = torch.nn.functional.normalize(torch.randn(1, 3, 512, generator=torch.Generator().manual_seed(5)), dim=-1)
    monkeypatch.setattr(yolo_world.Yoloe, "text_embeddings", classmethod(lambda *_: words))
    detector = load_foundation("yoloe", weights=str(folder), prompts=PROMPTS, min_score=0.05)
    path = export_prompted(detector, tmp_path / "hats.onnx", 256)
    compact = load_detector(path, min_score=0.05, iou_threshold=0.7)
    monkeypatch.setattr(yolo_world, "SIDE_PX", 256)
    wanted, got = detector.detect(frame(256, 256)), compact.detect(frame(256, 256))
    assert len(wanted) and np.allclose(wanted.scores, got.scores, atol=1e-3)
    assert compact.classes == PROMPTS.classes


# ---- a real server that speaks the API's protocol ---------------------------------------------------------------


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _serving(port, process):
    """Wait until the server answers; its own words where it ends instead."""
    import http.client
    import time

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"transformers serve ended: {process.stderr.read()[-500:]}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail("transformers serve does not answer")


def test_the_api_against_transformers_serve(tmp_path):
    """A tiny model behind the real server: picture in, words out, tokens counted; and what it refuses."""
    pytest.importorskip("fastapi", reason="needs transformers[serving]")
    pytest.importorskip("uvicorn", reason="needs transformers[serving]")
    folder = tmp_path / "llava"
    folder.mkdir()
    talking_llava(folder, '[{"class": "helmet", "box": [500, 0, 1000, 500]}]')
    port = _free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder), "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--device", "cpu"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}/v1"

    def asked(model, **settings):
        api = ApiSettings(url, model, timeout_s=60, retries=0, price_in=1.0, price_out=4.0, **settings)
        return load_foundation("api", prompts=PROMPTS, allow_upload=True, api=api)

    try:
        _serving(port, process)
        with asked(str(folder), max_tokens=1) as detector:
            for _ in range(2):
                found = detector.detect(frame(96, 64))
                assert found.boxes.tolist() == [[48, 0, 96, 32]] and found.class_ids.tolist() == [1]
            usage = detector.usage
            assert usage.frames == 2 and usage.frames_without_usage == 0
            assert usage.tokens_in > 20 and usage.tokens_out == 2, "so many tokens as the server says"
            assert usage.cost == pytest.approx((usage.tokens_in + 8) / 1e6)
        with asked(str(folder), max_tokens=3) as detector:
            assert not len(detector.detect(frame())), "the same thing said three times is no answer"
            assert detector.answers.unparsable == 1
        with asked("no/such-model") as detector:
            with pytest.raises(ModelFailed, match=r"127\.0\.0\.1: HTTP \d+") as told:
                detector.detect(frame())
            assert "\n" not in str(told.value) and detector.usage.errors == 1
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
    with asked(str(folder)) as detector, pytest.raises(ModelFailed, match="no connection"):
        detector.detect(frame())
