"""The floors of the package: a file imports from its own floor or below, and no two files import in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "edgevision"

FLOORS: list[list[str]] = [
    ["errors", "types", "interfaces", "concurrency", "frame_queue", "regular_file", "printable", "child_process"],
    ["capture", "detectors"],
    ["tracking", "sinks", "datasets"],
    ["pipeline", "evaluation", "events"],
    ["deployment"],
    ["training", "bench"],
    ["web"],
    ["cli", "__main__", "__init__"],
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
HEAVY_ONLY_IN = {
    "onnxruntime": ("detectors/onnx_session.py", "training/"),
    "openvino": ("detectors/openvino_session.py",),
    "torch": ("detectors/foundation/", "training/"),
    "transformers": ("detectors/foundation/", "training/"),
    "ultralytics": ("detectors/foundation/", "training/"),
    "PIL": ("detectors/foundation/",),
    "ray": ("training/labelling/",),
    "pyarrow": ("training/labelling/",),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = ("edgevision", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def package_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports_of(path: Path):
    """(module, line, only for types, at the top) of every import in a file; of a package's names, the files."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    at_top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in typing_only, id(node) in at_top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                module = full if full in MODULES else node.module
                yield module, node.lineno, id(node) in typing_only, id(node) in at_top


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    own = package_of(module_of(path))
    assert own in FLOOR_OF, f"{own} is on no floor: name it in FLOORS"
    wrong = []
    for module, line, typing_only, _ in imports_of(path):
        if module.split(".")[0] != "edgevision" or (own == "__init__" and typing_only):
            continue
        other = package_of(module)
        if other == "__init__":
            continue  # the version, and the lazy public names
        if FLOOR_OF.get(other, 99) > FLOOR_OF[own]:
            wrong.append(f"{path.name}:{line} imports {module}")
    assert not wrong, wrong


def test_every_floor_names_a_package_or_file():
    there = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert set(FLOOR_OF) == there


def test_packages_of_one_floor_do_not_import_each_other():
    arrows = {
        (own, other)
        for path in FILES
        for module, _, _, _ in imports_of(path)
        if module.split(".")[0] == "edgevision"
        for own, other in [(package_of(module_of(path)), package_of(module))]
        if own != other and FLOOR_OF.get(own) == FLOOR_OF.get(other)
    }
    both = {tuple(sorted(pair)) for pair in arrows if pair[::-1] in arrows}
    assert not {pair for pair in both if "__init__" not in pair}, both


def test_no_two_files_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        graph[module] = {
            other
            for other, _, typing_only, _ in imports_of(path)
            if other in MODULES and other != module and not typing_only and other != "edgevision"
        }
    circles = [circle for circle in _circles(graph) if len(circle) > 1]
    assert not circles, circles


def _circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components (Tarjan 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            component = []
            while True:
                component.append(stack.pop())
                if component[-1] == node:
                    break
            found.append(sorted(component))

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_in_few_places(path):
    own = path.relative_to(PACKAGE).as_posix()
    for module, line, _, _ in imports_of(path):
        places = HEAVY_ONLY_IN.get(module.split(".")[0])
        assert places is None or own.startswith(places), f"{own}:{line} imports {module}; only {places} may"


def test_help_imports_nothing_heavy():
    code = (
        "import sys, edgevision.cli\n"
        "heavy = {'numpy', 'cv2', 'onnxruntime', 'av', 'aiohttp', 'pydantic', 'torch', 'psutil'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


def test_no_file_with_a_name_that_says_nothing():
    assert not [p for p in FILES if p.stem in {"utils", "helpers", "common", "misc"}]


TESTS = Path(__file__).resolve().parent
TEST_FILES = sorted(TESTS.rglob("*.py"))


def test_only_the_command_line_writes_to_stderr():
    """A library logs, or is given a callback: whoever uses it decides what a person sees."""
    used = {"sys.stderr", "typer.echo", "rich.console"}
    writing = [
        str(path.relative_to(PACKAGE))
        for path in FILES
        if not str(path.relative_to(PACKAGE)).startswith(("cli/", "__main__"))
        and any(word in line.split("#")[0] for line in path.read_text().splitlines() for word in used)
    ]
    assert not writing


def test_the_tests_that_the_arm64_rig_runs_exist():
    """The rig is not run with the other tests, so a moved test would be missed late."""
    folder = Path(__file__).parent
    named = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse((folder / "rigs/test_arm64_rig.py").read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id in ("TESTS", "LEFT_OUT")
    }
    assert not [name for name in named["TESTS"] if not (folder / name).is_file()]
    for name in named["LEFT_OUT"]:
        file, _, test = name.partition("::")
        assert f"def {test}(" in (folder / file).read_text()


def test_no_test_imports_a_test():
    wrong = [
        f"{path.relative_to(TESTS)}:{node.lineno}"
        for path in TEST_FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and ".test_" in f".{node.module}")
        or (isinstance(node, (ast.Import, ast.ImportFrom)) and any(".test_" in f".{a.name}" for a in node.names))
    ]
    assert not wrong, f"{wrong}: move what they share to tests/support"


def test_names_of_tests_are_at_most_70_characters():
    long = [
        f"{path.name}: {node.name}"
        for path in TEST_FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(node.name) > 70
    ]
    assert not long, "\n".join(long)


def test_wait_for_is_written_once():
    places = [
        path.name
        for path in TEST_FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "wait_for"
    ]
    assert places == ["waiting.py"]


def test_what_a_detector_may_have_is_asked_of_protocols():
    """No ``getattr(detector, "…")``: `edgevision.interfaces` says what a detector must and may have."""
    called = ("getattr", "hasattr", "setattr")
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in called:
                asked = ast.unparse(node.args[0]).rpartition(".")[2]
                assert asked not in ("detector", "_detector", "teacher", "first", "model"), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", [p for p in FILES if "av" in {m.split(".")[0] for m, *_ in imports_of(p)}], ids=str)
def test_opencv_is_imported_before_av(path):
    """Both wheels carry a libxcb; with av's loaded first, a window of OpenCV's hangs for good."""
    order = [module.split(".")[0] for module, _, typing_only, at_top in imports_of(path) if at_top and not typing_only]
    assert "av" not in order or "cv2" in order[: order.index("av")], f"{path}: import cv2 before av"
