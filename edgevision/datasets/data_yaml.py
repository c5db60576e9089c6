"""A YOLO ``data.yaml``: class names, parts and the shape of key points, read by PyYAML.

`yaml.BaseLoader` keeps every scalar as text, so that a class called ``yes`` or ``1.0`` stays what is written. It builds
no objects.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edgevision.datasets.reading_report import ReadingReport
from edgevision.datasets.text_encoding import read_text
from edgevision.errors import UsageError

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Key of a part to the name that we give it."""
MOST_CLASSES = 100_000


class _Loader(yaml.BaseLoader):
    """As its base, and with a key that stands twice refused: YAML forbids it, and the first would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in keys:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value[:40]!r} stands twice", key.start_mark
                    )
                keys.add(key.value)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class DataYaml:
    """What a ``data.yaml`` says."""

    path: Path
    names: tuple[str, ...] | None
    base: str = ""
    """Its ``path``: the folder that the parts are in."""
    parts: tuple[tuple[str, str], ...] = ()
    """(part, folder or list as written), in the order train, val, test."""
    keypoint_shape: tuple[int, int] | None = None
    """Key points of a row, and numbers of each (2 or 3)."""


def read_data_yaml(path: Path, report: ReadingReport | None = None) -> DataYaml:
    """Read one; ``names`` is None where it has none. Raises `UsageError` for what is no YAML or has odd names."""
    values = _values(path, report)
    if "names" in values:
        names: tuple[str, ...] | None = _names(values["names"], path)
        stated = str(values.get("nc", ""))[:20]
        if report is not None and names is not None and stated.isdecimal() and int(stated) != len(names):
            report.add("class names", path, f"says nc: {stated} and names {len(names)} classes; the names are used")
    else:
        names = None
    parts = [(PARTS[key], entry) for key in PARTS for entry in _entries(values.get(key))]
    base = values.get("path")
    return DataYaml(path, names, base if isinstance(base, str) else "", tuple(parts), _keypoints(values, path))


def _values(path: Path, report: ReadingReport | None) -> dict[str, Any]:
    text = read_text(path, report)
    try:
        values = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as exc:
        line = f":{exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise UsageError(f"{path}{line}: expected YAML, got {exc.problem or exc.context}; mend that line") from exc
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise UsageError(f"{path}: expected YAML: {str(exc).splitlines()[0][:120]}") from exc
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected keys and values (names, train, val), got none")
    merged: dict[str, Any] = {}
    for base in _list_of(values.pop("<<", None)):
        merged |= base if isinstance(base, dict) else {}
    return merged | values


def _names(value: Any, path: Path) -> tuple[str, ...]:
    """In the order of their numbers."""
    if isinstance(value, dict):
        if not all(isinstance(k, str) and k.strip().isdecimal() and len(k) < 10 for k in value):
            raise UsageError(f"{path}: `names:` expected a number before each name, as in `0: person`")
        numbered = {int(k): v for k, v in value.items()}
    else:
        numbered = dict(enumerate(value if isinstance(value, list) else [value] if value else []))
    if not numbered or len(numbered) > MOST_CLASSES or sorted(numbered) != list(range(len(numbered))):
        found = ", ".join(map(str, sorted(numbered)[:8])) or "none"
        raise UsageError(f"{path}: `names:` expected a name for each class from 0 on, found numbers {found}")
    if not all(isinstance(v, str) for v in numbered.values()):
        raise UsageError(f"{path}: `names:` expected a text for each class")
    return tuple(numbered[k] for k in range(len(numbered)))


def _entries(value: Any) -> list[str]:
    return [v for v in _list_of(value) if isinstance(v, str) and v.strip() and v not in ("null", "~", "None")]


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _keypoints(values: dict[str, Any], path: Path) -> tuple[int, int] | None:
    shape = values.get("kpt_shape")
    if shape is None:
        return None
    numbers = [int(v) for v in shape if isinstance(v, str) and v.isdecimal() and len(v) < 6] if shape else []
    if len(numbers) != 2 or numbers[1] not in (2, 3) or not 0 < numbers[0] < 10_000:
        raise UsageError(f"{path}: `kpt_shape:` expected [key points, 2 or 3], as in [17, 3]")
    return numbers[0], numbers[1]
