"""The parts of a YOLO dataset: folders, lists of images and globs that a ``data.yaml`` or Darknet's ``.data`` names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgevision.capture.images import SUFFIXES
from edgevision.datasets.data_yaml import PARTS, DataYaml
from edgevision.datasets.file_tree import SPLIT_WORDS, FileTree, images_below, split_in
from edgevision.datasets.reading_report import ReadingReport
from edgevision.datasets.safe_names import safe_name
from edgevision.datasets.text_encoding import read_text

_LISTS = re.compile(r"^(?:autosplit_)?(train|val|valid|validation|test)\.txt$", re.IGNORECASE)
_SAME = {"val": ("valid", "validation"), "valid": ("val", "validation"), "validation": ("val", "valid"),
         "train": ("training",), "training": ("train",), "test": ("testing",), "testing": ("test",)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """An image and the part it is in; ``listed`` says where, for one that is not there."""

    path: Path
    split: str
    listed: str = ""


def members_of(root: Path, given: DataYaml | None, tree: FileTree, report: ReadingReport) -> list[Member]:
    """The images of a dataset with their parts. Parts that are not there are remarked on."""
    named = [(split, entry, given.path) for split, entry in given.parts] if given is not None else []
    named = named or _darknet(root, tree, report) or _lists_beside(root, report)
    bases = _bases(root, given)
    found: list[Member] = []
    for split, entry, file in named:
        place = _place_of(entry, bases, tree)
        if place is None:
            report.add("missing part", file, f"{split}: {entry[:120]} is not there and left out")
        elif place.is_file():
            found += _listed(place, split, root, bases, tree, report)
        else:
            found += [Member(path, split) for path in images_below(place)]
    if not found:
        inside = len(root.parts)
        outer = split_in(root.parts[-2:])
        found = [Member(p, split_in(p.parts[inside:-1]) or outer) for p in images_below(root)]
    return _once(found, report)


def _bases(root: Path, given: DataYaml | None) -> list[Path]:
    if given is None or not given.base:
        return [root]
    base = Path(_slashed(given.base)).expanduser()
    return list(dict.fromkeys([root / base, root, *([] if base.is_absolute() else [root / base.name])]))


def _place_of(entry: str, bases: Sequence[Path], tree: FileTree) -> Path | None:
    """Where a part is: as written, without leading ``../``, then by its last folders and their other names."""
    text = _slashed(entry)
    for base in bases:
        try:
            whole = Path(os.path.normpath(base / Path(text).expanduser()))
            if whole.exists() and whole.resolve() not in (Path("/"), Path.home()):
                return whole
        except (OSError, RuntimeError, ValueError):
            continue
    parts = [p for p in PurePosixPath(text).parts if p not in ("/", "..", ".")]
    shorter = [parts[k:] for k in range(len(parts)) if len(parts[k:]) > 1 or parts[-1].casefold() in SPLIT_WORDS]
    if parts and parts[-1].endswith(".txt"):
        shorter.append(parts[-1:])
    for tail in dict.fromkeys(map(tuple, [parts, *shorter])):
        for base in bases:
            for variant in _variants(tail):
                place = tree.below(base, "/".join(variant)) if variant else None
                if place is not None:
                    return place
    return None


def _variants(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield parts
    for k, part in enumerate(parts):
        for other in _SAME.get(part.casefold(), ()):
            yield (*parts[:k], other, *parts[k + 1 :])


def _listed(
    file: Path, split: str, root: Path, bases: Sequence[Path], tree: FileTree, report: ReadingReport
) -> list[Member]:
    """Images that a list names, one a line; a part may also be one image."""
    if file.suffix.lower() in SUFFIXES:
        return [Member(file, split)]
    found = []
    for number, line in enumerate(read_text(file, report).split("\n"), 1):
        if not line.strip():
            continue
        text = _slashed(line.strip())
        try:
            name = PurePosixPath(safe_name(text)[0]).name
        except ValueError as exc:
            report.add("image missing", f"{file}:{number}", str(exc))
            continue
        path = next((p for b in (file.parent, root, *bases) if (p := _image_at(text, b, tree)) is not None), None)
        found.append(Member(path or file.parent / name, split, "" if path else f"{file}:{number}"))
    return found


def _image_at(text: str, base: Path, tree: FileTree) -> Path | None:
    parts = [p for p in PurePosixPath(text).parts if p not in ("/", "..", ".")]
    tails = [parts[k:] for k in range(len(parts))]
    tries = (tree.below(base, "/".join(t)) for t in tails if t)
    return next((p for p in tries if p is not None and p.suffix.lower() in SUFFIXES), None)


def _darknet(root: Path, tree: FileTree, report: ReadingReport) -> list[tuple[str, str, Path]]:
    """Parts of Darknet's and CVAT's ``obj.data``: ``train = data/train.txt``."""
    file = tree.child(root, "obj.data")
    if file is None:
        return []
    pairs = [line.partition("=") for line in read_text(file, report).split("\n") if "=" in line]
    named = [(PARTS[k.strip()], v.strip(), file) for k, _, v in pairs if k.strip() in PARTS and v.strip()]
    # CVAT names a list that it leaves out of an export without images.
    return [n for n in named if _place_of(n[1], [root], tree) is not None]


def _lists_beside(root: Path, report: ReadingReport) -> list[tuple[str, str, Path]]:
    """``train.txt``, ``autosplit_val.txt`` and the like, where they list images."""
    try:
        files = sorted(p for p in root.iterdir() if _LISTS.match(p.name) and p.is_file())
    except OSError:
        return []
    found = []
    for file in files:
        lines = [line.strip() for line in read_text(file, report).split("\n") if line.strip()]
        if lines and all(PurePosixPath(_slashed(line)).suffix.lower() in SUFFIXES for line in lines):
            match = _LISTS.match(file.name)
            assert match is not None
            found.append((PARTS[match[1].lower()], file.name, file))
    return found


def _slashed(text: str) -> str:
    return re.sub(r"^[A-Za-z]:(?=/)", "", text.strip().replace("\\", "/"))


def _once(members: list[Member], report: ReadingReport) -> list[Member]:
    """Each image once; one that is in two parts stays in the first and is remarked on."""
    first: dict[Path, Member] = {}
    for member in members:
        before = first.setdefault(member.path, member)
        if before.split != member.split:
            text = f"is in {before.split} and in {member.split}; it stays in {before.split}"
            report.add("two parts", member.path, text, member.path)
    return list(first.values())
