"""The command line as its users meet it: real processes, real files, real signals."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import cv2
import av
import numpy as np
import pytest

from tests.support.command_line import CLIP_FRAMES as FRAMES
from tests.support.command_line import call, environment, run_blobs, start
from tests.support.models import as_json, blob_frame_pixels

BOX = (32, 32, 64, 64)


def test_json_lines_have_the_promised_shape(place):
    code, out, err = run_blobs(place, "--source", "clip.mp4", "--json", "-")
    assert code == 0, err
    lines = as_json(out)
    assert [line["frame"] for line in lines] == list(range(FRAMES))
    first = lines[0]
    assert set(first) == {
        "frame", "captured_ns", "age_ms", "model", "source", "size", "predicted", "looks", "times_ms", "detections"
    }  # fmt: skip
    assert first["model"] == "blobs@1"
    assert first["size"] == [256, 128]
    assert set(first["times_ms"]) == {"capture", "wait", "preprocess", "infer", "decode", "track", "render", "publish"}
    found = first["detections"][0]
    assert set(found) == {"box", "score", "class", "class_id", "track_id"}
    np.testing.assert_allclose(found["box"], BOX, atol=1)
    assert (found["class"], found["class_id"], found["track_id"]) == ("blob", 0, None)


def test_a_box_is_of_its_own_frame(place):
    """The block moves; the box of frame k must be where the block was in frame k (cells are 32 px here)."""
    _, out, _ = run_blobs(place, "--source", "clip.mp4", "--json", "-", "--workers", "3", "--conf", "0.9")
    lines = as_json(out)
    full = [line for line in lines if line["detections"]]
    assert {line["frame"] for line in full} >= {0, 8, 16, 24, 32}
    for line in full:
        moved_px = 32 + 4 * line["frame"]
        assert abs(line["detections"][0]["box"][0] - moved_px) < 4


def test_the_summary_says_what_was_counted(place):
    _, _, err = run_blobs(place, "--source", "clip.mp4")
    assert re.search(rf"{FRAMES} frames, \d+\.\d fps \(unique frames through the whole loop\), 0 dropped, CPU", err)
    assert re.search(r"peak RSS \d+ MiB", err)
    for row in ("capture", "wait", "preprocess", "infer", "decode", "track", "render", "publish", "age at publish"):
        assert re.search(rf"{row}\s+\d+\.\d\d\s+\d+\.\d\d\s+\d+\.\d\d", err), row


def test_tracking_gives_one_identity(place):
    _, out, _ = run_blobs(place, "--source", "still", "--json", "-", "--track", "--conf", "0.4")
    ids = {d["track_id"] for line in as_json(out) for d in line["detections"]} - {None, -1}
    assert ids == {1}


def test_frames_and_duration_limit(place):
    _, out, _ = run_blobs(place, "--source", "clip.mp4", "--frames", "7", "--json", "-")
    assert len(out.splitlines()) == 7
    began = time.monotonic()
    code, _, err = run_blobs(place, "--source", "scene://?size=160x120", "--seconds", "0.5")
    assert code == 0
    assert time.monotonic() - began < 20
    assert int(re.search(r"(\d+) frames", err)[1]) >= 5


def test_saved_video_plays_and_has_every_frame(place, tmp_path):
    out = tmp_path / "out.mp4"
    code, _, err = run_blobs(place, "--source", "clip.mp4", "--save", str(out))
    assert code == 0, err
    with av.open(str(out)) as container:
        frames = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]
    assert len(frames) == FRAMES
    assert frames[0].shape == (128, 256, 3)


def test_a_folder_of_images_gives_one_result_each(place, tmp_path):
    for name in ("b.png", "a.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), blob_frame_pixels(256, 128, [BOX]))
    code, out, err = run_blobs(place, "--source", str(tmp_path), "--json", "-")
    assert code == 0, err
    assert [len(line["detections"]) for line in as_json(out)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--source", "nowhere.mp4"], r"nowhere\.mp4", 3),
        (["--source", "/dev/video97"], r"video97", 3),
        (["--source", "clip.mp4", "--model", "nomodel"], r"no model named 'nomodel'; known are .*give the path", 4),
        (["--source", "clip.mp4", "--model", "clip.mp4"], r"no model named", 4),
        (["--source", "clip.mp4", "--conf", "7"], r"expected a number from 0 to 1, got 7", 2),
        (["--source", "clip.mp4", "--classes", "cat"], r"blobs@1 has no class 'cat'; it has blob", 2),
        (["--source", "clip.mp4", "--imgsz", "320"], r"takes 64×64 px only, not 320", 2),
        (["--source", "scene://?poeple=5"], r"poeple", 2),
        (["--source", "clip.mp4", "--save", "/nowhere/out.mp4"], r"/nowhere", 5),
        (["--source", "clip.mp4", "--json", "/nowhere/out.jsonl"], r"/nowhere", 5),
        (["--source", "clip.mp4", "--display", "window"], r"display|DISPLAY", 5),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_an_exit_code(place, arguments, message, code):
    got, out, err = (
        run_blobs(place, *arguments)
        if "--model" not in arguments
        else call(place, "run", "--display", "none", *arguments)
    )
    lines = [line for line in err.splitlines() if line.startswith("edgevision: ")]
    assert got == code, err
    assert out == ""
    assert re.search(message, lines[-1]), err
    assert len(err.strip().splitlines()) <= 2, err


def test_wrong_flag_and_missing_value(place):
    for arguments in (["run", "--sauce", "0"], ["run", "--frames", "0"], ["run", "--display", "hologram"], ["rnu"]):
        code, _, err = call(place, *arguments)
        assert code == 2
        assert err


def test_a_truncated_file_is_never_complete(place, tmp_path):
    whole = (place / "clip.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    with av.open(str(place / "clip.mp4")) as source, av.open(str(tmp_path / "front.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    mkv = (tmp_path / "front.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(mkv[: len(mkv) * 2 // 3])
    for path in (cut, tmp_path / "cut.mkv"):
        code, _, err = run_blobs(place, "--source", str(path))
        assert code == 3, (path, err)
        assert path.name in err.splitlines()[-1]


@pytest.mark.parametrize("module", ["typer", "edgevision.cli.run", "edgevision.errors"])
def test_ctrl_c_while_the_code_is_imported_is_quiet(module):
    """On a small board that takes seconds."""
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from edgevision.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.9, 2.0])
def test_stopped_at_any_moment(place, tmp_path, number, after_s):
    """Within 3 s, with what was written closed and playable."""
    out, lines = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    process = start(
        place,
        "run",
        "--model",
        "./blobs",
        "--source",
        "scene://?size=320x240",
        "--display",
        "none",
        "--save",
        str(out),
        "--json",
        str(lines),
    )
    time.sleep(after_s)
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=15)
    assert time.monotonic() - began < 3
    # Before our first line runs, the interpreter itself answers a signal, in its own way.
    assert "Traceback" not in err or "in main" not in err, err
    if "no frame was shown" in err:
        return
    if process.returncode == 0:
        assert re.search(r"\d+ frames", err)
        for line in lines.read_text().splitlines():
            json.loads(line)
        with av.open(str(out)) as container:
            assert sum(1 for _ in container.decode(video=0)) > 0


def test_a_closed_pipe_ends_quietly(place):
    command = (
        f"{sys.executable} -m edgevision run --model ./blobs --source scene:// --display none --json - | head -n 2"
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert len(done.stdout.splitlines()) == 2
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr


def test_without_a_display_the_page_is_used_and_said(place):
    process = start(place, "run", "--model", "./blobs", "--source", "scene://?size=160x120", "--seconds", "1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert re.search(r"live page at http://127\.0\.0\.1:\d+/\?token=\S{16,}", err)


def test_version_and_help(place):
    code, out, _ = call(place, "--version")
    assert code == 0
    assert re.fullmatch(r"edgevision \d+\.\d+\.\d+\n", out)
    code, out, _ = call(place, "run", "--help")
    assert code == 0
    for flag in ("--source", "--model", "--conf", "--iou", "--classes", "--imgsz", "--display", "--host", "--port",
                 "--save", "--json", "--frames", "--seconds", "--threads", "--workers", "--width", "--height",
                 "--fps", "--track", "--verbose"):  # fmt: skip
        assert flag in out


def test_the_python_of_the_readme(place):
    code = (
        "import edgevision as ev\n"
        "detector = ev.load_detector('./blobs')\n"
        "with ev.open_source('clip.mp4') as source:\n"
        "    boxes = [result.detections.boxes for result in ev.run(source, detector)]\n"
        f"assert len(boxes) == {FRAMES}\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=place, check=True, timeout=60)
