"""The floors of the house: a file imports only from floors below, or from those named before it on its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "edgevision"

FLOORS: list[list[str]] = [
    ["errors", "detections", "frame", "manifest", "result", "stages", "controls", "class_names", "swap_report"],
    [
        "boxes",
        "preprocess",
        "score",
        "meter",
        "slot",
        "heap",
        "cores",
        "agreement",
        "assign",
        "kalman",
        "tracks",
        "cadence",
        "onnx_wire",
    ],
    ["capture", "session", "decode", "track", "render", "publish", "foundation"],
    [
        *(
            "detector",
            "labelled",
            "store",
            "intake",
            "follow",
            "lanes",
            "gates",
            "trial_record",
            "trial",
            "swap",
            "supply",
            "second_stage",
            "governor",
        ),
    ],
    ["pipeline", "bench", "distill", "decide", "doctor"],
    ["web", "cli", "__main__", "__init__"],
]
PLACE = {name: (floor, k) for floor, names in enumerate(FLOORS) for k, name in enumerate(names)}
HEAVY_ONLY_IN = {
    "onnxruntime": ("session", "distill"),
    "torch": ("foundation", "distill"),
    "transformers": ("foundation",),
    "ultralytics": ("foundation", "distill"),
    "PIL": ("foundation",),
    "ray": ("distill",),
    "pyarrow": ("distill",),
}


def parts_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path):
    """(module, line, only for types) of every import in a file."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            if module == "edgevision":
                for alias in node.names:
                    yield f"edgevision.{alias.name}", node.lineno, id(node) in typing_only
            else:
                yield module, node.lineno, id(node) in typing_only


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_floors(path):
    own = parts_of(path)
    assert own in PLACE, f"{own} stands on no floor: name it in FLOORS, and say why in DESIGN's terms"
    wrong = []
    for module, line, typing_only in imports_of(path):
        if not module.startswith("edgevision."):
            continue
        other = module.split(".")[1]
        if other == own or other == "__version__" or (own == "__init__" and typing_only):
            continue
        if PLACE.get(other, (99, 99)) >= PLACE[own]:
            wrong.append(f"{path.name}:{line} imports {module}")
    assert not wrong, wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_have_one_door(path):
    own = parts_of(path)
    for module, line, _ in imports_of(path):
        door = HEAVY_ONLY_IN.get(module.split(".")[0])
        assert door is None or own in door, f"{path}:{line} imports {module}; only {door} may"


def test_help_imports_nothing_heavy():
    code = (
        "import sys, edgevision.cli\n"
        "heavy = {'numpy', 'cv2', 'onnxruntime', 'av', 'aiohttp', 'pydantic', 'torch', 'psutil'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


def test_no_room_without_a_name():
    assert not [p for p in FILES if p.stem in {"utils", "helpers", "common", "misc"}]
