"""Instructions of one inference on 64-bit Arm, under emulation: what a Raspberry Pi must do, not how long it takes.

    sudo scripts/test-rigs arm64                          # once: Debian and the Arm wheels
    sudo apt-get install --no-install-recommends qemu-user gcc
    sudo python benchmarks/arm_instructions.py --weights ../shared/weights [--also yolo26n.onnx]

Counts hardly differ between machines (a percent or two), so a change of a network or of onnxruntime's kernels shows.
Time also depends on caches and on how many instructions a core begins in a clock: ratios of networks of one kind carry
over, those of float to int8 less so. Counted is the difference between 1 and 11 inferences, so that loading has no part
in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.rigs.test_arm64_rig import ARM64  # noqa: E402

CPUS = {"cortex-a76": "Pi 5", "cortex-a72": "Pi 4; the Zero 2 W's core has the same instructions"}
MORE = 10
INFER = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 4
session = ort.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
shape = [d if isinstance(d, int) else 1 for d in given.shape]
kind = np.uint8 if "uint8" in given.type else np.float32
picture = np.random.default_rng(0).integers(0, 256, shape).astype(kind)
for _ in range(int(sys.argv[3])):
    session.run(None, {given.name: picture})
"""


@dataclass(frozen=True)
class Count:
    """Millions of instructions of one inference."""

    all: float
    multiply: float
    """Vector multiply-adds of floats (FMLA)."""
    dot: float
    """Dot products of bytes (SDOT, UDOT), which the Pi 5 has and the Pi 4 has not."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=HERE.parent / "models")
    parser.add_argument("--weights", type=Path, help="folder of others' .onnx files")
    parser.add_argument("--also", type=Path, action="append", default=[], help="one more .onnx; may be repeated")
    parser.add_argument("--base", default="person", help="ratios are to this one")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    for problem in missing():
        sys.exit(f"arm_instructions: {problem}")
    files = {folder.parent.name: folder for folder in sorted(options.models.glob("*/model.onnx"))}
    files |= {f.stem: f for f in sorted(options.weights.glob("*.onnx"))} if options.weights else {}
    files |= {f.stem: f for f in options.also}
    if options.base not in files:
        sys.exit(f"arm_instructions: --base: expected one of {', '.join(files)}, got {options.base}")
    found: dict[str, dict[str, Count]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        plugin = Path(scratch) / "count.so"
        source = HERE / "count_instructions.c"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(plugin), str(source)], check=True)
        jobs = [(name, cpu) for name in files for cpu in CPUS]
        with ThreadPoolExecutor(os.cpu_count()) as workers:
            counts = workers.map(lambda job: one_inference(files[job[0]], job[1], plugin), jobs)
            for (name, cpu), count in zip(jobs, counts, strict=True):
                found.setdefault(name, {})[cpu] = count
                print(f"{name}, {cpu}: {count.all:.1f} million", file=sys.stderr)
    table(found, options.base)
    if options.out is not None:
        rows = {name: {cpu: asdict(count) for cpu, count in row.items()} for name, row in found.items()}
        options.out.write_text(json.dumps({"unit": "million instructions of one inference", "rows": rows}, indent=1))


def missing() -> list[str]:
    """What this machine lacks, one sentence each."""
    told = [f"needs {p}: apt-get install --no-install-recommends {p}" for p in ("gcc",) if shutil.which(p) is None]
    if shutil.which("qemu-aarch64") is None:
        told.append("needs QEMU with plugins: apt-get install --no-install-recommends qemu-user")
    if os.geteuid() != 0:
        told.append("needs the superuser's rights (sudo), to hide /sys from the emulated program")
    if not (ARM64.root / "venv").exists():
        told.append("needs a 64-bit Arm system: scripts/test-rigs arm64 makes one")
    return told


def one_inference(path: Path, cpu: str, plugin: Path) -> Count:
    once, more = (executed(path, cpu, plugin, runs) for runs in (1, 1 + MORE))
    return Count(*((b - a) / MORE / 1e6 for a, b in zip(once, more, strict=True)))


def executed(path: Path, cpu: str, plugin: Path, runs: int) -> tuple[int, int, int]:
    """All instructions of a process that loads a model and runs it so often; multiply-adds, dot products."""
    root = ARM64.root
    (site,) = (root / "venv" / "lib").glob("python3*/site-packages")
    guest = [str(root / "usr/bin/python3"), "-c", INFER, str(site), str(path.resolve()), str(runs)]
    emulated = ["qemu-aarch64", "-cpu", cpu, "-L", str(root), "-plugin", str(plugin), "-d", "plugin", *guest]
    # With the /sys of another processor onnxruntime crashes.
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys; exec "$@"', "sh", *emulated]
    # Or Python's start would take another number of instructions each time.
    steady = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        hidden, capture_output=True, text=True, errors="replace", check=False, timeout=600, env=steady
    )
    counts = re.search(r"instructions (\d+) multiply (\d+) dot (\d+)", done.stderr)
    if done.returncode or counts is None:
        sys.exit(f"arm_instructions: {path}: failed on {cpu} ({done.returncode}): {done.stderr[-500:]}")
    a, m, d = (int(v) for v in counts.groups())
    return a, m, d


def table(found: dict[str, dict[str, Count]], base: str) -> None:
    print("Millions of instructions of one inference, one thread, and as a share of " + base + "'s\n")
    print("| | " + " | ".join(f"{cpu} ({board})" for cpu, board in CPUS.items()) + " |")
    print("|---|" + "---|" * len(CPUS))
    for name, row in sorted(found.items(), key=lambda item: item[1]["cortex-a76"].all):
        cells = [f"{count.all:.1f} ({count.all / found[base][cpu].all:.2f})" for cpu, count in row.items()]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
