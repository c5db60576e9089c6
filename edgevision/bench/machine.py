"""The machine that is measured: what it is, and, while it runs, its heat, clock, throttling and power."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from edgevision.bench.records import Machine, Sample
from edgevision.concurrency import usable_cores
from edgevision.detectors.onnx_session import available_providers

SYS = Path("/sys")
PACKAGES = ("onnxruntime", "numpy", "opencv-python", "av", "torch", "transformers", "ultralytics")
SAMPLE_EVERY_S = 1.0
_THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of a Raspberry Pi's get_throttled."""

Run = Callable[[list[str]], str | None]


def describe_machine(system: Path = SYS) -> Machine:
    """What stands beside every figure."""
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        cpu=_cpu(),
        architecture=platform.machine(),
        cores=usable_cores(),
        memory_mib=psutil.virtual_memory().total >> 20,
        governor=_read(system / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        python=platform.python_version(),
        packages={name: found for name in PACKAGES if (found := _version(name))},
        providers=available_providers(),
        model=_read(Path("/proc/device-tree/model")) or _read(system / "devices/virtual/dmi/id/product_name"),
    )


def commit() -> str | None:
    """The commit this package runs from, with ``+`` where files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    name = _told(["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"])
    if not name:
        return None
    changed = _told(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    return name.strip() + ("+" if changed else "")


class Bystanders:
    """How much of the processor other programs take while contenders are measured."""

    def __init__(self) -> None:
        self._busy_s, self._own_s, self._began_s = _busy_s(), time.process_time(), time.monotonic()

    def share(self, contenders_s: float) -> float | None:
        """Since construction, of all cores, 0-1; ``contenders_s`` is the processor time of what was measured."""
        wall_s = (time.monotonic() - self._began_s) * (os.cpu_count() or 1)
        if wall_s <= 0:
            return None
        ours_s = contenders_s + time.process_time() - self._own_s
        return min(1.0, max(0.0, (_busy_s() - self._busy_s - ours_s) / wall_s))


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


class Gauges:
    """Reads temperature, clock, throttling and power, each where this machine tells."""

    def __init__(self, system: Path = SYS, told: Run | None = None) -> None:
        """``told`` runs a command and gives its output, or None."""
        self._zones = sorted((system / "class/thermal").glob("thermal_zone*/temp"))
        self._clocks = sorted((system / "devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
        self._told = told or _told
        self._firmware = self._told(["vcgencmd", "get_throttled"]) is not None
        self.energy = Energy(system, self._told)

    def sample(self, at_ns: int) -> Sample:
        """Everything that can be read now."""
        return Sample(
            at_ns=at_ns,
            temperature_c=self._temperature_c(),
            clock_mhz=self._clock_mhz(),
            throttled=self._throttled() if self._firmware else None,
            power_w=self.energy.power_w(),
        )

    def _temperature_c(self) -> float | None:
        readings = [_number(zone) for zone in self._zones]
        known = [r / 1000 for r in readings if r is not None and 0 < r < 150_000]
        return max(known) if known else None

    def _clock_mhz(self) -> float | None:
        """Mean over cores: a loop moves between them."""
        known = [r / 1000 for c in self._clocks if (r := _number(c)) is not None]
        if known:
            return sum(known) / len(known)
        if platform.system() == "Linux":
            return None  # a virtual machine states its nominal clock, which never moves: that is no measurement
        try:
            found = psutil.cpu_freq()
        except (OSError, NotImplementedError, AttributeError, RuntimeError):
            return None
        return None if found is None else float(found.current)

    def _throttled(self) -> tuple[str, ...] | None:
        text = self._told(["vcgencmd", "get_throttled"])
        try:
            word = int((text or "").strip().partition("=")[2], 16)
        except ValueError:
            return None
        return tuple(what for bit, what in _THROTTLED.items() if word >> bit & 1)


class Energy:
    """The processor's energy counter (RAPL), or a Raspberry Pi 5's power chip; or why there is neither."""

    def __init__(self, system: Path = SYS, told: Run | None = None) -> None:
        self._told = told or _told
        self.source: str | None = None
        self.reason: str | None = None
        self._counters: list[tuple[Path, int]] = []
        for zone in sorted((system / "class/powercap").glob("intel-rapl:*")):
            # Zones with two colons (cores, memory) are parts of those with one.
            if zone.name.count(":") != 1 or not (_read(zone / "name") or "").startswith("package"):
                continue
            if _number(zone / "energy_uj") is None:
                self.reason = f"{zone / 'energy_uj'} may not be read: allow it, or run as root"
                continue
            self._counters.append((zone / "energy_uj", round(_number(zone / "max_energy_range_uj") or 2**32)))
        if self._counters:
            self.source, self.reason = f"RAPL, {len(self._counters)} processor package(s), whole machine's load", None
        elif pmic_power_w(self._told(["vcgencmd", "pmic_read_adc"])) is not None:
            self.source, self.reason = "Raspberry Pi power chip, sum of its rails, without its own losses", None
        elif self.reason is None:
            self.reason = "this machine has neither a RAPL counter nor a Raspberry Pi 5's power chip"

    @property
    def counts(self) -> bool:
        """Whether energy itself can be read, and not only power."""
        return bool(self._counters)

    def read_uj(self) -> tuple[int, ...] | None:
        """The counters now; what lies between two readings is `spent_uj`."""
        values = [_number(path) for path, _ in self._counters]
        return None if not values or None in values else tuple(round(v) for v in values if v is not None)

    def spent_uj(self, before: tuple[int, ...] | None, after: tuple[int, ...] | None) -> int | None:
        """Energy between two readings. Counters start again from 0 at their range."""
        if before is None or after is None:
            return None
        return sum((a - b) % (most + 1) for b, a, (_, most) in zip(before, after, self._counters, strict=True))

    def power_w(self) -> float | None:
        """Power now, where it is that which can be read."""
        if self._counters or self.source is None:
            return None
        return pmic_power_w(self._told(["vcgencmd", "pmic_read_adc"]))


def pmic_power_w(text: str | None) -> float | None:
    """Watts from the output of ``vcgencmd pmic_read_adc``: volts times amperes, summed over rails that have both.

    Lines read ``VDD_CORE_A current(7)=1.91A`` and ``VDD_CORE_V volt(15)=0.84V``.
    """
    volts: dict[str, float] = {}
    amperes: dict[str, float] = {}
    for line in (text or "").splitlines():
        name, _, value = line.strip().partition("=")
        rail = name.split()[0] if name.split() else ""
        try:
            number = float(value.rstrip("AV"))
        except ValueError:
            continue
        if rail.endswith("_A"):
            amperes[rail[:-2]] = number
        elif rail.endswith("_V"):
            volts[rail[:-2]] = number
    shared = volts.keys() & amperes.keys()
    return sum(volts[r] * amperes[r] for r in shared) if shared else None


class Sampler:
    """Takes a sample every second in a thread of its own, until it is stopped."""

    def __init__(self, gauges: Gauges, start_ns: int, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.samples: list[Sample] = []
        self._gauges, self._start_ns, self._clock = gauges, start_ns, clock
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="bench-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> tuple[Sample, ...]:
        self._ending.set()
        self._thread.join(5)
        return tuple(self.samples)

    def _work(self) -> None:
        while True:
            sample = self._gauges.sample(self._clock() - self._start_ns)
            if sample.model_dump(exclude={"at_ns"}, exclude_none=True):
                self.samples.append(sample)
            if self._ending.wait(SAMPLE_EVERY_S):
                return


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for key in ("model name", "Model"):
        for line in lines:
            if line.split(":")[0].strip() == key:
                return line.partition(":")[2].strip()
    if sys.platform == "darwin" and (told := _told(["sysctl", "-n", "machdep.cpu.brand_string"])):
        return told.strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip("\0\n ") or None
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


def _told(command: list[str]) -> str | None:
    """What a command prints, or None where it cannot be run or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=5, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
