"""Class names and parts in a YOLO ``data.yaml``, read without a YAML package: the few forms that tools write."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from edgevision.errors import UsageError

_ENTRY = re.compile(r"""^\s*(?:-\s*|(?P<number>\d+)\s*:\s*)(?P<name>"[^"]*"|'[^']*'|[^#]*?)\s*(?:\#.*)?$""")
_KEY = re.compile(r"^(\w+)\s*:\s*(.*)$")


def names_in_yaml(path: Path) -> tuple[str, ...]:
    """Names in the order of their numbers: ``names: [a, b]``, ``names: {0: a}``, or a list or table in lines below.

    Raises `UsageError` where there are none that can be read.
    """
    inline, block = _value_of("names", path)
    if inline:
        names = _inline(inline, path)
    else:
        names = {}
        for line in block:
            match = _ENTRY.match(line)
            if match:
                names[int(match["number"] or len(names))] = _bare(match["name"])
    if not names or sorted(names) != list(range(len(names))):
        raise UsageError(f"{path}: expected `names:` with a name for each class from 0 on, found {names or 'none'}")
    return tuple(names[k] for k in range(len(names)))


def splits_in_yaml(path: Path, root: Path) -> list[tuple[Path, str]]:
    """Folders named by ``train``, ``val`` and ``test``, that exist. Roboflow's ``../train/images`` is found too."""
    base = _value_of("path", path)[0].strip("\"' ")
    bases = [root, *([Path(base), root / base] if base else [])]
    found: list[tuple[Path, str]] = []
    for key, split in (("train", "train"), ("val", "val"), ("valid", "val"), ("test", "test")):
        inline, block = _value_of(key, path)
        values = [inline] if inline and not inline.startswith("[") else [*_strings(inline), *(_bare(b) for b in block)]
        for value in filter(None, (v.strip("\"' -") for v in values)):
            tries = [b / value for b in bases] + [b / re.sub(r"^(\.\./)+", "", value) for b in bases]
            folder = next((t for t in tries if t.is_dir()), None)
            if folder is not None and all(folder.resolve() != f.resolve() for f, _ in found):
                found.append((folder, split))
    return found


def _value_of(key: str, path: Path) -> tuple[str, list[str]]:
    """What stands behind ``key:`` on its line, and the indented lines below it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        match = _KEY.match(line)
        if match and match[1] == key:
            block = []
            for below in lines[number + 1 :]:
                if below.strip() and not below.startswith((" ", "\t", "-")):
                    break
                if below.strip() and not below.strip().startswith("#"):
                    block.append(below)
            inline = re.sub(r"\s+#.*$", "", match[2]).strip()
            # A list that goes on over lines.
            if inline.startswith(("[", "{")) and not inline.endswith(("]", "}")):
                inline += " ".join(b.strip() for b in block)
            return inline, block
    return "", []


def _inline(text: str, path: Path) -> dict[int, str]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        inner = text.strip("[]{} ")
        parts = [p.strip() for p in inner.split(",") if p.strip()]
        if text.startswith("{"):
            pairs = [p.partition(":") for p in parts]
            try:
                return {int(k): _bare(v) for k, _, v in pairs}
            except ValueError:
                raise UsageError(f"{path}: `names:` cannot be read: {text[:60]}") from None
        return {k: _bare(p) for k, p in enumerate(parts)}
    if isinstance(value, dict):
        return {int(k): str(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return {k: str(v) for k, v in enumerate(value)}
    return {0: str(value)}


def _strings(text: str) -> list[str]:
    return [_bare(p) for p in text.strip("[] ").split(",")] if text else []


def _bare(text: str) -> str:
    return text.strip().lstrip("-").strip().strip("\"'")
