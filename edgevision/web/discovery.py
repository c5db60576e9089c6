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
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path

from edgevision.errors import EdgeVisionError
from edgevision.regular_file import parse_json, read_regular_text

_SAME_START_S = 2.0
"""A process id is given out again; the time its process began tells whose it is."""
_STARTTIME_FIELD = 22
"""Of /proc/PID/stat (proc(5)): ticks since boot, which no setting of the clock changes."""


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
    start_ticks: int | None = None
    """Since boot, when the process began; None where the system does not say."""
    boot_id: str | None = None
    """Of the boot that ``start_ticks`` counts from."""


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

        pid = os.getpid()
        started = psutil.Process().create_time()
        self.app = RunningApp(url, token, pid, started, source, model, start_ticks(pid), boot_id())
        self._path = self._place()
        self._write()

    def serves(self, model: str) -> None:
        """Another model serves now."""
        self.app = replace(self.app, model=model)
        with contextlib.suppress(OSError):
            self._write()

    def restore(self) -> bool:
        """Write the file again where it is gone; True where it was.

        A logout removes the user's runtime folder, and a timer what is old in /tmp. An app without a screen has no
        other place that its token can be read from.
        """
        if _read(self._path) == self.app:
            return False
        with contextlib.suppress(OSError, EdgeVisionError):
            self._path = self._place()
            self._write()
        return True

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _place(self) -> Path:
        folder = next((f for f in runtime_folders() if _usable(f, make=True)), None)
        if folder is None:
            places = " nor ".join(map(str, runtime_folders()))
            raise EdgeVisionError(
                f"neither {places} is a folder that only you can read, so `edgevision swap` cannot "
                "find this app: name it with --to"
            )
        return folder / f"app-{self.app.pid}.json"

    def _write(self) -> None:
        scratch = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()
        # The mode is set as the file is made: there is no moment at which others could open it.
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(asdict(self.app), file)
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
        values = parse_json(read_regular_text(path))
        # Those with a default are not in files of earlier versions.
        known = {f.name for f in fields(RunningApp) if f.default is MISSING or f.name in values}
        app = RunningApp(**{name: values[name] for name in known})
        return app if isinstance(app.pid, int) and isinstance(app.url, str) and isinstance(app.token, str) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _runs(app: RunningApp) -> bool:
    """Whether the process that wrote a file runs still. Where that cannot be said, it does: its file is all it has."""
    import psutil

    if app.boot_id is not None and app.start_ticks is not None and (booted := boot_id()) is not None:
        return app.boot_id == booted and start_ticks(app.pid) == app.start_ticks
    try:
        began = psutil.Process(app.pid).create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    # Linux counts from boot, and derives the time of day from a clock that may have been set since.
    return sys.platform == "linux" or abs(began - app.started_unix_s) < _SAME_START_S


def start_ticks(pid: int) -> int | None:
    """Clock ticks from boot until a process began; None where there is none, and on systems other than Linux."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The second field is the program's name, in brackets, and may hold spaces and brackets.
        return int(text.rpartition(")")[2].split()[_STARTTIME_FIELD - 3])
    except (OSError, ValueError, IndexError):
        return None


def boot_id() -> str | None:
    """A random name of this boot (Linux); None elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def _old(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime > 60
    return False
