"""``run --watch``: a new version written into the model's folder is swapped in."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.deployment.report import SwapReport
from edgevision.detectors.registry import find_model, read_graph, search_path
from edgevision.errors import ModelError, UsageError
from edgevision.interfaces import ContextManaged

if TYPE_CHECKING:
    from edgevision.deployment.app import App

_POLL_S = 0.5
SETTLE_S = 1.0
"""Files that nobody has touched for so long are written, or their writer has stopped; their hash tells which."""

Signature = tuple[tuple[str, int, int, int], ...]


class ModelWatch:
    """Sees when the files of a model become another model. `poll` now and then, from one thread."""

    def __init__(self, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        """To be made before the model is loaded, so that nothing that comes after goes unseen."""
        self._model, self._clock = model, clock
        self._seen = self._newest = self._signature()
        self._key = self._read_key()
        self._changed_s: float | None = None
        self.waiting = ""
        """Why a change is not taken yet, in words: half-written, most likely."""

    def poll(self) -> bool:
        """Whether another model stands there, whole, than when this last said so."""
        newest = self._signature()
        if newest != self._newest:
            self._newest, self._changed_s = newest, self._clock()
        if self._newest == self._seen or self._changed_s is None or self._clock() < self._changed_s + SETTLE_S:
            return False
        self._changed_s = None  # looked at once: what does not change need not be read again
        try:
            key = self._read()
        except ModelError as exc:
            self.waiting = str(exc)
            return False
        self.waiting, self._seen = "", self._newest
        if key == self._key:
            return False
        self._key = key
        return True

    def _read_key(self) -> str:
        try:
            return self._read()
        except ModelError:
            return ""

    def _read(self) -> str:
        """What tells one model from another: its bytes and its manifest. Raises `ModelError` while half-written."""
        stored = find_model(self._model)
        digest = hashlib.sha256(read_graph(stored))
        if stored.manifest is not None:
            digest.update(stored.manifest.model_dump_json().encode())
        return digest.hexdigest()

    def _signature(self) -> Signature:
        """The files that decide what the model's name means: a look at their dates, not at their bytes."""
        path = Path(self._model).expanduser()
        if path.suffix.lower() == ".onnx":
            files = [path, path.with_suffix(".toml"), path.parent / "model.toml"]
        else:
            by_path = "/" in self._model or os.sep in self._model
            folders = [path] if by_path else [*(place / self._model for place in search_path()), path]
            files = [file for folder in folders for file in _files_in(folder)]
        return tuple(row for file in files if (row := _row(file)) is not None)


class WatchThread(ContextManaged):
    """Polls a `ModelWatch`, and calls ``swap`` when it says so, until `close`."""

    def __init__(self, watch: ModelWatch, swap: Callable[[], None], told: Callable[[str], None]) -> None:
        self._watch, self._swap, self._told = watch, swap, told
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(2)

    def _run(self) -> None:
        said = ""
        while not self._closing.wait(_POLL_S):
            if self._watch.poll():
                self._swap()
            elif self._watch.waiting and self._watch.waiting != said:
                self._told(f"the model's folder has changed, and is not taken yet: {self._watch.waiting}")
            said = self._watch.waiting


def swap_in(app: App, model: str, told: Callable[[str], None]) -> None:
    """The model that stands in its folder now. Waits for its report, and for one that a person asked for before."""
    told(f"the folder of {model} has changed: swapping")
    begun: Future[SwapReport] | None = None
    while begun is None and not app.ended:
        try:
            begun = app.start_swap(model)
        except UsageError:
            time.sleep(0.5)
    if begun is not None:
        begun.result()


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix in (".onnx", ".toml"))
    except OSError:
        return []


def _row(file: Path) -> tuple[str, int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return str(file), found.st_mtime_ns, found.st_size, found.st_ino
