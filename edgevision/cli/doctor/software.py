"""Python, the packages, and whether they import."""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

from edgevision.cli.doctor.child import Outcome, try_in_child
from edgevision.cli.doctor.finding import Finding, State

AREA = "software"
IMPORT_LIMIT_S = 60.0
"""A first import from a slow SD card takes tens of seconds."""

OPENCV = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
)
"""Four wheels with one and the same folder, cv2: the last one installed overwrites the others' files."""

ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu")
"""Two wheels with one and the same folder: the second takes a GPU too."""
ALTERNATIVES = {"opencv-python": OPENCV, "onnxruntime": ONNXRUNTIME}

RUNTIME = ("numpy", "opencv-python", "onnxruntime", "av", "pydantic", "typer", "rich", "aiohttp", "psutil")

TRIALS = {
    "numpy": "import numpy, json; print(json.dumps({'version': numpy.__version__}))",
    "cv2": (
        "import cv2, json, re; about = cv2.getBuildInformation();"
        "gui = re.search(r'GUI:\\s*(\\S*)', about); print(json.dumps({'version': cv2.__version__, 'from': cv2.__file__,"
        " 'gui': gui[1] if gui else ''}))"
    ),
    "onnxruntime": (
        "import os; os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1'); import onnxruntime as o, json;"
        "print(json.dumps({'version': o.__version__, 'providers': o.get_available_providers()}))"
    ),
    "av": "import av, json; print(json.dumps({'version': av.__version__}))",
}
WHEEL = {"cv2": "opencv-python"}

WINDOW_TRIAL = (
    "import cv2, json, numpy; cv2.namedWindow('edgevision doctor', cv2.WINDOW_NORMAL);"
    "cv2.resizeWindow('edgevision doctor', 64, 64);"
    "cv2.imshow('edgevision doctor', numpy.zeros((64, 64, 3), numpy.uint8)); cv2.waitKey(50);"
    "cv2.destroyAllWindows(); print(json.dumps(True))"
)


def python() -> Iterator[Finding]:
    bits = struct.calcsize("P") * 8
    what = f"Python {platform.python_version()}, {bits}-bit, {platform.machine()}, {_system()}"
    if bits == 32:
        yield _thirty_two_bits(what, platform.machine())
    else:
        yield Finding(AREA, "python", State.OK, what)
    yield Finding(AREA, "environment", State.OK, sys.prefix + ("" if sys.prefix != sys.base_prefix else " (no venv)"))


def _thirty_two_bits(what: str, arch: str) -> Finding:
    if arch.startswith(("arm", "aarch64")):
        fix = "install Raspberry Pi OS (64-bit): onnxruntime and numpy publish nothing for 32-bit Arm"
    else:
        fix = "install a 64-bit Python: onnxruntime publishes nothing for 32 bits"
    return Finding(AREA, "python", State.FAULT, what, fix)


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError, AttributeError):
        return f"{platform.system()} {platform.release()}"


def packages() -> Iterator[Finding]:
    """Versions, read without importing anything."""
    least = _least_versions()
    for name in RUNTIME:
        present = _present(name)
        if present is None:
            fix = (
                f"{sys.executable} -m pip install '{name}>={least[name]}'" if name in least else _pip(f"install {name}")
            )
            yield Finding(AREA, name, State.FAULT, "not installed", fix)
            continue
        wheel, version = present
        wanted = least.get(name, "0")
        if _numbers(version) < _numbers(wanted):
            text = f"{version}; {wanted} or newer is needed"
            yield Finding(AREA, wheel, State.FAULT, text, _pip(f"install --upgrade '{wheel}>={wanted}'"))
        else:
            yield Finding(AREA, wheel, State.OK, version)


def _present(name: str) -> tuple[str, str] | None:
    """The wheel that provides a package, and its version."""
    for wheel in ALTERNATIVES.get(name, (name,)):
        try:
            return wheel, metadata.version(wheel)
        except metadata.PackageNotFoundError:
            continue
    return None


def _least_versions() -> dict[str, str]:
    try:
        required = metadata.requires("edgevision") or []
    except metadata.PackageNotFoundError:
        return {}
    found = (re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)(?!.*extra ==)", line.replace(" ", "")) for line in required)
    return {match[1]: match[2] for match in found if match}


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _pip(arguments: str) -> str:
    return f"{sys.executable} -m pip {arguments}"


