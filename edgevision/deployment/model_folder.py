"""Model folders on disk: put in place by renaming, removed, exported."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgevision.detectors.registry import _folders, find_model, read_graph, user_models_folder
from edgevision.errors import EdgeVisionError, ModelNotFound, UsageError


@contextmanager
def write_folder(target: Path) -> Iterator[Path]:
    """A new folder next to ``target``, which takes its place by renaming once it is written; else nothing is left.

    What was at ``target`` goes. Raises `EdgeVisionError` where the disk refuses; the target then is as it was.
    """
    with _scratch_beside(target, ".writing-") as scratch:
        folder = scratch / target.name
        folder.mkdir()
        yield folder
        old = scratch / "replaced"
        try:
            if target.exists():
                target.rename(old)
            folder.rename(target)
        except OSError as exc:
            if old.exists() and not target.exists():
                old.rename(target)
            raise EdgeVisionError(f"{target}: cannot be written: {exc.strerror or exc}") from exc


def check_target(target: Path, replace: bool) -> None:
    """Raises `UsageError` where there is something at ``target`` that is not to be replaced."""
    if target.exists() and not replace:
        raise UsageError(f"{target}: exists already; name another, or --replace it")


@contextmanager
def _scratch_beside(target: Path, prefix: str) -> Iterator[Path]:
    """A hidden folder next to ``target``, on the same disk: from there one rename does it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent, ignore_cleanup_errors=True)
    except OSError as exc:
        raise EdgeVisionError(f"{target}: cannot be written: {exc.strerror or exc}") from exc
    with scratch as path:
        yield Path(path)


def remove_model(name: str) -> Path:
    """Remove a model from the user's folder, and return where it stood. Raises `ModelNotFound` and `UsageError`.

    Models that stand elsewhere (bundled, ./models, $EDGEVISION_MODELS) are not ours to remove.
    """
    folder = user_models_folder() / name
    if Path(name).name == name and not name.startswith(".") and (folder / "model.toml").is_file():
        # Moved aside first: a name is either wholly there or not at all.
        with _scratch_beside(folder, ".removing-") as scratch:
            folder.rename(scratch / "gone")
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
    wanted = {stored.manifest.file, "model.toml", "README.md", *(g.picture for g in stored.manifest.golden)}
    with _scratch_beside(to, ".exporting-") as scratch:
        folder = scratch / stored.manifest.name
        folder.mkdir()
        for name in sorted(wanted):
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        made = folder
        if to.suffix == ".zip":
            made = Path(shutil.make_archive(str(scratch / "made"), "zip", scratch, folder.name))
        made.rename(to)
    return to
