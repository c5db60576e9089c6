"""Our loop beside others: same clip, same model file, every frame drawn and JPEG-encoded, one thread a network.

    scripts/peers                                # installs the others, each in an environment of its own
    python benchmarks/neighbours.py --out benchmarks/results/DATE-neighbours.json

Each loop runs in a process of its own, in turns; ratios are medians over the turns. YOLO26n is Ultralytics' own export
with random weights (latency does not depend on them); ``5ms`` is the same with half its width.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from loop import CLIP_FRAMES, make_clip

from edgevision.concurrency import usable_cores

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".peers"
WIDTHS = {"yolo26n": 0.25, "yolo26-width-0.125": 0.125}
QUIET = {"OMP_NUM_THREADS": "1", "YOLO_OFFLINE": "true"}

LOOPS = {
    "onnxruntime alone": (sys.executable, "session_alone.py"),
    "edgevision, 1 stream": (sys.executable, "edgevision_loop.py", "1"),
    "edgevision, default": (sys.executable, "edgevision_loop.py", str(min(4, usable_cores()))),
    "OpenCV loop": (str(PEERS / "opencv/bin/python"), "opencv_loop.py"),
    "OpenCV loop, 1 thread in all": (str(PEERS / "opencv/bin/python"), "opencv_loop.py", "alone"),
    "Roboflow InferencePipeline": (str(PEERS / "roboflow/bin/python"), "roboflow_loop.py"),
    "Ultralytics predict": (str(PEERS / "ultralytics/bin/python"), "ultralytics_loop.py"),
    "Ultralytics predict, 1 thread in all": (str(PEERS / "ultralytics/bin/python"), "ultralytics_loop.py", "alone"),
}
VERSIONS = """
import importlib.metadata as m, json, sys
print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))
"""
OF_INTEREST = {
    sys.executable: ("onnxruntime", "opencv-python", "av", "numpy"),
    str(PEERS / "opencv/bin/python"): ("onnxruntime", "opencv-python"),
    str(PEERS / "roboflow/bin/python"): ("streamvision", "supervision", "onnxruntime", "opencv-python"),
    str(PEERS / "ultralytics/bin/python"): ("ultralytics", "torch", "onnxruntime", "opencv-python"),
}


def fps(name: str, clip: Path, model: Path, frames: int) -> float:
    python, script, *more = LOOPS[name]
    command = [python, str(HERE / "peers" / script), str(clip), str(model), str(frames), *more]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **QUIET}, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.strip().splitlines()[-1])


def made(name: str, folder: Path) -> Path:
    path = folder / f"{name}.onnx"
    command = [LOOPS["Ultralytics predict"][0], str(HERE / "peers/export_yolo26.py"), str(WIDTHS[name]), str(path)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **QUIET})
    return path


def versions(python: str) -> dict[str, str]:
    out = subprocess.run([python, "-c", VERSIONS, *OF_INTEREST[python]], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(out.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--model", type=Path, action="append", help="an Ultralytics .onnx at 320 px, in place of ours")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    missing = [python for python in OF_INTEREST if not Path(python).exists()]
    if missing:
        raise SystemExit(f"expected the peers in {PEERS}, found no {missing[0]}: call scripts/peers first")
    if not 2 <= options.frames <= CLIP_FRAMES:
        raise SystemExit(f"--frames: expected 2 to {CLIP_FRAMES}, got {options.frames}")
    report: dict[str, object] = {
        "date": date.today().isoformat(),
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": usable_cores()},
        "python": platform.python_version(),
        "versions": {name: versions(LOOPS[name][0]) for name in LOOPS},
        "settings": {"clip": "scene, 1280x720 H.264", "frames": options.frames, "repeats": options.repeats},
        "load_before": os.getloadavg()[0],
    }
    table: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        clip = Path(scratch) / "scene.mp4"
        make_clip(clip)
        for model in options.model or [made(name, Path(scratch)) for name in WIDTHS]:
            rows = table[model.stem] = {name: [] for name in LOOPS}
            for _ in range(options.repeats):
                for name, values in rows.items():
                    values.append(fps(name, clip, model, options.frames))
                    print(f"  {model.stem}: {name}: {values[-1]:.1f}", file=sys.stderr)
            report["fps"] = table
            if options.out:
                options.out.write_text(json.dumps(report, indent=1))
    for model_name, rows in table.items():
        print(
            f"\n| {model_name} | fps | ÷ limit | ours, 1 stream ÷ this | ours, default ÷ this |\n|---|---|---|---|---|"
        )
        for name, values in rows.items():
            ratios = (
                statistics.median(a / b for a, b in zip(rows[above], rows[below], strict=True))
                for above, below in (
                    (name, "onnxruntime alone"), ("edgevision, 1 stream", name), ("edgevision, default", name)
                )
            )  # fmt: skip
            print(f"| {name} | {statistics.median(values):.0f} | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")


if __name__ == "__main__":
    main()