def onnxruntime_wheels() -> Iterator[Finding]:
    """Whether onnxruntime can use the GPU that is here, and how its two wheels are exchanged."""
    installed = [wheel for wheel in ONNXRUNTIME if _exactly(wheel)]
    neither = _pip("uninstall -y onnxruntime onnxruntime-gpu")
    to_gpu = f"{neither} && " + _pip("install 'onnxruntime-gpu[cuda,cudnn]'")
    to_cpu = f"{neither} && " + _pip("install onnxruntime")
    if len(installed) == 2:
        text = "onnxruntime and onnxruntime-gpu are installed at once, over each other's files"
        yield Finding(AREA, "onnxruntime wheels", State.FAULT, text, f"{to_cpu}; for a GPU: {to_gpu}")
    elif installed == ["onnxruntime"] and shutil.which("nvidia-smi"):
        text = "compact models run on the CPU; for --device cuda on the NVIDIA GPU here, exchange the wheel"
        yield Finding(AREA, "onnxruntime wheels", State.OK, text, to_gpu)
    elif installed == ["onnxruntime-gpu"]:
        text = "onnxruntime-gpu: --device cuda is there (pip may say that onnxruntime is missing: it is not)"
        yield Finding(AREA, "onnxruntime wheels", State.OK, text)


def opencv_wheels() -> Iterator[Finding]:
    installed = [(wheel, found[1]) for wheel in OPENCV if (found := _exactly(wheel))]
    if len(installed) < 2:
        return
    names = [wheel for wheel, _ in installed]
    keep, version = next(((w, v) for w, v in installed if w == "opencv-python"), installed[0])
    yield Finding(
        AREA,
        "OpenCV wheels",
        State.FAULT,
        f"{' and '.join(names)} are installed at once, over each other's files",
        _pip("uninstall -y " + " ".join(names)) + " && " + _pip(f"install {keep}=={version}"),
    )


def _exactly(wheel: str) -> tuple[str, str] | None:
    try:
        return wheel, metadata.version(wheel)
    except metadata.PackageNotFoundError:
        return None


def imports() -> Iterator[Finding]:
    """Whether the compiled packages import, each in a process of its own."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        outcomes = pool.map(lambda code: try_in_child(code, limit_s=IMPORT_LIMIT_S), TRIALS.values())
        for module, outcome in zip(TRIALS, outcomes, strict=True):
            yield import_finding(module, outcome)


def import_finding(module: str, outcome: Outcome) -> Finding:
    subject = f"import {module}"
    if outcome.answer is None:
        return Finding(AREA, subject, State.FAULT, outcome.failure, _fix_import(module, outcome.failure))
    about = dict(outcome.answer)
    text = str(about.pop("version"))
    if module == "cv2":
        text += f", windows: {about['gui'] or 'none'}, {about['from']}"
    if module == "onnxruntime":
        text += ", " + ", ".join(about["providers"])
    return Finding(AREA, subject, State.OK, text)


def _fix_import(module: str, failure: str) -> str:
    wheel = WHEEL.get(module, module)
    if "No module named" in failure:
        return _pip(f"install {wheel}")
    if "libGL" in failure or "libgthread" in failure or "libglib" in failure:
        return "sudo apt install libgl1 libglib2.0-0"
    if "SIGILL" in failure:
        return "this processor lacks instructions that the wheel uses: a 64-bit x86 processor with SSE4.2 is needed"
    if "numpy" in failure.lower() or "ARRAY_API" in failure:
        return _pip(f"install --upgrade --force-reinstall numpy {wheel}")
    return _pip(f"install --force-reinstall --no-deps {wheel}")


def display() -> Iterator[Finding]:
    """Whether a window can be shown, by showing one for a moment."""
    browser = "the live view is shown in the browser instead"
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        # Asked first: opencv-python aborts where there is none.
        yield Finding(AREA, "display", State.WARN, f"DISPLAY and WAYLAND_DISPLAY are not set: {browser}")
        return
    shown = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or platform.system()
    outcome = try_in_child(WINDOW_TRIAL, limit_s=IMPORT_LIMIT_S)
    if outcome.answer:
        yield Finding(AREA, "display", State.OK, f"{shown}: a window opens")
    elif "not implemented" in outcome.failure or "GUI" in outcome.failure:
        headless = [wheel for wheel in OPENCV if "headless" in wheel and _exactly(wheel)] or ["opencv-python-headless"]
        fix = _pip("uninstall -y " + " ".join(headless)) + " && " + _pip("install --force-reinstall opencv-python")
        yield Finding(AREA, "display", State.WARN, f"this OpenCV is built without windows: {browser}", fix)
    else:
        text = f"{shown} is set, but no window opens ({outcome.failure}): {browser}"
        yield Finding(AREA, "display", State.WARN, text, "unset DISPLAY WAYLAND_DISPLAY, or run with --display browser")
