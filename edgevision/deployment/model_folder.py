"""Model folders on disk: put in place by renaming, removed, exported."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from edgevision.detectors.registry import _folders, find_model, read_graph, user_models_folder
from edgevision.errors import EdgeVisionError, ModelNotFound, UsageError


def put_folder(folder: Path, target: Path, scratch: Path) -> None:
    """Put a finished folder in a target's place by renaming; what stood there goes to ``scratch``, on the same disk.

    Raises `EdgeVisionError` where the disk refuses; the target then is as it was.
    """
    old = scratch / "replaced"
    try:
        if target.exists():
            target.rename(old)
        folder.rename(target)
    except OSError as exc:
        if old.exists() and not target.exists():
            old.rename(target)
        raise EdgeVisionError(f"{target}: cannot be written: {exc.strerror or exc}") from exc


def remove_model(name: str) -> Path:
    """Remove a model from the user's folder, and return where it stood. Raises `ModelNotFound` and `UsageError`.

    Models that stand elsewhere (bundled, ./models, $EDGEVISION_MODELS) are not ours to remove.
    """
    folder = user_models_folder() / name
    if Path(name).name == name and not name.startswith(".") and (folder / "model.toml").is_file():
        # Moved aside first: a name is either wholly there or not at all.
        with tempfile.TemporaryDirectory(prefix=".removing-", dir=folder.parent) as scratch:
            folder.rename(Path(scratch) / "gone")
        return folder
    elsewhere = [f for f in _folders() if f.name == name]
    if elsewhere:
        raise UsageError(f"{name}: stands in {elsewhere[0].parent}; only models in {folder.parent} are removed here")
    raise ModelNotFound(f"no model named {name!r} in {folder.parent}")


def export_model(model: str, to: Path) -> Path:
    """Copy a model's folder to ``to`` (into it, where it is a folder), as a zip where that ends in .zip.

    Raises `ModelNotFound`, `ModelInvalid` and, where something stands there already, `UsageError`.
    """
    stored = find_model(model)
    read_graph(stored)
    source = stored.path.parent
    if stored.manifest is None or not (source / "model.toml").is_file():
        raise UsageError(f"{stored.path}: is a bare file; copy it as it is, or add it first")
    if to.is_dir():
        to = to / stored.manifest.name
    if to.exists():
        raise UsageError(f"{to}: exists already; name another place")
    to.parent.mkdir(parents=True, exist_ok=True)
    wanted = {stored.manifest.file, "model.toml", "README.md", *(g.picture for g in stored.manifest.golden)}
    with tempfile.TemporaryDirectory(prefix=".exporting-", dir=to.parent) as scratch:
        folder = Path(scratch) / stored.manifest.name
        folder.mkdir()
        for name in sorted(wanted):
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        made = folder
        if to.suffix == ".zip":
            made = Path(shutil.make_archive(str(Path(scratch) / "made"), "zip", scratch, folder.name))
        made.rename(to)
    return to
