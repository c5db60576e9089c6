"""Which apps of this user run on this machine, and how to reach them: a file each, that only this user may read."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from edgevision.errors import EdgeVisionError

_SAME_START_S = 2.0
"""A process id is given out again; the time its process began tells whose it is."""


@dataclass(frozen=True, slots=True)
class RunningApp:
    """One running app, as its file says."""

    url: str
    """Without the token."""
    token: str
    pid: int
    started_unix_s: float
    source: str
    model: str
    """The one that serves."""


def runtime_folders() -> list[Path]:
    """Where such files may stand: the first that can be used is written to, all are read."""
    if sys.platform == "win32":
        return [Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "edgevision" / "run"]
    if sys.platform == "darwin":
        return [Path.home() / "Library" / "Application Support" / "edgevision" / "run"]
    given = os.environ.get("XDG_RUNTIME_DIR")
    folders = [Path(given) / "edgevision"] if given else []
    # A service and a shell over ssh may have none, or not the same.
    return [*folders, Path(tempfile.gettempdir()) / f"edgevision-{os.getuid()}"]


def _usable(folder: Path, make: bool) -> bool:
    """Whether a folder is this user's own and nobody else's to look into. In a folder for all, another may have made
    it first, to read the token or to put a false app there."""
    try:
        if make:
            folder.mkdir(mode=0o700, parents=folder.parent.name == "edgevision", exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return False
    if sys.platform == "win32":
        return True
    return found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077


class RuntimeFile:
    """This process's file, from construction until `remove`. Raises `EdgeVisionError` where there is no safe place."""

    def __init__(self, url: str, token: str, source: str, model: str) -> None:
        import psutil

        folder = next((f for f in runtime_folders() if _usable(f, make=True)), None)
        if folder is None:
            places = " nor ".join(map(str, runtime_folders()))
            raise EdgeVisionError(
                f"neither {places} is a folder that only you can look into, so `edgevision swap` cannot find this app "
                "by itself: name it with --to"
            )
        started = psutil.Process().create_time()
        self.app = RunningApp(url, token, os.getpid(), started, source, model)
        self._path = folder / f"app-{os.getpid()}.json"
        self._write(model)

    def serves(self, model: str) -> None:
        """Another model serves now."""
        with contextlib.suppress(OSError):
            self._write(model)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _write(self, model: str) -> None:
        values = asdict(self.app) | {"model": model}
        scratch = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()
        # The mode is set as the file is made: there is no moment at which others could open it.
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(values, file)
        scratch.replace(self._path)


def running_apps() -> list[RunningApp]:
    """Every app of this user that runs, the oldest first. Files of those that run no more are taken away."""
    return sorted((app for folder in runtime_folders() for app in _apps_in(folder)), key=lambda a: a.started_unix_s)


def _apps_in(folder: Path) -> Iterator[RunningApp]:
    if not _usable(folder, make=False):
        return
    for path in sorted(folder.glob("app-*.json")):
        app = _read(path)
        if app is not None and _runs(app):
            yield app
        elif app is not None or _old(path):
            with contextlib.suppress(OSError):
                path.unlink()


def _read(path: Path) -> RunningApp | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        app = RunningApp(**{f.name: values[f.name] for f in fields(RunningApp)})
        return app if isinstance(app.pid, int) and isinstance(app.url, str) and isinstance(app.token, str) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _runs(app: RunningApp) -> bool:
    import psutil

    try:
        return abs(psutil.Process(app.pid).create_time() - app.started_unix_s) < _SAME_START_S
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _old(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime > 60
    return False
