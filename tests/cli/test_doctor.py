"""`edgevision doctor`: broken packages, crashing and hanging children, and what is said of them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgevision.cli.doctor import Finding, State, cameras, examine, machine, software
from edgevision.cli.doctor.child import Outcome, try_in_child

REPO = Path(__file__).resolve().parents[2]


def run_doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    path = os.pathsep.join(part for part in (environment.pop("PYTHONPATH", ""), str(REPO)) if part)
    return subprocess.run(
        [sys.executable, "-m", "edgevision", "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**variables, **environment, "PYTHONPATH": path},
    )


def pretend_installed(folder: Path, wheel: str, version: str) -> None:
    about = folder / f"{wheel.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {wheel}\nVersion: {version}\n")


# --- children --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "answer", "failure"),
    [
        ("print('noise'); print('[1, 2]')", [1, 2], ""),
        ("import os; os.abort()", None, "crashed with SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", None, "crashed with SIGILL"),
        ("raise ImportError('libGL.so.1: cannot open')", None, "ImportError: libGL.so.1: cannot open"),
        ("import sys; sys.exit(3)", None, "exit code 3"),
        ("print('no json')", None, "answered 'no json'"),
    ],
)
def test_a_child_may_end_as_it_likes(code, answer, failure):
    assert try_in_child(code, limit_s=60) == Outcome(answer, failure)


def test_a_child_that_hangs_is_stopped():
    start_s = time.monotonic()
    outcome = try_in_child("import time; time.sleep(100)", limit_s=1.0)
    assert outcome.failure == "no answer within 1 s"
    assert time.monotonic() - start_s < 20


def test_a_check_that_fails_costs_only_itself():
    def broken():
        yield Finding("area", "first", State.OK, "fine")
        raise KeyError("x")

    def fine():
        yield Finding("area", "second", State.OK, "fine")

    found = examine([broken, fine])
    assert [finding.state for finding in found] == [State.FAULT, State.OK]
    assert "KeyError" in found[0].text


def test_every_fault_has_its_fix():
    with pytest.raises(ValueError, match="a fault without its fix"):
        Finding("area", "subject", State.FAULT, "broken")


# --- the command -----------------------------------------------------------------------------------------------------


def test_a_sound_machine_as_json():
    done = run_doctor("--json")
    report = json.loads(done.stdout)
    found = {finding["subject"]: finding for finding in report["findings"]}
    assert found["import numpy"]["state"] == "ok"
    assert found["import onnxruntime"]["text"].endswith("CPUExecutionProvider")
    assert found["display"]["state"] == "warn"
    faults = [finding for finding in report["findings"] if finding["state"] == "fault"]
    assert report["faults"] == len(faults)
    assert done.returncode == (1 if faults else 0), faults


def test_two_opencv_wheels(tmp_path):
    pretend_installed(tmp_path, "opencv-python-headless", "4.11.0.86")
    done = run_doctor(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "opencv-python and opencv-python-headless are installed at once" in done.stdout
    pip = f"{sys.executable} -m pip"
    assert (
        f"fix: {pip} uninstall -y opencv-python opencv-python-headless && {pip} install opencv-python==" in done.stdout
    )
    assert "\x1b" not in done.stdout, "plain where nobody looks"


def test_two_onnxruntime_wheels(tmp_path):
    pretend_installed(tmp_path, "onnxruntime-gpu", "1.24.0")
    done = run_doctor(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "onnxruntime and onnxruntime-gpu are installed at once" in done.stdout
    pip = f"{sys.executable} -m pip"
    neither = f"{pip} uninstall -y onnxruntime onnxruntime-gpu"
    assert f"fix: {neither} && {pip} install onnxruntime; for a GPU: {neither} && {pip} install 'onnx" in done.stdout


@pytest.mark.parametrize(
    ("wheels", "gpu", "said", "fix"),
    [
        (["onnxruntime"], False, None, ""),
        (["onnxruntime"], True, "compact models run on the CPU", "uninstall -y onnxruntime onnxruntime-gpu"),
        (["onnxruntime-gpu"], True, "--device cuda is there", ""),
    ],
)
def test_the_wheel_for_a_gpu_is_named_where_there_is_one(monkeypatch, wheels, gpu, said, fix):
    monkeypatch.setattr(software, "_exactly", lambda wheel: (wheel, "1") if wheel in wheels else None)
    monkeypatch.setattr(software.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if gpu else None)
    found = list(software.onnxruntime_wheels())
    assert [f.state for f in found] == ([State.OK] if said else [])
    assert all(said in f.text and fix in f.fix for f in found)


@pytest.mark.parametrize(
    ("code", "said", "fix"),
    [
        (
            "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility')",
            "import numpy: ValueError: numpy.dtype size changed",
            "-m pip install --upgrade --force-reinstall numpy",
        ),
        ("import os; os.abort()", "import numpy: crashed with SIGABRT", "-m pip install --force-reinstall"),
    ],
)
def test_a_numpy_that_breaks_or_crashes_at_import(tmp_path, code, said, fix):
    (tmp_path / "numpy.py").write_text(code)
    done = run_doctor(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert said in done.stdout
    assert fix in done.stdout
    assert "software: opencv-python: " in done.stdout, "versions are told all the same"
    assert "cameras: cannot be listed" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.display
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_a_window_opens(monkeypatch):
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24"], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    try:
        os.close(write)
        with os.fdopen(read) as told:
            number = told.readline().strip()
        monkeypatch.setenv("DISPLAY", f":{number}")
        (finding,) = software.display()
        assert (finding.state, finding.text) == (State.OK, f":{number}: a window opens")
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.skipif(sys.platform != "linux", reason="X11")
def test_a_display_that_is_not_there(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    (finding,) = software.display()
    assert finding.state is State.WARN
    assert "no window opens (crashed with SIGABRT)" in finding.text
    assert "--display browser" in finding.fix


# --- single lines ----------------------------------------------------------------------------------------------------


def test_32_bit_arm_is_refused():
    finding = software._thirty_two_bits("Python 3.11, 32-bit, armv7l", "armv7l")
    assert finding.state is State.FAULT
    assert "Raspberry Pi OS (64-bit)" in finding.fix


def test_too_old_a_package(tmp_path, monkeypatch):
    monkeypatch.setattr(software, "_least_versions", lambda: {"onnxruntime": "99.1", "numpy": "2.0"})
    found = {finding.subject: finding for finding in software.packages()}
    assert found["onnxruntime"].state is State.FAULT
    assert found["onnxruntime"].fix.endswith("-m pip install --upgrade 'onnxruntime>=99.1'")
    assert found["numpy"].state is State.OK


@pytest.mark.parametrize(
    ("older", "newer"), [("4.9", "4.10"), ("1.20", "1.20.1"), ("2.0", "10.0"), ("4.10", "5.0.0.93"), ("2.0rc1", "2.1")]
)
def test_versions_are_numbers(older, newer):
    assert software._numbers(older) < software._numbers(newer)


@pytest.mark.parametrize(
    ("module", "failure", "fix"),
    [
        ("cv2", "ImportError: libGL.so.1: cannot open shared object file", "sudo apt install libgl1 libglib2.0-0"),
        ("cv2", "ModuleNotFoundError: No module named 'cv2'", "pip install opencv-python"),
        ("cv2", "AttributeError: _ARRAY_API not found", "--force-reinstall numpy opencv-python"),
        ("onnxruntime", "crashed with SIGILL", "processor lacks instructions"),
        ("av", "crashed with SIGSEGV", "pip install --force-reinstall --no-deps av"),
    ],
)
def test_fixes_for_imports(module, failure, fix):
    finding = software.import_finding(module, Outcome(None, failure))
    assert finding.state is State.FAULT
    assert fix in finding.fix


def test_the_pages_port_is_taken(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(machine, "PAGE_PORT", taken.getsockname()[1])
        (finding,) = machine.page_port()
    assert finding.state is State.WARN
    assert "is taken" in finding.text
    assert next(iter(machine.page_port())).state is State.OK


@pytest.mark.skipif(sys.platform != "linux", reason="XDG")
def test_user_data_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/1/nobody-may-write-here")
    (finding,) = machine.storage()
    assert finding.state is State.FAULT
    assert "XDG_DATA_HOME" in finding.fix
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "not" / "yet"))
    (finding,) = machine.storage()
    assert finding.state is State.OK
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"


def sysfs(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        place = folder / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text + "\n")
    return folder


CPUFREQ = "devices__system__cpu__cpu0__cpufreq__"


@pytest.mark.parametrize(
    ("governor", "driver", "state"),
    [
        ("powersave", "cpufreq-dt", State.WARN),  # a Raspberry Pi at 600 MHz for good
        ("powersave", "intel_pstate", State.OK),  # a laptop's ordinary state
        ("ondemand", "cpufreq-dt", State.OK),
    ],
)
def test_governor(monkeypatch, tmp_path, governor, driver, state):
    files = {f"{CPUFREQ}scaling_governor": governor, f"{CPUFREQ}scaling_driver": driver}
    monkeypatch.setattr(machine, "SYS", sysfs(tmp_path, **files))
    assert {finding.subject: finding.state for finding in machine.processor()}["governor"] is state


@pytest.mark.parametrize(("millidegrees", "state"), [("48200", State.OK), ("84100", State.WARN)])
def test_heat(monkeypatch, tmp_path, millidegrees, state):
    zones = {"class__thermal__thermal_zone0__temp": millidegrees, "class__thermal__thermal_zone0__type": "cpu-thermal"}
    zones |= {"class__thermal__thermal_zone1__temp": "-274000", "class__thermal__thermal_zone1__type": "broken"}
    monkeypatch.setattr(machine, "SYS", sysfs(tmp_path, **zones))
    finding = {finding.subject: finding for finding in machine.processor()}["temperature"]
    assert finding.state is state
    assert "cpu-thermal" in finding.text


@pytest.mark.parametrize(
    ("word", "state", "text"),
    [
        (0x0, State.OK, "no throttling"),
        (0x50005, State.WARN, "now: under-voltage, throttled (0x50005)"),
        (0x50000, State.WARN, "since it was switched on: under-voltage, throttled (0x50000)"),
        (None, State.OK, "reports nothing"),
    ],
)
def test_a_pis_power(word, state, text):
    finding = machine._power(word)
    assert finding.state is state
    assert text in finding.text


def test_throttling_is_read_from_sysfs(monkeypatch, tmp_path):
    files = {"devices__platform__soc__soc:firmware__get_throttled": "50005"}
    monkeypatch.setattr(machine, "SYS", sysfs(tmp_path, **files))
    assert machine._throttled() == 0x50005


@pytest.mark.parametrize(
    ("seen", "installed", "in_venv", "state", "fix"),
    [
        (False, True, True, State.FAULT, "--system-site-packages"),
        (False, False, True, State.WARN, "sudo apt install python3-picamera2"),
    ],
)
def test_picamera2_on_a_pi(seen, installed, in_venv, state, fix):
    finding = machine.picamera2_finding(seen, installed, in_venv)
    assert finding.state is state
    assert fix in finding.fix


GOOD = {"width": 640, "height": 480, "fps": 30.0, "measured": 29.7, "fourcc": "MJPG", "brightest": 250, "still": False}


@pytest.mark.parametrize(
    ("outcome", "state", "text"),
    [
        (Outcome(GOOD), State.OK, "answers: 640×480 MJPG at 30 fps, 30 measured"),
        (Outcome({**GOOD, "brightest": 3}), State.WARN, "the frame is black"),
        (Outcome({**GOOD, "still": True}), State.WARN, "do not change"),
        (Outcome(None, "no answer within 20 s"), State.FAULT, "does not answer: no answer within 20 s"),
        (Outcome("/dev/video0 is in use by zoom (process 5): close that first"), State.FAULT, "in use by zoom"),
    ],
)
def test_what_is_said_of_a_camera(outcome, state, text):
    finding = cameras.camera_finding("/dev/video0", "Webcam", outcome)
    assert finding.state is state
    assert text in finding.text


@pytest.mark.parametrize(
    ("answer", "state", "text"),
    [
        ({"cameras": [], "libcamera": []}, State.WARN, "none found: `edgevision run` shows the built-in scene"),
        ({"cameras": [], "libcamera": ["rp1-cfe"]}, State.WARN, "only libcamera can read (rp1-cfe)"),
        (None, State.FAULT, "cannot be listed: crashed with SIGILL"),
    ],
)
def test_no_camera(monkeypatch, answer, state, text):
    outcome = Outcome(answer, "" if answer else "crashed with SIGILL")
    monkeypatch.setattr(cameras, "try_in_child", lambda *_, **__: outcome)
    monkeypatch.setattr(cameras, "closed_nodes", list)
    monkeypatch.setattr(cameras, "_csi_models", list)
    (finding,) = cameras.cameras()
    assert finding.state is state
    assert text in finding.text


def test_a_camera_that_may_not_be_opened(monkeypatch, tmp_path):
    (tmp_path / "video0").touch()
    (tmp_path / "video1").touch()
    monkeypatch.setattr(cameras.os, "access", lambda node, mode: node.name == "video0")
    assert cameras.closed_nodes(tmp_path) == [str(tmp_path / "video1")]
