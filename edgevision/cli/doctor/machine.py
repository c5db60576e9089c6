"""Processor, heat, storage, ports, and what is particular to a Raspberry Pi."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from edgevision.cli.doctor.child import try_in_child
from edgevision.cli.doctor.finding import Finding, State
from edgevision.concurrency import usable_cores

AREA = "machine"
PAGE_PORT = 8080
HOT_C = 80.0
"""Where a Raspberry Pi begins to slow down; laptops do some degrees later."""
LEAST_FREE_MIB = 500

SYS = Path("/sys")

THROTTLED_NOW = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of a Raspberry Pi's get_throttled; the same 16 bits higher mean: since it was switched on."""


def processor() -> Iterator[Finding]:
    cores = usable_cores()
    text = f"{cores} of {os.cpu_count()} cores usable"
    if cores < 2:
        yield Finding(AREA, "processor", State.WARN, f"{text}: capture, inference and drawing share one")
    else:
        yield Finding(AREA, "processor", State.OK, text)
    yield from _governor()
    yield from _heat()


def _governor() -> Iterator[Finding]:
    folder = SYS / "devices/system/cpu/cpu0/cpufreq"
    governor, driver = _read(folder / "scaling_governor"), _read(folder / "scaling_driver")
    if governor is None:
        return
    if governor == "powersave" and driver not in ("intel_pstate", "amd-pstate-epp", "amd-pstate"):
        # With those drivers "powersave" follows the load; with all others it is the lowest clock for good.
        fix = "echo ondemand | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        yield Finding(AREA, "governor", State.WARN, "powersave: the processor stays at its lowest clock", fix)
    else:
        yield Finding(AREA, "governor", State.OK, f"{governor} ({driver})")


def _heat() -> Iterator[Finding]:
    readings = []
    for zone in sorted((SYS / "class/thermal").glob("thermal_zone*")):
        raw, kind = _read(zone / "temp"), _read(zone / "type")
        if raw is not None and raw.lstrip("-").isdigit() and 0 < int(raw) < 150_000:
            readings.append((int(raw) / 1000, kind or zone.name))
    if not readings:
        return
    hottest_c, kind = max(readings)
    text = f"{hottest_c:.0f} °C ({kind})"
    if hottest_c >= HOT_C:
        yield Finding(AREA, "temperature", State.WARN, text, "cool it (a fan or heat sink): hotter, it slows down")
    else:
        yield Finding(AREA, "temperature", State.OK, text)


def storage() -> Iterator[Finding]:
    """The folder where models that one's own runs make are kept."""
    found = try_in_child(
        "import json; from edgevision.detectors.registry import user_data_folder; "
        "print(json.dumps(str(user_data_folder())))",
        limit_s=60.0,
    )
    if found.answer is None:
        fix = f"{sys.executable} -m pip install --force-reinstall --no-deps edgevision, once the imports above work"
        yield Finding(AREA, "edgevision itself", State.FAULT, found.failure, fix)
        return
    folder = Path(found.answer)
    existing = next(place for place in (folder, *folder.parents) if place.exists())  # it is made when first needed
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        free_mib = shutil.disk_usage(existing).free >> 20
    except OSError as exc:
        fix = f'sudo chown -R "$USER" "{existing}", or set XDG_DATA_HOME to a folder that you own'
        yield Finding(AREA, "user data", State.FAULT, f"{folder} cannot be written ({exc.strerror})", fix)
        return
    text = f"{folder}, {free_mib / 1024:.1f} GiB free"
    if free_mib < LEAST_FREE_MIB:
        yield Finding(AREA, "user data", State.WARN, text, "make room: recordings stop when the disk is full")
    else:
        yield Finding(AREA, "user data", State.OK, text)


def page_port() -> Iterator[Finding]:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PAGE_PORT))
        except OSError:
            text = f"port {PAGE_PORT} is taken: the live page uses the next free one"
            yield Finding(AREA, "page", State.WARN, text, "edgevision run --port N picks one")
            return
    yield Finding(AREA, "page", State.OK, f"port {PAGE_PORT} is free for the live page")


def raspberry_pi() -> Iterator[Finding]:
    model = _read(Path("/proc/device-tree/model"))
    if model is None or not model.startswith("Raspberry Pi"):
        return
    yield Finding(AREA, "board", State.OK, model)
    yield _power(_throttled())
    yield picamera2_finding(
        seen=find_spec("picamera2") is not None,
        installed=any(Path("/usr/lib/python3/dist-packages").glob("picamera2")),
        in_venv=sys.prefix != sys.base_prefix,
    )


def picamera2_finding(seen: bool, installed: bool, in_venv: bool) -> Finding:
    if seen:
        outcome = try_in_child("import json, picamera2; print(json.dumps(True))", limit_s=60.0)
        if outcome.answer:
            return Finding(AREA, "picamera2", State.OK, "imports")
        fix = "sudo apt update && sudo apt full-upgrade; then remove .venv and call scripts/run again"
        return Finding(AREA, "picamera2", State.FAULT, f"does not import: {outcome.failure}", fix)
    if installed and in_venv:
        fix = (
            f"/usr/bin/python3 -m venv --clear --system-site-packages {sys.prefix}, then install again; or scripts/run"
        )
        return Finding(AREA, "picamera2", State.FAULT, "installed, but this environment does not see it", fix)
    return Finding(
        AREA, "picamera2", State.WARN, "not installed: csi:// cannot be used", "sudo apt install python3-picamera2"
    )


def _throttled() -> int | None:
    """The firmware's word, from sysfs or from vcgencmd; None where neither tells."""
    for place in (SYS / "devices/platform/soc").glob("*firmware/get_throttled"):
        if (raw := _read(place)) is not None:
            return int(raw, 16)
    try:
        told = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5, check=False)
        return int(told.stdout.strip().partition("=")[2], 16)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _power(word: int | None) -> Finding:
    if word is None:
        return Finding(AREA, "power", State.OK, "the firmware reports nothing")
    now = [what for bit, what in THROTTLED_NOW.items() if word >> bit & 1]
    before = [what for bit, what in THROTTLED_NOW.items() if word >> (bit + 16) & 1]
    fix = "use the power supply made for this board, and cool it: figures measured now are too low"
    if now:
        return Finding(AREA, "power", State.WARN, f"now: {', '.join(now)} ({word:#x})", fix)
    if before:
        return Finding(AREA, "power", State.WARN, f"since it was switched on: {', '.join(before)} ({word:#x})", fix)
    return Finding(AREA, "power", State.OK, "no throttling since it was switched on")


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return None
