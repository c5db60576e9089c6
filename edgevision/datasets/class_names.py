"""Names of a YOLO dataset's classes: in a ``data.yaml``, or one a line in ``classes.txt`` and the like."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edgevision.datasets.data_yaml import DataYaml, read_data_yaml
from edgevision.datasets.file_tree import data_root
from edgevision.datasets.reading_report import ReadingReport
from edgevision.datasets.text_encoding import read_text
from edgevision.errors import UsageError

YAMLS = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
NAME_FILES = ("classes.txt", "obj.names", "names.txt", "classes.names", "_darknet.labels", "predefined_classes.txt")
_INSIDE = ("images", "labels", "obj_train_data", "data", "annotations")


def find_yaml(folder: Path, report: ReadingReport) -> DataYaml | None:
    """The folder's ``data.yaml``, else another YAML file with ``names``. Raises `UsageError` for a damaged one."""
    named = [folder / n for n in YAMLS if (folder / n).is_file()]
    others = [] if named else sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    for file in named:
        return read_data_yaml(file, report)
    for file in others:
        try:
            found = read_data_yaml(file, report)
        except UsageError as exc:
            report.add("other files", file, f"is not read: {exc}")
            continue
        if found.names is not None:
            return found
    return None


def named_in_files(folder: Path, report: ReadingReport) -> tuple[str, ...]:
    """Names of ``classes.txt`` and the like, in the folder or in those of its images and labels; else none."""
    for place in (folder, *(folder / name for name in _INSIDE)):
        for name in NAME_FILES:
            if (place / name).is_file() and (names := _lines(place / name, report)):
                return names
    return ()


def names_above(folder: Path, report: ReadingReport) -> tuple[DataYaml | None, tuple[str, ...]]:
    """Of the dataset that ``folder`` is a part of, as ``images/val`` is: its ``data.yaml`` and its names."""
    root = data_root(folder)
    places = [p for p in (folder.parent, *folder.parent.parents[:2]) if p == root or root in p.parents]
    for place in places:
        given = find_yaml(place, report)
        names = given.names if given is not None and given.names is not None else named_in_files(place, report)
        if names:
            return given, names
    return None, ()


def check_names(names: tuple[str, ...], place: object, report: ReadingReport) -> None:
    """Remark on names that stand twice, or are empty."""
    for name, count in Counter(names).items():
        if count > 1:
            report.add("class names", place, f"{count} classes are called {name[:60]!r}")
        if not name.strip():
            report.add("class names", place, f"class {names.index(name)} has an empty name")


def _lines(path: Path, report: ReadingReport) -> tuple[str, ...]:
    """A name a line. Raises `UsageError` for an empty line between names, which would move the numbers after it."""
    lines = [line.strip() for line in read_text(path, report).rstrip().split("\n")]
    if lines == [""]:
        return ()
    if "" in lines:
        raise UsageError(
            f"{path}:{lines.index('') + 1}: expected a class name on each line, got an empty line; take it out if the "
            "labels count without it, else write a name there"
        )
    return tuple(lines)
